"""The table that test.py prints."""

from __future__ import annotations

from utils.evaluation.coco_evaluator import NAMES
from utils.evaluation.table import metrics_table


def rows(text) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in text.splitlines()[1:]}


def test_all_is_undefined_without_metrics():
    table = rows(metrics_table({}, ["cat"]))
    assert table.pop("-:")[0] == "undefined,"
    assert table == {name: ["-", "-"] for name in NAMES}


def test_boxes_stand_left_of_masks():
    metrics = {f"{kind}/{name}": 0.5 for kind in ("bbox", "segm") for name in NAMES}
    text = metrics_table({**metrics, "bbox/AP75": 0.12345, "segm/AP75": 1.0}, ["cat"])
    table = rows(text)
    assert text.splitlines()[0].split() == ["bbox", "segm"]
    assert table["AP75"] == ["0.123", "1.000"]
    assert list(table) == list(NAMES)  # all defined: no line about undefined numbers


def test_zero_is_shown_as_a_number():
    assert rows(metrics_table({"bbox/AP": 0.0}, ["cat"]))["AP"] == ["0.000", "-"]


def test_one_class_has_no_rows_of_its_own():
    assert "AP/cat" not in metrics_table({"segm/AP/cat": 0.5}, ["cat"])


def test_several_classes_have_two_rows_each():
    table = rows(metrics_table({"segm/AP/cat": 0.25, "bbox/AP50/dog": 0.75}, ["cat", "dog"]))
    assert table["AP/cat"] == ["-", "0.250"]
    assert table["AP50/dog"] == ["0.750", "-"]
    assert {"AP50/cat", "AP/dog"} <= set(table)


def test_columns_line_up_whatever_the_names():
    lines = metrics_table({"segm/AP": 0.5}, ["cat", "a very long name"]).splitlines()
    assert len({len(line) for line in lines[:-1]}) == 1
