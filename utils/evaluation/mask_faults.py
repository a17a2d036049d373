"""Masks that do not fit although their boxes do: how far off they are, and why if that shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from utils.data.records import Rle
from utils.evaluation.error_kinds import MATCH_IOU
from utils.evaluation.matches import mask_areas

FEWEST = 5  # masks to say something of
CLEARLY = 0.8  # the share of them that follows one rule
MOST_DECODED = 20


class Fit(NamedTuple):
    """A detection whose box fits an object (IoU 0.5 or more), whatever its class."""

    truth: int  # the object's label
    label: int  # the detection's
    mask_iou: float
    mask: Rle
    outline: Rle  # of the object
    box: np.ndarray  # float64 (4,) xyxy, the detection's


# What a mask is, and what makes it right again, inside its box.
_UNDO: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mirrored left to right": lambda crop: crop[:, ::-1],
    "upside down": lambda crop: crop[::-1],
    "turned by 180 degrees": lambda crop: crop[::-1, ::-1],
    "inverted": lambda crop: ~crop,
}


def mask_fault(fits: Sequence[Fit]) -> str | None:
    """What is wrong with the masks of detections whose box and class are right.

    Returns:
        a sentence with numbers; None if enough of the masks fit, or there are too few to say.
    """
    good = sum(fit.mask_iou >= MATCH_IOU for fit in fits)
    if len(fits) < FEWEST or good > (1 - CLEARLY) * len(fits):
        return None
    cause = _empty(fits) or _off_their_boxes(fits) or _changed(fits) or _size(fits)
    median = np.median([fit.mask_iou for fit in fits])
    return (
        f"of {len(fits)} detections whose box and class are right, {good} have a mask that is (IoU "
        f"0.5 or more; {median:.2f} in the median): {cause}"
    )


def _empty(fits: Sequence[Fit]) -> str:
    empty = int((mask_areas([fit.mask for fit in fits]) == 0).sum())
    return f"{empty} masks are empty" if empty >= CLEARLY * len(fits) else ""


def _off_their_boxes(fits: Sequence[Fit]) -> str:
    """Masks whose centre is farther from their box's centre than a quarter of its sides."""
    bounds = coco_mask.toBbox([fit.mask for fit in fits])
    boxes = np.stack([fit.box for fit in fits])
    shift = bounds[:, :2] + bounds[:, 2:] / 2 - (boxes[:, :2] + boxes[:, 2:]) / 2
    off = int((np.abs(shift) > (boxes[:, 2:] - boxes[:, :2]) / 4).any(axis=1).sum())
    if off < CLEARLY * len(fits):
        return ""
    right, down = np.median(shift, axis=0)
    return (
        f"{off} do not lie in the middle of their boxes; in the median they lie {right:+.0f} px to "
        f"the right and {down:+.0f} px down"
    )


def _changed(fits: Sequence[Fit]) -> str:
    some = fits[:MOST_DECODED]
    for what, undo in _UNDO.items():
        right = sum(_iou_after(fit, undo) >= MATCH_IOU for fit in some)
        if right >= CLEARLY * len(some):
            return f"they are {what} in their boxes; with that undone {right} of {len(some)} fit"
    return ""


def _iou_after(fit: Fit, undo: Callable[[np.ndarray], np.ndarray]) -> float:
    mask, outline = (coco_mask.decode(rle).astype(bool) for rle in (fit.mask, fit.outline))
    height, width = mask.shape
    x1, y1, x2, y2 = np.rint(fit.box).clip(0, [width, height, width, height]).astype(int)
    changed = np.zeros_like(mask)
    changed[y1:y2, x1:x2] = undo(mask[y1:y2, x1:x2])
    return float((changed & outline).sum() / max((changed | outline).sum(), 1))


def _size(fits: Sequence[Fit]) -> str:
    areas = [mask_areas([getattr(fit, name) for fit in fits]) for name in ("mask", "outline")]
    ratio = np.median(areas[0] / np.maximum(areas[1], 1.0))
    return f"their area is {ratio:.2f} times that of the object in the median"
