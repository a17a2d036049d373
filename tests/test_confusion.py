"""The matrix of hand-made scenes, its sums against the objects, and its text."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tests.test_error_kinds import (
    ALL,
    BELOW,
    BIG,
    CAT,
    DOG,
    FAR,
    HERE,
    SCENES,
    predicted,
    random_case,
    record_of,
    rectangle,
)  # fmt: skip
from utils.evaluation.confusion import confusion_matrix, confusion_text
from utils.evaluation.error_kinds import sort_errors

CLASSES = ("cat", "dog")


def matrix_of(*scenes):
    errors = (sort_errors(record_of(scene[0]), predicted(scene[1]), ALL) for scene in scenes)
    return confusion_matrix(errors, CLASSES)


def test_nothing():
    matrix = matrix_of()
    assert matrix.dtype == np.int64
    assert matrix.tolist() == [[0, 0, 0]] * 3


@pytest.mark.parametrize(
    ("objects", "items", "wanted"),
    [
        ([(CAT, HERE)], [], [[0, 0, 1], [0, 0, 0], [0, 0, 0]]),
        ([], [(DOG, HERE, 0.9)], [[0, 0, 0], [0, 0, 0], [0, 1, 0]]),
        ([(CAT, HERE)], [(DOG, HERE, 0.9)], [[0, 1, 0], [0, 0, 0], [0, 0, 0]]),
        ([(CAT, HERE)], [(DOG, HERE, 0.9), (CAT, HERE, 0.8)], [[1, 0, 0], [0, 0, 0], [0, 1, 0]]),
        ([(CAT, BIG, 1)], [(CAT, HERE, 0.9), (DOG, FAR, 0.5)], [[0, 0, 0], [0, 0, 0], [0, 1, 0]]),
        ([(DOG, HERE), (DOG, BELOW)], [(DOG, rectangle(0, 0, 21, 20), 0.9)],
         [[0, 0, 0], [0, 0, 2], [0, 1, 0]]),
    ],
)  # fmt: skip
def test_scene(objects, items, wanted):
    assert matrix_of((objects, items)).tolist() == wanted


def test_images_add_up():
    total = sum(matrix_of(scene) for scene in SCENES.values())
    assert np.array_equal(matrix_of(*SCENES.values()), total)


def test_rows_are_the_objects_and_columns_the_detections():
    cases = [random_case(seed) for seed in range(60)]
    matrix = matrix_of(*cases)
    objects = Counter(label for scene, _ in cases for label, _, crowd in scene if not crowd)
    seen = Counter(
        verdict.label
        for scene, items in cases
        for verdict in sort_errors(record_of(scene), predicted(items), ALL).detections
        if verdict.kind != "ignored"
    )
    assert matrix[:-1].sum(axis=1).tolist() == [objects[CAT], objects[DOG]]
    assert matrix[:, :-1].sum(axis=0).tolist() == [seen[CAT], seen[DOG]]
    assert matrix[-1, -1] == 0
    assert (matrix.ravel()[:-1] > 0).all()


def test_table():
    matrix = np.array([[30, 2, 5], [0, 12345, 7], [3, 1, 0]])
    assert confusion_text(matrix, ("cat", "a long name")).splitlines() == [
        "is \\ taken for      1      2      -",
        " 1 cat             30      2      5",
        " 2 a long name      0  12345      7",
        " - (nothing)        3      1      0",
    ]


def many(confusions, classes=16):
    matrix = np.zeros((classes + 1, classes + 1), np.int64)
    np.fill_diagonal(matrix[:-1, :-1], 10)
    for row, column, number in confusions:
        matrix[row, column] = number
    return confusion_text(matrix, [f"c{n}" for n in range(classes)]).splitlines()


def test_of_many_classes_the_largest_confusions():
    assert many([(0, 3, 2), (5, 4, 7), (1, 16, 4), (16, 2, 6)]) == [
        "of 173 objects 160 are found, 9 as another class, 4 not; 6 other detections",
        "7 of 17 c5 are taken for c4",
        "2 of 12 c0 are taken for c3",
    ]
    lines = many([(n, n + 1, 1) for n in range(12)])
    assert (len(lines), lines[-1]) == (12, "and 2 more")
    assert len(many([], classes=15)) == 17
