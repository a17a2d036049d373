"""The stages of a training: what trains, for how many epochs, at which rate."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torchvision.models.detection import MaskRCNN

from nets.freezing import part_left_by, trainable_count

if TYPE_CHECKING:  # utils.config imports this file, to refuse stages that cannot be read
    from utils.config import TrainConfig

EXAMPLE = "heads:2@0.005,all:8@0.0005"
# A part may hold commas, colons and @ itself: a stage ends where a comma or the text's end follows
# its epochs or its rate.
_STAGE = re.compile(
    r"\s*(?P<part>[^\s,].*?)\s*:\s*(?P<epochs>[+-]?\d+)\s*"
    r"(?:@\s*(?P<lr>[^\s,:@]+)\s*)?(?:,(?=\s*\S)|$)"
)


@dataclass(frozen=True)
class Stage:
    """``trains`` is a part of the network as in ``nets.freezing``; ``lr`` the stage's full rate."""

    trains: str
    epochs: int
    lr: float


def read_stages(config: TrainConfig, auto: str) -> tuple[Stage, ...]:
    """The stages that ``--stages`` lists, or else the one of ``--freeze``, ``--epochs``, ``--lr``.

    Args:
        config: settings without ``stage_problems``.
        auto: what ``--freeze auto`` means, ``InitialWeights.freeze``.
    """
    if config.stages:
        return tuple(_parse(config.stages, config.lr)[0])
    freeze = auto if config.freeze == "auto" else config.freeze
    return (Stage(part_left_by(freeze), config.epochs, config.lr),)


def stage_problems(config: TrainConfig) -> list[str]:
    """What is wrong with ``--stages``, alone and beside other flags, in words."""
    if not config.stages:
        return []
    stages, problems = _parse(config.stages, config.lr)
    for stage in stages:
        if stage.epochs < 1:
            problems.append(f"--stages: {stage.trains} has {stage.epochs} epochs, needs 1 or more")
        if not 0 < stage.lr < math.inf:
            problems.append(f"--stages: {stage.trains} has the rate {stage.lr}, must be above 0")
    if config.freeze != "auto":
        problems.append("--stages and --freeze both say what trains; give one")
    total = sum(stage.epochs for stage in stages)
    if not problems and config.epochs not in (type(config).epochs, total):
        problems.append(
            f"--stages are {total} epochs, --epochs says {config.epochs}; leave --epochs out "
            "and give the stages as many as there shall be"
        )
    return problems


def scaled(stages: Sequence[Stage], factor: float) -> tuple[Stage, ...]:
    """The stages with their rates multiplied."""
    return tuple(replace(stage, lr=stage.lr * factor) for stage in stages)


def stage_at(stages: Sequence[Stage], epoch: int) -> Stage:
    """The stage that an epoch, counted from 0, belongs to; the last one for all that follow."""
    for stage in stages:
        if epoch < stage.epochs:
            return stage
        epoch -= stage.epochs
    return stages[-1]


def describe_stages(stages: Sequence[Stage], model: MaskRCNN) -> list[str]:
    """A line for each stage; asked before the first epoch, as every part is looked up here.

    Raises:
        PartError: the network has no such part.
    """
    lines = []
    for number, stage in enumerate(stages, 1):
        trainable, total = trainable_count(model, stage.trains)
        lines.append(
            f"stage {number} of {len(stages)}: {stage.trains}, {stage.epochs} "
            f"epoch{'s' * (stage.epochs != 1)} at learning rate {stage.lr:g}, "
            f"{trainable / 1e6:.1f} of {total / 1e6:.1f} million parameters train"
        )
    return lines


def _parse(text: str, lr: float) -> tuple[list[Stage], list[str]]:
    """The stages of a text, ``lr`` where they name no rate, and what could not be read."""
    stages: list[Stage] = []
    start = 0
    while start < len(text):
        found = _STAGE.match(text, start)
        rate = _rate(found["lr"], lr) if found else None
        if found is None or rate is None:
            rest = text[start:].strip()
            return stages, [f"--stages: {rest!r} is not PART:EPOCHS[@LR], as in {EXAMPLE}"]
        stages.append(Stage(found["part"], int(found["epochs"]), rate))
        start = found.end()
    return stages, []


def _rate(text: str | None, default: float) -> float | None:
    """None if the text is no number."""
    try:
        return default if text is None else float(text)
    except ValueError:
        return None
