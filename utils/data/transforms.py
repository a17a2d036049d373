"""Named transforms from torchvision.transforms.v2, keeping boxes and masks in step with pixels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from nets.contract import CompactMasks, Target


class RandomHorizontalFlip(nn.Module):
    """torchvision's flip, which flips compact masks too.

    Args:
        p: how probable it is.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, image: Tensor, target: Target) -> tuple[Tensor, Target]:
        if torch.rand(1) >= self.p:
            return image, target
        flipped: Any = {name: _flipped(value) for name, value in target.items()}
        return v2.functional.horizontal_flip(image), flipped


def train_transforms() -> v2.Transform:
    """What the training split goes through: the tutorial's horizontal flip, then floats 0..1."""
    return v2.Compose([RandomHorizontalFlip(0.5), *_to_float()])


def eval_transforms() -> v2.Transform:
    """What held-out images go through: only the conversion to floats 0..1."""
    return v2.Compose(_to_float())


def _flipped(value: Any) -> Any:
    """Boxes and masks, which lie in the image, change; labels and the like do not."""
    if isinstance(value, CompactMasks):
        return value.flipped()
    return v2.functional.horizontal_flip(value) if isinstance(value, tv_tensors.TVTensor) else value


def _to_float() -> list[v2.Transform]:
    return [v2.ToDtype(torch.float32, scale=True), v2.ToPureTensor()]
