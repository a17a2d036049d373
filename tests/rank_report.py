"""What each of several processes comes to, written as JSON for ``test_processes``.

torchrun --nproc-per-node 2 tests/rank_report.py FOLDER
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import torch

from nets.freezing import train_only
from nets.mask_rcnn import build_model
from utils.config import TrainConfig
from utils.device import Precision
from utils.open_data import open_training_data
from utils.processes import ALONE, Processes, start_processes
from utils.training.batches import batches_of
from utils.training.engine import Trainer
from utils.training.stages import Stage
from utils.training.state import start_state

CPU = torch.device("cpu")
FP32 = Precision("fp32", "cpu")
SCENES = 7
SMALL = {"min_size": 64, "max_size": 64, "box_batch_size_per_image": 16,
         "rpn_pre_nms_top_n_train": 50, "rpn_post_nms_top_n_train": 50,
         "frozen_norm": True}  # fmt: skip


def trained(processes: Processes, batch_size: int, accumulate: int = 1, parts=("all",)):
    """How far an epoch of 7 scenes for each part moved each parameter, and the loss and the number
    of images of each step."""
    torch.manual_seed(3)
    model = build_model("maskrcnn_resnet18_fpn_small", 4, **SMALL)
    if not processes.is_first:  # whose weights do not count
        with torch.no_grad():
            next(model.parameters()).add_(1)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    config = TrainConfig(
        data="shapes", weights="none", batch_size=batch_size, accumulate=accumulate, warmup=0,
        schedule="constant", lr=1e-4,
    )  # fmt: skip
    data = open_training_data("shapes", epoch_scenes=SCENES, seed=5)
    batches = batches_of(config, data, CPU, processes)
    steps = math.ceil(len(batches.order) / accumulate)
    stages = [Stage(part, 1, config.lr) for part in parts]
    images = batch_size * processes.count
    state = start_state(model, config, stages, FP32.scaler(), steps, images)
    trainer = Trainer(state, FP32, accumulate=accumulate, processes=processes)
    reports = []
    for stage in stages:
        train_only(model, stage.trains)
        trainer.network = processes.wrap(model)
        batches.order.epoch = state.epoch
        reports += trainer.steps(batches.train, batches.order.own)
        state.end_epoch()
    taken = [(one.losses["loss"], one.images) for one in reports]
    return {name: p.detach() - start[name] for name, p in model.named_parameters()}, taken


def difference(found, wanted) -> float:
    """The relative difference of two trainings' moves, and of their steps; the larger one."""
    (moves, steps), (other_moves, other_steps) = found, wanted
    pairs = list(zip(torch.tensor(steps).T, torch.tensor(other_steps).T, strict=True))
    flat = [torch.cat([m.flatten() for m in one.values()]) for one in (moves, other_moves)]
    pairs.append((flat[0], flat[1]))
    return max(float((a - b).norm() / b.norm()) for a, b in pairs)


def report(processes: Processes) -> dict[str, object]:
    """Everything that is told of one process."""
    rank = processes.rank
    found: dict[str, object] = {
        "place": [rank, processes.count, processes.local_rank, processes.is_first],
        "gathered": processes.gather({"rank": rank}),
        "numbers": processes.gather_numbers(10 + rank),
        "stacked": processes.stack(torch.tensor([rank, 2.5])).tolist(),
        "from_first": processes.from_first(Path(f"of {rank}")).name,
    }
    norm = torch.nn.BatchNorm1d(2)
    norm.running_mean.fill_(rank + 7)
    processes.share_buffers(norm)
    found["shared"] = norm.running_mean.tolist()
    trainings = {
        "uneven": ((3,), (6,)),  # 6 images, then one: the second process has a stand-in
        "accumulated": ((1, 2), (2, 2)),
        "in stages": ((2, 1, ("heads", "all")), (4, 1, ("heads", "all"))),
    }
    for name, (together, alone) in trainings.items():
        ours = trained(processes, *together)
        found[f"{name}: steps"] = ours[1]
        if processes.is_first:
            found[name] = difference(ours, trained(ALONE, *alone))
    print("printed by", rank)
    return found


if __name__ == "__main__":
    with start_processes(CPU) as processes:
        found = report(processes)
        (Path(sys.argv[1]) / f"{processes.rank}.json").write_text(json.dumps(found))
