"""Charts as SVG text within a page: lines, points and bars of shares. They need no script.

A chart is drawn 420 wide, about as wide as a phone shows it, so that its letters stay readable
there. Series differ in colour, in brightness and in line style.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from utils.charts import round_step

WIDTH, HEIGHT = 420, 290
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 34, 48  # between the frame and the edges of the chart
TEXT = 14  # height of letters
LEGEND_ROW = 20
LETTER = 0.56 * TEXT  # a letter's width, about; those of East Asia are TEXT wide
COLOURS = (
    "#0072b2", "#d55e00", "#1a1a1a", "#009e73", "#cc79a7", "#7a4b2a", "#56b4e9", "#6a3d9a",
    "#8a8a8a",
)  # fmt: skip
DASHES = ("", "7 3", "2 3")
SHADES = ("#3fb58f", "#f08030", "#9a8cf0", "#f0c040", "#cc79a7", "#56b4e9", "#aaaaaa")  # of bars
TICKS = 5


@dataclass(frozen=True)
class Series:
    """Points of one colour, by rising x; a point with a NaN is left out."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Mark:
    """A line across the chart: upright at ``x`` or level at ``y``, or the diagonal ``y = x``.

    One without a name is not in the legend.
    """

    name: str
    x: float | None = None
    y: float | None = None


@dataclass(frozen=True)
class Axis:
    """Values from ``low`` to ``high`` along one side of the frame."""

    label: str
    low: float
    high: float

    def share(self, value: float) -> float:
        """Where a value lies: 0 at the low end of the axis, 1 at its high end."""
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round values to write along the axis."""
        step = round_step((self.high - self.low) / TICKS, whole=False)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [step * number for number in range(first, last + 1)]


def axis(label: str, values: Sequence[float], *, from_zero: bool = True) -> Axis:
    """An axis on which all ``values`` lie, and zero too if wanted."""
    seen = [value for value in values if math.isfinite(value)] + ([0.0] if from_zero else [])
    low, high = min(seen, default=0.0), max(seen, default=1.0)
    return Axis(label, low, high if high > low else low + 1)


def line_chart(
    title: str, across: Axis, up: Axis, series: Sequence[Series], marks: Sequence[Mark] = ()
) -> str:
    """Lines through the points of each series."""
    drawn = []
    for i, one in enumerate(series):
        points = _points(one, across, up)
        style = f'stroke="{COLOURS[i % len(COLOURS)]}" stroke-dasharray="{_dash(i)}"'
        if len(points) == 1:
            drawn.append(f'<circle {_at(*points[0])} r="3" fill="{COLOURS[i % len(COLOURS)]}"/>')
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        drawn.append(f'<polyline points="{path}" fill="none" stroke-width="2" {style}/>')
    drawn += [_mark(mark, across, up) for mark in marks]
    names = [*(one.name for one in series), *(mark.name for mark in marks)]
    keys = [_line_key(i) for i in range(len(series))] + [_MARK_KEY] * len(marks)
    return _framed(title, across, up, drawn, list(zip(keys, names, strict=True)))


def scatter_chart(
    title: str, across: Axis, up: Axis, series: Sequence[Series], marks: Sequence[Mark] = ()
) -> str:
    """A dot for each point, so pale that many on one place look darker than one."""
    drawn = [
        f'<circle {_at(x, y)} r="4" fill="{COLOURS[i % len(COLOURS)]}" fill-opacity="0.45"/>'
        for i, one in enumerate(series)
        for x, y in _points(one, across, up)
    ]
    drawn += [_mark(mark, across, up) for mark in marks]
    keys = [_box_key(COLOURS[i % len(COLOURS)]) for i in range(len(series))]
    keys += [_MARK_KEY] * len(marks)
    names = [*(one.name for one in series), *(mark.name for mark in marks)]
    return _framed(title, across, up, drawn, list(zip(keys, names, strict=True)))


def share_bars(
    title: str,
    names: Sequence[str],
    parts: Mapping[str, Sequence[int]],
    colours: Sequence[str] = SHADES,
) -> str:
    """A bar for each name, divided by the shares of its parts, with the numbers written in.

    Args:
        names: of the bars, from the top.
        parts: by name, how many of each bar; a bar of nothing stays empty.
        colours: of the parts.
    """
    step, wide = 30, 118
    height = TOP + step * len(names) + 6
    across = WIDTH - wide - 54
    drawn = []
    for row, name in enumerate(names):
        y, total = TOP + step * row, sum(counts[row] for counts in parts.values())
        drawn.append(_text(wide - 8, y + 17, fitted(name, wide - 10), "end"))
        drawn.append(_text(WIDTH - 46, y + 17, str(total), "start"))
        x = float(wide)
        for colour, counts in zip(colours, parts.values(), strict=False):
            if counts[row]:
                width = across * counts[row] / total
                drawn.append(
                    f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{step - 6}" '
                    f'fill="{colour}" stroke="#fff"/>'
                )
                if width > LETTER * len(str(counts[row])) + 4:
                    drawn.append(_text(x + width / 2, y + 17, str(counts[row]), "middle"))
                x += width
    keys = [
        (_box_key(colour), part)
        for colour, (part, counts) in zip(colours, parts.items(), strict=False)
        if any(counts)
    ]
    return _sheet(title, height, drawn, keys)


def fitted(text: str, width: float) -> str:
    """As much of a text as is about ``width`` wide."""
    used = 0.0
    for i, letter in enumerate(text):
        used += TEXT if unicodedata.east_asian_width(letter) in "WF" else LETTER
        if used > width:
            return f"{text[: max(i - 1, 1)]}…"
    return text


def _framed(
    title: str, across: Axis, up: Axis, drawn: Sequence[str], keys: Sequence[tuple[str, str]]
) -> str:
    """The frame with its grid, numbers and labels, and what is drawn in it."""
    lines, right, bottom = [], WIDTH - RIGHT, HEIGHT - BOTTOM
    for tick in up.ticks():
        y = _y(up, tick)
        lines.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/>')
        lines.append(_text(LEFT - 6, y + 4.5, f"{tick:.6g}", "end"))
    for tick in across.ticks():
        x = _x(across, tick)
        lines.append(f'<path class="grid" d="M{x:.1f} {TOP}V{bottom}"/>')
        lines.append(_text(x, bottom + 17, f"{tick:.6g}", "middle"))
    middle = (TOP + bottom) / 2
    lines.append(_text((LEFT + right) / 2, bottom + 38, across.label, "middle"))
    lines.append(
        f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">'
        f"{escape(up.label)}</text>"
    )
    frame = f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{right}"/>'
    return _sheet(title, HEIGHT, [*lines, frame, *drawn], keys)


def _sheet(title: str, height: int, drawn: Sequence[str], keys: Sequence[tuple[str, str]]) -> str:
    """The whole chart: its title above, the legend in rows below."""
    x, y, legend = 12.0, height + 8, []
    for key, name in keys:
        if not name:
            continue
        shown = fitted(name, WIDTH - 60)
        wide = 34 + sum(
            TEXT if unicodedata.east_asian_width(letter) in "WF" else LETTER for letter in shown
        )
        if x > 12 and x + wide > WIDTH:
            x, y = 12.0, y + LEGEND_ROW
        legend.append(f'<g transform="translate({x:.0f} {y})">{key}{_text(26, 4.5, shown)}</g>')
        x += wide + 8
    full = y + 14 if keys else height
    return (
        f'<svg viewBox="0 0 {WIDTH} {full}" role="img"><title>{escape(title)}</title>'
        f'<text class="title" x="12" y="20">{escape(fitted(title, WIDTH - 16))}</text>'
        f"{''.join(drawn)}{''.join(legend)}</svg>"
    )


def _points(series: Series, across: Axis, up: Axis) -> list[tuple[float, float]]:
    """Where the points lie, in the chart's own units."""
    return [
        (_x(across, x), _y(up, y))
        for x, y in zip(series.x, series.y, strict=True)
        if math.isfinite(x) and math.isfinite(y)
    ]


def _x(across: Axis, value: float) -> float:
    return LEFT + across.share(value) * (WIDTH - LEFT - RIGHT)


def _y(up: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - up.share(value) * (HEIGHT - TOP - BOTTOM)


def _mark(mark: Mark, across: Axis, up: Axis) -> str:
    if mark.x is not None:
        d = f"M{_x(across, mark.x):.1f} {TOP}V{HEIGHT - BOTTOM}"
    elif mark.y is not None:
        d = f"M{LEFT} {_y(up, mark.y):.1f}H{WIDTH - RIGHT}"
    else:
        low, high = max(across.low, up.low), min(across.high, up.high)
        d = f"M{_x(across, low):.1f} {_y(up, low):.1f}L{_x(across, high):.1f} {_y(up, high):.1f}"
    return f'<path class="mark" d="{d}"/>'


def _at(x: float, y: float) -> str:
    return f'cx="{x:.1f}" cy="{y:.1f}"'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _dash(index: int) -> str:
    return DASHES[index % len(DASHES)]


def _line_key(index: int) -> str:
    return (
        f'<path d="M0 0H22" stroke="{COLOURS[index % len(COLOURS)]}" stroke-width="3" '
        f'stroke-dasharray="{_dash(index)}"/>'
    )


def _box_key(colour: str) -> str:
    return f'<rect x="6" y="-6" width="13" height="13" fill="{colour}"/>'


_MARK_KEY = '<path class="mark" d="M0 0H22"/>'
