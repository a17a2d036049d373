"""The chapter of the weights: what is drawn of known layers, and what is said of bad ones."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from inspected import make_model, make_subject

from nets.weights_file import WeightsError, WeightsFile, save_weights
from utils.charts import COLOURS, MARK
from utils.inspection.chapter import Table
from utils.inspection.chapters.depth_chart import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    DepthChart,
)
from utils.inspection.chapters.layer_histograms import BOTTOM as CELL_BOTTOM
from utils.inspection.chapters.layer_histograms import CELL, COLUMNS, draw_histograms
from utils.inspection.chapters.layer_histograms import TOP as CELL_TOP
from utils.inspection.chapters.weights import NORM as NORM_COLOUR
from utils.inspection.chapters.weights import changes_figure, sizes_figure, weights_chapter
from utils.inspection.layer_remarks import findings, named, remarks
from utils.inspection.layers import layers_of
from utils.inspection.starting_weights import Change

CONV, NORM = "backbone.body.layer1.0.conv1", "backbone.body.layer1.0.bn1"
FIRST, SECOND = (10, 20, 250), (250, 20, 10)


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def layers(model):
    return layers_of(model, model.state_dict())


def subject_with(model, **tensors):
    """A subject whose weights file holds other tensors, by names with __ for dots."""
    subject = make_subject(model=model)
    changed = {name.replace("__", "."): value for name, value in tensors.items()}
    return replace(subject, weights=replace(subject.weights, model=state_with(model, **changed)))


def state_with(model, **tensors):
    return {**model.state_dict(), **tensors}


def layer_with(model, name, **tensors):
    own = {f"{name}.{part}": value for part, value in tensors.items()}
    return next(one for one in layers_of(model, state_with(model, **own)) if one.name == name)


def marked(picture, colour):
    """Where a colour is in a picture: (rows, columns)."""
    return np.where((np.asarray(picture) == colour).all(2))


def names(chapter):
    return [figure.name for figure in chapter.figures]


def table_of(chapter):
    assert isinstance(chapter.parts[-1], Table)
    return chapter.parts[-1]


def test_without_a_start_the_rest_is_shown(model):
    subject = make_subject(model=model)
    chapter = weights_chapter(subject)

    assert names(chapter) == ["histograms", "sizes", "norm-scales", "norm-variances"]
    assert "cannot be had: there is no record of its run" in chapter.introduction
    assert "--start coco" in chapter.introduction
    assert chapter.findings == ()
    assert "trace" not in vars(subject)
    head, rows = table_of(chapter).head, table_of(chapter).rows
    assert [row[1] for row in rows] == [str(number) for number in range(1, 62)]
    assert {len(row) for row in rows} == {len(head)}
    assert not any(key.text.endswith("at the start") for one in chapter.figures for key in one.keys)
    counted = sum(value.numel() for value in model.state_dict().values())
    assert f"{counted:,} numbers in 61 layers: 41 with weights and 20" in chapter.introduction


def test_a_start_is_compared_with(model, tmp_path):
    state = model.state_dict()
    grown = {name: value * 1.25 for name, value in state.items() if name.startswith("rpn")}
    start = tmp_path / "start.pth"
    save_weights(start, WeightsFile(make_subject().weights.arch, 4, tuple("abc"), {**state}))
    chapter = weights_chapter(subject_with(model, **grown), str(start))

    assert names(chapter)[-1] == "changes"
    text = chapter.figures[-1].text
    assert "of 61 layers: 58 unchanged, 3 changed. The most changed is rpn.head." in text
    assert "by 25%" in text
    assert str(start) in chapter.introduction
    rows = {row[0]: row for row in table_of(chapter).rows}
    assert rows["rpn.head.cls_logits"][-3:] == ("changed", "25.0%", "")
    assert rows[NORM][-3:] == ("unchanged", "0.0%", "")
    assert "at the start" in [key.text for key in chapter.figures[0].keys]


def test_a_start_that_is_named_and_not_there_is_an_error(model):
    with pytest.raises(WeightsError, match="--start nowhere"):
        weights_chapter(make_subject(model=model), "nowhere.pth")


def test_bad_layers_are_found_and_come_first(model):
    last = "roi_heads.mask_predictor.mask_fcn_logits.weight"
    large = torch.ones(128, 64, 3, 3)
    large[0, 0, 0, 0] = 1e3
    bias = torch.zeros(4)
    bias[1:] = math.nan
    chapter = weights_chapter(subject_with(
        model,
        **{f"{CONV}.weight": torch.zeros(64, 64, 3, 3), last.replace("weight", "bias"): bias,
           "backbone.body.layer2.0.conv1.weight": large},
    ))  # fmt: skip

    first = {row[0]: row[-1] for row in table_of(chapter).rows[:3]}
    assert first == {
        CONV: "64 of 64 filters dead",
        "backbone.body.layer2.0.conv1": "largest is 262 times the RMS",
        "roi_heads.mask_predictor.mask_fcn_logits": "3 not finite",
    }
    assert table_of(chapter).text.startswith("3 of 61 layers have remarks")
    assert [finding.split(" (")[0] for finding in chapter.findings] == [
        "roi_heads.mask_predictor.mask_fcn_logits", "backbone.body.layer2.0.conv1", CONV,
    ]  # fmt: skip


def test_a_network_without_one_finite_number_has_a_chapter(model):
    nothing = {name: value * math.nan for name, value in model.state_dict().items()}
    nothing |= {name: value * 0 for name, value in nothing.items() if "fc6" in name}
    chapter = weights_chapter(subject_with(model, **nothing))

    assert len(chapter.figures) == 4
    assert all(figure.sheet().width > 1000 for figure in chapter.figures)
    assert "and 58 more have numbers that are infinite or NaN" in chapter.findings[0]


def test_a_network_of_zeros_has_a_chapter(model, tmp_path):
    zeros = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    subject = subject_with(model, **zeros)
    save_weights(tmp_path / "zeros.pth", subject.weights)
    chapter = weights_chapter(subject, str(tmp_path / "zeros.pth"))

    assert len(chapter.figures) == 5
    assert "of 61 layers: 61 unchanged." in chapter.figures[-1].text
    assert "61 of 61 layers have remarks" in table_of(chapter).text


@pytest.mark.parametrize(
    ("arch", "classes", "channels"),
    [
        ("maskrcnn_mobilenet_v3_large_fpn", 90, 1),
        pytest.param("maskrcnn_resnet18_fpn_small", 1, 4, marks=pytest.mark.slow),
    ],
)
def test_other_networks(arch, classes, channels):
    other = make_model(arch, classes, channels=channels)
    figures = weights_chapter(make_subject(model=other)).figures

    assert [figure.name for figure in figures] == [
        "histograms",
        "sizes",
        "norm-scales",
        "norm-variances",
    ]
    for figure in figures:
        assert len(figure.picture.getcolors(2**16)) > 20  # letters and lines, not white alone


def test_remarks_are_worst_first(model):
    weight = torch.zeros(64, 64, 3, 3)
    weight[:62] = 1
    weight[0, 0, 0, 0], weight[1, 0, 0, 0] = 1e4, math.inf
    layer = layer_with(model, CONV, weight=weight)

    told = remarks(layer, Change("not frozen", 1.0))
    assert told == [
        "1 not finite", f"largest is {layer.reach:.0f} times the RMS",
        "should have been frozen", f"{layer.dead} of 64 filters dead",
    ]  # fmt: skip
    assert remarks(layer_with(model, NORM, weight=torch.ones(64))) == []
    assert remarks(layer_with(model, NORM), Change("not trained")) == ["should have trained"]
    for state in ("changed", "new", "unchanged", "frozen"):
        assert remarks(layer_with(model, NORM), Change(state, 0.5)) == []


def test_a_few_dead_filters_are_no_finding(model):
    scales = torch.ones(64)
    scales[:6] = 0
    assert findings([layer_with(model, NORM, weight=scales)], []) == []

    scales[6] = 0  # 7 of 64 are more than a tenth
    (finding,) = findings([layer_with(model, NORM, weight=scales)], [])
    assert finding.startswith(f"{NORM} (no. 4) has filters or scales that are as good as 0")


def test_layers_against_the_settings_are_findings(layers):
    states = ["not trained", "not frozen", *["changed"] * 59]
    changes = [Change(state, 0.1) for state in states]

    first, second = findings(layers, changes)
    assert first.startswith("backbone.body.conv1 (no. 1) has every number as at the start")
    assert second.startswith("backbone.body.bn1 (no. 2) has other numbers than at the start")


def test_few_layers_are_named(layers):
    assert named(layers[:1]) == "backbone.body.conv1 (no. 1)"
    assert named(layers[:3]).count("(no.") == 3
    assert named(layers).endswith(f"{CONV} (no. 3) and 58 more")


def test_a_depth_chart_has_places_from_left_to_right(layers):
    chart = DepthChart(layers, [0.5, 20], "size")
    for layer in layers:
        chart.dot(layer, 1, FIRST, 1)
    rows, columns = marked(chart.picture, FIRST)
    places = sorted({round(column / 2) for column in columns})

    third = HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) / 3  # where 1 is, from 0.1 to 100
    assert rows.mean() == pytest.approx(third, abs=1)
    assert rows.max() - rows.min() <= 3
    assert len(places) >= len(layers)
    assert LEFT <= min(columns) < max(columns) <= WIDTH - RIGHT
    middles = [chart._place(layer, 1)[0] for layer in layers]
    gaps = [right - left for left, right in pairwise(middles)]
    assert min(gaps) > 10
    groups = [layer.group for layer in layers]
    inner = {round(gap, 3) for gap, (a, b) in zip(gaps, pairwise(groups), strict=True)
             if a == b == "C4"}  # fmt: skip
    assert len(inner) == 1


def test_names_of_narrow_parts_have_room(layers):
    few = [layer for layer in layers if layer.number in (1, 3, 41, 49, 52, 56)]
    many = few[:1] + [replace(few[1], number=2 + place) for place in range(400)]
    parts = many + [replace(layer, number=500 + place) for place, layer in enumerate(few[2:])]
    chart = DepthChart(parts, [1], "size")
    x = {layer.group: chart._place(layer, 1)[0] for layer in parts[-4:]}

    assert x["box head"] - x["RPN"] > 45
    assert x["mask head"] - x["box head"] > 70
    assert x["mask head"] < WIDTH - RIGHT - 35


def test_bars_stand_on_the_bottom_and_zero_lies_on_it(layers):
    chart = DepthChart(layers, [0.01, 1], "size")
    chart.bar(layers[0], 0.1, FIRST)
    chart.dot(layers[40], 0, SECOND)
    chart.dot(layers[41], 1e-30, SECOND)
    rows, _ = marked(chart.picture, FIRST)
    middle = (HEIGHT - BOTTOM + TOP) / 2

    assert min(rows) == pytest.approx(middle, abs=1)
    assert max(rows) == pytest.approx(HEIGHT - BOTTOM, abs=1)
    assert marked(chart.picture, SECOND)[0].mean() == pytest.approx(HEIGHT - BOTTOM, abs=1)


def test_a_scale_is_bounded_and_reads_what_is_finite(layers):
    for values in ([], [0, 0], [1, 1], [math.inf, math.nan], [1e-300, 1e3]):
        chart = DepthChart(layers, values, "size")
        y = [chart._place(layers[0], value)[1] for value in (1e-300, 1)]
        assert y[0] == HEIGHT - BOTTOM
        assert TOP <= y[1] < y[0]
    # From 1e-9 to 1e3: 12 powers of 10, however small the least is.
    assert chart._place(layers[0], 1e-3)[1] == pytest.approx((TOP + HEIGHT - BOTTOM) / 2)


def test_histograms_are_means_of_layers(model):
    silent = layer_with(model, CONV, weight=torch.zeros(64, 64, 3, 3))  # all in one bin
    name = CONV.replace("conv1", "conv2")
    half = torch.full((64, 64, 3, 3), 0.75)  # up to 1.5 times its RMS of 0.5, if 4 of 9 are there
    half.flatten(2)[..., 4:] = 0
    spread = layer_with(model, name, weight=half)
    picture = draw_histograms([silent, spread], {CONV: silent})
    rows, columns = marked(picture, COLOURS[0])
    tall = columns < CELL[0] / 2 + 10
    floor, frame = rows.max(), CELL[1] - CELL_BOTTOM - CELL_TOP

    # Shares are (1 + 5 / 9) / 2 at 0 and 4 / 9 / 2 at 1.5; the line is 1 at 0, the frame's top.
    assert picture.size == (COLUMNS * CELL[0], CELL[1])
    assert (floor - rows[tall].min()) / frame == pytest.approx(7 / 9, abs=0.02)
    assert (floor - rows[~tall].min()) / frame == pytest.approx(2 / 9, abs=0.02)
    assert marked(picture, COLOURS[1])[0].min() == pytest.approx(CELL_TOP, abs=1)


def test_each_part_has_a_histogram(layers):
    weighted = [layer for layer in layers if not layer.is_norm]
    picture = draw_histograms(weighted, {})

    assert picture.size == (3 * CELL[0], 3 * CELL[1])
    for row in range(3):
        for column in range(3):
            x, y = column * CELL[0], row * CELL[1]
            cell = picture.crop((x, y, x + CELL[0], y + CELL[1]))
            assert len(marked(cell, COLOURS[0])[0]) > 1000
    assert len(marked(picture, COLOURS[1])[0]) == 0


def test_a_suspicious_layer_is_red(layers, model):
    weighted = [layer for layer in layers if not layer.is_norm]
    assert len(marked(sizes_figure(weighted, {}).picture, MARK)[0]) == 0

    weight = torch.ones(64, 64, 3, 3)
    weight[0, 0, 0, 0] = 1e4
    odd = layer_with(model, CONV, weight=weight)
    figure = sizes_figure([odd if layer.name == CONV else layer for layer in weighted], {})
    _, columns = marked(figure.picture, MARK)
    assert 0 < columns.max() - columns.min() < 12
    assert "suspicious" in figure.keys[-1].text
    assert "is marked: 1 here" in figure.text


def test_the_legend_of_the_changes_is_what_is_drawn(layers):
    def drawn(states):
        changes = [Change(states[place % len(states)], 0.3) for place in range(len(layers))]
        figure = changes_figure(layers, changes)
        return [key.text for key in figure.keys], figure.picture

    keys, picture = drawn(["changed"])
    assert keys == ["weights", "batch norms"]
    assert len(marked(picture, COLOURS[0])[0]) > len(marked(picture, NORM_COLOUR)[0]) > 0

    keys, picture = drawn(["new", "frozen", "not trained"])
    assert keys[2:] == [
        "new, from random numbers", "exactly as at the start", "against the run's settings",
    ]  # fmt: skip
    assert len(marked(picture, COLOURS[3])[0]) > 0
    assert len(marked(picture, MARK)[0]) > 0


def test_new_layers_without_a_known_start_are_dots(layers):
    changes = [Change("new"), *[Change("changed", 0.1)] * 60]
    figure = changes_figure(layers, changes)
    rows, _ = marked(figure.picture, COLOURS[3])

    assert rows.min() >= HEIGHT - BOTTOM - 4
    assert "New layers are dots" in figure.text
