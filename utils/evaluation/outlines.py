"""How well outlines fit: IoU, Dice and boundary IoU of matched masks, Dice of a class's pixels.

of_images = [image_outlines(record, prediction, pairs, counted, len(classes)) for ...]
sums = outline_sums(of_images, classes)
metrics = means(sums)                           # {"matched/IoU": 0.87, "segm/Dice": 0.91, ...}
replicates = sums["matched/IoU"].mean(weights)  # of bootstrap resamples
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from nets.contract import Prediction
from utils.data.mask_crops import Crop, crop_mask
from utils.data.records import ImageRecord, Instance, Rle, to_rle
from utils.evaluation.image_sums import ImageSums, by_class

BAND_WIDTH = 0.02  # of boundary IoU, as a share of the image's diagonal


def iou(first: Rle, second: Rle) -> float:
    """Intersection over union of two masks of one image; 0 if neither has a pixel."""
    return float(coco_mask.iou([first], [second], [0])[0, 0])


def dice(first: Rle, second: Rle) -> float:
    """Twice the intersection over the sum of both areas; 0 if neither mask has a pixel."""
    overlap = iou(first, second)
    return 2 * overlap / (1 + overlap)


def boundary_iou(first: Rle, second: Rle) -> float:
    """IoU of the bands along the inside of two outlines; 0 if neither mask has a pixel.

    A band is as wide as 2 % of the image's diagonal, at least a pixel, and runs along the image's
    border too, where an object is cut (Cheng et al. 2021, "Boundary IoU", and its published code).
    In IoU the inside of a large object hides what its outline is like.
    """
    height, width = first["size"]
    distance = max(1, round(BAND_WIDTH * math.hypot(height, width)))
    bands = [_band(rle, distance) for rle in (first, second)]
    both = _shared_pixels(*bands)
    either = sum(int(band.mask.sum()) for band in bands) - both
    return both / either if either else 0.0


def pixel_dice(objects: Sequence[Rle], found: Sequence[Rle], crowds: Sequence[Rle] = ()) -> float:
    """Dice of all pixels of some objects against all pixels of some detections of one image.

    The pixels of crowds are left out of both. NaN if no pixel is left in either.
    """
    truth, marked, ignored = [*objects, *crowds], [*found, *crowds], _area(crowds)
    both = 0
    if truth and marked:
        overlap = coco_mask.merge([coco_mask.merge(truth), coco_mask.merge(marked)], intersect=True)
        both = _area([overlap])
    total = _area(truth) + _area(marked) - 2 * ignored
    return 2 * (both - ignored) / total if total else math.nan


class ImageOutlines(NamedTuple):
    """The outlines of one image: P pairs of an object and the detection that found it."""

    label: np.ndarray  # int64 (P,), 1..K
    true_area: np.ndarray  # float64 (P,), pixels of the object
    found_area: np.ndarray  # float64 (P,), pixels of the detection
    iou: np.ndarray  # float64 (P,)
    boundary_iou: np.ndarray  # float64 (P,)
    pixel_dice: np.ndarray  # float64 (K,); NaN where the class has no pixel, labelled or found


def image_outlines(
    record: ImageRecord,
    prediction: Prediction,
    pairs: Sequence[tuple[int, int]],
    counted: np.ndarray,
    classes: int,
) -> ImageOutlines:
    """Measure the outlines of one image.

    Args:
        pairs: (object, detection) by their places in ``record.instances`` and ``prediction``.
        counted: bool (M,), the detections whose pixels count for ``pixel_dice``.
        classes: K.
    """
    objects = [to_rle(i.segmentation, record.height, record.width) for i in record.instances]
    matched = [(objects[o], prediction["masks"][d]) for o, d in pairs]
    found_labels = prediction["labels"].numpy()

    def labelled(label: int, crowd: int) -> list[Rle]:
        return [
            rle
            for rle, instance in zip(objects, record.instances, strict=True)
            if (instance.label, instance.iscrowd) == (label, crowd)
        ]

    def found(label: int) -> list[Rle]:
        return [prediction["masks"][d] for d in np.flatnonzero(counted & (found_labels == label))]

    def over_pairs(measure: Callable[[Rle, Rle], float]) -> np.ndarray:
        return np.array([measure(*pair) for pair in matched], dtype=np.float64)

    return ImageOutlines(
        label=np.array([record.instances[o].label for o, _ in pairs], dtype=np.int64),
        true_area=over_pairs(lambda true, found: _area([true])),
        found_area=over_pairs(lambda true, found: _area([found])),
        iou=over_pairs(iou),
        boundary_iou=over_pairs(boundary_iou),
        pixel_dice=np.array(
            [
                pixel_dice(labelled(label, 0), found(label), labelled(label, 1))
                for label in range(1, classes + 1)
            ]
        ),
    )


def outline_sums(
    of_images: Sequence[ImageOutlines], classes: Sequence[str]
) -> dict[str, ImageSums]:
    """``matched/IoU``, ``matched/Dice`` and ``matched/BoundaryIoU`` over all pairs, ``segm/Dice``
    over the images and classes in which it is defined; each also per class if there are several.
    """

    def per_image(values: Sequence[np.ndarray]) -> np.ndarray:
        rows = [
            np.bincount(image.label - 1, weights=value, minlength=len(classes))
            for image, value in zip(of_images, values, strict=True)
        ]
        return np.array(rows, dtype=np.float64).reshape(-1, len(classes))

    pairs = per_image([np.ones(len(image.label)) for image in of_images])
    values = {
        "matched/IoU": [image.iou for image in of_images],
        "matched/Dice": [2 * image.iou / (1 + image.iou) for image in of_images],
        "matched/BoundaryIoU": [image.boundary_iou for image in of_images],
    }
    pixels = np.array([image.pixel_dice for image in of_images]).reshape(-1, len(classes))
    sums: dict[str, ImageSums] = {}
    for name, value in values.items():
        sums |= by_class(name, per_image(value), pairs, classes)
    defined = ~np.isnan(pixels)
    return sums | by_class("segm/Dice", np.where(defined, pixels, 0.0), defined * 1.0, classes)


def _band(rle: Rle, distance: int) -> Crop:
    """The pixels of a mask with background or the image's end within ``distance``."""
    crop = crop_mask(Instance(0, rle, (0, 0, 0, 0), 0), *rle["size"])
    if crop is None:
        return Crop(0, 0, np.zeros((0, 0), bool))
    band = crop.mask.astype(bool)
    height, width = band.shape
    # Beyond its own crop there is only background, so the inside is at least so far from its edges.
    inside = _eroded(band, distance)
    band[distance : height - distance, distance : width - distance] &= ~inside
    return Crop(crop.x, crop.y, band)


def _eroded(mask: np.ndarray, distance: int) -> np.ndarray:
    """The places (h - 2 * distance, w - 2 * distance) whose whole neighbourhood is in the mask."""
    for _ in range(2):  # rows, then columns
        reach = 1
        while reach < 2 * distance + 1:
            step = min(reach, 2 * distance + 1 - reach)
            mask = mask[step:] & mask[:-step]
            reach += step
        mask = mask.T
    return mask


def _shared_pixels(first: Crop, second: Crop) -> int:
    left, top = max(first.x, second.x), max(first.y, second.y)
    right = min(crop.x + crop.mask.shape[1] for crop in (first, second))
    bottom = min(crop.y + crop.mask.shape[0] for crop in (first, second))
    if right <= left or bottom <= top:
        return 0
    windows = [
        crop.mask[top - crop.y : bottom - crop.y, left - crop.x : right - crop.x]
        for crop in (first, second)
    ]
    return int((windows[0] & windows[1]).sum())


def _area(rles: Sequence[Rle]) -> int:
    """How many pixels lie in any of the masks."""
    return int(coco_mask.area(coco_mask.merge(list(rles)))) if rles else 0
