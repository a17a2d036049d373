"""What of an image's labels does not reach the network, or not as it was meant."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nets.mask_rcnn import input_size
from utils.data.records import first_ten
from utils.doctor.object_checks import class_counts
from utils.inspection.anchor_advice import LARGEST_INPUT
from utils.inspection.labelled_objects import LabelledObject
from utils.inspection.subject import Subject

LEAST_SIDE = 8.0  # pixels in the network's input
LEAST_IOU = 0.75  # of the best mask that 28x28 numbers give
BOX_OFF, BOX_OFF_SHARE = 2.0, 0.1  # pixels, and share of the shorter side, of a label's own box


def label_faults(subject: Subject, objects: Sequence[LabelledObject]) -> tuple[str, ...]:
    """Faults in whole sentences, each with what to do."""
    taught = [one for one in objects if one.taught_mask is not None]
    faults = [
        _without_pixels([one for one in objects if one.crop is None]),
        _small(subject, taught),
        _coarse(taught),
        _other_boxes(taught),
        _absent_classes(subject),
    ]
    return tuple(fault for fault in faults if fault)


def _without_pixels(empty: Sequence[LabelledObject]) -> str:
    if not empty:
        return ""
    return f"{_numbers(empty)}: labelled without a single pixel, so nothing is taught; draw anew."


def _small(subject: Subject, taught: Sequence[LabelledObject]) -> str:
    scale = subject.trace.scale
    small = [one for one in taught if min(one.size(scale)) < LEAST_SIDE]
    if not small:
        return ""
    least = min(small, key=lambda one: min(one.size(scale)))
    width, height = least.size(scale)
    larger = LEAST_SIDE / min(width, height)
    shorter, longer = (math.ceil(side * larger) for side in input_size(subject.model))
    return (
        f"{_numbers(small)}: less than {LEAST_SIDE:g} pixels wide or high in the network's input, "
        f"the smallest {width:.3g}x{height:.3g}, and easily missed; cut the images into parts"
        + (
            f", or train with --min-size {shorter} --max-size {longer}, which makes it "
            f"{LEAST_SIDE:g}."
            if longer <= LARGEST_INPUT
            else "."
        )
    )


def _coarse(taught: Sequence[LabelledObject]) -> str:
    coarse = [one for one in taught if one.best_iou < LEAST_IOU]
    if not coarse:
        return ""
    worst = min(coarse, key=lambda one: one.best_iou)
    return (
        f"{_numbers(coarse)}: 28x28 numbers cannot hold the mask, the best IoU is below "
        f"{LEAST_IOU} ({worst.best_iou:.2f} for object {worst.number}); a larger --min-size helps "
        "small objects, a thin large one can be labelled in parts."
    )


def _other_boxes(taught: Sequence[LabelledObject]) -> str:
    other = [
        one for one in taught if one.box_error >= max(BOX_OFF, BOX_OFF_SHARE * min(one.size()))
    ]
    if not other:
        return ""
    worst = max(other, key=lambda one: one.box_error)
    return (
        f"{_numbers(other)}: the label's own box is not that of its mask (off by "
        f"{worst.box_error:.3g} pixels for object {worst.number}); the mask is taught, so "
        "look which of them is right."
    )


def _absent_classes(subject: Subject) -> str:
    if subject.dataset is None:
        return ""
    data = subject.dataset.data
    counts = class_counts(data)
    absent = [
        name
        for label, name in enumerate(data.classes, start=1)
        if not counts[name] and label not in data.unlabelled
    ]
    if not absent:
        return ""
    return (
        f"No object of {', '.join(first_ten(absent))} in this part of the data "
        f"({len(data.images)} images): how well the network finds them cannot be told; look at "
        "another part with --split, or label some."
    )


def _numbers(objects: Sequence[LabelledObject]) -> str:
    listing = ", ".join(first_ten(str(one.number) for one in objects))
    return f"Object {listing}" if len(objects) == 1 else f"Objects {listing}"
