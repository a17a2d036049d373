"""Which part of a network trains; the rest is frozen.

    train_only(model, "heads")   # later: train_only(model, "all")

A part is ``heads`` (all but the backbone's body: FPN, RPN and RoI heads, as in Matterport's Mask
R-CNN), ``3+``, ``4+`` or ``5+`` (the heads and these stages of the body, C1 to C5 as in the FPN
paper, https://arxiv.org/abs/1612.03144), ``all``, a regular expression that finds the parameters
that train by name, or ``all but`` and one that finds those that do not.
"""

from __future__ import annotations

import re

from torch import nn
from torchvision.models.detection import MaskRCNN

# The first stage of the backbone's body that trains in each part; the last is C5.
FIRST_STAGE = {"heads": 6, "3+": 3, "4+": 4, "5+": 5, "all": 1}
ALL_BUT = "all but "
STAGE_NAME = re.compile(r"\d+\+")
BODY = "backbone.body."


class PartError(ValueError):
    """No such part of the network; the message names those that there are."""


def train_only(model: MaskRCNN, part: str) -> None:
    """Set ``requires_grad`` of every parameter: those of ``part`` train, all others do not.

    Stages below the first that trains keep no activations for a backward pass.

    Raises:
        PartError: no such part.
    """
    names = trainable_names(model, part)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in names)


def trainable_count(model: MaskRCNN, part: str) -> tuple[int, int]:
    """How many numbers train in ``part``, and how many the network has.

    Raises:
        PartError: no such part.
    """
    names = trainable_names(model, part)
    counts = {name: parameter.numel() for name, parameter in model.named_parameters()}
    return sum(counts[name] for name in names), sum(counts.values())


def trainable_names(model: MaskRCNN, part: str) -> frozenset[str]:
    """The names of the parameters that train in ``part``.

    Raises:
        PartError: the part is a stage that there is not, or a regular expression that cannot be
            read, finds no parameter, or leaves none to train.
    """
    names = frozenset(name for name, _ in model.named_parameters())
    if part in FIRST_STAGE:
        frozen = body_stages(model)[: FIRST_STAGE[part] - 1]
        prefixes = tuple(f"{BODY}{child}." for stage in frozen for child in stage)
        return frozenset(name for name in names if not name.startswith(prefixes))
    if STAGE_NAME.fullmatch(part):  # as a regular expression it would find any such digit
        raise _no_part(model, f"there is no {part}")
    pattern = part.removeprefix(ALL_BUT)
    try:
        found = frozenset(name for name in names if re.search(pattern, name))
    except re.error as error:
        raise _no_part(model, f"{pattern!r} is no regular expression ({error})") from error
    if not found:
        raise _no_part(model, f"no parameter's name matches {pattern!r}")
    trains = names - found if part.startswith(ALL_BUT) else found
    if not trains:
        raise _no_part(model, f"{part!r} leaves nothing to train")
    return trains


def part_left_by(freeze: str) -> str:
    """The part that trains when ``--freeze`` says ``freeze``: a part's name says what trains, a
    regular expression what does not, ``none`` that all does."""
    if freeze == "none":
        return "all"
    named = freeze in FIRST_STAGE or STAGE_NAME.fullmatch(freeze)
    return freeze if named else ALL_BUT + freeze


def body_stages(model: MaskRCNN) -> list[list[str]]:
    """The names of the modules of the backbone's body, by stage, C1 to C5.

    A ResNet's stages start at ``layer1`` to ``layer4``, a MobileNet's at each strided block
    (torchvision marks it ``_is_cn``); what follows the last belongs to C5.
    """
    stages: list[list[str]] = [[]]
    for name, child in model.backbone.body.named_children():
        if name.startswith("layer") or getattr(child, "_is_cn", False):
            stages.append([])
        stages[-1].append(name)
    return stages


def hold_frozen_norms(model: nn.Module) -> None:
    """Put batch norms whose parameters are all frozen in evaluation mode.

    To be called after ``model.train()``: in training mode their running statistics would move,
    frozen or not, and with them what the frozen part computes.
    """
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.SyncBatchNorm)):
            parameters = list(module.parameters())
            if parameters and not any(p.requires_grad for p in parameters):
                module.eval()


def _no_part(model: MaskRCNN, problem: str) -> PartError:
    """Parts are shown as the first two steps of the parameters' names."""
    steps = dict.fromkeys(".".join(n.split(".")[:2]) for n, _ in model.named_parameters())
    return PartError(
        f"{problem}; the parts of the network are {', '.join(FIRST_STAGE)}, or a regular "
        f"expression of parameter names, which start with {', '.join(steps)}"
    )
