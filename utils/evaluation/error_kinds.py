"""What is wrong with each detection, and why each object was not found.

The kinds follow TIDE (Bolya et al. 2020) where it has them; "split" and "merged" are about outlines
and are added, since touching objects are what instance segmentation is used for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco_mask

from nets.contract import Prediction
from utils.data.records import ImageRecord
from utils.evaluation.matches import mask_areas, objects_of

MATCH_IOU = 0.5  # from here on, a detection and an object are one thing
NEAR_IOU = 0.1  # from here on, they have to do with each other; TIDE's background threshold
MOSTLY = 0.5  # the share of an area that counts as most of it

DETECTION_KINDS = (
    "correct", "duplicate", "wrong class", "split", "merged", "poor outline", "background",
    "ignored",
)  # fmt: skip
OBJECT_KINDS = ("found", "wrong class", "split", "merged", "poor outline", "missed", "ignored")


@dataclass(frozen=True, slots=True)
class DetectionVerdict:
    """A detection: ``index`` into the prediction, ``area`` of its mask in square pixels.

    ``other`` is the index of the object meant, ``iou`` the IoU of the two masks (of a crowd, the
    share of the detection in it). For "background" it is the object overlapped most, if any is.
    """

    index: int
    label: int
    score: float
    area: float
    kind: str
    other: int | None
    iou: float


@dataclass(frozen=True, slots=True)
class ObjectVerdict:
    """An object: ``index`` into the record's instances, ``area`` as labelled.

    ``other`` is the index of the detection meant, ``iou`` the IoU of the two masks. For "missed" it
    is the detection that overlaps most, if any does.
    """

    index: int
    label: int
    area: float
    kind: str
    other: int | None
    iou: float


@dataclass(frozen=True)
class ImageErrors:
    """The verdicts of one image: detections by falling score, objects in the record's order."""

    image_id: int
    detections: tuple[DetectionVerdict, ...]
    objects: tuple[ObjectVerdict, ...]


def sort_errors(record: ImageRecord, prediction: Prediction, thresholds: np.ndarray) -> ImageErrors:
    """Give every detection that is sure enough, and every object, exactly one kind.

    A detection has the first of these that fits; "of its class" never means a crowd:

    1. correct: COCO's match at mask IoU 0.5: by falling score, each takes the free object of its
       class that it overlaps most.
    2. ignored: at least half of it lies in a crowd of its class.
    3. duplicate: IoU >= 0.5 with an object of its class, which then is found already.
    4. wrong class: IoU >= 0.5 with an object of another class that is not found; matched as in 1,
       so an object has one such detection.
    5. duplicate: IoU >= 0.5 with an object of another class that has its detection from 1 or 4.
    6. split: at least half of it lies in an object of its class that has no detection from 1 or 4,
       and so does another detection that comes to this point.
    7. merged: it covers at least half of each of two or more objects of its class.
    8. poor outline: IoU >= 0.1 with an object of its class that is not found.
    9. duplicate: IoU >= 0.1 with an object of its class that is found.
    10. background: the rest.

    An object is "ignored" if it is a crowd; else "found" by 1, "wrong class" by 4, "split" by 6,
    "merged" if any detection that is not ignored covers it and another as in 7, "poor outline" if
    it is the one that a detection of 8 overlaps most; else "missed".

    Two touching cells under one outline: if its IoU with the larger one is 0.6, the detection is
    correct, the larger cell found and the smaller merged; if it is 0.45, all three are merged.

    Args:
        thresholds: float (K,), the lowest score that counts for each class, in label order.
    """
    objects = objects_of(record)
    scores, labels = prediction["scores"].double().numpy(), prediction["labels"].numpy()
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= np.asarray(thresholds)[labels[order] - 1]]
    masks = [prediction["masks"][index] for index in order]
    areas = mask_areas(masks)
    ious = mask_ious(masks, objects.shapes["segm"], objects.crowd)
    detected, overlooked = _verdicts(
        ious,
        labels[order, None] == objects.label,
        objects.crowd,
        areas[:, None],
        mask_areas(objects.shapes["segm"]),
    )
    return ImageErrors(
        record.image_id,
        tuple(
            DetectionVerdict(int(index), int(labels[index]), float(scores[index]), float(area), *of)
            for index, area, of in zip(order, areas, detected, strict=True)
        ),
        tuple(
            ObjectVerdict(
                index, instance.label, instance.area, kind,
                None if other is None else int(order[other]), iou,
            )
            for index, (instance, (kind, other, iou)) in enumerate(
                zip(record.instances, overlooked, strict=True)
            )
        ),
    )  # fmt: skip


_Verdict = tuple[str, int | None, float]
_Rule = tuple[str, np.ndarray]  # a kind, and the pairs that make it so, bool (D, G)


def _verdicts(
    ious: np.ndarray,
    alike: np.ndarray,
    crowd: np.ndarray,
    areas: np.ndarray,
    of_objects: np.ndarray,
) -> tuple[list[_Verdict], list[_Verdict]]:
    """The rules of ``sort_errors``: each is a (D, G) table of pairs that make it hold.

    ``alike`` (D, G) says which have the same label; ``areas`` is (D, 1), ``of_objects`` (G,).
    """
    same = alike & ~crowd
    near = (ious >= MATCH_IOU) & ~crowd
    correct = greedy_pairs(np.where(same, ious, 0.0))
    found = correct.any(axis=0)
    on_crowd = alike & crowd & (ious >= MATCH_IOU) & ~_any(correct)
    rest = ~_any(correct | on_crowd | (near & same))
    wrong = greedy_pairs(np.where(rest & near & ~found, ious, 0.0))

    rest = rest & ~_any(near)  # no object is as near as IoU 0.5 from here on
    # IoU = common / (area + area - common), and of whole pixels
    common = np.rint(ious * (areas + of_objects) / (1.0 + ious))
    touching = same & (common > 0)
    pieces = rest & touching & (common >= MOSTLY * areas) & ~found & ~wrong.any(axis=0)
    pieces &= pieces.sum(axis=0) >= 2
    covers = touching & (common >= MOSTLY * of_objects) & ~_any(on_crowd)
    covers &= covers.sum(axis=1, keepdims=True) >= 2
    close = rest & ~_any(pieces | covers) & same & (ious >= NEAR_IOU)
    poor = close & ~found

    detections = _first(
        ious,
        ("correct", correct), ("ignored", on_crowd), ("duplicate", near & same),
        ("wrong class", wrong), ("duplicate", near), ("split", pieces), ("merged", covers),
        ("poor outline", poor), ("duplicate", close), ("background", (ious > 0) & ~crowd),
    )  # fmt: skip
    objects = _first(
        ious.T,
        ("found", correct.T), ("wrong class", wrong.T), ("split", pieces.T), ("merged", covers.T),
        ("poor outline", _best(ious, poor).T), ("missed", ious.T > 0),
    )  # fmt: skip
    ignored: _Verdict = ("ignored", None, 0.0)
    return detections, [ignored if c else o for c, o in zip(crowd, objects, strict=True)]


def greedy_pairs(ious: np.ndarray) -> np.ndarray:
    """COCO's matching: each row in turn takes the free column of the highest IoU, 0.5 at least.

    Of equals the last is taken, as pycocotools does. Both ``ious`` and the bool result are (D, G).
    """
    pairs = np.zeros(ious.shape, dtype=bool)
    free = np.ones(ious.shape[1], dtype=bool)
    for row in np.flatnonzero(ious.max(axis=1, initial=0.0) >= MATCH_IOU):
        possible = np.where(free, ious[row], 0.0)
        best = len(free) - 1 - int(possible[::-1].argmax())
        if possible[best] >= MATCH_IOU:
            pairs[row, best] = True
            free[best] = False
    return pairs


def mask_ious(masks: Sequence, objects: Sequence, crowd: np.ndarray) -> np.ndarray:
    """float64 (D, G); of a crowd, the share of the detection that lies in it.

    Masks of images of different sizes do not overlap.
    """
    if not masks or not objects:
        return np.zeros((len(masks), len(objects)))
    return np.maximum(coco_mask.iou(masks, objects, crowd.tolist()), 0.0)  # -1: other sizes


def _any(table: np.ndarray) -> np.ndarray:
    """bool (D, 1): the rows with a pair."""
    return np.any(table, axis=1, keepdims=True)


def _best(ious: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """bool (D, G): of each row's pairs the one of the highest IoU."""
    if not pairs.size:
        return pairs
    kept = np.zeros(pairs.shape, dtype=bool)
    kept[np.arange(len(pairs)), np.where(pairs, ious, -1.0).argmax(axis=1)] = True
    kept &= pairs
    return kept


def _first(ious: np.ndarray, *rules: _Rule) -> list[_Verdict]:
    """Each row's first rule with a pair, and of its pairs the highest IoU; else the last rule."""
    verdicts: list[_Verdict] = [(rules[-1][0], None, 0.0)] * len(ious)
    for kind, pairs in reversed(rules):
        for row in np.flatnonzero(pairs.any(axis=1)):
            best = int(np.where(pairs[row], ious[row], -1.0).argmax())
            verdicts[row] = (kind, best, float(ious[row, best]))
    return verdicts
