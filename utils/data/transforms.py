"""Named transforms from torchvision.transforms.v2, keeping boxes and masks in step with pixels."""

from __future__ import annotations

import torch
from torchvision.transforms import v2


def train_transforms() -> v2.Transform:
    """What the training split goes through: the tutorial's horizontal flip, then floats 0..1."""
    return v2.Compose([v2.RandomHorizontalFlip(0.5), *_to_float()])


def eval_transforms() -> v2.Transform:
    """What held-out images go through: only the conversion to floats 0..1."""
    return v2.Compose(_to_float())


def _to_float() -> list[v2.Transform]:
    return [v2.ToDtype(torch.float32, scale=True), v2.ToPureTensor()]
