"""Everything about a scene that can be counted by hand, and that the parts agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_coco_evaluator import A, B, evaluated, predicted, random_case, record_set, rectangle

from utils.evaluation.assessment import assess
from utils.evaluation.operating_point import OperatingPoint

SHIFTED = rectangle(12, 10, 52, 50)  # of A: 38 of 40 columns shared, IoU 38/42
CLASSES = ("cat", "dog")


def scene():
    """Six images: a cat in each, a dog too in the first; cats are found but in the last two, once
    shifted; one invention; the dog is taken for a cat."""
    data = record_set([[(1, A), (2, B)], *[[(1, A)]] * 5], CLASSES)
    found = {
        1: predicted([(1, A, 0.9), (1, B, 0.8)]),
        2: predicted([(1, SHIFTED, 0.9)]),
        3: predicted([(1, A, 0.9), (1, B, 0.1)]),
        4: predicted([(1, A, 0.9)]),
    }
    return data, found


POINT = OperatingPoint("f1", {"cat": 0.5, "dog": 0.5}, {}, {})


def test_a_scene_counted_by_hand():
    data, found = scene()
    known = assess(data, found, POINT)
    metrics = known.metrics
    assert metrics["point/precision"] == pytest.approx(4 / 5)
    assert metrics["point/recall"] == pytest.approx(4 / 7)
    assert metrics["point/F1"] == pytest.approx(2 * 4 / (5 + 7))
    assert metrics["matched/IoU"] == pytest.approx((3 + 38 / 42) / 4)
    assert metrics["matched/Dice"] == pytest.approx((3 + 2 * 38 / 80) / 4)
    # Found less labelled: 0, 0, 0, 0, -1, -1 (as cats and dogs together).
    assert metrics["count/bias"] == pytest.approx(-2 / 6)
    assert metrics["count/exact"] == pytest.approx(4 / 6)
    assert metrics["count/bias/cat"] == pytest.approx((1 - 2) / 6)
    assert known.costs["cat"][:3] == (4, 1, 2)
    assert known.costs["dog"][:3] == (0, 0, 1)
    assert known.confusion.tolist() == [[4, 0, 2], [1, 0, 0], [0, 0, 0]]
    kinds = [[one.kind for one in errors.detections] for errors in known.errors]
    assert kinds == [["correct", "wrong class"], ["correct"], ["correct"], ["correct"], [], []]


def test_the_numbers_are_those_of_the_evaluator_and_their_intervals_hold_them():
    data, found = scene()
    known = assess(data, found, POINT)
    for name, value in evaluated(data, found).items():
        assert known.metrics[name] == value
    for name, (value, low, high) in known.intervals.items():
        assert value == pytest.approx(known.metrics[name], abs=1e-12), name
        assert low <= value <= high, name
    assert {"segm/AP", "bbox/AP50", "point/F1", "count/MAE"} <= set(known.intervals)


def test_a_rule_chooses_on_these_images():
    data, found = scene()
    known = assess(data, found, "recall=0.5")
    assert known.operating_point.rule == "recall=0.5"
    assert known.operating_point.thresholds["cat"] == pytest.approx((0.9 + 0.8) / 2)
    assert known.costs == known.operating_point.costs


def test_what_is_undefined_is_absent_and_has_a_reason():
    data, found = scene()
    known = assess(data, found, POINT)
    assert "segm/APs" not in known.metrics
    assert known.undefined["segm/APs"] == "no labelled object is under 32 x 32 px in area"
    assert not set(known.undefined) & set(known.metrics)
    nothing = assess(record_set([[], []], ("cat",)), {}, "f1")
    assert nothing.undefined["segm/AP"] == "no object is labelled"
    assert nothing.undefined["point/precision"] == "nothing was found"
    assert not nothing.intervals.keys() & nothing.undefined.keys()


@pytest.mark.parametrize("seed", range(40))
def test_no_number_is_undefined_in_silence(seed):
    data, found = random_case(seed)
    known = assess(data, found, "f1")
    assert all(np.isfinite(value) for value in known.metrics.values())
    for kind in ("bbox", "segm"):
        for name in ("AP", "AP50", "APs", "APm", "APl", "AR100"):
            assert (f"{kind}/{name}" in known.metrics) != (f"{kind}/{name}" in known.undefined)


def test_boxes_alone():
    data, found = scene()
    known = assess(data, found, POINT, has_masks=False)
    assert set(known.matches) == {"bbox"}
    assert known.metrics["bbox/AP"] == evaluated(data, found)["bbox/AP"]
    assert known.undefined["segm/AP"] == "the predictions hold no masks"
    assert (known.errors, known.confusion, known.ceiling) == ((), None, None)
    assert known.costs["cat"][:3] == (4, 1, 2)
    assert not any(name.startswith(("segm", "matched")) for name in known.metrics)
    assert known.undefined["matched/IoU"] == "the predictions hold no masks"
    assert not any("mask" in reason for reason in known.zero_reasons)


def test_the_ceiling_is_there_for_a_network():
    data, found = scene()
    known = assess(data, found, POINT, input_size=(120, 150))
    assert known.ceiling.metrics["ceiling/IoU"] > 0.9
    assert assess(data, found, POINT).ceiling is None


def test_a_zero_is_explained():
    data, found = scene()
    cats = record_set([[(1, A)]] * 4, CLASSES), found
    (reason,) = assess(data, found, POINT).zero_reasons
    assert "dog" in reason
    assert assess(*cats, POINT).zero_reasons == []
    assert assess(data, {}, POINT).zero_reasons != []


def test_crowds_count_nowhere():
    crowd = rectangle(60, 0, 150, 120)
    data = record_set([[(1, A), (1, crowd, 1)]] * 5, ("cat",))
    inside = {n: predicted([(1, A, 0.9), (1, B, 0.8)]) for n in range(1, 6)}
    metrics = assess(data, inside, replace(POINT, thresholds={"cat": 0.5})).metrics
    assert metrics["point/precision"] == metrics["point/recall"] == 1
    assert metrics["count/exact"] == 1
    assert metrics["segm/Dice"] == pytest.approx(1)


def test_what_is_beyond_the_most_detections_is_seen_nowhere():
    data = record_set([[(1, A), (1, B)]] * 5, ("cat",))
    found = {n: predicted([(1, A, 0.9), (1, B, 0.8)]) for n in range(1, 6)}
    known = assess(data, found, "f1", max_dets=1)
    assert known.metrics["point/recall"] == 0.5
    assert known.confusion.tolist() == [[5, 5], [0, 0]]
    assert known.metrics["count/bias"] == -1


def test_three_hundred_objects_in_one_image():
    """pycocotools measures the areas of 255 masks at once at the most."""
    masks = [rectangle(x, y, x + 7, y + 5) for x in range(0, 150, 10) for y in range(0, 120, 6)]
    data = record_set([[(1, mask) for mask in masks]] * 5, ("cat",))
    scored = [(1, mask, 0.9 - n / 1000) for n, mask in enumerate(masks)]
    moved = [(1, np.roll(mask, 5, axis=1), score) for _, mask, score in scored]
    right = assess(data, {n: predicted(scored) for n in range(1, 6)}, "f1", max_dets=400)
    assert right.confusion.tolist() == [[1500, 0], [0, 0]]
    wrong = assess(data, {n: predicted(moved) for n in range(1, 6)}, "f1", max_dets=400)
    assert wrong.metrics["segm/AP"] == 0
    assert wrong.zero_reasons


def test_classes_that_the_labels_do_not_know_are_not_judged():
    data, found = scene()
    known = assess(replace(data, unlabelled=frozenset({1})), found, POINT)
    assert known.costs["cat"][:2] == (0, 0)
    assert all(one.label == 2 for errors in known.errors for one in errors.detections)
