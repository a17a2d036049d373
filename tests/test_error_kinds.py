"""Every kind of error in a scene of its own; random scenes against the rules read word by word."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from nets.contract import Prediction
from utils.data.records import ImageRecord, Instance, encode_mask
from utils.evaluation.error_kinds import (
    DETECTION_KINDS,
    OBJECT_KINDS,
    DetectionVerdict,
    ObjectVerdict,
    sort_errors,
)

HEIGHT, WIDTH = 40, 60
CAT, DOG = 1, 2
ALL = np.zeros(2)


def rectangle(x1, y1, x2, y2) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y1:y2, x1:x2] = True
    return mask


def record_of(objects) -> ImageRecord:
    """``objects``: (label, mask) or (label, mask, iscrowd)."""
    instances = tuple(Instance.from_mask(*item) for item in objects)
    return ImageRecord(7, Path("7.png"), WIDTH, HEIGHT, instances)


def predicted(items) -> Prediction:
    """``items``: (label, mask, score)."""
    rles = [encode_mask(mask) for _, mask, _ in items]
    boxes = [[x, y, x + w, y + h] for x, y, w, h in map(coco_mask.toBbox, rles)]
    return Prediction(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor([label for label, *_ in items], dtype=torch.int64),
        scores=torch.tensor([score for *_, score in items], dtype=torch.float32),
        masks=rles,
    )


def verdicts(objects, items, thresholds=ALL):
    """Kind and partner of each detection, and of each object."""
    errors = sort_errors(record_of(objects), predicted(items), thresholds)
    return (
        [(seen.kind, seen.other) for seen in errors.detections],
        [(there.kind, there.other) for there in errors.objects],
    )


# Objects are 20 x 10 px or said otherwise; (label, rectangle[, crowd]); (label, rectangle, score).
HERE, BELOW = rectangle(0, 0, 20, 10), rectangle(0, 10, 20, 20)
FAR = rectangle(40, 20, 60, 40)
BIG = rectangle(0, 0, 40, 20)
SCENES = {
    "nothing at all": ([], [], [], []),
    "no detection": ([(CAT, HERE)], [], [], [("missed", None)]),
    "no object": ([], [(CAT, HERE, 0.9)], [("background", None)], []),
    "correct": ([(CAT, HERE)], [(CAT, HERE, 0.9)], [("correct", 0)], [("found", 0)]),
    "correct at exactly 0.5": (
        [(CAT, HERE)], [(CAT, rectangle(0, 0, 10, 10), 0.9)], [("correct", 0)], [("found", 0)],
    ),
    "duplicate": (
        [(CAT, HERE)], [(CAT, HERE, 0.9), (CAT, HERE, 0.8)],
        [("correct", 0), ("duplicate", 0)], [("found", 0)],
    ),
    "duplicate of another class": (
        [(CAT, HERE)], [(DOG, HERE, 0.9), (CAT, HERE, 0.8)],
        [("duplicate", 0), ("correct", 0)], [("found", 1)],
    ),
    "wrong class, and a second one": (
        [(CAT, HERE)], [(DOG, HERE, 0.9), (DOG, HERE, 0.8)],
        [("wrong class", 0), ("duplicate", 0)], [("wrong class", 0)],
    ),
    "the nearer class is right, though less overlapped": (
        [(CAT, HERE), (DOG, rectangle(0, 0, 20, 12))], [(DOG, HERE, 0.9)],
        [("correct", 1)], [("missed", 0), ("found", 0)],
    ),
    "a duplicate is not of the wrong class": (
        [(CAT, HERE), (DOG, HERE)], [(CAT, HERE, 0.9), (CAT, HERE, 0.8)],
        [("correct", 0), ("duplicate", 0)], [("found", 0), ("missed", 0)],
    ),
    "split": (
        [(CAT, BIG)], [(CAT, rectangle(0, 0, 12, 20), 0.9), (CAT, rectangle(20, 0, 36, 20), 0.8)],
        [("split", 0), ("split", 0)], [("split", 1)],
    ),
    "one part alone is a poor outline": (
        [(CAT, BIG)], [(CAT, rectangle(0, 0, 12, 20), 0.9)],
        [("poor outline", 0)], [("poor outline", 0)],
    ),
    "parts of another class are no split": (
        [(CAT, BIG)], [(DOG, rectangle(0, 0, 12, 20), 0.9), (DOG, rectangle(20, 0, 36, 20), 0.8)],
        [("background", 0), ("background", 0)], [("missed", 1)],
    ),
    "parts beside a detection that fits are no split": (
        [(CAT, BIG)],
        [(CAT, BIG, 0.9), (CAT, HERE, 0.8), (CAT, rectangle(20, 0, 36, 20), 0.7)],
        [("correct", 0), ("duplicate", 0), ("duplicate", 0)], [("found", 0)],
    ),
    "merged, all three": (
        [(CAT, HERE), (CAT, BELOW)], [(CAT, rectangle(0, 0, 21, 20), 0.9)],
        [("merged", 0)], [("merged", 0), ("merged", 0)],
    ),
    "merged, the larger one found": (
        [(CAT, rectangle(0, 0, 20, 14)), (CAT, rectangle(0, 14, 20, 20))],
        [(CAT, rectangle(0, 0, 20, 20), 0.9)],
        [("correct", 0)], [("found", 0), ("merged", 0)],
    ),
    "objects of two classes are not merged": (
        [(CAT, rectangle(0, 0, 20, 14)), (DOG, rectangle(0, 14, 20, 20))],
        [(CAT, rectangle(0, 0, 20, 20), 0.9)],
        [("correct", 0)], [("found", 0), ("missed", 0)],
    ),
    "half of one object only is not merged": (
        [(CAT, rectangle(0, 0, 20, 14)), (CAT, rectangle(0, 14, 20, 30))],
        [(CAT, rectangle(0, 0, 20, 20), 0.9)],
        [("correct", 0)], [("found", 0), ("missed", 0)],
    ),
    "poor outline, of the two the nearer": (
        [(CAT, HERE), (CAT, BELOW)], [(CAT, rectangle(10, 0, 30, 12), 0.9)],
        [("poor outline", 0)], [("poor outline", 0), ("missed", 0)],
    ),
    "too far for a poor outline": (
        [(CAT, HERE)], [(CAT, rectangle(18, 0, 38, 10), 0.9)],
        [("background", 0)], [("missed", 0)],
    ),
    "a part of what is found is a duplicate": (
        [(CAT, HERE)], [(CAT, HERE, 0.9), (CAT, rectangle(0, 0, 5, 10), 0.8)],
        [("correct", 0), ("duplicate", 0)], [("found", 0)],
    ),
    "crowd": (
        [(CAT, BIG, 1)], [(CAT, HERE, 0.9), (CAT, BELOW, 0.8), (DOG, HERE, 0.7), (CAT, FAR, 0.6)],
        [("ignored", 0), ("ignored", 0), ("background", None), ("background", None)],
        [("ignored", None)],
    ),
    "an object in a crowd goes first": (
        [(CAT, BIG, 1), (CAT, HERE)], [(CAT, HERE, 0.9), (CAT, HERE, 0.8)],
        [("correct", 1), ("ignored", 0)], [("ignored", None), ("found", 0)],
    ),
    "of equals the last object": (
        [(CAT, HERE), (CAT, HERE)], [(CAT, HERE, 0.9)], [("correct", 1)],
        [("merged", 0), ("found", 0)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENES)
def test_scene(name):
    objects, items, detected, overlooked = SCENES[name]
    assert verdicts(objects, items) == (detected, overlooked)


def test_every_kind_has_a_scene():
    seen, there = zip(*[(scene[2], scene[3]) for scene in SCENES.values()], strict=True)
    assert {kind for scene in seen for kind, _ in scene} == set(DETECTION_KINDS)
    assert {kind for scene in there for kind, _ in scene} == set(OBJECT_KINDS)


def test_numbers_of_a_verdict():
    record = record_of([(DOG, FAR), (CAT, HERE)])
    items = [(CAT, rectangle(0, 0, 20, 8), 0.25), (CAT, FAR, 0.5)]
    errors = sort_errors(record, predicted(items), ALL)
    assert errors.image_id == 7
    assert errors.detections == (
        DetectionVerdict(1, CAT, 0.5, 400.0, "wrong class", 0, 1.0),
        DetectionVerdict(0, CAT, 0.25, 160.0, "correct", 1, 0.8),
    )
    assert errors.objects == (
        ObjectVerdict(0, DOG, 400.0, "wrong class", 1, 1.0),
        ObjectVerdict(1, CAT, 200.0, "found", 0, 0.8),
    )


def test_the_iou_with_a_crowd_is_the_share_of_the_detection():
    half = rectangle(30, 0, 50, 10)
    errors = sort_errors(record_of([(CAT, BIG, 1)]), predicted([(CAT, half, 0.5)]), ALL)
    assert errors.detections[0].iou == 0.5


def test_only_detections_that_are_sure_enough_for_their_class():
    objects = [(CAT, HERE), (DOG, FAR)]
    items = [(DOG, FAR, 0.75), (CAT, HERE, 0.75), (CAT, HERE, 0.5)]
    assert verdicts(objects, items, np.array([0.75, 0.75 + 1e-9])) == (
        [("correct", 0)],
        [("found", 1), ("missed", None)],
    )


def test_polygons_count_as_their_pixels():
    polygon = Instance(CAT, [[0, 0, 20, 0, 20, 10, 0, 10]], (0, 0, 20, 10), 200.0)
    record = ImageRecord(1, Path("1.png"), WIDTH, HEIGHT, (polygon,))
    (verdict,) = sort_errors(record, predicted([(CAT, HERE, 0.9)]), ALL).objects
    assert (verdict.kind, verdict.iou) == ("found", 1.0)


def random_case(seed):
    """Rectangles on a coarse grid, so that IoUs of exactly 0.5 and equal ones occur."""
    rng = np.random.default_rng(seed)

    def mask():
        x, y = 4 * rng.integers(0, 8, 2)
        return rectangle(x, y, x + 4 * rng.integers(1, 7), y + 4 * rng.integers(1, 5))

    objects = [
        (int(rng.integers(1, 3)), mask(), int(rng.random() < 0.15))
        for _ in range(rng.integers(0, 7))
    ]
    near = [item[1] for item in objects] or [mask()]
    items = [
        (int(rng.integers(1, 3)), near[rng.integers(len(near))] if rng.random() < 0.3 else mask(),
         rng.integers(0, 11) / 10)
        for _ in range(rng.integers(0, 9))
    ]  # fmt: skip
    return objects, sorted(items, key=lambda item: -item[2])


class WordByWord:
    """The docstring of ``sort_errors``, one detection and one rule at a time."""

    def __init__(self, objects, items):
        self.objects, self.items = objects, items
        self.of_object: dict[int, int] = {}
        self.kinds = dict.fromkeys(range(len(items)), "")
        self.give("correct", lambda d: self.take(d, self.same))
        self.found = set(self.of_object)
        self.give("ignored", self.on_crowd)
        self.give("duplicate", lambda d: self.overlapped(d, 0.5, self.same))
        self.give("wrong class", lambda d: self.take(d, self.no_crowd))
        self.give("duplicate", lambda d: self.overlapped(d, 0.5, self.no_crowd))
        rest = [d for d, kind in self.kinds.items() if not kind]
        self.pieces = {
            g: [d for d in rest if self.same(d, g) and self.common(d, g) >= self.size(d) / 2]
            for g in range(len(objects))
            if g not in self.of_object
        }
        self.give("split", lambda d: any(d in p and len(p) > 1 for p in self.pieces.values()))
        self.give("merged", lambda d: len(self.covered(d)) > 1)
        self.give("poor outline", lambda d: self.overlapped(d, 0.1, self.overlooked))
        self.give("duplicate", lambda d: self.overlapped(d, 0.1, self.same))
        self.give("background", lambda d: True)

    def give(self, kind, rule):
        for d, given in self.kinds.items():
            if not given and rule(d):
                self.kinds[d] = kind

    def take(self, d, rule):
        """Of equal IoUs the last object."""
        free = [g for g in self.overlapped(d, 0.5, rule) if g not in self.of_object]
        if free:
            self.of_object[max(free, key=lambda g: (self.iou(d, g), g))] = d
        return bool(free)

    def overlapped(self, d, least, rule):
        return [g for g in range(len(self.objects)) if rule(d, g) and self.iou(d, g) >= least]

    def covered(self, d):
        return [
            g for g, (_, mask, _) in enumerate(self.objects)
            if self.same(d, g) and self.common(d, g) >= mask.sum() / 2
        ]  # fmt: skip

    def on_crowd(self, d):
        return any(
            crowd and label == self.items[d][0] and self.common(d, g) >= self.size(d) / 2
            for g, (label, _, crowd) in enumerate(self.objects)
        )

    def no_crowd(self, d, g):
        return not self.objects[g][2]

    def same(self, d, g):
        return self.no_crowd(d, g) and self.items[d][0] == self.objects[g][0]

    def overlooked(self, d, g):
        return self.same(d, g) and g not in self.found

    def size(self, d):
        return self.items[d][1].sum()

    def common(self, d, g):
        return (self.items[d][1] & self.objects[g][1]).sum()

    def iou(self, d, g):
        return self.common(d, g) / (self.items[d][1] | self.objects[g][1]).sum()

    def why(self, g):
        """The kind of an object."""
        poor = [
            max(self.overlapped(d, 0.1, self.overlooked), key=lambda other: self.iou(d, other))
            for d, kind in self.kinds.items()
            if kind == "poor outline"
        ]
        covered = [self.covered(d) for d, kind in self.kinds.items() if kind != "ignored"]
        if not self.no_crowd(0, g):
            return "ignored"
        if g in self.of_object:
            return "found" if g in self.found else "wrong class"
        if len(self.pieces[g]) > 1:
            return "split"
        if any(g in held and len(held) > 1 for held in covered):
            return "merged"
        return "poor outline" if g in poor else "missed"


def test_random_scenes_follow_the_rules():
    occurred: Counter[str] = Counter()
    for seed in range(300):
        objects, items = random_case(seed)
        read = WordByWord(objects, items)
        kinds, reasons = list(read.kinds.values()), [read.why(g) for g in range(len(objects))]
        detected, overlooked = verdicts(objects, items)
        assert [kind for kind, _ in detected] == kinds, seed
        assert [kind for kind, _ in overlooked] == reasons, seed
        one = ("correct", "wrong class")
        assert {g: d for d, (kind, g) in enumerate(detected) if kind in one} == read.of_object
        occurred.update(kinds + reasons)
    assert all(occurred[kind] > 15 for kind in (*DETECTION_KINDS, *OBJECT_KINDS)), occurred


def test_correct_ones_are_those_of_coco():
    annotations, results, found, there = [], [], Counter(), Counter()
    for image_id in range(1, 41):
        objects, items = random_case(image_id)
        record, prediction = record_of(objects), predicted(items)
        annotations += [
            {"id": len(annotations) + n, "image_id": image_id, "category_id": i.label,
             "area": i.area, "iscrowd": i.iscrowd, "segmentation": i.segmentation}
            for n, i in enumerate(record.instances, start=1)
        ]  # fmt: skip
        results += [
            {"id": len(results) + n, "image_id": image_id, "category_id": label,
             "area": 1.0, "iscrowd": 0, "segmentation": rle, "score": score}
            for n, ((label, _, score), rle)
            in enumerate(zip(items, prediction["masks"], strict=True), start=1)
        ]  # fmt: skip
        errors = sort_errors(record, prediction, ALL)
        found.update(seen.label for seen in errors.detections if seen.kind == "correct")
        there.update(o.label for o in errors.objects if o.kind != "ignored")
    truth, detected = COCO(), COCO()
    images = [{"id": n, "height": HEIGHT, "width": WIDTH} for n in range(1, 41)]
    shared = {"images": images, "categories": [{"id": CAT}, {"id": DOG}]}
    truth.dataset, detected.dataset = (
        {**shared, "annotations": given} for given in (annotations, results)
    )
    truth.createIndex()
    detected.createIndex()
    evaluation = COCOeval(truth, detected, "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    recall = evaluation.eval["recall"][0, :, 0, -1]  # IoU 0.5, all areas, 100 detections
    assert recall.tolist() == pytest.approx([found[CAT] / there[CAT], found[DOG] / there[DOG]])
