"""The labelled objects of an image: what is recorded of them, and what the network is taught."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from nets.compact_masks import CompactMasks
from nets.mask_rcnn import input_size
from utils.data.mask_crops import Crop, crop_rles, to_rles
from utils.data.targets import record_target
from utils.evaluation.mask_ceiling import perfect_prediction
from utils.evaluation.outlines import iou
from utils.inspection.subject import Subject

Rle = dict[str, Any]
BoxTuple = tuple[float, float, float, float]


@dataclass(frozen=True)
class TaughtMask:
    """What the network is taught of the mask of one object.

    Attributes:
        mask: bool (h, w), the pixels that are left in the box around them in the network's input;
            of no pixel if all fell between those that the resize took.
        corner: x and y of its first pixel.
        best: run lengths, at the image's own size, of the mask that a network answers which has
            learned its 28x28 target exactly.
        iou: of that mask with the labelled one, 0..1.
    """

    mask: np.ndarray
    corner: tuple[int, int]
    best: Rle
    iou: float

    def best_mask(self) -> np.ndarray:
        """``best`` at full size, bool (H, W)."""
        return coco_mask.decode(self.best).astype(bool)


@dataclass(frozen=True)
class LabelledObject:
    """One object as it was labelled; boxes are xyxy in pixels of the image.

    Attributes:
        number: its place in the record, from 1 on, as ``tools.inspect explain`` takes it.
        name: of its class.
        is_crowd: a region of many objects, of which nothing is taught.
        rle: its mask at the image's own size.
        crop: the mask cut to its box; None if it has no pixel.
        own_box: as the label says, which nobody is taught.
        taught_mask: None for a crowd and for an object without a pixel.
    """

    number: int
    name: str
    is_crowd: bool
    rle: Rle
    crop: Crop | None
    own_box: BoxTuple
    taught_mask: TaughtMask | None

    @property
    def box(self) -> BoxTuple:
        """The tight box of the mask: its far edges lie one past the last pixel. The label's own
        one if there is no pixel."""
        if self.crop is None:
            return self.own_box
        height, width = self.crop.mask.shape
        x, y = self.crop.x, self.crop.y
        return x, y, x + width, y + height

    @property
    def box_error(self) -> float:
        """How many pixels the label's own box is off, at the edge that is worst."""
        return max(abs(a - b) for a, b in zip(self.box, self.own_box, strict=True))

    @property
    def best_iou(self) -> float:
        """That of its taught mask; 0 if nothing is taught."""
        return self.taught_mask.iou if self.taught_mask else 0.0

    @property
    def last_pixel(self) -> tuple[int, int]:
        """x and y of a pixel at its right end."""
        assert self.crop is not None
        rows = self.crop.mask[:, -1].nonzero()[0]
        return self.crop.x + self.crop.mask.shape[1] - 1, self.crop.y + int(rows[len(rows) // 2])

    @property
    def pixels(self) -> int:
        """How many the mask has."""
        return 0 if self.crop is None else int(self.crop.mask.sum())

    def mask(self) -> np.ndarray:
        """The mask at full size, bool (H, W)."""
        return coco_mask.decode(self.rle).astype(bool)

    def differing(self) -> tuple[np.ndarray, np.ndarray]:
        """The pixels that its best mask lacks, and those that it has too many, bool (H, W)."""
        assert self.taught_mask is not None
        mask, best = self.mask(), self.taught_mask.best_mask()
        return mask & ~best, best & ~mask

    def box_in(self, scale: tuple[float, float]) -> BoxTuple:
        """Its box in the network's input, with ``Trace.scale``."""
        (x1, y1, x2, y2), (across, down) = self.box, scale
        return x1 * across, y1 * down, x2 * across, y2 * down

    def size(self, scale: tuple[float, float] = (1, 1)) -> tuple[float, float]:
        """Width and height of its box in pixels of the image or, with ``Trace.scale``, of the
        network's input."""
        x1, y1, x2, y2 = self.box_in(scale)
        return x2 - x1, y2 - y1


def labelled_objects(subject: Subject) -> list[LabelledObject]:
    """The objects of the image in the order of its record; none without labels."""
    record = subject.record
    if record is None:
        return []
    rles = to_rles([one.segmentation for one in record.instances], record.height, record.width)
    taught_masks = iter(_taught_masks(subject, rles))
    objects = []
    for number, (one, rle, crop) in enumerate(
        zip(record.instances, rles, crop_rles(rles), strict=True), start=1
    ):
        x, y, width, height = one.bbox
        is_taught = crop is not None and not one.iscrowd
        objects.append(
            LabelledObject(
                number=number,
                name=subject.classes[one.label - 1],
                is_crowd=bool(one.iscrowd),
                rle=rle,
                crop=crop,
                own_box=(x, y, x + width, y + height),
                taught_mask=next(taught_masks) if is_taught else None,
            )
        )
    return objects


def _taught_masks(subject: Subject, rles: list[Rle]) -> list[TaughtMask]:
    """Of the objects that a target has: with a pixel, and no crowds."""
    record = subject.record
    assert record is not None
    own = [
        rle
        for one, rle in zip(record.instances, rles, strict=True)
        if not one.iscrowd and coco_mask.area(rle)
    ]
    best = perfect_prediction(record, input_size(subject.model))["masks"]
    masks = CompactMasks.from_masks(record_target(record, compact_masks=True)["masks"])
    resized = masks.resized(subject.trace.size)
    return [
        TaughtMask(crop.numpy().astype(bool), (x, y), found, iou(rle, found))
        for crop, (x, y, _, _), found, rle in zip(
            resized.crops(), resized.boxes.tolist(), best, own, strict=True
        )
    ]
