"""Named transforms from torchvision.transforms.v2, keeping boxes and masks in step with pixels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from nets.contract import CompactMasks, Target
from utils.data.augmentation import AUGMENTATIONS, DEFAULT_AUGMENTATION
from utils.data.scale_jitter import ScaleJitter
from utils.data.targets import changed_target


class RandomChange(nn.Module):
    """Leaves a sample as it is, or makes ``change`` of it.

    Args:
        p: how probable the change is.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, image: Tensor, target: Target) -> tuple[Tensor, Target]:
        return self.change(image, target) if torch.rand(1) < self.p else (image, target)

    def change(self, image: Tensor, target: Target) -> tuple[Tensor, Target]:
        raise NotImplementedError


class RandomHorizontalFlip(RandomChange):
    """torchvision's flip, which flips compact masks too."""

    def change(self, image: Tensor, target: Target) -> tuple[Tensor, Target]:
        flipped: Any = {name: _flipped(value) for name, value in target.items()}
        return v2.functional.horizontal_flip(image), flipped


class RandomTranspose(RandomChange):
    """Exchanges rows and columns, as of a matrix: a symmetric contact map stays what it is."""

    def change(self, image: Tensor, target: Target) -> tuple[Tensor, Target]:
        masks = CompactMasks.from_masks(target["masks"]).transposed()
        turned = tv_tensors.wrap(image.mT, like=image)
        return turned, changed_target(target, masks)


class ColorJitter(nn.Module):
    """torchvision's, for images of any number of channels, which are floats 0..1.

    Without three channels there is no saturation: all get the same brightness and contrast.

    Args:
        strength: factors are drawn from 1 - strength to 1 + strength.
    """

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.jitter = v2.ColorJitter(strength, strength, strength)

    def forward(self, image: Tensor, target: Target) -> tuple[Tensor, Target]:
        # torchvision leaves grey images their saturation, and takes a batch of them.
        planes = image if len(image) == 3 else image[:, None]
        return tv_tensors.wrap(self.jitter(planes).view(image.shape), like=image), target


def train_transforms(augment: str = DEFAULT_AUGMENTATION) -> v2.Transform:
    """What each training sample goes through, by a name in ``AUGMENTATIONS``; floats 0..1 come
    out. Pasting takes two samples and is left to the data set."""
    change = AUGMENTATIONS[augment]
    to_float, to_plain = _to_float()
    steps: list[nn.Module | None] = [
        # These see image and target, and the pixels as read.
        RandomHorizontalFlip(change.flip) if change.flip else None,
        RandomTranspose(change.transpose) if change.transpose else None,
        ScaleJitter(*change.scale) if change.scale else None,
        to_float,
        ColorJitter(change.jitter) if change.jitter else None,
        v2.RandomApply([v2.GaussianBlur(5, (0.1, 1.5))], change.blur) if change.blur else None,
        v2.RandomApply([v2.GaussianNoise(sigma=0.03)], change.noise) if change.noise else None,
        to_plain,
    ]
    return v2.Compose([step for step in steps if step is not None])


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
