"""A training step in torchvision's public way and ours: same weights, same images, taking turns.

The reference is the recipe of torchvision's detection references: its own model with frozen norms,
of which the last three stages train, in float32, full-size target masks, SGD with warm-up. Ours is
the ``Trainer`` of train.py with its default settings. Images are read beforehand, so that a step is
what lies between the batch and the moved weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import torch
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

from nets.freezing import train_only
from nets.mask_rcnn import build_model
from tools.benchmark_data import open_data
from tools.machine import (
    CPU,
    GIGA,
    WAYS,
    comparison,
    facts_of,
    flops,
    peak_memory,
    print_peak_memory,
    taking_turns,
)
from utils.config import TrainConfig
from utils.data.loader import Batch, collate, to_device
from utils.device import choose_precision
from utils.memory import keep_freed_memory
from utils.training.engine import Trainer
from utils.training.network import network_options
from utils.training.stages import read_stages
from utils.training.state import start_state

ARCH = "maskrcnn_resnet50_fpn"
PART = "3+"  # what trains from pretrained weights
Step = Callable[[], object]


def compare(
    rounds: int, batch_size: int = 2, device: str = "cpu", precision: str = "auto"
) -> list[dict[str, Any]]:
    """Seconds of a step of both, medians, the most memory of a process of each, and how near each
    comes to what the machine can do in its number format.

    Args:
        rounds: steps of each, every time with other images, after one to warm up.
        batch_size: images per step.
        device: ``cpu`` or ``cuda``.
        precision: of ours.
    """
    on = torch.device(device)
    chosen = choose_precision(precision, on)
    memory = {}
    if on.type == "cpu":  # first, while this process holds little
        given = [str(batch_size), precision]
        memory = {f"{way}_mb": peak_memory(__name__, [way, *given]) for way in WAYS}
    steps = {way: make_steps(way, batch_size, rounds + 1, on, precision) for way in WAYS}
    operations = flops(steps["reference"]) / batch_size  # forward and backward, of the first batch
    steps["ours"]()
    medians = taking_turns(steps, on, rounds)
    name = f"train {ARCH} {device} {chosen.name}, batch of {batch_size}"
    result = comparison(name, **medians) | memory | {"gflop_per_image": operations / GIGA}
    for way, dtype in zip(WAYS, (torch.float32, chosen.dtype), strict=True):
        seconds = medians[way] / batch_size
        result |= facts_of(way, steps[way], on, dtype, seconds, operations)
    return [result]


def make_steps(
    way: str, batch_size: int, batches: int, device: torch.device, precision: str
) -> Step:
    """A function that takes one step, each time with the next of so many batches."""
    data = open_data(batch_size * batches, compact_masks=way == "ours")
    numbers = cycle(range(len(data)))
    loaded = cycle(
        [collate([data[next(numbers)] for _ in range(batch_size)]) for _ in range(batches)]
    )
    take = {"reference": reference_step, "ours": our_step}[way](device, precision)
    return lambda: take(next(loaded))


def reference_step(device: torch.device, _: str) -> Callable[[Batch], None]:
    """torchvision's own modules and recipe."""
    backbone = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=FrozenBatchNorm2d, trainable_layers=3
    )
    model = MaskRCNN(backbone, 2)
    model.load_state_dict(start_model().state_dict())
    model.to(device).train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=0.005, momentum=0.9, weight_decay=0.0005)
    # Without it the first step blows random weights up, and NaN leaves next to no RoIs to train on.
    warm_up = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.001, total_iters=1000)

    def step(batch: Batch) -> None:
        loss = sum(model(*to_device(*batch, device)).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        warm_up.step()

    return step


def our_step(device: torch.device, precision: str) -> Callable[[Batch], None]:
    """What train.py does with a batch."""
    config = TrainConfig()
    chosen = choose_precision(precision, device)
    model = start_model().to(device, memory_format=chosen.memory_format)
    train_only(model, PART)
    stages = read_stages(config, PART)
    state = start_state(model, config, stages, chosen.scaler(), 1000, 1)
    trainer = Trainer(state, chosen)

    def step(batch: Batch) -> None:
        for _ in trainer.steps([batch], own=10**9):
            pass

    return step


def start_model() -> MaskRCNN:
    """The weights that both start from; random ones, as a step takes as long with any."""
    torch.manual_seed(0)
    return build_model(ARCH, 2, frozen_norm=True, **network_options(TrainConfig()))


def main(arguments: Sequence[str] | None = None) -> None:
    """What ``compare`` starts to measure memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("batch_size", type=int)
    parser.add_argument("precision")
    args = parser.parse_args(arguments)
    keep_freed_memory(CPU)
    step = make_steps(args.way, args.batch_size, 3, CPU, args.precision)
    for _ in range(3):
        step()
    print_peak_memory()


if __name__ == "__main__":
    main()
