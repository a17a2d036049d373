"""Charts are drawn to scale: bars as long as their numbers, values at their place on the axis."""

import numpy as np
import pytest

from utils.charts import (
    COLOURS,
    HEIGHT,
    MARK,
    WIDTH,
    Axis,
    bar_chart,
    histogram,
    line_chart,
    round_step,
    scatter,
)


def columns_of(picture, colour):
    """How many pixels of a colour lie in each row and in each column."""
    there = (np.asarray(picture) == colour).all(axis=2)[60:]  # below title and legend
    return there.sum(axis=1), there.sum(axis=0)


@pytest.mark.parametrize("log", [False, True])
def test_an_axis_maps_its_ends_and_keeps_order(log):
    axis = Axis(1, 1000, 100, 700, log)
    assert [axis.place(1), axis.place(1000)] == pytest.approx([100, 700])
    middle = 1000**0.5 if log else 500.5
    assert axis.place(middle) == pytest.approx(400)
    ticks = axis.ticks()
    assert 3 <= len(ticks) <= 12
    assert ticks == sorted(ticks)
    assert all(100 <= axis.place(tick) <= 700 for tick in ticks)


def test_upward_axes_run_against_pixels():
    assert Axis(0, 10, 500, 100).place(5) == 300


@pytest.mark.parametrize(
    ("value", "step"), [(0.1, 1), (1, 1), (1.1, 2), (2.5, 5), (6, 10), (11, 20), (700, 1000)]
)
def test_round_steps(value, step):
    assert round_step(value) == step


@pytest.mark.parametrize(
    ("value", "step"), [(0.03, 0.05), (0.1, 0.1), (0.2, 0.2), (0.21, 0.5), (0.7, 1), (3, 5)]
)
def test_round_steps_below_one(value, step):
    assert round_step(value, whole=False) == pytest.approx(step)


def test_bars_are_as_long_as_their_numbers():
    chart = bar_chart("Title", ["a", "b", "none"], {"train": [40, 10, 0], "val": [20, 20, 0]})
    assert chart.size == (WIDTH, HEIGHT)
    blue, orange = (columns_of(chart, colour)[0] for colour in COLOURS[:2])
    assert blue.max() == pytest.approx(2 * orange.max(), abs=9)
    lengths = sorted(set(blue[blue > 0].tolist()))
    assert lengths[-1] == pytest.approx(4 * lengths[0], abs=12)
    assert len(lengths) == 2


def test_no_classes_many_classes_and_long_names():
    assert bar_chart("t", [], {"all": []}).size == (WIDTH, HEIGHT)
    names = [f"class {i} " + "x" * 200 for i in range(500)]
    assert bar_chart("t", names, {"all": [1] * 500}).size == (WIDTH, HEIGHT)
    assert bar_chart("t", ["a"], {"all": [0]}).size == (WIDTH, HEIGHT)


def test_columns_are_as_high_as_their_numbers():
    chart = histogram("t", "objects", {"all": [0, 0, 0, 0, 2]})
    heights = columns_of(chart, COLOURS[0])[1]
    found = sorted(set(heights[heights > 0].tolist()))
    assert found[-1] == pytest.approx(4 * found[0], abs=6)


def test_series_are_stacked():
    both = columns_of(histogram("t", "x", {"a": [1, 1], "b": [1, 1]}), COLOURS[0])[1].max()
    alone = columns_of(histogram("t", "x", {"a": [1, 1]}), COLOURS[0])[1].max()
    assert alone == pytest.approx(2 * both, abs=4)


def test_marks_stand_where_their_values_are():
    chart = histogram("t", "x", {"all": [32.0] * 5, "none": []}, log=True, marks=[32.0, 512.0])
    red = columns_of(chart, MARK)[1]
    blue = columns_of(chart, COLOURS[0])[1]
    (first, *_, last) = np.flatnonzero(red > 200)
    covered = np.flatnonzero(blue > 200)
    assert covered[0] - 5 <= first <= covered[-1] + 5
    assert last > covered[-1] + 500


@pytest.mark.parametrize("values", [[], [7.0], [1e-3, 1e6], [5.0] * 100])
def test_any_sizes_can_be_drawn(values):
    sizes = histogram("t", "x", {"a": values}, log=True, marks=[32.0])
    assert sizes.size == (WIDTH, HEIGHT)
    assert columns_of(sizes, COLOURS[0])[0].any() == bool(values)


@pytest.mark.parametrize("values", [[], [0], [0, 1000], [3] * 9])
def test_any_counts_can_be_drawn(values):
    assert histogram("t", "x", {"a": values}).size == (WIDTH, HEIGHT)


def test_points_lie_at_their_values_and_grow_with_their_number():
    chart = scatter("t", ("w", "h"), {"a": [(100, 50)], "b": [(200, 50)] * 30})
    few, many = (columns_of(chart, colour) for colour in COLOURS[:2])
    places = [np.flatnonzero(across).mean() - 130 for _, across in (few, many)]
    assert places[1] == pytest.approx(2 * places[0], abs=3)
    assert np.ptp(np.flatnonzero(many[0])) > 2 * np.ptp(np.flatnonzero(few[0]))
    assert scatter("t", ("w", "h"), {"a": []}).size == (WIDTH, HEIGHT)


def test_a_line_goes_through_its_points():
    chart = line_chart("Recall", ("proposals", "recall"), {"a": [(0, 0), (50, 0), (100, 1)]}, top=1)
    rows = np.nonzero((np.asarray(chart) == COLOURS[0]).all(axis=-1))

    left, right = rows[1].min(), rows[1].max()
    height = {x: rows[0][rows[1] == x].mean() for x in (left + 20, right - 12)}
    assert height[left + 20] > height[right - 12] + 500
    middle = rows[0][rows[1] == left + round((right - left) * 0.4)]
    assert middle.mean() == pytest.approx(height[left + 20], abs=3)


def test_a_line_on_a_logarithmic_axis_and_marks():
    series = {"a": [(x, 1.0) for x in (1, 10, 100)]}
    plain = line_chart("t", ("x", "y"), series)
    marked = line_chart("t", ("x", "y"), series, log=True, marks={"limit": 50})

    assert not (np.asarray(plain) == MARK).all(axis=-1).any()
    columns = np.nonzero((np.asarray(marked) == MARK).all(axis=-1))[1]
    line = np.bincount(columns).argmax()
    assert line == pytest.approx(130 + (WIDTH - 200) * np.log(50) / np.log(100), abs=4)


def test_lines_of_nothing_or_of_one_point_are_charts():
    for series in ({}, {"a": []}, {"a": [(3, 0.0)]}):
        assert line_chart("t", ("x", "y"), series).size == (WIDTH, HEIGHT)
        assert line_chart("t", ("x", "y"), series, log=True).size == (WIDTH, HEIGHT)


def test_bins_may_be_given():
    values = [-0.02, -0.01, 0.0, 0.01, 0.011]
    chart = histogram("t", "weight", {"a": values}, edges=[-0.03, -0.005, 0.005, 0.03], unit="n")
    _, columns = columns_of(chart, COLOURS[0])

    heights = columns[columns > 0]
    assert heights.max() == pytest.approx(2 * heights.min(), rel=0.05)
