"""A part of an image around boxes; at will so large that its pixels are seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from utils.drawing import Colour
from utils.inspection.canvas import Box, Canvas

Region = tuple[float, float, float, float]
MARGIN = 0.3  # of the boxes' longer side, around them
SLIM = 0.12  # where a single object fills the picture
LEAST = 32  # pixels of the image around a tiny box


class CloseUp(Canvas):
    """A canvas on which a pixel of the image is a square of one colour, where it is large enough.

    Args:
        pixels: uint8 RGB (H, W, 3).
        region: the part of the image that is shown, as far as it lies inside, in whole pixels.
        side: longer side of the picture in pixels.
        dim: as of ``Canvas``.
    """

    def __init__(self, pixels: np.ndarray, region: Region, side: int, dim: float = 0.0) -> None:
        left, top = (max(math.floor(edge), 0) for edge in region[:2])
        right, bottom = (
            min(math.ceil(edge), whole)
            for edge, whole in zip(region[2:], pixels.shape[1::-1], strict=True)
        )
        times = math.ceil(side / max(right - left, bottom - top))
        part = pixels[top:bottom, left:right].repeat(times, axis=0).repeat(times, axis=1)
        super().__init__(part, side, dim=dim)
        self.region, self.scale = (left, top, right, bottom), self.scale * times

    def outline(self, mask: np.ndarray, colour: Colour, width: int) -> None:
        """A line along the inside of a mask, bool (H, W), of the image's own size."""
        stencil = Image.fromarray(mask.astype(np.uint8) * 255)
        shown = stencil.transform(
            self.size, Image.Transform.EXTENT, self.region, Image.Resampling.NEAREST
        )
        inside = np.asarray(shown.filter(ImageFilter.MinFilter(2 * width + 1)))
        line = Image.fromarray(np.asarray(shown) - inside)
        self._image.paste(Image.new("RGB", self.size, colour), mask=line)


def around(
    boxes: Sequence[Box | Tensor], size: tuple[int, int], margin: float = MARGIN, least: float = 0
) -> Region:
    """The square part of an image around boxes, as little beyond the image as can be.

    Args:
        boxes: xyxy in pixels of the image.
        size: width and height of the image.
        margin: what is shown around them, as a share of their longer side.
        least: pixels across at least, for tiny boxes.
    """
    corners = torch.stack([torch.as_tensor(box, dtype=torch.float32) for box in boxes])
    low, high = corners[:, :2].amin(dim=0), corners[:, 2:].amax(dim=0)
    side = min(max(float((high - low).max()) * (1 + 2 * margin), least), max(size))
    left, top = (
        min(max(middle - side / 2, 0), whole - side) if side <= whole else (whole - side) / 2
        for middle, whole in zip(((low + high) / 2).tolist(), size, strict=True)
    )
    return left, top, left + side, top + side


def close_up(
    pixels: np.ndarray,
    side: int,
    boxes: Sequence[Box | Tensor],
    margin: float = MARGIN,
    dim: float = 0.0,
) -> Canvas:
    """What is ``around`` boxes, in a picture of so many pixels."""
    return Canvas(pixels, side, around(boxes, pixels.shape[1::-1], margin, LEAST), dim)
