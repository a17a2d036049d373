"""Score thresholds: against scikit-learn, against brute force, and in scenes counted by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, precision_recall_curve

from nets.contract import Prediction
from utils.data.records import DataError, ImageRecord, Instance, RecordSet, encode_mask
from utils.evaluation.coco_evaluator import CocoEvaluator
from utils.evaluation.coco_parameters import AREAS, IOU_THRESHOLDS
from utils.evaluation.matches import Matches
from utils.evaluation.operating_point import (
    Cost,
    OperatingPoint,
    choose,
    cost_table,
    costs_at,
    score_curve,
)

RULES = ("f1", "recall=0.5", "recall=0.8", "recall=1", "precision=0.5", "precision=0.8",
         "precision=1", "false-alarms=0", "false-alarms=0.25", "false-alarms=1")  # fmt: skip


def matches_of(detections, objects) -> Matches:
    """Matches of detections (image, label, score, kind: right, false or crowd) and counts of
    objects (N, K). All that is not at IoU 0.5 and of all sizes says the opposite."""
    image, label, score, kind = zip(*detections, strict=True) if detections else ((),) * 4
    shape = (len(AREAS), len(IOU_THRESHOLDS), len(image))
    kinds = np.array(kind, dtype=object)
    matched, ignored = np.empty(shape, bool), np.empty(shape, bool)
    matched[:], ignored[:] = kinds == "false", kinds == "right"
    matched[0, 0], ignored[0, 0] = kinds != "false", kinds == "crowd"
    counts = np.full((len(AREAS), *np.shape(objects)), 7)
    counts[0] = objects
    whole = np.int64
    return Matches(
        np.array(image, whole), np.array(label, whole), np.array(score, float),
        np.zeros(len(image), whole), matched, ignored, counts,
    )  # fmt: skip


def one_class(*detections, objects=(4,)) -> Matches:
    """Detections (score, kind), false ones in the first image, and the objects of each image."""
    last = len(objects) - 1
    rows = [(0 if kind == "false" else last, 1, score, kind) for score, kind in detections]
    return matches_of(rows, [[count] for count in objects])


def chosen(matches, rule="f1", empty=None):
    """The threshold of the only class and its note."""
    point = choose(matches, ("cat",), rule, empty)
    return point.thresholds["cat"], point.notes.get("cat", "")


def drawn(seed, levels=12):
    """Detections of 3 classes in 12 images, with equal scores; which images are empty."""
    numbers = np.random.default_rng(seed)
    objects = numbers.integers(0, 3, (12, 3))
    objects[numbers.random(12) < 0.4] = 0
    detections = []
    for image in range(12):
        for label in (1, 2, 3):
            right = numbers.integers(0, objects[image, label - 1] + 1)
            kinds = ["right"] * right + ["false"] * numbers.integers(0, 3) + ["crowd"]
            scores = numbers.integers(1, levels, len(kinds)) / levels
            detections += [(image, label, *one) for one in zip(scores, kinds, strict=True)]
    empty = ~objects.any(axis=1)
    empty &= numbers.random(12) < 0.7  # the others hold a crowd
    return detections, objects, empty


# --- the curve


def test_the_curve_of_nothing_is_empty():
    for curve in (score_curve(one_class(), 1), score_curve(one_class((0.5, "crowd")), 1)):
        assert all(numbers.shape == (0,) for numbers in curve)


def test_the_curve_of_a_class_without_objects_has_no_recall():
    curve = score_curve(one_class((0.5, "false"), (0.25, "false"), objects=(0, 0)), 1)
    assert curve.precision.tolist() == curve.f1.tolist() == [0, 0]
    assert np.isnan(curve.recall).all()


def test_a_curve_counted_by_hand():
    found = ((0.9, "right"), (0.7, "false"), (0.8, "crowd"), (0.5, "right"), (0.5, "right"))
    curve = score_curve(one_class(*found, objects=(1, 3)), 1)
    assert curve.threshold.tolist() == pytest.approx([0.8, 0.6, 0.275])
    assert curve.precision.tolist() == [1, 1 / 2, 3 / 4]
    assert curve.recall.tolist() == [1 / 4, 1 / 4, 3 / 4]
    assert curve.f1.tolist() == [2 / 5, 2 / 6, 6 / 8]


@pytest.mark.parametrize("seed", range(8))
def test_the_curve_is_that_of_scikit_learn(seed):
    detections, objects, _ = drawn(seed)
    for label in (1, 2, 3):
        curve = score_curve(matches_of(detections, objects), label)
        mine = [(s, k == "right") for _, lab, s, k in detections if lab == label and k != "crowd"]
        score, right = (np.array(column) for column in zip(*mine, strict=True))
        precision, recall, score_from = precision_recall_curve(right, score)
        missed = objects[:, label - 1].sum() - right.sum()
        share = right.sum() / (right.sum() + missed)
        assert len(curve.threshold) == len(score_from)
        np.testing.assert_allclose(curve.precision, precision[:-1][::-1])
        np.testing.assert_allclose(curve.recall, (recall[:-1] * share)[::-1])
        for threshold, f1 in zip(curve.threshold, curve.f1, strict=True):
            true = np.append(right, np.ones(missed, bool))
            found = np.append(score >= threshold, np.zeros(missed, bool))
            assert f1 == pytest.approx(f1_score(true, found, zero_division=0))


# --- where a threshold lies


@pytest.mark.parametrize(
    ("scores", "wanted"),
    [
        ((0.75,), 0.4),  # midway to the floor
        ((0.75, 0.25), 0.15),
        ((0.75, 0.05), 0.025),  # at the floor and below: midway to 0
        ((0.02,), 0.01),
        ((0.0,), 0.0),
        ((1.0,), 0.525),
    ],
)
def test_below_the_lowest_score_lies_the_floor(scores, wanted):
    matches = one_class(*((score, "right") for score in scores))
    assert score_curve(matches, 1).threshold[-1] == pytest.approx(wanted)
    assert choose(matches, ("cat",), "recall=1").costs["cat"].found == len(scores)


def test_neighbouring_float32_scores_are_told_apart():
    high, low = float(np.float32(0.7)), float(np.nextafter(np.float32(0.7), np.float32(0)))
    threshold, _ = chosen(one_class((high, "right"), (low, "false"), objects=(1,)))
    assert low < threshold < high


# --- choosing


def counted(detections, objects, label, threshold, empty):
    """Found, false and missed, and false in empty images, by looking at every detection."""
    found = false = alarms = 0
    for image, its_label, score, kind in detections:
        if its_label == label and score >= threshold:
            found += kind == "right"
            false += kind == "false"
            alarms += kind == "false" and empty[image]
    return found, false, sum(row[label - 1] for row in objects) - found, alarms


def kept_by_brute_force(detections, objects, label, rule, empty):
    """The lowest score that a rule keeps: infinity for none, None where it cannot be kept."""
    kind, _, wish = rule.partition("=")
    options = []
    mine = [score for _, lab, score, k in detections if lab == label and k != "crowd"]
    for score in sorted(set(mine), reverse=True):
        found, false, missed, alarms = counted(detections, objects, label, score, empty)
        options.append((score, found, false, missed, alarms))
    if not mine or options[0][1] + options[0][3] == 0:
        return None
    if kind == "false-alarms":
        if not any(empty):
            return None
        fitting = [o[0] for o in options if o[4] / sum(empty) <= float(wish)]
        return min(fitting, default=math.inf)
    if kind == "f1":
        best = max(2 * o[1] / (2 * o[1] + o[2] + o[3]) for o in options)
        fitting = [o for o in options if 2 * o[1] / (2 * o[1] + o[2] + o[3]) == best > 0]
    elif kind == "recall":
        fitting = [o for o in options if o[1] / (o[1] + o[3]) >= float(wish)]
    else:
        fitting = [o for o in options if o[1] / (o[1] + o[2]) >= float(wish)]
        most = max((o[1] for o in fitting), default=0)
        fitting = [o for o in fitting if o[1] == most]
    return max((o[0] for o in fitting), default=None)


@pytest.mark.parametrize("rule", RULES)
def test_choices_are_those_of_brute_force(rule):
    outcomes = set()
    for seed in range(25):
        detections, objects, empty = drawn(seed, levels=40 if seed % 2 else 8)
        point = choose(matches_of(detections, objects), ("a", "b", "c"), rule, empty)
        for label, name in enumerate("abc", start=1):
            wanted = kept_by_brute_force(detections, objects, label, rule, empty)
            threshold = point.thresholds[name]
            above = [s for _, lab, s, k in detections
                     if lab == label and k != "crowd" and s >= threshold]  # fmt: skip
            assert (name in point.notes) == (wanted in (None, math.inf))
            if wanted is not None:
                assert min(above, default=math.inf) == wanted
            assert point.costs[name] == counted(detections, objects, label, threshold, empty)[:3]
            outcomes.add(wanted)
    assert len(outcomes) > 2


EMPTY = np.array([True, False])  # the first of two images
LATE = ((0.9, "false"), (0.7, "right"), (0.5, "false"), (0.3, "right"))


@pytest.mark.parametrize(
    ("detections", "rule", "wanted", "note"),
    [
        (LATE, "f1", 0.175, ""),
        (LATE, "recall=0.25", 0.6, ""),
        (LATE, "recall=0.26", 0.175, ""),
        (LATE, "recall=0.75", 0.175, "recall 0.75 is not reached, 2 of 4 objects"),
        (LATE, "precision=0.5", 0.175, ""),
        (LATE, "precision=0.6", 0.5, "precision 0.6 is not reached, 1 of 2 detections"),
        (LATE, "false-alarms=1", 0.6, ""),
        (LATE, "false-alarms=2", 0.175, ""),
        (LATE, "false-alarms=0.5", 0.9505, "more than 0.5 false alarms"),
        (((0.5, "false"),), "f1", 0.5, "no detection is right"),
        (((0.5, "false"),), "recall=0.1", 0.275, "0 of 4 objects"),
        (((0.5, "false"),), "precision=0.1", 0.5, "0 of 1 detections"),
        (((0.5, "right"), (0.2, "right"), (0.1, "false")), "precision=0.5", 0.15, ""),
        ((), "f1", 0.5, "nothing is detected"),
        ((), "false-alarms=1", 0.5, "nothing is detected"),
        (((0.6, "crowd"),), "recall=0.5", 0.5, "nothing is detected"),
    ],
)
def test_choices_counted_by_hand(detections, rule, wanted, note):
    threshold, said = chosen(one_class(*detections, objects=(0, 4)), rule, EMPTY)
    assert threshold == pytest.approx(wanted)
    assert note in said
    assert bool(note) == bool(said)


def test_false_alarms_need_no_object():
    threshold, note = chosen(
        one_class((0.9, "false"), (0.7, "false"), objects=(0, 0)), "false-alarms=1", EMPTY
    )
    assert note == ""
    assert 0.7 < threshold < 0.9


@pytest.mark.parametrize("rule", [rule for rule in RULES if not rule.startswith("false-alarms")])
def test_without_objects_nothing_can_be_chosen(rule):
    threshold, note = chosen(one_class((0.9, "false"), objects=(0, 0)), rule, EMPTY)
    assert (threshold, note) == (0.5, "there is no object to choose by; 0.5 is taken")
    assert choose(one_class(objects=()), (), rule, np.zeros(0, bool)).thresholds == {}


def test_without_empty_images_there_are_no_false_alarms_to_count():
    _, note = chosen(one_class(*LATE), "false-alarms=1", np.array([False]))
    assert note == "every image holds objects; 0.5 is taken"
    with pytest.raises(ValueError, match="which images are empty"):
        chosen(one_class(*LATE), "false-alarms=1")


def test_a_threshold_that_keeps_none_lies_above_a_score_of_1():
    threshold, _ = chosen(one_class((1.0, "false"), objects=(0, 1)), "false-alarms=0", EMPTY)
    assert threshold > 1


def test_classes_are_chosen_for_one_by_one():
    rows = [(0, 1, 0.9, "right"), (0, 2, 0.6, "right"), (0, 2, 0.4, "false")]
    point = choose(matches_of(rows, [[1, 1, 0]]), ("cat", "dog", "cow"))
    assert point.thresholds == pytest.approx({"cat": 0.475, "dog": 0.5, "cow": 0.5})
    assert list(point.notes) == ["cow"]
    assert point.costs == {"cat": (1, 0, 0), "dog": (1, 0, 0), "cow": (0, 0, 0)}


def test_in_a_drawn_scene_crowds_count_neither_way():
    """One cat found, another missed; one detection on a crowd of cats, one on nothing."""

    def box(x):
        mask = np.zeros((20, 60), np.uint8)
        mask[5:15, x : x + 10] = 1
        return encode_mask(mask)

    def instance(x, iscrowd=0):
        return Instance(1, box(x), (float(x), 5.0, 10.0, 10.0), 100.0, iscrowd)

    images = (
        ImageRecord(3, Path("a"), 60, 20, (instance(0), instance(20), instance(40, 1))),
        ImageRecord(4, Path("b"), 60, 20, (instance(40, 1),)),
        ImageRecord(7, Path("c"), 60, 20, ()),
    )
    places = {3: {0: 0.875, 40: 0.75}, 4: {40: 0.625, 0: 0.5}, 7: {10: 0.25}}
    evaluator = CocoEvaluator(RecordSet(Path(), "drawn", ("cat",), images))
    for image_id, found in places.items():
        boxes = [[x, 5, x + 10, 15] for x in found]
        evaluator.process(image_id, Prediction(
            boxes=torch.tensor(boxes, dtype=torch.float32),
            labels=torch.ones(len(found), dtype=torch.int64),
            scores=torch.tensor(list(found.values())), masks=[box(x) for x in found],
        ))  # fmt: skip
    matches = evaluator.matches()["segm"]
    empty = np.array([not record.instances for record in images])
    assert costs_at(matches, ("cat",), {"cat": 0.0}) == {"cat": Cost(1, 2, 1)}
    assert chosen(matches) == (0.6875, "")  # between 0.875 and the false one in the second image
    assert chosen(matches, "false-alarms=0", empty) == (0.375, "")  # keeps that one


# --- costs


@pytest.mark.parametrize(
    ("cost", "precision", "recall", "f1"),
    [
        (Cost(0, 0, 0), None, None, None),
        (Cost(0, 0, 2), None, 0, 0),
        (Cost(0, 3, 0), 0, None, 0),
        (Cost(3, 1, 2), 3 / 4, 3 / 5, 6 / 9),
    ],
)
def test_shares_that_are_undefined_are_none(cost, precision, recall, f1):
    assert (cost.precision, cost.recall, cost.f1) == (precision, recall, f1)


def test_costs_at_given_thresholds_keep_equal_scores():
    rows = [(0, 1, 0.5, "right"), (1, 1, 0.25, "false"), (1, 1, 0.5, "crowd"),
            (1, 2, 0.5, "false")]  # fmt: skip
    matches = matches_of(rows, [[1, 0], [2, 1]])
    costs = costs_at(matches, ("cat", "dog"), {"dog": 0.75, "cat": 0.5})
    assert costs == {"cat": Cost(1, 0, 2), "dog": Cost(0, 0, 1)}
    assert list(costs) == ["cat", "dog"]
    lower = costs_at(matches, ("cat", "dog"), {"cat": 0.25, "dog": 0.5})
    assert lower == {"cat": Cost(1, 1, 2), "dog": Cost(0, 1, 1)}


def test_the_table_shows_costs_and_totals():
    thresholds = {"person": 0.625, "dog": 0.5}
    costs = {"person": Cost(8, 2, 0), "dog": Cost(0, 0, 2)}
    table = cost_table(thresholds, costs)
    rows = [line.split() for line in table.splitlines()]
    assert rows == [
        ["threshold", "found", "false", "not", "found", "precision", "recall", "F1"],
        ["person", "0.62", "8", "2", "0", "0.800", "1.000", "0.889"],
        ["dog", "0.50", "0", "0", "2", "-", "0.000", "0.000"],
        ["total", "8", "2", "2", "0.800", "0.800", "0.800"],
    ]
    assert len({len(line) for line in table.splitlines()}) == 1
    assert "total" not in cost_table({"dog": 0.5}, {"dog": Cost(0, 0, 2)})
    assert cost_table({}, {}).split()[0] == "threshold"


def test_classes_without_a_choice_keep_their_thresholds():
    old = OperatingPoint("f1", {"cat": 0.3, "dog": 0.4}, {}, {})
    new = OperatingPoint("recall=0.9", {"cat": 0.6, "dog": 0.5}, {}, {"dog": "none there"})
    assert new.where_chosen(old).thresholds == {"cat": 0.6, "dog": 0.4}
    assert new.where_chosen(old).rule == "recall=0.9"
    with pytest.raises(DataError, match="cannot be had for any class"):
        replace(new, notes={"cat": "no", "dog": "no"}).where_chosen(old)


# --- in a weights file


def test_it_is_stored_by_position_and_comes_back_under_other_names():
    point = choose(*[matches_of([(0, 1, 0.9, "right")], [[1, 1]]), ("cat", "dog")], "recall=0.9")
    stored = json.loads(json.dumps(point.to_dict()))
    assert stored == point.to_dict()  # nothing but plain values
    assert OperatingPoint.from_dict(stored, ("cat", "dog")) == point
    swapped = OperatingPoint.from_dict(stored, ("dog", "cat"))
    assert swapped.thresholds == {"dog": point.thresholds["cat"], "cat": 0.5}
    assert swapped.costs == {"dog": Cost(1, 0, 0), "cat": Cost(0, 0, 1)}
    assert list(swapped.notes) == ["cat"]
    assert replace(swapped, costs={}).rule == "recall=0.9"
    with pytest.raises(ValueError, match="zip"):
        OperatingPoint.from_dict(stored, ("cat",))
