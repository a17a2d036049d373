"""Counts and sentences of verdicts written by hand."""

from __future__ import annotations

import pytest

from utils.evaluation.error_counts import count_kinds, error_lines, kinds_table, size_of
from utils.evaluation.error_kinds import (
    DETECTION_KINDS,
    OBJECT_KINDS,
    DetectionVerdict,
    ImageErrors,
    ObjectVerdict,
)

SMALL, MEDIUM, LARGE = 100.0, 2000.0, 10000.0


def errors_of(detections=(), objects=()) -> ImageErrors:
    """``detections`` and ``objects``: (kind, area) or (kind, area, label)."""
    return ImageErrors(
        1,
        tuple(
            DetectionVerdict(n, *(label or [1]), 0.5, area, kind, None, 0.0)
            for n, (kind, area, *label) in enumerate(detections)
        ),
        tuple(
            ObjectVerdict(n, *(label or [1]), area, kind, None, 0.0)
            for n, (kind, area, *label) in enumerate(objects)
        ),
    )


@pytest.mark.parametrize("all_errors", [[], [errors_of()]])
def test_nothing(all_errors):
    counts = count_kinds(all_errors)
    assert tuple(counts.detections) == DETECTION_KINDS
    assert tuple(counts.objects) == OBJECT_KINDS
    for of_kind in counts:
        for sizes in of_kind.values():
            assert sizes == {"small": 0, "medium": 0, "large": 0, "all": 0}
    assert error_lines(counts) == []
    assert len(kinds_table(counts).splitlines()) == 2


@pytest.mark.parametrize(
    ("area", "size"),
    [(0, "small"), (1023.9, "small"), (1024, "medium"), (9215.9, "medium"), (9216, "large"),
     (1e12, "large")],
)  # fmt: skip
def test_size(area, size):
    assert size_of(area) == size


IMAGES = [
    errors_of(
        detections=[("correct", SMALL), ("background", LARGE, 2)],
        objects=[("found", SMALL), ("missed", SMALL), ("missed", LARGE, 2), ("ignored", LARGE)],
    ),
    errors_of(
        detections=[("background", SMALL), ("background", MEDIUM), ("ignored", LARGE)],
        objects=[("missed", SMALL, 2), ("merged", MEDIUM)],
    ),
]


def test_counts():
    counts = count_kinds(iter(IMAGES))
    assert counts.objects["missed"] == {"small": 2, "medium": 0, "large": 1, "all": 3}
    assert counts.objects["found"] == {"small": 1, "medium": 0, "large": 0, "all": 1}
    assert counts.detections["background"] == {"small": 1, "medium": 1, "large": 1, "all": 3}
    assert counts.detections["ignored"]["all"] == 1
    assert sum(sizes["all"] for sizes in counts.objects.values()) == 6


def test_counts_of_a_class():
    counts = count_kinds(IMAGES, label=2)
    assert counts.objects["missed"] == {"small": 1, "medium": 0, "large": 1, "all": 2}
    assert counts.detections["background"] == {"small": 0, "medium": 0, "large": 1, "all": 1}
    assert counts.objects["found"]["all"] == counts.detections["correct"]["all"] == 0


def test_sentences():
    assert error_lines(count_kinds(IMAGES)) == [
        "3 of 5 objects are missed; 2 of the 3 under 32 x 32 px",
        "1 of 5 objects is merged with a neighbour",
        "3 of 4 detections are on no object",
    ]


def test_a_size_is_not_named_for_having_its_share():
    objects = [("missed", SMALL), ("missed", LARGE), ("found", SMALL), ("found", LARGE)]
    assert error_lines(count_kinds([errors_of(objects=objects)])) == ["2 of 4 objects are missed"]


@pytest.mark.parametrize(
    ("what", "kind"),
    [*(("objects", kind) for kind in OBJECT_KINDS),
     *(("detections", kind) for kind in DETECTION_KINDS)],
)  # fmt: skip
def test_every_error_has_a_sentence(what, kind):
    lines = error_lines(count_kinds([errors_of(**{what: [(kind, SMALL)]})]))
    assert len(lines) == (kind not in ("found", "correct", "ignored"))


def test_table():
    assert kinds_table(count_kinds(IMAGES)).splitlines() == [
        "objects          small  medium   large     all",
        "  found              1       0       0       1",
        "  merged             0       1       0       1",
        "  missed             2       0       1       3",
        "  ignored            0       0       1       1",
        "detections       small  medium   large     all",
        "  correct            1       0       0       1",
        "  background         1       1       1       3",
        "  ignored            0       0       1       1",
    ]
