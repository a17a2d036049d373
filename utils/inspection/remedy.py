"""What to do about an object that was lost. What predict.py has a setting for is tried out."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from torch import Tensor
from torchvision.ops import batched_nms

from utils.evaluation.error_kinds import MATCH_IOU, sort_errors
from utils.inspection.evidence import Evidence
from utils.inspection.journey import Journey, iou_text, own_ious

NMS_THRESHOLDS = (0.6, 0.7, 0.8, 0.9)  # that are tried
# By the name of the stage.
ADVICE = {
    "anchors": "no anchor has its size and shape. Train with --anchors auto, and if it is small "
    "with a larger --min-size.",
    "RPN boxes": "the RPN does not move its anchors onto it. Train longer or with more images of "
    "such objects, and look whether its label is right.",
    "RPN ranking": "the RPN takes it for background. Train with more images of such objects, and "
    "look whether some lack a label; more --proposals keep more boxes.",
    "RPN NMS": "a surer box was in its place. Train with more images of objects that touch like "
    "these, or with a larger --min-size.",
    "proposals": "too many boxes were surer. Train with more --proposals, or with more images of "
    "such objects.",
    "box head": "the box head moves its boxes off it. Train longer or with more images of such "
    "objects, and look whether its label is right.",
    "class scores": "the box head takes it for something else. Look whether its label is right; "
    "train with more images of such objects.",
    "NMS": "of two boxes of a class that overlap so much, the surer one is kept.",
    "detection limit": "there are too many surer detections.",
    "score threshold": "it was detected, but not surely enough.",
    "outline": "its outline is poor. Look whether the labels' outlines are exact (python -m "
    "tools.check), train longer, or with a larger --min-size.",
    "match": "its detection counts for another object. Look whether it is labelled twice; else "
    "train with more images of objects that touch like these.",
}  # fmt: skip


def remedy(evidence: Evidence, way: Journey) -> str:
    """What happened to a lost object, and what to do about it, in a few sentences."""
    assert way.lost is not None
    name = way.lost.name
    tried: dict[str, Callable[[Evidence, Journey], str]] = {
        "NMS": _other_suppression,
        "detection limit": _more_detections,
        "score threshold": _lower_threshold,
    }
    return f"{ADVICE[name]} {tried[name](evidence, way)}" if name in tried else ADVICE[name]


def _lower_threshold(evidence: Evidence, way: Journey) -> str:
    at = _surest(evidence, way, evidence.detected.kept)
    assert at is not None
    least = math.floor(float(evidence.detected.candidate_scores[at]) * 1000) / 1000
    lower = np.where(np.isinf(evidence.thresholds), np.inf, least)
    errors = sort_errors(evidence.record, evidence.seen.prediction, lower)
    others = len(errors.detections) - len(evidence.errors.detections) - 1
    verdict = errors.objects[way.verdict.index]
    if verdict.kind == "found":
        return (
            f"With predict.py --score-threshold {least:.3f} it is found, and {others} more "
            "detections are shown; or train with more images like it."
        )
    return (
        f"A lower predict.py --score-threshold alone does not help: the object would then count as "
        f"{verdict.kind} (mask IoU {iou_text(verdict.iou)}). Train with more images like it."
    )


def _other_suppression(evidence: Evidence, way: Journey) -> str:
    steps = evidence.detected
    for threshold in NMS_THRESHOLDS:
        boxes, scores = steps.candidate_boxes, steps.candidate_scores
        left = batched_nms(boxes, scores, steps.labels, threshold)[: steps.limit]
        if (at := _surest(evidence, way, left)) is not None:
            return (
                f"predict.py --nms-threshold {threshold:g} keeps a box of it, and "
                f"{max(len(left) - len(steps.kept) - 1, 0)} others{_if_unsure(evidence, way, at)}; "
                "or train with more images of objects that touch like these."
            )
    return (
        f"No predict.py --nms-threshold up to {NMS_THRESHOLDS[-1]:g} keeps a box of it: train with "
        "more images of objects that touch like these."
    )


def _more_detections(evidence: Evidence, way: Journey) -> str:
    survivors = evidence.detected.survivors
    at = _surest(evidence, way, survivors)
    assert at is not None
    needed = survivors.tolist().index(at) + 1
    return f"predict.py --max-detections {needed} keeps it{_if_unsure(evidence, way, at)}."


def _surest(evidence: Evidence, way: Journey, candidates: Tensor) -> int | None:
    """Which of these candidates, the surest first, is the first box of the object."""
    steps, label, index = evidence.detected, way.instance.label, way.verdict.index
    ious = own_ious(steps.boxes[:, label], evidence.of_class(label), index)
    is_own = (steps.labels == label) & (ious[steps.proposals] >= MATCH_IOU)
    own = candidates[is_own[candidates]]
    return int(own[0]) if len(own) else None


def _if_unsure(evidence: Evidence, way: Journey, candidate: int) -> str:
    """That the threshold would have to be lower as well, if so."""
    score = float(evidence.detected.candidate_scores[candidate])
    least = evidence.thresholds[way.instance.label - 1]
    if score >= least:
        return ""
    name = evidence.classes[way.instance.label - 1]
    return (
        f"; its score is {score:.3f} and {name} counts from {least:.3f} on, so that "
        "--score-threshold would have to be lower too"
    )
