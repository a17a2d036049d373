"""Rare classes are due more often: LVIS's rule, worked out by hand."""

import math
from pathlib import Path

import pytest

from utils.data.class_balance import describe_balance, repeat_factors
from utils.data.records import ImageRecord, Instance, RecordSet


def records(*labels, crowds=()):
    """An image for each group of labels."""
    return tuple(
        ImageRecord(
            number, Path(f"set/{number}.png"), 8, 8,
            tuple(Instance(label, [], (0, 0, 1, 1), 1.0, int(number in crowds)) for label in group),
        )
        for number, group in enumerate(labels)
    )  # fmt: skip


def test_an_image_is_due_by_its_rarest_class():
    # Of 8 images class 1 is in 8, class 2 in 4, class 3 in 1; the median class is class 2.
    found = repeat_factors(records([1, 2, 3], [1, 2, 2], [1, 2], [1, 2], [1], [1], [1], [1]))
    assert found == pytest.approx([math.sqrt(4 / 1)] + [1.0] * 7)


@pytest.mark.parametrize(
    "labels",
    [[], [[], []], [[1], [], [], []], [[1], [2], [1], [2]], [[1, 2, 3]]],
)
def test_nothing_is_repeated_where_no_class_is_rarer(labels):
    assert repeat_factors(records(*labels)) == [1.0] * len(labels)


def test_crowds_do_not_count():
    labels = [[1], [1], [1], [1], [1], [1], [2], [2]]
    assert repeat_factors(records(*labels, crowds=[7]))[6:] == pytest.approx(
        [math.sqrt((6 / 8 + 1 / 8) / 2 / (1 / 8)), 1.0]
    )


def test_no_image_is_repeated_without_end():
    labels = [[1, 2]] * 999 + [[3]]
    assert max(repeat_factors(records(*labels))) == 10.0


def test_the_log_says_how_often_the_rarest_classes_are_seen():
    images = records([1, 2, 3], [1, 2], [1, 2], [1, 2], [1], [1], [1], [1])
    data = RecordSet(Path("set"), "coco", ("cell", "nucleus", "mitosis"), images)
    line = describe_balance(data, repeat_factors(images))
    assert line.startswith("class balance: an epoch shows 9 images instead of 8; mitosis in 22.2% ")
    assert "(without balance 12.5%), nucleus in 55.6% of them" in line
    assert "\n" not in line

    assert "every image is shown once" in describe_balance(data, [1.0] * 8)
