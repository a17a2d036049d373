"""A chart of the layers of a network side by side, from the image to the masks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby

from PIL import Image, ImageDraw

from utils.charts import GREY, INK, Axis
from utils.drawing import Colour, text_font
from utils.inspection.layers import Layer

WIDTH, HEIGHT = 1040, 400
LEFT, RIGHT, TOP, BOTTOM = 74, 8, 56, 32  # of the frame, from the picture's sides
TEXT, SMALL = 16, 13
BAND, LINES = (244, 244, 244), (222, 222, 222)
MOST_DECADES = 12
FEW_DECADES = 2  # the scale of a chart with no more is also marked at 2 and 5


class DepthChart:
    """Marks above each other for every layer, on a logarithmic scale; parts of the network are set
    off from each other, and below stand the numbers of the layers that they begin with.

        chart = DepthChart(layers, [layer.rms for layer in layers], "RMS")
        chart.dot(layers[0], layers[0].rms, (52, 116, 186))

    Args:
        layers: in their order.
        values: the scale goes from the power of 10 below the least to that above the largest of
            them, over 12 powers at most. Marks of less, and of 0, lie on the chart's bottom.
        label: what the scale is of, with its unit.
        percent: write 0.1 as 10 %.
    """

    def __init__(
        self, layers: Sequence[Layer], values: Iterable[float], label: str, percent: bool = False
    ) -> None:
        self.picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
        self._draw = ImageDraw.Draw(self.picture)
        exponents = [math.log10(value) for value in values if 0 < value < math.inf] or [0.0]
        low, high = math.floor(min(exponents)), math.ceil(max(exponents))
        if low == high:
            low, high = low - 1, high + 1
        low = max(low, high - MOST_DECADES)
        self._upward = Axis(10.0**low, 10.0**high, HEIGHT - BOTTOM, TOP, log=True)
        self._across = self._groups(layers)
        marks = (1, 2, 5) if high - low <= FEW_DECADES else (1,)
        ticks = [mark * 10.0**power for power in range(low, high + 1) for mark in marks]
        for tick in (tick for tick in ticks if tick <= 1.001 * 10.0**high):
            y = self._upward.place(tick)
            self._draw.line((LEFT, y, WIDTH - RIGHT, y), LINES)
            self._text(LEFT - 8, y, f"{100 * tick:g} %" if percent else f"{tick:g}", GREY, "rm")
        self._text(4, 12, label, INK, "lm")
        self._text(LEFT - 8, HEIGHT - BOTTOM + 18, "layer", GREY, "rm", SMALL)

    def dot(self, layer: Layer, value: float, colour: Colour, radius: float = 4) -> None:
        """A point."""
        x, y = self._place(layer, value)
        self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    def dash(self, layer: Layer, value: float, colour: Colour) -> None:
        """A short level line."""
        x, y = self._place(layer, value)
        half = max(4, min(8, self._step / 2 - 1))
        self._draw.rectangle((x - half, y - 1, x + half, y), fill=colour)

    def stroke(self, layer: Layer, low: float, high: float, colour: Colour, width: int = 1) -> None:
        """An upright line from one value to another."""
        (x, bottom), (_, top) = self._place(layer, low), self._place(layer, high)
        self._draw.line((x, top, x, bottom), colour, width)

    def bar(self, layer: Layer, value: float, colour: Colour) -> None:
        """A bar from the bottom."""
        self.stroke(layer, 0, value, colour, max(2, int(self._step * 0.7)))

    def _place(self, layer: Layer, value: float) -> tuple[float, float]:
        return self._across[layer.number], self._upward.place(max(value, self._upward.low))

    def _groups(self, layers: Sequence[Layer]) -> dict[int, float]:
        """Draw a band for each part of the network; where each layer's marks go, by number."""
        parts = [(name, list(members)) for name, members in groupby(layers, lambda one: one.group)]
        least = [self._draw.textlength(name, text_font(name, TEXT)) + 12 for name, _ in parts]
        self._step, across = _step([len(members) for _, members in parts], least), {}
        left = float(LEFT)
        for i, ((name, members), narrow) in enumerate(zip(parts, least, strict=True)):
            width = max(len(members) * self._step, narrow)
            if i % 2 == 0:
                self._draw.rectangle((left, TOP - 28, left + width, HEIGHT - BOTTOM), fill=BAND)
            self._text(left + width / 2, TOP - 16, name, INK, "mm")
            for place, layer in enumerate(members):
                across[layer.number] = left + width * (place + 0.5) / len(members)
            first = members[0].number
            self._text(across[first], HEIGHT - BOTTOM + 18, str(first), GREY, "mm", SMALL)
            left += width
        return across

    def _text(
        self, x: float, y: float, text: str, ink: Colour, anchor: str, size: int = TEXT
    ) -> None:
        self._draw.text((x, y), text, ink, text_font(text, size), anchor=anchor)


def _step(counts: Sequence[int], least: Sequence[float]) -> float:
    """How much room a layer has, so that parts of the network fill the chart, each with so many
    layers and as wide as its name at least."""
    room = WIDTH - LEFT - RIGHT
    low, high = 0.0, float(room)
    for _ in range(40):
        step = (low + high) / 2
        wide = sum(max(count * step, one) for count, one in zip(counts, least, strict=True))
        low, high = (low, step) if wide > room else (step, high)
    return low
