"""The page of text that test.py prints."""

from __future__ import annotations

from test_coco_evaluator import A, B, predicted, record_set

from utils.evaluation.assessment import assess
from utils.evaluation.coco_evaluator import NAMES
from utils.evaluation.intervals import Interval
from utils.evaluation.table import describe, metrics_table, undefined_lines

ROWS = [*NAMES, "VOC_AP50"]


def rows(text) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in text.splitlines()[1:]}


def test_all_is_undefined_without_metrics():
    assert rows(metrics_table({}, ["cat"])) == {name: ["-", "-"] for name in ROWS}


def test_boxes_stand_left_of_masks():
    metrics = {f"{kind}/{name}": 0.5 for kind in ("bbox", "segm") for name in NAMES}
    text = metrics_table({**metrics, "bbox/AP75": 0.12345, "segm/AP75": 1.0}, ["cat"])
    assert text.splitlines()[0].split() == ["boxes", "masks"]
    assert rows(text)["AP75"] == ["0.123", "1.000"]
    assert list(rows(text)) == ROWS


def test_an_interval_stands_in_brackets():
    intervals = {"segm/AP": Interval(0.5, 0.4, 0.62)}
    text = metrics_table({"segm/AP": 0.5, "segm/AP50": 0.7}, ["cat"], intervals)
    assert rows(text)["AP"] == ["-", "0.500", "(0.400", "to", "0.620)"]
    assert rows(text)["AP50"] == ["-", "0.700"]


def test_zero_is_shown_as_a_number():
    assert rows(metrics_table({"bbox/AP": 0.0}, ["cat"]))["AP"] == ["0.000", "-"]


def test_one_class_has_no_rows_of_its_own():
    assert "AP/cat" not in metrics_table({"segm/AP/cat": 0.5}, ["cat"])


def test_several_classes_have_two_rows_each():
    table = rows(metrics_table({"segm/AP/cat": 0.25, "bbox/AP50/dog": 0.75}, ["cat", "dog"]))
    assert table["AP/cat"] == ["-", "0.250"]
    assert table["AP50/dog"] == ["0.750", "-"]
    assert {"AP50/cat", "AP/dog"} <= set(table)


def test_the_number_of_detections_names_its_row():
    table = rows(metrics_table({"segm/AR7": 0.25}, ["cat"], max_dets=7))
    assert table["AR7"] == ["-", "0.250"]
    assert "AR100" not in table


def test_reasons_are_told_once():
    lines = undefined_lines({"bbox/APs": "no small one", "segm/APs": "no small one", "x": "y"})
    assert lines == ["-: no small one (bbox/APs, segm/APs)", "-: y (x)"]


def test_the_whole_page_of_a_scene_counted_by_hand():
    """Two cats of which one is found, a bit too small, and an invention."""
    data = record_set([[(1, A), (1, B)], [(1, A)]], ("cat",))
    small = A.copy()
    small[10:12] = False  # 40 x 38 of 40 x 40 pixels
    found = {1: predicted([(1, small, 0.9)]), 2: predicted([(1, A, 0.8), (1, B, 0.7)])}
    text = describe(assess(data, found, "f1"))
    assert "at IoU 0.5 and the score thresholds for best F1:" in text
    (costs,) = [line.split() for line in text.splitlines() if line.startswith("cat ")]
    assert costs[2:] == ["2", "0", "1", "1.000", "0.667", "0.800"]
    assert "-: no labelled object is under 32 x 32 px in area" in text
    assert "  missed             0       1       0       1" in text
    assert "counts per image: -0.50 in the mean, off by 0.50, exact in 50% of images" in text
    assert "areas: -2.5 % in the mean" in text


def test_nothing_labelled_and_nothing_found():
    text = describe(assess(record_set([[], []]), {}, "f1"))
    assert "-: no object is labelled" in text
    assert "nan" not in text
