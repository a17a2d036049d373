"""Sentences from numbers: the right one for each case, and none where nothing is known."""

import math

import pytest
from report_scene import CAT, DOG, drawn_assessment

from utils.evaluation.error_counts import count_kinds
from utils.evaluation.intervals import Interval
from utils.evaluation.operating_point import Cost, OperatingPoint
from utils.report import verdict as sentences
from utils.report.run_record import RunRecord
from utils.report.verdict import (
    Sizes,
    certainty,
    limits,
    outline_limit,
    overfitting,
    quality,
    still_improving,
    verdict,
)

HALF = OperatingPoint("f1", {"cat": 0.5, "dog": 0.5}, {}, {})


def record(train, val, ap):
    rows = enumerate(zip(train, val, ap, strict=True))
    epochs = [{"epoch": n, "train/loss": t, "val/loss": v, "segm/AP": a} for n, (t, v, a) in rows]
    return RunRecord(None, epochs=tuple(epochs))


def test_nothing_to_judge():
    assert "nothing to judge" in quality(Cost(0, 0, 0), None)
    assert "3 detections are false alarms" in quality(Cost(0, 3, 0), None)


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (Cost(0, 0, 5), "Poor: it finds 0 of 5 objects. AP of masks is 0.50."),
        (
            Cost(9, 1, 1),
            "Good: it finds 9 of 10 objects; 1 of 10 detections are wrong. AP of masks is 0.50.",
        ),
        (
            Cost(138, 6, 10),
            "Good: it finds 138 of 148 objects (93 %); 6 of 144 detections (4 %) are wrong. AP of ",
        ),
        (
            Cost(1999, 1, 1),
            "Very good: it finds 1999 of 2000 objects (99 %); 1 of 2000 detections (1 %) are",
        ),
        (
            Cost(200, 0, 0),
            "Very good: it finds 200 of 200 objects (100 %); 0 of 200",
        ),
        (Cost(19, 1, 1), "Very good: "),
        (Cost(7, 3, 3), "Usable: "),
        (Cost(4, 6, 6), "Weak: "),
    ],
)
def test_quality(cost, text):
    assert quality(cost, 0.5).startswith(text)


@pytest.mark.parametrize(
    ("ends", "word", "more"),
    [
        ((0.78, 0.82), "Sure", False),
        ((0.75, 0.85), "Fairly sure", True),
        ((0.4, 0.6), "Unsure", True),
    ],
)
def test_certainty_is_the_width(ends, word, more):
    text = certainty(Interval(sum(ends) / 2, *ends), 50)
    assert text.startswith(f"{word}: over very many such images AP would lie between")
    assert "50 images" in text
    assert f"between {ends[0]:.2f} and {ends[1]:.2f}" in text
    assert ("four times" in text) == more


def test_no_interval():
    assert "cannot be said with 1 image(s)" in certainty(None, 1)


FALLING = [3, 2, 1.5, 1.2, 1.0, 0.8, 0.6, 0.5]
V_SHAPED = [2.0, 1.5, 1.2, 1.0, 1.1, 1.3, 1.5, 1.8]
EPOCHS = list(range(1, 9))


def test_overfitting_since_the_lowest_epoch():
    assert overfitting(FALLING, V_SHAPED, EPOCHS).startswith("Overfitting since epoch 4:")


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ([], []),
        ([3, 2, 1], [1, 2, 3]),  # too few epochs
        (FALLING, FALLING),
        (FALLING, [1.0, 1.01, 1.0, 1.02, 1.01, 1.02, 1.01, 1.03]),  # a rise of under 3 %
        (FALLING, [2, 1, 2.2, 0.8, 2.1, 1.0, 2.2, 1.2]),  # scatter
        (V_SHAPED, V_SHAPED),  # training itself went wrong
        (FALLING, [math.nan, *V_SHAPED[1:]]),
    ],
)
def test_no_overfitting(train, val):
    assert overfitting(train, val, EPOCHS[: len(val)]) == ""


def test_one_bad_epoch_in_the_end_is_not_overfitting():
    assert overfitting(FALLING, [2, 1.6, 1.3, 1.1, 1.0, 0.95, 0.9, 1.0], EPOCHS) == ""


@pytest.mark.parametrize(
    ("ap", "rises"),
    [
        ([], False),
        ([0.1, 0.2, 0.3], False),
        ([0.1, 0.2, 0.3, 0.4], True),
        ([0.1, 0.2, 0.35, 0.33, 0.42], True),
        ([0.1, 0.3, 0.42, 0.40], False),  # the best is behind
        ([0.4, 0.401, 0.402, 0.403], False),
        ([0.1, 0.2, 0.3, math.nan], False),
    ],
)
def test_still_improving(ap, rises):
    text = still_improving(ap)
    assert bool(text) == rises
    if rises:
        assert f"--epochs {2 * len(ap)}" in text
        assert f"{ap[-1]:.2f} in the last epochs" in text


def counts_of(assessment):
    return count_kinds(assessment.errors)


def test_limits_are_the_most_frequent_first():
    scenes = [
        ([(CAT, 4, 4, 20)], []),
        ([(CAT, 4, 4, 20)], []),
        ([(CAT, 4, 4, 40)], [(DOG, 4, 4, 40, 0.9)]),
        ([], [(DOG, 4, 4, 40, 0.9)]),
        ([], [(DOG, 4, 4, 40, 0.9)]),
        ([], [(DOG, 4, 4, 40, 0.9)]),
    ]
    counts = counts_of(drawn_assessment(scenes, HALF))
    lines = limits(counts.objects, counts.detections, Sizes(3, 0, 0))
    assert [line.split(":")[0] for line in lines] == [
        "3 of 4 detections are of nothing that is labelled",
        "2 of 3 objects are missed altogether",
        "1 of 3 objects are found as another class",
    ]


def test_no_errors_limit_nothing():
    counts = counts_of(drawn_assessment([([(CAT, 4, 4, 20)], [(CAT, 4, 4, 20, 0.9)])] * 2, HALF))
    assert limits(counts.objects, counts.detections, Sizes(0, 0, 0)) == []


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        (Sizes(4, 3, 4), "3 of the 4 objects that are not found are smaller than 16 x 16 px"),
        (Sizes(4, 1, 3), "3 of the 4 objects that are not found are smaller than 32 x 32 px"),
        (Sizes(4, 1, 2), "4 of 4 objects are missed altogether"),
    ],
)
def test_small_objects(sizes, text):
    counts = counts_of(drawn_assessment([([(CAT, 4, 4, 20)], [])] * 4, HALF))
    lines = limits(counts.objects, counts.detections, sizes)
    assert len(lines) == 1
    assert lines[0].startswith(text)


def test_missed_sizes_leave_out_what_is_found():
    scenes = [
        ([(CAT, 0, 0, 10), (CAT, 30, 30, 30)], [(CAT, 30, 30, 30, 0.9)]),
        ([(CAT, 0, 0, 20), (CAT, 22, 22, 40)], []),
    ]
    assert sentences.missed_sizes(drawn_assessment(scenes, HALF)) == (3, 1, 2)


def test_outline_limit():
    assert outline_limit(None, 0.9) == outline_limit(0.9, None) == ""
    assert "as exact as" in outline_limit(0.9, 0.92)
    assert "could be sharper (IoU 0.70, masks of 28 x 28 allow 0.92)" in outline_limit(0.7, 0.92)


def test_nothing_was_found():
    first, *_ = verdict(drawn_assessment([([(CAT, 4, 4, 20)], [])] * 3), None)
    assert first.startswith("Nothing was found in any of the 3 images")


def test_the_whole_verdict():
    run = record(FALLING, V_SHAPED, [0.1 * n for n in range(8)])
    lines = verdict(drawn_assessment(point=HALF, input_size=(64, 64)), run)
    assert 3 <= len(lines) <= 7
    assert lines[0].startswith("Weak: it finds 3 of 5 objects; 3 of 6 detections are wrong.")
    assert "with 5 image" in lines[1]
    assert lines[2].startswith("Overfitting since epoch 4")
    assert lines[3].startswith("AP still rose")


def test_boxes_alone_are_judged_by_boxes():
    lines = verdict(drawn_assessment(point=HALF, has_masks=False), None)
    assert "it finds" in lines[0]
    assert "outlines" not in " ".join(lines)
