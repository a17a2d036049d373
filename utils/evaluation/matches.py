"""Which detection found which object: COCO's matching, done once for all numbers made from it.

Average precision, its intervals, score thresholds and curves are all read off the same matches, and
any weighting of the images (a bootstrap resample, one image left out) needs no second look at a
mask. The rules are those of pycocotools' ``COCOeval.evaluateImg``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from nets.contract import Prediction
from utils.data.records import ImageRecord, RecordSet, Rle, to_rle
from utils.evaluation.coco_parameters import AREAS, IOU_THRESHOLDS, IOU_TYPES

_LOWEST = np.array([low for low, _ in AREAS.values()])[:, None]
_HIGHEST = np.array([high for _, high in AREAS.values()])[:, None]


@dataclass(frozen=True)
class Matches:
    """The detections of a data set, by one kind of IoU, each matched with an object or not.

    D detections, by image id and then by score; N images, in the order of the records; K classes;
    A ``AREAS``; T ``IOU_THRESHOLDS``. A detection that is matched and not ignored is a true
    positive, one that is neither is a false positive.
    """

    image: np.ndarray  # int64 (D,), 0..N-1
    label: np.ndarray  # int64 (D,), 1..K
    score: np.ndarray  # float64 (D,)
    rank: np.ndarray  # int64 (D,), place by score in its image and class, 0 the surest
    matched: np.ndarray  # bool (A, T, D)
    ignored: np.ndarray  # bool (A, T, D): on a crowd, or of another size
    objects: np.ndarray  # int64 (A, N, K), those that count: no crowds, of that size


class Objects(NamedTuple):
    """The labelled objects of one image."""

    label: np.ndarray  # int64 (G,)
    area: np.ndarray  # float64 (G,), as labelled
    crowd: np.ndarray  # bool (G,)
    shapes: dict[str, list]  # by IoU type: boxes x, y, width, height; run lengths


class ImageMatches(NamedTuple):
    """``Matches`` of a single image, detections by falling score."""

    label: np.ndarray
    score: np.ndarray
    rank: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray


def objects_of(record: ImageRecord) -> Objects:
    """What is to be found in an image."""
    instances = record.instances
    return Objects(
        np.array([instance.label for instance in instances], dtype=np.int64),
        np.array([instance.area for instance in instances], dtype=np.float64),
        np.array([instance.iscrowd for instance in instances], dtype=bool),
        {
            "bbox": [list(instance.bbox) for instance in instances],
            "segm": [to_rle(i.segmentation, record.height, record.width) for i in instances],
        },
    )


def match_image(objects: Objects, prediction: Prediction, max_dets: int) -> dict[str, ImageMatches]:
    """Match the ``max_dets`` surest detections of each class in an image, by boxes and by masks."""
    prediction = surest(prediction, max_dets)
    labels = prediction["labels"].numpy()
    x1, y1, x2, y2 = prediction["boxes"].double().numpy().T
    shapes: dict[str, list] = {
        "bbox": np.stack([x1, y1, x2 - x1, y2 - y1], axis=1).tolist(),
        "segm": prediction["masks"],
    }
    area = {"bbox": (x2 - x1) * (y2 - y1), "segm": mask_areas(shapes["segm"])}
    return {
        kind: _matched(
            objects, labels, prediction["scores"].double().numpy(), _rank_in_class(labels),
            area[kind],
            _ious(shapes[kind], objects.shapes[kind], objects.crowd),
        )
        for kind in IOU_TYPES
    }  # fmt: skip


def surest(prediction: Prediction, max_dets: int) -> Prediction:
    """The detections of an image that ``match_image`` looks at, by falling score."""
    order = np.argsort(-prediction["scores"].double().numpy(), kind="stable")
    order = order[_rank_in_class(prediction["labels"].numpy()[order]) < max_dets]
    return Prediction(
        boxes=prediction["boxes"][order],
        labels=prediction["labels"][order],
        scores=prediction["scores"][order],
        masks=[prediction["masks"][i] for i in order],
    )


def join(
    data: RecordSet, objects: Sequence[Objects], of_images: Mapping[int, ImageMatches]
) -> Matches:
    """The matches of a whole data set; ``of_images`` by the number of the image in ``data``.

    An image without matches is one in which nothing was found.
    """
    numbers = sorted(of_images, key=lambda number: data.images[number].image_id)
    parts = [of_images[number] for number in numbers] or [_nothing()]
    sizes = [len(part.label) for part in parts]
    return Matches(
        np.repeat(np.array(numbers or [0], dtype=np.int64), sizes),
        np.concatenate([part.label for part in parts]),
        np.concatenate([part.score for part in parts]),
        np.concatenate([part.rank for part in parts]),
        np.concatenate([part.matched for part in parts], axis=2),
        np.concatenate([part.ignored for part in parts], axis=2),
        count_objects(objects, len(data.classes)),
    )


def count_objects(objects: Sequence[Objects], classes: int) -> np.ndarray:
    """int64 (A, N, K): how many objects of each class and size count in each image."""
    counts = np.zeros((len(AREAS), len(objects), classes), dtype=np.int64)
    for number, of_image in enumerate(objects):
        for area, ignored in enumerate(_ignored(of_image)):
            np.add.at(counts[area, number], of_image.label[~ignored] - 1, 1)
    return counts


def _matched(
    objects: Objects,
    labels: np.ndarray,
    scores: np.ndarray,
    rank: np.ndarray,
    areas: np.ndarray,
    ious: np.ndarray,
) -> ImageMatches:
    """Each detection in turn takes the object it overlaps most, if that is still free.

    An object that is ignored is taken only if there is no other; of equals the last is taken; a
    crowd can be taken again and again.
    """
    ignore = _ignored(objects)[:, None]  # (A, 1, G)
    free = np.ones((len(AREAS), len(IOU_THRESHOLDS), len(objects.label)), dtype=bool)
    matched = np.zeros((len(AREAS), len(IOU_THRESHOLDS), len(labels)), dtype=bool)
    ignored = np.repeat(_out_of(areas)[:, None], len(IOU_THRESHOLDS), axis=1)
    ious = np.where(labels[:, None] == objects.label, ious, -1.0)
    for detection in np.flatnonzero(ious.max(axis=1, initial=-1) >= IOU_THRESHOLDS[0]):
        near = np.flatnonzero(ious[detection] >= IOU_THRESHOLDS[0])
        iou = ious[detection, near]
        possible = (iou >= IOU_THRESHOLDS[:, None]) & free[..., near]
        wanted = possible & ~ignore[..., near]
        wanted = np.where(wanted.any(axis=2, keepdims=True), wanted, possible)
        # Reversed, so that argmax takes the last of equals.
        best = len(near) - 1 - np.where(wanted, iou, -1.0)[..., ::-1].argmax(axis=2)
        area, threshold = np.nonzero(wanted.any(axis=2))
        taken = near[best[area, threshold]]
        matched[area, threshold, detection] = True
        ignored[area, threshold, detection] = ignore[area, 0, taken]
        free[area, threshold, taken] = objects.crowd[taken]
    return ImageMatches(labels, scores, rank, matched, ignored)


def _nothing() -> ImageMatches:
    none = np.zeros((len(AREAS), len(IOU_THRESHOLDS), 0), dtype=bool)
    whole = np.zeros(0, dtype=np.int64)
    return ImageMatches(whole, np.zeros(0), whole, none, none)


def _ious(detections: list, objects: list, crowd: np.ndarray) -> np.ndarray:
    """float64 (detections, objects); of a crowd, the part of the detection that lies in it."""
    if not detections or not objects:
        return np.zeros((len(detections), len(objects)))
    return coco_mask.iou(detections, objects, crowd.tolist())


def _ignored(objects: Objects) -> np.ndarray:
    """bool (A, G): crowds, and objects of another size."""
    return _out_of(objects.area) | objects.crowd


def _out_of(areas: np.ndarray) -> np.ndarray:
    """bool (A, n): which are of another size."""
    return (areas < _LOWEST) | (areas > _HIGHEST)


def _rank_in_class(labels: np.ndarray) -> np.ndarray:
    """How many of the same label come before each."""
    order = np.argsort(labels, kind="stable")
    by_label = labels[order]
    starts = np.searchsorted(by_label, by_label)
    rank = np.empty(len(labels), dtype=np.int64)
    rank[order] = np.arange(len(labels)) - starts
    return rank


def mask_areas(masks: Sequence[Rle]) -> np.ndarray:
    """float64 (n,), the pixels of each run-length mask."""
    # One by one: pycocotools counts the masks of a list in 8 bits.
    return np.array([coco_mask.area(mask) for mask in masks], dtype=np.float64)
