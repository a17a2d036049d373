"""Charts of counts and sizes, drawn with Pillow: bars per class, histograms, a scatter of sizes.

Every chart shows the parts of a data set (training, held out) as series of one colour each. Series
are given by name; an empty one is listed without marks.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageDraw

from utils.drawing import Colour, text_font

WIDTH, HEIGHT = 1440, 900  # of a chart in pixels; shown at half of that, so lines are smooth
TEXT, TITLE = 26, 34
COLOURS: tuple[Colour, ...] = ((52, 116, 186), (232, 131, 36), (66, 150, 80), (150, 90, 170))
INK, GREY, PALE, MARK = (30, 30, 30), (120, 120, 120), (226, 226, 226), (190, 40, 40)
MOST_BARS = 20
BINS = 40
MOST_LETTERS = 22
MOST_DOTS = 30

Counts = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Axis:
    """Values along one side of the frame, in pixels from ``start`` to ``stop``."""

    low: float
    high: float
    start: int
    stop: int
    log: bool = False
    whole: bool = True  # ticks are whole numbers

    def place(self, value: float) -> float:
        """The pixel that a value lies at."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return self.start + (value - low) / (high - low) * (self.stop - self.start)

    def ticks(self) -> list[float]:
        """Round values to write along the axis."""
        if self.log:
            powers = range(math.floor(math.log2(self.low)), math.ceil(math.log2(self.high)) + 1)
            every = -(-len(powers) // 12)
            found = [2.0**power for power in powers if power % every == 0]
        else:
            step = round_step((self.high - self.low) / 6, self.whole)
            first, last = math.ceil(self.low / step), math.floor(self.high / step)
            found = [step * number for number in range(first, last + 1)]
        return [tick for tick in found if self.low <= tick <= self.high]


def round_step(value: float, whole: bool = True) -> float:
    """The least of 1, 2, 5, 10, 20, 50... that is not below ``value``; unless ``whole``, also of
    0.5, 0.2, 0.1..."""
    power = 10.0 ** math.floor(math.log10(max(value, 1) if whole else value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * (1 - 1e-9))


def bar_chart(title: str, names: Sequence[str], counts: Counts) -> Image.Image:
    """Horizontal bars, the series of a name one after the other, with their sum as a number.

    Args:
        title: what is counted.
        names: of the bars, from the top; the first 20 are shown.
        counts: per series one number for each name.
    """
    picture, draw = _sheet(title, list(counts))
    shown = names[:MOST_BARS]
    more = len(names) - len(shown)
    labels = [_cut(name) for name in shown]
    wide = max((int(draw.textlength(text, text_font(text, TEXT))) for text in labels), default=0)
    totals = [sum(series[i] for series in counts.values()) for i in range(len(shown))]
    frame = (wide + 50, 120, WIDTH - 150, HEIGHT - (100 if more > 0 else 60))
    across = Axis(0, max(totals, default=0) or 1, frame[0], frame[2])
    step = (frame[3] - frame[1]) / max(len(shown), 1)
    thick = min(step * 0.7, 70)
    for i, text in enumerate(labels):
        middle = frame[1] + step * (i + 0.5)
        _text(draw, (frame[0] - 14, middle), text, INK, "rm")
        done = 0
        for colour, series in zip(_colours(counts), counts.values(), strict=True):
            left, right = across.place(done), across.place(done + series[i])
            if series[i]:
                draw.rectangle((left, middle - thick / 2, right, middle + thick / 2), fill=colour)
            done += series[i]
        _text(draw, (across.place(done) + 12, middle), f"{done:,}", INK, "lm")
    draw.line((frame[0], frame[1], frame[0], frame[3]), GREY, 2)
    if more > 0:
        _text(draw, (frame[0], HEIGHT - 50), f"and {more} more, with fewer", GREY, "lm")
    return picture


def histogram(
    title: str,
    label: str,
    series: Mapping[str, Sequence[float]],
    *,
    log: bool = False,
    edges: Sequence[float] = (),
    unit: str = "",
    marks: Sequence[float] = (),
    marks_name: str = "",
) -> Image.Image:
    """How often values occur, the series stacked.

    Args:
        title: what is shown.
        label: of the horizontal axis, with its unit.
        series: values; above 0 for a logarithmic axis, else whole numbers from 0, or any numbers
            with ``edges``.
        log: logarithmic bins and axis.
        edges: of the bins, ascending, instead of those made for the values.
        unit: what is counted; objects or images by default.
        marks: values to mark by dashed lines.
        marks_name: what these are.
    """
    picture, draw = _sheet(title, list(series))
    values = [value for part in series.values() for value in part]
    if not values:
        _text(draw, (WIDTH / 2, HEIGHT / 2), "no objects", GREY, "mm")
        return picture
    is_own = not edges
    if is_own:
        edges = _log_edges([*values, *marks]) if log else _whole_edges(max(values))
    counted = [np.histogram(part, edges)[0] for part in series.values()]
    tallest = int(sum(counted).max())  # type: ignore[union-attr]
    frame = (130, 160 if marks else 120, WIDTH - 50, HEIGHT - 120)
    across = Axis(edges[0], edges[-1], frame[0], frame[2], log, whole=is_own)
    upward = Axis(0, max(tallest, 1) * 1.05, frame[3], frame[1])
    _draw_axes(draw, frame, across, upward, label, unit or ("objects" if log else "images"))
    base = np.zeros(len(edges) - 1)
    for colour, part in zip(_colours(series), counted, strict=True):
        for i in map(int, np.flatnonzero(part)):
            left, right = across.place(edges[i]), across.place(edges[i + 1])
            box = (left + 1, upward.place(base[i] + part[i]), right - 1, upward.place(base[i]))
            draw.rectangle(box, fill=colour)
        base += part
    for mark in marks:
        x = across.place(mark)
        _mark(draw, x, frame)
        _text(draw, (x, frame[1] - 8), f"{mark:g}", MARK, "mb")
    if marks:
        _text(draw, (frame[0], 84), marks_name, MARK, "lm")
    return picture


def scatter(
    title: str, labels: tuple[str, str], series: Mapping[str, Sequence[tuple[float, float]]]
) -> Image.Image:
    """Points of (x, y), both from 0; a point that occurs more often is drawn larger."""
    picture, draw = _sheet(title, list(series))
    points = [point for part in series.values() for point in part]
    frame = (130, 120, WIDTH - 70, HEIGHT - 120)
    across = Axis(0, max((x for x, _ in points), default=1) * 1.08, frame[0], frame[2])
    upward = Axis(0, max((y for _, y in points), default=1) * 1.08, frame[3], frame[1])
    _draw_axes(draw, frame, across, upward, *labels)
    for colour, part in zip(_colours(series), series.values(), strict=True):
        for (x, y), number in Counter(part).most_common():
            radius = min(7 + 3 * math.log2(number), 40)
            centre = across.place(x), upward.place(y)
            box = [c + sign * radius for sign in (-1, 1) for c in centre]
            draw.ellipse(box, outline=colour, width=4)
    return picture


def line_chart(
    title: str,
    labels: tuple[str, str],
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    log: bool = False,
    top: float | None = None,
    marks: Mapping[str, float] = MappingProxyType({}),
) -> Image.Image:
    """Lines through points of (x, y), by rising x; y is 0 or above.

    Args:
        title: what is shown.
        labels: of the horizontal and the vertical axis, with their units.
        series: points by name.
        log: a logarithmic horizontal axis; all x are above 0.
        top: where the vertical axis ends; by default above the highest point.
        marks: x to mark by upright dashed lines, by what they are.
    """
    picture, draw = _sheet(title, list(series))
    points = [point for part in series.values() for point in part]
    if not points:
        _text(draw, (WIDTH / 2, HEIGHT / 2), "nothing to show", GREY, "mm")
        return picture
    places = [x for x, _ in points] + list(marks.values())
    frame = (130, 130, WIDTH - 70, HEIGHT - 120)
    low, high = min(places), max(places)
    if low == high:
        high = low * 2 if log else low + 1
    across = Axis(low, high, frame[0], frame[2], log)
    most = top or max(y for _, y in points) * 1.08 or 1
    upward = Axis(0, most, frame[3], frame[1], whole=False)
    _draw_axes(draw, frame, across, upward, *labels)
    for i, (name, x) in enumerate(marks.items()):
        _mark(draw, across.place(x), frame)
        right = across.place(x) > (frame[0] + frame[2]) / 2
        place = across.place(x) + (-10 if right else 10), frame[3] - 24 - 34 * i
        _text(draw, place, name, MARK, "rm" if right else "lm")
    for i, (colour, part) in enumerate(zip(_colours(series), series.values(), strict=True)):
        path = [(across.place(x), upward.place(y)) for x, y in part]
        # The first is the widest, so that it is seen below another that runs on it.
        draw.line(path, colour, 4 + 5 * (len(series) - 1 - i), joint="curve")
        for x, y in path if len(path) <= MOST_DOTS else ():
            draw.ellipse((x - 7, y - 7, x + 7, y + 7), fill=colour)
    return picture


def _sheet(title: str, names: Sequence[str]) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty chart with its title and, for several series, their colours."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((30, 18), title, INK, text_font(title, TITLE))
    x = WIDTH - 40.0
    for name, colour in reversed(list(zip(names, _colours(names), strict=True))):
        if len(names) < 2:
            break
        x -= draw.textlength(name, text_font(name, TEXT))
        _text(draw, (x, 40), name, INK, "lm")
        draw.rectangle((x - 36, 28, x - 12, 52), fill=colour)
        x -= 70
    return picture, draw


def _draw_axes(
    draw: ImageDraw.ImageDraw,
    frame: tuple[int, int, int, int],
    across: Axis,
    upward: Axis,
    label: str,
    upward_label: str,
) -> None:
    left, top, right, bottom = frame
    for tick in upward.ticks():
        y = upward.place(tick)
        draw.line((left, y, right, y), PALE, 2)
        _text(draw, (left - 14, y), f"{tick:,.0f}" if upward.whole else f"{tick:,.4g}", GREY, "rm")
    for tick in across.ticks():
        x = across.place(tick)
        draw.line((x, bottom, x, bottom + 10), GREY, 2)
        _text(draw, (x, bottom + 16), f"{tick:,.4g}" if tick < 1e4 else f"{tick:,.0f}", GREY, "mt")
    draw.line((left, top, left, bottom, right, bottom), GREY, 2)
    _text(draw, ((left + right) / 2, HEIGHT - 34), label, INK, "mm")
    _text(draw, (20, top - 24), upward_label, INK, "lm")


def _mark(draw: ImageDraw.ImageDraw, x: float, frame: tuple[int, int, int, int]) -> None:
    """An upright dashed line."""
    for y in range(frame[1], frame[3], 16):
        draw.line((x, y, x, y + 8), MARK, 3)


def _text(
    draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, ink: Colour, anchor: str
) -> None:
    draw.text(place, text, ink, text_font(text, TEXT), anchor=anchor)


def _cut(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…"


def _colours(series: Sequence[str] | Mapping[str, object]) -> list[Colour]:
    return [COLOURS[i % len(COLOURS)] for i in range(len(series))]


def _log_edges(values: Sequence[float]) -> list[float]:
    """Edges of logarithmic bins around all values."""
    low, high = min(values) / 1.2, max(values) * 1.2
    return [low * (high / low) ** (i / BINS) for i in range(BINS + 1)]


def _whole_edges(largest: float) -> list[float]:
    """Edges between whole numbers from 0 on, at most 40 bins of equal width."""
    step = math.ceil((largest + 1) / BINS)
    return [step * i - 0.5 for i in range(math.ceil((largest + 1) / step) + 1)]
