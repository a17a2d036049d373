"""Optimizer groups and the learning rate over time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from nets.mask_rcnn import build_model
from utils.config import TrainConfig
from utils.training.schedule import build_optimizer, build_schedule, lr_factor


def config(**changes) -> TrainConfig:
    return TrainConfig(weights="none", **changes)


def factors(steps_per_epoch, **changes) -> list[float]:
    """The share of the rate at every step of a run."""
    settings = config(**changes)
    factor = lr_factor(settings, steps_per_epoch)
    return [factor(step) for step in range(settings.epochs * steps_per_epoch)]


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine"])
def test_one_batch_an_epoch_starts_at_the_full_rate(schedule):
    assert factors(1, schedule=schedule, epochs=3)[0] == 1.0


@pytest.mark.parametrize(
    ("warmup", "steps_per_epoch", "first_full"), [(0, 5, 0), (1, 5, 1), (3, 5, 3), (1000, 5, 4)]
)
def test_warm_up_ends_within_the_first_epoch(warmup, steps_per_epoch, first_full):
    found = factors(steps_per_epoch, warmup=warmup, schedule="constant")
    assert all(value < 1 for value in found[:first_full])
    assert set(found[first_full:]) == {1.0}


def test_warm_up_is_torchs_linear_lr():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / 1000, total_iters=6)
    wanted = []
    for _ in range(10):
        wanted.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()
    assert factors(10, warmup=6, schedule="constant", epochs=1) == pytest.approx(wanted)


def test_steps_go_down_by_gamma_between_epochs():
    found = factors(2, warmup=0, epochs=7, lr_step=3, lr_gamma=0.1)
    wanted = [1] * 6 + [0.1] * 6 + [0.01] * 2
    assert found == pytest.approx(wanted)


def test_cosine_falls_to_zero_after_warm_up():
    found = factors(10, schedule="cosine", warmup=4, epochs=3)
    assert found[4] == 1.0
    assert found[17] == pytest.approx(0.5)  # half of the 26 steps after warm-up
    assert found[4:] == sorted(found[4:], reverse=True)
    assert found[-1] == pytest.approx(0.5 * (1 + math.cos(math.pi * 25 / 26)))
    assert lr_factor(config(schedule="cosine", epochs=3), 10)(30) == 0.0


def test_scheduler_multiplies_the_configured_rate():
    settings = config(lr=0.02, warmup=2, schedule="constant", epochs=1)
    optimizer = build_optimizer(nn.Linear(2, 2), settings)
    schedule = build_schedule(optimizer, settings, 5)
    rates = []
    for _ in range(4):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.02 / 1000, 0.02 * 0.5005, 0.02, 0.02])


def test_sgd_has_the_tutorials_settings():
    group = build_optimizer(nn.Linear(2, 2), config()).param_groups[0]
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.005, 0.9, 0.0005)


def test_adamw_decays_weights_but_not_norms_and_biases():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))
    groups = build_optimizer(model, config(optimizer="adamw", weight_decay=0.3)).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    wanted = {name: 0.3 if name in ("0.weight", "2.weight") else 0.0
              for name, _ in model.named_parameters()}  # fmt: skip
    assert {name: decay[id(p)] for name, p in model.named_parameters()} == wanted


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_frozen_parameters_are_left_out(optimizer):
    model = build_model("maskrcnn_resnet18_fpn_small", 2, trainable_layers=1)
    groups = build_optimizer(model, config(optimizer=optimizer)).param_groups
    updated = [id(p) for group in groups for p in group["params"]]
    trainable = {name: id(p) for name, p in model.named_parameters() if p.requires_grad}
    assert sorted(updated) == sorted(trainable.values())
    assert "backbone.body.conv1.weight" not in trainable
    assert "backbone.body.layer4.0.conv1.weight" in trainable
