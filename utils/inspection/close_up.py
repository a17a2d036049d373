"""A small part of an image, so large that its pixels are seen."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageFilter

from utils.drawing import Colour
from utils.inspection.canvas import Box, Canvas

Region = tuple[int, int, int, int]
MARGIN = 0.12  # of an object's longer side, around it


class CloseUp(Canvas):
    """A canvas on which a pixel of the image is a square of one colour, where it is large enough.

    Args:
        pixels: uint8 RGB (H, W, 3).
        region: the part of the image that is shown, in whole pixels inside it.
        side: longer side of the picture in pixels.
        dim: as of ``Canvas``.
    """

    def __init__(self, pixels: np.ndarray, region: Region, side: int, dim: float = 0.0) -> None:
        left, top, right, bottom = region
        times = math.ceil(side / max(right - left, bottom - top))
        part = pixels[top:bottom, left:right].repeat(times, axis=0).repeat(times, axis=1)
        super().__init__(part, side, dim=dim)
        self.region, self.scale = region, self.scale * times

    def outline(self, mask: np.ndarray, colour: Colour, width: int) -> None:
        """A line along the inside of a mask, bool (H, W), of the image's own size."""
        stencil = Image.fromarray(mask.astype(np.uint8) * 255)
        shown = stencil.transform(
            self.size, Image.Transform.EXTENT, self.region, Image.Resampling.NEAREST
        )
        inside = np.asarray(shown.filter(ImageFilter.MinFilter(2 * width + 1)))
        line = Image.fromarray(np.asarray(shown) - inside)
        self._image.paste(Image.new("RGB", self.size, colour), mask=line)


def around(box: Box, size: tuple[int, int], least: int = 2) -> Region:
    """The square part of an image around a box, or all of the image one way if it is narrower.

    Args:
        box: xyxy in pixels of the image.
        size: width and height of the image.
        least: pixels around the box.
    """
    x1, y1, x2, y2 = box
    longer = max(x2 - x1, y2 - y1)
    side = longer + 2 * max(least, MARGIN * longer)
    edges = []
    for start, stop, whole in ((x1, x2, size[0]), (y1, y2, size[1])):
        length = min(math.ceil(side), whole)
        first = math.floor((start + stop - length) / 2)
        edges.append((min(max(first, 0), whole - length), length))
    (left, width), (top, height) = edges
    return left, top, left + width, top + height
