"""Charts are sound SVG; what they show lies where the values say."""

import math
import re
import xml.etree.ElementTree as ET

import pytest

from utils.report.svg_charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TEXT,
    TOP,
    WIDTH,
    Axis,
    Mark,
    Series,
    axis,
    fitted,
    line_chart,
    scatter_chart,
    share_bars,
)

EVIL = "<script>&\"'小🐈"
UNIT = Axis("share", 0, 1)


def texts(svg):
    return ["".join(node.itertext()) for node in ET.fromstring(svg).iter("text")]


@pytest.mark.parametrize("chart", [line_chart, scatter_chart])
def test_nothing_to_draw(chart):
    assert "empty" in texts(chart("empty", axis("x", []), axis("y", []), []))
    assert texts(share_bars("none", [], {})) == ["none"]


def test_a_line_goes_through_its_points():
    svg = line_chart("a", Axis("x", 0, 10), UNIT, [Series("s", [0, 5, 10], [0, 1, 0.5])])
    points = re.search(r'polyline points="([^"]*)"', svg)[1]
    middle = (LEFT + WIDTH - RIGHT) / 2
    half = (TOP + HEIGHT - BOTTOM) / 2
    expected = [(LEFT, HEIGHT - BOTTOM), (middle, TOP), (WIDTH - RIGHT, half)]
    found = [tuple(map(float, point.split(","))) for point in points.split()]
    assert found == [pytest.approx(point, abs=0.1) for point in expected]


def test_undefined_points_are_left_out():
    svg = scatter_chart("a", UNIT, UNIT, [Series("s", [0, math.nan, 1], [0.5, 0.5, math.nan])])
    assert svg.count("<circle") == 1
    single = line_chart("a", UNIT, UNIT, [Series("s", [0.5], [0.5])])
    assert single.count("<circle") == 1  # a line through one point is not seen


def test_marks_are_drawn_and_named():
    marks = [Mark("upright", x=0.5), Mark("level", y=1), Mark("equal"), Mark("", y=0.2)]
    svg = scatter_chart("a", UNIT, UNIT, [], marks)
    assert texts(svg)[-3:] == ["upright", "level", "equal"]
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    assert f"M{(LEFT + right) / 2:.1f} {TOP}V{bottom}" in svg
    assert f"M{LEFT} {TOP:.1f}H{right}" in svg
    assert f"M{LEFT:.1f} {bottom:.1f}L{right:.1f} {TOP:.1f}" in svg


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (1, 5, [1, 2, 3, 4, 5]),
        (-23, 37, [-20, 0, 20]),
        (0, 0.023, [0, 0.005, 0.01, 0.015, 0.02]),
        (0, 12345, [0, 5000, 10000]),
    ],
)
def test_ticks_are_round(low, high, ticks):
    assert Axis("", low, high).ticks() == pytest.approx(ticks)


def test_axis_of_equal_or_undefined_values():
    assert axis("", [2.0, 2.0], from_zero=False) == Axis("", 2.0, 3.0)
    assert axis("", [math.nan, 3.0]) == Axis("", 0.0, 3.0)


def test_bars_are_shares():
    svg = share_bars("a", ["many", "few", "none"], {"yes": [75, 1, 0], "no": [25, 1, 0]})
    widths = [float(w) for w in re.findall(r'width="([\d.]+)" height="24"', svg)]
    assert widths == pytest.approx([widths[0], widths[0] / 3, widths[2], widths[2]], abs=0.1)
    assert widths[0] + widths[1] == pytest.approx(2 * widths[2], abs=0.1)
    assert texts(svg)[1:3] == ["many", "100"]
    assert texts(svg)[-2:] == ["yes", "no"]


def test_a_part_that_never_occurs_has_no_legend():
    assert "never" not in texts(share_bars("a", ["b"], {"yes": [1], "never": [0]}))


def test_names_from_outside_are_escaped_and_cut():
    for svg in (
        line_chart(
            EVIL, Axis(EVIL, 0, 1), Axis(EVIL, 0, 1), [Series(EVIL, [0], [1])], [Mark(EVIL)]
        ),
        share_bars(EVIL, [EVIL * 9], {EVIL: [1]}),
    ):
        assert EVIL in texts(svg)
        assert all(node.tag != "script" for node in ET.fromstring(svg).iter())
    assert fitted("小" * 50, 10 * TEXT) == "小" * 9 + "…"
    assert fitted("short", 130) == "short"


def test_the_legend_stays_in_the_chart():
    svg = line_chart("a", UNIT, UNIT, [Series(f"class {n}", [0, 1], [0, 1]) for n in range(9)])
    places = re.findall(r'<g transform="translate\((\d+) (\d+)\)">', svg)
    height = int(re.search(rf'viewBox="0 0 {WIDTH} (\d+)"', svg)[1])
    assert len(places) == 9
    assert len({y for _, y in places}) > 1
    assert all(int(x) < WIDTH - 80 and int(y) < height for x, y in places)
    colours = re.findall(r'fill="none" stroke-width="2" stroke="(#\w+)"', svg)
    assert len(set(colours)) == 9
