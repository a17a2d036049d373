"""A picture to draw boxes, masks and points on, in the coordinates of the image it shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from utils.drawing import Colour, write_labels

Style = Literal["solid", "dashed", "dotted"]
Box = Sequence[float]  # x1, y1, x2, y2 in pixels of the image

# One meaning each, on all pages of the inspection. Apart in brightness too, on dark and light.
OBJECT: Colour = (0, 210, 110)  # what is labelled
POSITIVE: Colour = (60, 150, 255)  # taught or taken as an object
NEGATIVE: Colour = (255, 80, 60)  # taught or taken as background; lost
NEUTRAL: Colour = (255, 205, 40)  # ignored, or not decided yet
PALE: Colour = (235, 235, 235)

SIDE = 960  # longer side of a picture, in pixels
LINE = 3
PATTERNS: dict[Style, tuple[int, int]] = {"solid": (1, 0), "dashed": (14, 8), "dotted": (4, 6)}
OPACITY = 0.45


class Canvas:
    """An image at the size it is shown.

        canvas = Canvas(pixels)
        canvas.box((10, 20, 60, 90), OBJECT, "dashed", "person")
        canvas.picture()

    Args:
        pixels: uint8 RGB (H, W, 3).
        side: longer side of the picture in pixels.
        region: the part of the image that is shown; all of it by default. What lies outside is
            white.
        dim: how far the image is faded to black, 0..1, so that what is drawn stands out.
    """

    def __init__(
        self, pixels: np.ndarray, side: int = SIDE, region: Box | None = None, dim: float = 0.0
    ) -> None:
        height, width = pixels.shape[:2]
        self.region = tuple(region) if region is not None else (0, 0, width, height)
        left, top, right, bottom = self.region
        self.scale = side / max(right - left, bottom - top)
        self.size = (
            max(1, round((right - left) * self.scale)),
            max(1, round((bottom - top) * self.scale)),
        )
        image = Image.fromarray(pixels)
        if dim:
            image = Image.blend(image, Image.new("RGB", image.size), dim)
        # Pillow's transform reads the region, also where it lies outside the image.
        filter = Image.Resampling.BICUBIC if self.scale > 1 else Image.Resampling.BILINEAR
        if self.region == (0, 0, width, height):
            self._image = image.resize(self.size, Image.Resampling.LANCZOS)
        else:
            self._image = image.transform(
                self.size, Image.Transform.EXTENT, self.region, filter, fillcolor="white"
            )
        self._labels: list[tuple[str, list[int], Colour]] = []

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the image lies in the picture."""
        return (x - self.region[0]) * self.scale, (y - self.region[1]) * self.scale

    def box(
        self,
        box: Box | Tensor,
        colour: Colour,
        style: Style = "solid",
        text: str = "",
        width: int = LINE,
    ) -> None:
        """A box with its label; labels are written last, those first that were drawn first, as far
        as they find a place."""
        x1, y1, x2, y2 = (float(value) for value in box)
        (left, top), (right, bottom) = self.place(x1, y1), self.place(x2, y2)
        edges = [round(value) for value in (left, top, right, bottom)]
        draw_box(ImageDraw.Draw(self._image), edges, colour, style, width)
        if text:
            self._labels.append((text, edges, colour))

    def boxes(
        self, boxes: Iterable[Box | Tensor], colour: Colour, style: Style = "solid",
        width: int = LINE,
    ) -> None:  # fmt: skip
        """Boxes without labels."""
        for box in boxes:
            self.box(box, colour, style, width=width)

    def mask(self, mask: np.ndarray, colour: Colour, opacity: float = OPACITY) -> None:
        """Tint the pixels of a mask, bool (H, W), of the image's own size."""
        stencil = Image.fromarray(mask.astype(np.uint8) * round(255 * opacity))
        shown = stencil.transform(
            self.size, Image.Transform.EXTENT, self.region, Image.Resampling.NEAREST
        )
        self._image.paste(Image.new("RGB", self.size, colour), mask=shown)

    def points(
        self, points: Iterable[tuple[float, float]], colour: Colour, radius: float = 3
    ) -> None:
        """Dots at points of the image."""
        draw = ImageDraw.Draw(self._image)
        for x, y in points:
            across, down = self.place(x, y)
            draw.ellipse(
                (across - radius, down - radius, across + radius, down + radius), fill=colour
            )

    def arrow(self, start: tuple[float, float], end: tuple[float, float], colour: Colour) -> None:
        """A line from one point of the image to another, with a dot at its end."""
        path = [self.place(*start), self.place(*end)]
        ImageDraw.Draw(self._image).line(path, colour, LINE - 1)
        self.points([end], colour)

    def picture(self) -> Image.Image:
        """What was drawn, with the labels."""
        picture = self._image.copy()
        texts, places, colours = zip(*self._labels, strict=True) if self._labels else ((), (), ())
        write_labels(ImageDraw.Draw(picture), texts, places, colours, self.size)
        return picture


def draw_box(
    draw: ImageDraw.ImageDraw, box: Sequence[int], colour: Colour, style: Style, width: int
) -> None:
    """The outline of a box of the picture, along its inside."""
    x1, y1, x2, y2 = box
    x2, y2 = max(x2 - 1, x1), max(y2 - 1, y1)
    if style == "solid":
        draw.rectangle((x1, y1, x2, y2), outline=colour, width=width)
        return
    for y in (y1, max(y2 - width + 1, y1)):
        draw_line(draw, x1, y, x2 - x1 + 1, colour, style, width)
    for x in (x1, max(x2 - width + 1, x1)):
        draw_line(draw, x, y1, y2 - y1 + 1, colour, style, width, upright=True)


def draw_line(
    draw: ImageDraw.ImageDraw,
    x: int,
    y: int,
    length: int,
    colour: Colour,
    style: Style,
    width: int,
    upright: bool = False,
) -> None:
    """A level or upright line that begins at (x, y)."""
    on, off = PATTERNS[style] if style != "solid" else (max(length, 1), 0)
    for start in range(0, length, on + off):
        stop = min(start + on, length) - 1
        ends = (x, y + start, x + width - 1, y + stop) if upright else (
            x + start, y, x + stop, y + width - 1
        )  # fmt: skip
        draw.rectangle(ends, fill=colour)
