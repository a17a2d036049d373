"""The stages of a training: what trains, for how many epochs, at which rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torchvision.models.detection import MaskRCNN

from nets.freezing import part_left_by, trainable_count
from utils.config import TrainConfig
from utils.training.stage_text import Stage, parse_stages


def read_stages(config: TrainConfig, auto: str) -> tuple[Stage, ...]:
    """The stages that ``--stages`` lists, or else the one of ``--freeze``, ``--epochs``, ``--lr``.

    Args:
        config: settings without ``stage_problems``.
        auto: what ``--freeze auto`` means, ``InitialWeights.freeze``.
    """
    if config.stages:
        return tuple(parse_stages(config.stages, config.lr)[0])
    freeze = auto if config.freeze == "auto" else config.freeze
    return (Stage(part_left_by(freeze), config.epochs, config.lr),)


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
