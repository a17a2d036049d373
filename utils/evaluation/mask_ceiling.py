"""What a perfect detector would reach: how much of an outline 28 by 28 numbers can hold.

The mask head answers with 28 x 28 probabilities per object, whatever its size. Thin or ragged
parts of large objects get lost there, and so do those that vanish when the picture is resized to
the network's input. A network that has learned its targets exactly reaches this ceiling, and more
training hardly lifts it; a larger input may.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor
from torchvision.models.detection.roi_heads import project_masks_on_boxes
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from nets.contract import Prediction
from nets.mask_paste import paste_masks
from utils.data.records import ImageRecord, RecordSet, to_rle
from utils.data.targets import record_target
from utils.evaluation.coco_evaluator import CocoEvaluator
from utils.evaluation.coco_parameters import AREAS, MOST_DETECTIONS
from utils.evaluation.outlines import boundary_iou, iou

MASK_SIDE = 28  # of torchvision's mask head: pooled to 14, then doubled
MOST_OBJECTS = 2000


class ObjectCeiling(NamedTuple):
    """How well the outline of one object can be found at best."""

    image: str  # the name in the data set
    instance: int  # its place in the image's record
    label: int
    area: float
    iou: float
    boundary_iou: float


@dataclass(frozen=True)
class Ceiling:
    """What a perfect detector would reach on a data set.

    ``metrics`` are ``ceiling/IoU`` and ``ceiling/BoundaryIoU``, means over objects;
    ``ceiling/IoUs``, ``IoUm`` and ``IoUl`` by COCO's sizes; ``ceiling/IoU/<class>`` if there are
    several classes; and ``ceiling/AP``, ``ceiling/AP75`` and the like for each ``segm/...`` of the
    evaluation. ``objects`` may be a sample of the ``total`` that the data set has.
    """

    objects: tuple[ObjectCeiling, ...]
    metrics: dict[str, float]
    total: int

    def lowest(self, count: int) -> list[ObjectCeiling]:
        """The objects with the lowest ceiling, the lowest first."""
        return sorted(self.objects, key=lambda one: one.iou)[:count]


def mask_ceiling(
    data: RecordSet,
    input_size: tuple[int, int],
    most_objects: int = MOST_OBJECTS,
    max_dets: int = MOST_DETECTIONS,
) -> Ceiling:
    """Judge a detector that answers with exact boxes and classes, score 1, and its mask targets.

    The targets are made as for training. Crowds are not looked at, nor are objects without a pixel,
    which count as not found.

    Args:
        input_size: of the network, ``nets.mask_rcnn.input_size(model)``.
        most_objects: of a set with more objects every k-th image is looked at, k so that about so
            many objects are.
        max_dets: detections per image and class that count for AP.
    """
    total = sum(not i.iscrowd for record in data.images for i in record.instances)
    every = -(-total // most_objects) or 1
    data = replace(data, images=data.images[::every])
    evaluator = CocoEvaluator(data, max_dets)
    objects: list[ObjectCeiling] = []
    for record in data.images:
        prediction = perfect_prediction(record, input_size)
        evaluator.process(record.image_id, prediction)
        objects += _compared(record, data.name_of(record), prediction)
    metrics = _means(objects, data.classes)
    for name, value in evaluator.evaluate().items():
        if name.startswith("segm/"):
            metrics["ceiling/" + name.removeprefix("segm/")] = value
    return Ceiling(tuple(objects), metrics, total)


def perfect_prediction(record: ImageRecord, input_size: tuple[int, int]) -> Prediction:
    """What a network that has learned its targets exactly answers, in the order of the objects.

    Objects without a pixel, and crowds, have no target and are left out.
    """
    target = record_target(record, compact_masks=True)
    boxes = target["boxes"].as_subclass(Tensor)
    count, size = len(boxes), (record.height, record.width)
    resize = GeneralizedRCNNTransform(*input_size, image_mean=[0.0], image_std=[1.0]).eval().resize
    without_pixels = torch.empty((1, *size), device="meta")
    _, resized = resize(without_pixels, {"boxes": boxes, "masks": target["masks"]})
    soft = project_masks_on_boxes(
        resized["masks"], resized["boxes"], torch.arange(count), MASK_SIDE
    )
    return Prediction(
        boxes=boxes,
        labels=target["labels"],
        scores=torch.ones(count),
        masks=paste_masks(soft[:, None], boxes, *size),
    )


def _compared(record: ImageRecord, name: str, prediction: Prediction) -> list[ObjectCeiling]:
    """Each object against its mask in the perfect prediction."""
    outlines = [to_rle(i.segmentation, record.height, record.width) for i in record.instances]
    drawn = [
        (index, instance, outline)
        for index, (instance, outline) in enumerate(zip(record.instances, outlines, strict=True))
        if not instance.iscrowd and coco_mask.area(outline)
    ]
    return [
        ObjectCeiling(
            name, index, instance.label, instance.area, iou(outline, mask),
            boundary_iou(outline, mask),
        )
        for (index, instance, outline), mask in zip(drawn, prediction["masks"], strict=True)
    ]  # fmt: skip


def _means(objects: Sequence[ObjectCeiling], classes: Sequence[str]) -> dict[str, float]:
    ious = np.array([one.iou for one in objects])
    areas = np.array([one.area for one in objects])
    labels = np.array([one.label for one in objects])
    chosen = {"": np.ones(len(objects), dtype=bool)}
    chosen |= {
        size: (areas >= low) & (areas <= high)
        for size, (low, high) in AREAS.items()
        if size != "all"
    }
    if len(classes) > 1:
        chosen |= {f"/{name}": labels == k for k, name in enumerate(classes, start=1)}
    metrics = {
        f"ceiling/IoU{of}": float(ious[use].mean()) for of, use in chosen.items() if use.any()
    }
    if objects:
        metrics["ceiling/BoundaryIoU"] = float(np.mean([one.boundary_iou for one in objects]))
    return metrics
