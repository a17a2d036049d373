"""Stages as they are written on the command line."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nets.freezing import PartError
from nets.mask_rcnn import build_model
from utils.config import TrainConfig
from utils.training.stage_text import EXAMPLE, Stage, stage_problems
from utils.training.stages import describe_stages, read_stages, stage_at


def config(**changes) -> TrainConfig:
    """Settings that are judged by ``stage_problems`` alone, wherever else they are refused."""
    settings = TrainConfig(weights="none")
    for name, value in changes.items():
        object.__setattr__(settings, name, value)
    return settings


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("all:3", [("all", 3, 0.005)]),
        (EXAMPLE, [("heads", 2, 0.005), ("all", 8, 0.0005)]),
        ("heads:2,4+:3@1e-4,all:1", [("heads", 2, 0.005), ("4+", 3, 1e-4), ("all", 1, 0.005)]),
        ("  heads : 2 @ 0.01 ,\n all: 8 ", [("heads", 2, 0.01), ("all", 8, 0.005)]),
        ("(?:a,b):2,all:1", [("(?:a,b)", 2, 0.005), ("all", 1, 0.005)]),
        ("x{1,2}@y:4:2@.5", [("x{1,2}@y:4", 2, 0.5)]),
        ("all but rpn:1", [("all but rpn", 1, 0.005)]),
        (r"^rpn\.|mask:1@2,[,:@]:3", [(r"^rpn\.|mask", 1, 2.0), ("[,:@]", 3, 0.005)]),
    ],
)
def test_stages_are_read(text, wanted):
    settings = config(stages=text)

    assert stage_problems(settings) == []
    assert read_stages(settings, "3+") == tuple(Stage(*values) for values in wanted)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("heads", "heads"),
        ("heads:", "heads:"),
        ("heads:two", "heads:two"),
        ("heads:2.5", "heads:2.5"),
        (":2", ":2"),
        ("heads:2@", "heads:2@"),
        ("heads:2@fast", "heads:2@fast"),
        ("heads:2,", "heads:2,"),
        ("heads:2,all", "all"),
        ("heads:2,,all:8", ",all:8"),
        (",all:8", ",all:8"),
        ("  ", ""),
    ],
)
def test_what_cannot_be_read_is_shown_beside_an_example(text, shown):
    assert stage_problems(config(stages=text)) == [
        f"--stages: {shown!r} is not PART:EPOCHS[@LR], as in {EXAMPLE}"
    ]


@pytest.mark.parametrize("epochs", [0, -3])
def test_a_stage_without_epochs_is_refused(epochs):
    assert stage_problems(config(stages=f"heads:{epochs},all:2")) == [
        f"--stages: heads has {epochs} epochs, needs 1 or more"
    ]


@pytest.mark.parametrize("lr", ["0", "-1", "nan", "inf"])
def test_a_rate_that_is_not_positive_is_refused(lr):
    assert stage_problems(config(stages=f"heads:1,all:2@{lr}")) == [
        f"--stages: all has the rate {float(lr)}, must be above 0"
    ]


def test_all_problems_are_told_at_once():
    assert len(stage_problems(config(stages="a:0,b:1@-1,c", freeze="heads"))) == 4


def test_stages_and_freeze_do_not_go_together():
    assert "--freeze" in stage_problems(config(stages="all:1", freeze="heads"))[0]
    assert stage_problems(config(stages="all:1", freeze="auto")) == []
    assert stage_problems(config(freeze="heads")) == []


@pytest.mark.parametrize(("epochs", "refused"), [(10, False), (5, False), (4, True), (12, True)])
def test_epochs_are_the_stages(epochs, refused):
    problems = stage_problems(config(stages="heads:2,all:3", epochs=epochs))
    wanted = f"--stages are 5 epochs, --epochs says {epochs}; leave --epochs out and give "
    wanted += "the stages as many as there shall be"
    assert problems == ([wanted] if refused else [])
    assert len(stage_problems(config(stages="heads:2,all", epochs=epochs))) == 1  # no sum to tell


@pytest.mark.parametrize(
    ("freeze", "auto", "part"),
    [
        ("auto", "3+", "3+"),
        ("auto", "none", "all"),
        ("none", "3+", "all"),
        ("heads", "none", "heads"),
        ("^rpn", "3+", "all but ^rpn"),
    ],
)
def test_without_stages_there_is_one(freeze, auto, part):
    settings = config(freeze=freeze, epochs=7, lr=0.25)
    assert read_stages(settings, auto) == (Stage(part, 7, 0.25),)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_every_epoch_is_in_its_stage(epochs):
    stages = [Stage(str(i), count, 1.0) for i, count in enumerate(epochs)]
    wanted = [stage for stage in stages for _ in range(stage.epochs)]
    assert [stage_at(stages, epoch) for epoch in range(len(wanted))] == wanted
    assert stage_at(stages, len(wanted)) == stages[-1]


@pytest.fixture(scope="module")
def model():
    with torch.device("meta"):
        return build_model("maskrcnn_resnet18_fpn_small", 3)


def test_stages_are_described_with_what_trains(model):
    body = sum(p.numel() for p in model.backbone.body.parameters()) / 1e6
    total = sum(p.numel() for p in model.parameters()) / 1e6
    stages = (Stage("heads", 1, 0.005), Stage("all", 8, 0.0005))

    assert describe_stages(stages, model) == [
        "stage 1 of 2: heads, 1 epoch at learning rate 0.005, "
        f"{total - body:.1f} of {total:.1f} million parameters train",
        "stage 2 of 2: all, 8 epochs at learning rate 0.0005, "
        f"{total:.1f} of {total:.1f} million parameters train",
    ]
    assert all(p.requires_grad for p in model.parameters())  # nothing is changed


def test_a_later_stage_without_parameters_is_refused_too(model):
    stages = (Stage("heads", 1, 0.1), Stage("hedas", 1, 0.1))
    with pytest.raises(PartError, match="'hedas'"):
        describe_stages(stages, model)
