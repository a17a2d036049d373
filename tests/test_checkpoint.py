"""Which weights files a run keeps, and how they are found again."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nets.weights_file import WeightsFile, load_weights
from utils.config import TrainConfig, to_dict
from utils.training.checkpoint import Checkpoints, training_state
from utils.training.schedule import build_optimizer, build_schedule


def weights(epoch, ap=None) -> WeightsFile:
    metrics = {} if ap is None else {"segm/AP": ap, "bbox/AP": 1 - ap}
    model = {"w": torch.tensor([float(epoch)])}
    arch = "maskrcnn_resnet50_fpn"
    return WeightsFile(arch, 2, ("cat",), model, metrics=metrics, epoch=epoch)


def saved(folder, scores, keep=1):
    checkpoints = Checkpoints(folder, keep)
    best = [checkpoints.save(weights(epoch, ap), {}) for epoch, ap in enumerate(scores)]
    return checkpoints, best


@pytest.mark.parametrize(
    ("scores", "is_best"),
    [
        ([None], [True]),
        ([None, None], [True, True]),  # nothing to judge by: the newest
        ([0.0, 0.0], [True, True]),  # nothing found yet
        ([0.0, 0.3, 0.0], [True, True, False]),
        ([None, 0.1], [True, True]),
        ([0.5, 0.2, 0.5], [True, False, False]),  # a tie keeps the earlier
        ([0.1, 0.4, 0.3, 0.6], [True, True, False, True]),
    ],
)
def test_best_is_the_first_of_the_highest_segm_ap(tmp_path, scores, is_best):
    checkpoints, best = saved(tmp_path, scores)
    assert best == is_best
    winner = max(n for n, flag in enumerate(is_best) if flag)
    assert checkpoints.best_epoch == winner
    assert checkpoints.best == scores[winner]
    file = load_weights(tmp_path / "best.pth")
    assert file.epoch == winner
    assert file.model["w"].item() == winner


@pytest.mark.parametrize(
    ("keep", "numbered"), [(0, []), (1, [11]), (2, [10, 11]), (20, list(range(12)))]
)
def test_the_newest_epochs_are_kept(tmp_path, keep, numbered):
    saved(tmp_path, [0.1] * 12, keep)
    wanted = {"best.pth", "last.pth", *(f"MaskRCNN_{n}.pth" for n in numbered)}
    assert {path.name for path in tmp_path.iterdir()} == wanted


def test_files_of_others_are_left_alone(tmp_path):
    for name in ("MaskRCNN_old.pth", "MaskRCNN_.pth", "mine.pth"):
        (tmp_path / name).write_bytes(b"mine")
    saved(tmp_path, [0.1, 0.2])
    assert {path.name for path in tmp_path.iterdir() if path.read_bytes() == b"mine"} == {
        "MaskRCNN_old.pth", "MaskRCNN_.pth", "mine.pth",
    }  # fmt: skip


def test_last_holds_what_resuming_needs(tmp_path):
    config = TrainConfig(weights="none", warmup=0)
    model = nn.Linear(3, 1)
    optimizer = build_optimizer(model, config)
    schedule = build_schedule(optimizer, config, 4)
    for _ in range(2):
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        schedule.step()
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    checkpoints = Checkpoints(tmp_path, 1)
    checkpoints.save(weights(0, 0.75), training_state(optimizer, schedule, scaler, to_dict(config)))

    content = torch.load(tmp_path / "last.pth", weights_only=True)
    resume = content["resume"]
    assert content["epoch"] == 0
    assert (resume["best"], resume["best_epoch"]) == (0.75, 0)
    assert resume["schedule"] == {"last_epoch": 2}
    assert resume["settings"] == to_dict(config)
    fresh = build_optimizer(nn.Linear(3, 1), config)
    fresh.load_state_dict(resume["optimizer"])
    momentum = [state["momentum_buffer"] for state in optimizer.state.values()]
    loaded = [state["momentum_buffer"] for state in fresh.state.values()]
    assert len(loaded) == 2
    assert all(torch.equal(a, b) for a, b in zip(momentum, loaded, strict=True))


def test_last_is_the_newest_epoch_and_best_has_no_training_state(tmp_path):
    saved(tmp_path, [0.5, 0.1])
    assert load_weights(tmp_path / "last.pth").epoch == 1
    assert "resume" not in torch.load(tmp_path / "best.pth", weights_only=True)
