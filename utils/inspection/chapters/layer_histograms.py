"""Histograms of the weights of each part of a network, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from PIL import Image, ImageDraw
from torch import Tensor

from utils.charts import COLOURS, GREY, INK, Axis
from utils.drawing import text_font
from utils.inspection.layers import BINS, SPAN, Layer

NOW, BEFORE = COLOURS[0], COLOURS[1]
CELL, COLUMNS = (344, 236), 3
TITLE, TEXT = 17, 14
SIDE, TOP, BOTTOM = 14, 50, 50  # of the frame, from the cell's sides


def draw_histograms(layers: Sequence[Layer], before: Mapping[str, Layer]) -> Image.Image:
    """A histogram for each part of the network, the mean of its layers'; ``before``, by the layers'
    names, is drawn as a line over it."""
    cells = []
    for group, members in groupby(layers, lambda layer: layer.group):
        own = list(members)
        cells.append(_cell(group, own, [before[one.name] for one in own if one.name in before]))
    rows = -(-len(cells) // COLUMNS)
    picture = Image.new("RGB", (COLUMNS * CELL[0], rows * CELL[1]), "white")
    for place, cell in enumerate(cells):
        picture.paste(cell, (place % COLUMNS * CELL[0], place // COLUMNS * CELL[1]))
    return picture


def _cell(group: str, layers: Sequence[Layer], before: Sequence[Layer]) -> Image.Image:
    cell = Image.new("RGB", CELL, "white")
    draw, floor = ImageDraw.Draw(cell), CELL[1] - BOTTOM
    across = Axis(-SPAN, SPAN, SIDE, CELL[0] - SIDE)
    sides = [round(across.place(SPAN * (2 * edge / BINS - 1))) for edge in range(BINS + 1)]
    now, then = _mean(layers), _mean(before)
    upward = Axis(0, max([*now, *then]) or 1, floor, TOP)
    for left, right, share in zip(sides, sides[1:], now, strict=False):
        if share:
            draw.rectangle((left, upward.place(share), right - 1, floor), fill=NOW)
    bins = zip(sides, sides[1:], then, strict=False)
    outline = [(x, upward.place(share)) for *ends, share in bins for x in ends]
    draw.line(outline, BEFORE, 2)
    draw.line((sides[0], floor, sides[-1], floor), GREY)
    for mark, length, step in ((-1.0, 4, 8), (0.0, 1, 1), (1.0, 4, 8)):
        x = round(across.place(mark))
        for y in range(TOP, floor, step):
            draw.line((x, y, x, y + length - 1), INK)
    for tick in (-SPAN, -1.0, 0.0, 1.0, SPAN):
        anchor = {-SPAN: "lt", SPAN: "rt"}.get(tick, "mt")
        place = across.place(tick), floor + 5
        draw.text(place, f"{tick:g}", GREY, text_font("", TEXT), anchor=anchor)
    lines = _words(group, layers, 1 - sum(now))
    for y, text, ink, size in zip(
        (4, 27, CELL[1] - 25), lines, (INK, GREY, GREY), (TITLE, TEXT, TEXT), strict=True
    ):
        draw.text((SIDE, y), text, ink, text_font(text, size))
    return cell


def _mean(layers: Sequence[Layer]) -> list[float]:
    """The mean of the layers' histograms; of no layers, nothing."""
    total: Tensor | float = sum((layer.histogram() for layer in layers), 0.0)
    return [] if isinstance(total, float) else (total / len(layers)).tolist()


def _words(group: str, layers: Sequence[Layer], outside: float) -> tuple[str, str, str]:
    """What is written above and below a histogram."""
    sizes = [layer.rms for layer in layers]
    furthest = max(layers, key=lambda layer: layer.reach)
    count = f"{len(layers)} layer{'s' * (len(layers) > 1)}"
    spread = f"RMS {min(sizes):.2g}" + (f" to {max(sizes):.2g}" if len(layers) > 1 else "")
    beyond = f"{max(outside, 0):.2%} beyond {SPAN:g} RMS, up to {furthest.reach:.1f}"
    return f"{group}: {count}", spread, f"{beyond} in layer {furthest.number}"
