"""Optimizer groups and the learning rate over time."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nets.freezing import train_only
from nets.mask_rcnn import build_model
from utils.config import TrainConfig
from utils.training.schedule import build_optimizer, build_schedule, lr_factor
from utils.training.stages import Stage, read_stages


def config(**changes) -> TrainConfig:
    return TrainConfig(weights="none", **changes)


def factors(steps_per_epoch, **changes) -> list[float]:
    """The share of the rate at every step of a run."""
    settings = config(**changes)
    stages = read_stages(settings, "none")
    factor = lr_factor(settings, stages, steps_per_epoch)
    return [factor(step) for step in range(sum(s.epochs for s in stages) * steps_per_epoch)]


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
    assert lr_factor(config(schedule="cosine"), [Stage("all", 3, 0.005)], 10)(30) == 0.0


def factor_of_one_stage(config, steps_per_epoch, step):
    """The rate's share before there were stages."""
    warmup = min(config.warmup, steps_per_epoch - 1)
    total = config.epochs * steps_per_epoch
    share = 1.0
    if config.schedule == "step":
        share = config.lr_gamma ** (step // steps_per_epoch // config.lr_step)
    elif config.schedule == "cosine":
        progress = max(step - warmup, 0) / max(total - warmup, 1)
        share = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    if step < warmup:
        share *= 1 / 1000 + (1 - 1 / 1000) * step / warmup
    return share


@given(
    st.sampled_from(["constant", "step", "cosine"]),
    st.lists(st.tuples(st.integers(1, 4), st.floats(1e-6, 10)), min_size=1, max_size=3),
    st.integers(1, 7),
    st.integers(0, 9),
    st.integers(1, 3),
    st.floats(1e-6, 10),
)
def test_every_stage_is_a_training_of_its_own(
    schedule, parts, steps_per_epoch, warmup, lr_step, lr
):
    settings = config(schedule=schedule, warmup=warmup, lr_step=lr_step, lr=lr)
    factor = lr_factor(settings, [Stage("all", *part) for part in parts], steps_per_epoch)
    wanted = []
    for epochs, rate in parts:
        alone = replace(settings, epochs=epochs, lr=rate)
        steps = range(epochs * steps_per_epoch)
        wanted += [factor_of_one_stage(alone, steps_per_epoch, step) * rate for step in steps]

    assert [factor(step) * lr for step in range(len(wanted))] == pytest.approx(wanted)
    after = factor_of_one_stage(alone, steps_per_epoch, epochs * steps_per_epoch)
    assert factor(len(wanted)) * lr == pytest.approx(after * rate)  # the last stage goes on


@given(
    st.sampled_from(["constant", "step", "cosine"]),
    st.integers(1, 4),
    st.integers(1, 7),
    st.integers(0, 9),
    st.floats(1e-6, 10),
)
def test_one_stage_is_a_training_without_stages(schedule, epochs, steps_per_epoch, warmup, lr):
    settings = config(schedule=schedule, epochs=epochs, warmup=warmup, lr=lr)
    factor = lr_factor(settings, read_stages(settings, "none"), steps_per_epoch)

    for step in range(epochs * steps_per_epoch + 3):  # to the last bit, and past the end too
        assert factor(step) == factor_of_one_stage(settings, steps_per_epoch, step)


def test_scheduler_multiplies_the_configured_rate():
    settings = config(lr=0.02, warmup=2, schedule="constant", epochs=1)
    optimizer = build_optimizer(nn.Linear(2, 2), settings)
    schedule = build_schedule(optimizer, settings, read_stages(settings, "none"), 5)
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


def one_step(model, optimizer):
    optimizer.zero_grad(set_to_none=True)
    sum(p.sum() + p.square().sum() for p in model.parameters() if p.requires_grad).backward()
    optimizer.step()


def copy_of(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def changed(model, before):
    return {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_one_optimizer_serves_all_stages(optimizer):
    torch.manual_seed(0)
    model = build_model("maskrcnn_resnet18_fpn_small", 2)
    with torch.no_grad():  # a bias of 0 would not show decay
        for parameter in model.parameters():
            parameter.add_(1.0)
    everything = {name for name, _ in model.named_parameters()}
    body = {name for name in everything if name.startswith("backbone.body.")}
    update = build_optimizer(model, config(optimizer=optimizer, weight_decay=0.1))

    for part, trained in (("heads", everything - body), ("all", everything), ("^rpn", None)):
        train_only(model, part)
        before = copy_of(model)
        one_step(model, update)  # momentum of the stage before and weight decay do not go on
        wanted = {n for n in everything if n.startswith("rpn")} if trained is None else trained
        assert changed(model, before) == wanted


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_an_optimizer_resumes_in_a_later_stage(optimizer):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    settings = config(optimizer=optimizer)
    update = build_optimizer(model, settings)
    model[0].requires_grad_(False)
    one_step(model, update)  # the state knows half of the parameters
    other = copy.deepcopy(model)
    resumed = build_optimizer(other, settings)
    resumed.load_state_dict(copy.deepcopy(update.state_dict()))
    for one, its in ((model, update), (other, resumed)):
        one.requires_grad_(True)
        for _ in range(2):
            one_step(one, its)

    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)
