"""Scale jitter: objects in other sizes, in an image of the same size."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from nets.contract import CompactMasks, Target
from utils.data.targets import changed_target

F = v2.functional


class ScaleJitter(nn.Module):
    """Zooms into a random part of the image, or shrinks it and fills up with its mean colour.

    The scale jitter of Simple Copy-Paste (Ghiasi et al., CVPR 2021), for a network that resizes
    what it gets to one size: cutting and filling up to the size of before is what makes objects
    larger and smaller there. Factors are drawn evenly by their logarithm, as halving objects is as
    much of a change as doubling them.

    Args:
        lowest, highest: of the factors that lengths are multiplied with.
    """

    def __init__(self, lowest: float, highest: float) -> None:
        super().__init__()
        self.lowest, self.highest = lowest, highest

    def forward(self, image: Tensor, target: Target) -> tuple[Tensor, Target]:
        factor = self.lowest * (self.highest / self.lowest) ** float(torch.rand(1))
        masks = CompactMasks.from_masks(target["masks"])
        image, masks = (_zoomed_in if factor > 1 else _zoomed_out)(image, masks, factor)
        return image, changed_target(target, masks, factor**2)


def random_place(inner: tuple[int, int], outer: tuple[int, int]) -> tuple[int, int]:
    """Top and left of a rectangle anywhere within a larger one; sizes are (height, width)."""
    top, left = (
        int(torch.randint(large - small + 1, (1,)))
        for small, large in zip(inner, outer, strict=True)
    )
    return top, left


def scaled_size(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """Height and width times ``factor``, at least a pixel."""
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _zoomed_in(image: Tensor, masks: CompactMasks, factor: float) -> tuple[Tensor, CompactMasks]:
    """A part is cut out first, so that nothing larger than the image is ever made."""
    part = scaled_size(masks.size, 1 / factor)
    place = random_place(part, masks.size)
    image = F.resize(F.crop(image, *place, *part), list(masks.size))
    return image, masks.cropped(*place, *part).resized(masks.size)


def _zoomed_out(image: Tensor, masks: CompactMasks, factor: float) -> tuple[Tensor, CompactMasks]:
    (height, width), part = masks.size, scaled_size(masks.size, factor)
    top, left = random_place(part, masks.size)
    sides = [left, top, width - part[1] - left, height - part[0] - top]
    image = F.resize(image, list(part))
    mean = image.float().mean((1, 2)).tolist()
    return (
        F.pad(image, sides, fill=mean),
        masks.resized(part).cropped(-top, -left, height, width),
    )
