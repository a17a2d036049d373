"""What is to be said of the layers of a network: which are not sound, or did not train."""

from __future__ import annotations

from collections.abc import Sequence

from utils.inspection.layers import LARGE, Layer
from utils.inspection.starting_weights import Change

NAMED = 3  # layers that a sentence names
MUCH_DEAD = 0.1  # of a layer's filters: worth telling


def remarks(layer: Layer, change: Change | None = None) -> list[str]:
    """What is to be said of a layer, worst first; usually nothing."""
    told = []
    if layer.not_finite:
        told.append(f"{layer.not_finite:,} not finite")
    if layer.is_large:
        told.append(f"largest is {layer.reach:.0f} times the RMS")
    if change and change.state == "not trained":
        told.append("should have trained")
    if change and change.state == "not frozen":
        told.append("should have been frozen")
    if layer.dead:
        what = "scales" if layer.is_norm else "filters"
        told.append(f"{layer.dead} of {len(layer.filters)} {what} dead")
    return told


def findings(layers: Sequence[Layer], changes: Sequence[Change]) -> list[str]:
    """What the reader should do something about; ``changes`` of each layer, or none."""
    states = {
        state: [layer for layer, change in zip(layers, changes, strict=True)
                if change.state == state]
        for state in ("not trained", "not frozen")
    } if changes else {}  # fmt: skip
    problems = (
        ([layer for layer in layers if layer.not_finite],
         "numbers that are infinite or NaN: the training went wrong; use an earlier weights file"),
        ([layer for layer in layers if layer.is_large],
         f"a weight of over {LARGE:g} times the layer's RMS: perhaps the training nearly diverged; "
         "look at its losses, and try a lower --lr or --clip-norm"),
        ([layer for layer in layers if layer.dead >= MUCH_DEAD * len(layer.filters)],
         f"filters or scales that are as good as 0, {MUCH_DEAD:.0%} of all or more: they pass "
         "nothing on; start from pretrained weights, or with a lower --lr or --weight-decay"),
        (states.get("not trained", []),
         "every number as at the start, though the run's settings let it train: no gradient came, "
         "or the learning rate was 0; look at the run's losses and --lr"),
        (states.get("not frozen", []),
         "other numbers than at the start, though the run's settings freeze this part: perhaps "
         "the run started from other weights, or --freeze was changed when it was resumed"),
    )  # fmt: skip
    return [
        f"{named(found)} {'have' if len(found) > 1 else 'has'} {problem}."
        for found, problem in problems
        if found
    ]


def named(layers: Sequence[Layer]) -> str:
    """The first layers by name and number, and how many more there are."""
    names = [f"{layer.name} (no. {layer.number})" for layer in layers[:NAMED]]
    more = len(layers) - NAMED
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")
