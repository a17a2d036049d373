"""The five losses of torchvision's Mask R-CNN, by name."""

from __future__ import annotations

from torch import Tensor

LOSSES = ("loss_classifier", "loss_box_reg", "loss_mask", "loss_objectness", "loss_rpn_box_reg")


def named(losses: Tensor) -> dict[str, float]:
    """The five losses and their sum ``loss`` as numbers, in one transfer from the device."""
    values = losses.detach().tolist()
    return {"loss": sum(values), **dict(zip(LOSSES, values, strict=True))}
