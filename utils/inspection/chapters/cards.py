"""Cards: small pictures of one RoI with a few words above, many of them in a grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from utils.drawing import text_font
from utils.inspection.canvas import Canvas
from utils.inspection.chapter import INK, wrapped
from utils.inspection.heat_map import heat_map

NARROW = 0.1  # margin of a close-up
TEXT, GAP = 15, 8
GREY = (96, 96, 96)


def map_at(canvas: Canvas, values: np.ndarray, box: Tensor) -> Image.Image:
    """A map of numbers in 0..1 at the place of its box in the part of the image that a canvas
    shows, grey around it."""
    x1, y1, x2, y2 = box.tolist()
    (left, top), (right, bottom) = canvas.place(x1, y1), canvas.place(x2, y2)
    picture = Image.new("RGB", canvas.size, GREY)
    size = max(1, round(right) - round(left)), max(1, round(bottom) - round(top))
    picture.paste(heat_map(values, size, 0, 1), (round(left), round(top)))
    return picture


def card(pictures: Sequence[Image.Image], text: str) -> Image.Image:
    """Pictures side by side below a text, which takes as many lines as it needs."""
    width = sum(picture.width + GAP for picture in pictures) - GAP
    lines = wrapped(text, width, TEXT)
    top = len(lines) * (TEXT + 4) + 4
    sheet = Image.new("RGB", (width, top + max(one.height for one in pictures)), "white")
    draw = ImageDraw.Draw(sheet)
    for i, line in enumerate(lines):
        draw.text((0, i * (TEXT + 4)), line, INK, text_font(line, TEXT))
    x = 0
    for picture in pictures:
        sheet.paste(picture, (x, top))
        x += picture.width + GAP
    return sheet


def grid(cards: Sequence[Image.Image], columns: int) -> Image.Image:
    """Cards in rows, on white; their lower edges are level, as the pictures are."""
    wide = max(one.width for one in cards)
    rows = [cards[i : i + columns] for i in range(0, len(cards), columns)]
    heights = [max(one.height for one in row) for row in rows]
    across = min(columns, len(cards))
    size = across * (wide + 2 * GAP) - 2 * GAP, sum(heights) + 2 * GAP * (len(rows) - 1)
    sheet = Image.new("RGB", size, "white")
    y = 0
    for row, height in zip(rows, heights, strict=True):
        for i, one in enumerate(row):
            sheet.paste(one, (i * (wide + 2 * GAP), y + height - one.height))
        y += height + 2 * GAP
    return sheet


def stacked(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures one below the other, on white."""
    return grid(pictures, 1)
