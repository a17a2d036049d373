"""One mistake that was made with all boxes: axes exchanged, another scale, the next image's boxes.

Each possible mistake is undone and the boxes are matched again. Where most fit after and but few
before, that was it; boxes that are merely poor fit under none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from utils.evaluation.error_kinds import greedy_pairs

MOST = 0.5  # the share of the boxes that fits when the mistake is undone
MORE = 4  # how many times more that is than before; by chance mirrored boxes fit, too
FEWEST = 5  # boxes to say something of
SAME_FACTOR = 1.25  # two sides of a box are scaled alike if their factors differ by less
FACTOR_WINDOW = 0.1  # and two boxes, if the logarithms of theirs do


class ImageBoxes(NamedTuple):
    """Boxes of the surest detections of an image and of its objects, both float64 (n, 4) xyxy."""

    boxes: np.ndarray
    objects: np.ndarray
    width: int
    height: int


# What was done to the boxes, and how to undo it: x1, y1, x2, y2, image width and height.
_Columns = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
_UNDO: dict[str, Callable[..., _Columns]] = {
    "x and y are exchanged": lambda x1, y1, x2, y2, w, h: (y1, x1, y2, x2),
    "width and height stand in place of the lower right corner": (
        lambda x1, y1, x2, y2, w, h: (x1, y1, x1 + x2, y1 + y2)
    ),
    "they are shares of the image's width and height": (
        lambda x1, y1, x2, y2, w, h: (x1 * w, y1 * h, x2 * w, y2 * h)
    ),
    "they are of the image mirrored left to right": (
        lambda x1, y1, x2, y2, w, h: (w - x2, y1, w - x1, y2)
    ),
    "they are of the image upside down": lambda x1, y1, x2, y2, w, h: (x1, h - y2, x2, h - y1),
    "they are of the image turned by 180 degrees": (
        lambda x1, y1, x2, y2, w, h: (w - x2, h - y2, w - x1, h - y1)
    ),
    "they are of the image turned by 90 degrees clockwise": (
        lambda x1, y1, x2, y2, w, h: (y1, h - x2, y2, h - x1)
    ),
    "they are of the image turned by 90 degrees counterclockwise": (
        lambda x1, y1, x2, y2, w, h: (w - y2, x1, w - y1, x2)
    ),
}


def box_ious(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """float64 (D, G) of boxes xyxy; 0 where a box has no width or height."""
    if not len(boxes) or not len(others):
        return np.zeros((len(boxes), len(others)))
    sized = [np.hstack([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]]) for xyxy in (boxes, others)]
    return coco_mask.iou(*sized, [0] * len(others))


def box_change(images: Sequence[ImageBoxes]) -> str | None:
    """What was done to all boxes, in a sentence; None if they fit, or fit under nothing tried."""
    total = sum(len(image.boxes) for image in images)
    if total < FEWEST:
        return None
    before = _fitting(images)
    tried = {
        what: [image._replace(boxes=_undone(image, undo)) for image in images]
        for what, undo in _UNDO.items()
    }
    factor = _common_factor(images)
    if factor is not None:
        tried[f"they are those of images {factor:.2f} times as large"] = [
            image._replace(boxes=image.boxes / factor) for image in images
        ]
    for step, where in ((1, "after"), (-1, "before")):
        others = [*images[step:], *images[:step]]
        tried[f"they are those of the image {where} it"] = [
            image._replace(objects=other.objects)
            for image, other in zip(images, others, strict=True)
        ]
    fitting = {what: _fitting(changed) for what, changed in tried.items()}
    what = max(fitting, key=lambda name: fitting[name])
    if fitting[what] < max(MOST * total, MORE * before):
        return None
    return (
        f"the boxes do not fit because {what}: with that undone {fitting[what]} of the {total} "
        f"surest fit an object (IoU 0.5 or more), as they are {before}"
    )


def _undone(image: ImageBoxes, undo: Callable[..., _Columns]) -> np.ndarray:
    return np.stack(undo(*image.boxes.T, image.width, image.height), axis=1)


def _fitting(images: Sequence[ImageBoxes]) -> int:
    return sum(int(greedy_pairs(box_ious(i.boxes, i.objects)).sum()) for i in images)


def _common_factor(images: Sequence[ImageBoxes]) -> float | None:
    """The factor by which most pairs of a box and an object differ in both place and size."""
    votes = []
    for image in images:
        measures = [
            np.log(np.maximum(np.hstack([b[:, :2] + b[:, 2:], b[:, 2:] - b[:, :2]]), 1e-9))
            for b in (image.boxes, image.objects)
        ]
        factors = measures[0][:, None] - measures[1]
        alike = np.ptp(factors, axis=2) < np.log(SAME_FACTOR)
        votes += factors[alike].mean(axis=1).tolist()
    if not votes:
        return None
    logs = np.sort(votes)
    ends = np.searchsorted(logs, logs + FACTOR_WINDOW, side="right")
    start = int((ends - np.arange(len(logs))).argmax())
    return float(np.exp(np.median(logs[start : ends[start]])))
