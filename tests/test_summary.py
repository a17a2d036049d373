"""Tables of what a data set holds."""

from pathlib import Path

import numpy as np

from utils.data.records import ImageRecord, Instance, RecordSet
from utils.doctor.network_view import NetworkView
from utils.doctor.summary import class_table, part_table, text_table

VIEW = NetworkView(200, 400)


def box(side, label=1, iscrowd=0):
    mask = np.zeros((100, 100), np.uint8)
    mask[:side, :side] = 1
    return Instance.from_mask(label, mask, iscrowd)


def records(*images, classes=("cat", "dog\x1b")):
    root = Path("data")
    found = [
        ImageRecord(i, root / f"{i}.png", 100, 100, objects) for i, objects in enumerate(images)
    ]
    return RecordSet(root, "coco", classes, tuple(found))


def test_parts_are_counted():
    train = records((box(10), box(30), box(20, 2), box(90, iscrowd=1)), ())
    table = part_table({"train": train, "val": records()}, VIEW)
    assert table[1] == ["train", "2", "1", "3", "1", "100x100", "20 to 60 px, median 40"]
    assert table[2] == ["val", "0", "0", "0", "0", "-", "-"]


def test_classes_are_counted_most_frequent_first():
    train, val = records((box(9, 2), box(9, 2), box(9))), records((box(9),), (box(9),))
    assert class_table({"train": train, "val": val}) == [
        ["class", "train", "val"],
        ["cat", "1", "2"],
        ["dog?", "2", "0"],
    ]
    assert class_table({"val": val})[1:] == [["cat", "2"], ["dog?", "0"]]


def test_tables_line_up_and_end():
    table = [["class", "n"], *(["x" * i, str(10**i)] for i in range(1, 6))]
    assert text_table(table[:3]).splitlines() == ["class    n", "x       10", "xx     100"]
    assert text_table(table, most=2).splitlines()[-1] == "and 3 more"
    assert "more" not in text_table(table, most=5)


def test_east_asian_letters_take_two_columns():
    lines = text_table([["class", "n"], ["行人", "7"], ["person", "26"]]).splitlines()
    assert lines == ["class    n", "行人     7", "person  26"]
