"""From a record to the training target of its image, and to that of a changed image."""

from __future__ import annotations

import torch
from pycocotools import mask as coco_mask
from torch import Tensor
from torchvision import tv_tensors

from nets.contract import CompactMasks, Target
from utils.data.mask_crops import crop_rles, to_rles
from utils.data.records import ImageRecord

# What is left of a cut object is no longer taught if it is less than this; a sliver of a sleeve
# does not show a person.
LEAST_PIXELS, LEAST_SHARE = 4, 0.1


def record_target(record: ImageRecord, compact_masks: bool = False) -> Target:
    """The training target of one record: boxes and areas come from the mask pixels.

    Crowd regions are left out, and so are objects without a pixel.
    """
    size = (record.height, record.width)
    objects = [one for one in record.instances if not one.iscrowd]
    rles = to_rles([one.segmentation for one in objects], *size)
    found = zip(objects, rles, crop_rles(rles), strict=True)
    kept = [(one.label, rle, crop) for one, rle, crop in found if crop is not None]
    masks = CompactMasks.from_crops(
        [torch.from_numpy(crop.mask) for _, _, crop in kept],
        [(crop.x, crop.y) for _, _, crop in kept],
        size,
    )
    return Target(
        boxes=tv_tensors.BoundingBoxes(_crop_boxes(masks), format="XYXY", canvas_size=size),
        labels=torch.tensor([label for label, _, _ in kept], dtype=torch.int64),
        masks=masks if compact_masks else tv_tensors.Mask(masks.dense()),
        image_id=record.image_id,
        area=torch.tensor([coco_mask.area(rle) for _, rle, _ in kept], dtype=torch.float32),
        iscrowd=torch.zeros(len(kept), dtype=torch.int64),
    )


def changed_target(target: Target, masks: CompactMasks, zoom: float = 1.0) -> Target:
    """The target once its objects have other masks: boxes and areas are made anew.

    Objects go of which less than a tenth is left, or less than 4 pixels where there were more.

    Args:
        target: of the image before the change.
        masks: of the same N objects, in the changed image.
        zoom: how many of its pixels one pixel of the image before became.

    Returns:
        The target of the changed image, its masks of the kind they were.
    """
    masks = masks.tightened()
    before, area = target["area"], masks.areas().float()
    large_enough = area >= before.clamp(1, LEAST_PIXELS)
    changed = Target(
        boxes=tv_tensors.wrap(_crop_boxes(masks), like=target["boxes"], canvas_size=masks.size),
        labels=target["labels"],
        masks=_of_kind(target["masks"], masks),
        image_id=target["image_id"],
        area=area,
        iscrowd=target["iscrowd"],
    )
    return selected_objects(changed, large_enough & (area >= LEAST_SHARE * zoom * before))


def selected_objects(target: Target, kept: Tensor) -> Target:
    """The objects of a target for which ``kept``, bool (N,), is true."""
    boxes, masks = target["boxes"], CompactMasks.from_masks(target["masks"])
    return Target(
        boxes=tv_tensors.wrap(boxes[kept], like=boxes),
        labels=target["labels"][kept],
        masks=_of_kind(target["masks"], masks.selected(kept)),
        image_id=target["image_id"],
        area=target["area"][kept],
        iscrowd=target["iscrowd"][kept],
    )


def joined_objects(target: Target, other: Target) -> Target:
    """A target with the objects of another in the same image behind its own."""
    masks, more = (CompactMasks.from_masks(one["masks"]) for one in (target, other))
    boxes = torch.cat([target["boxes"], other["boxes"]])
    return Target(
        boxes=tv_tensors.wrap(boxes, like=target["boxes"]),
        labels=torch.cat([target["labels"], other["labels"]]),
        masks=_of_kind(target["masks"], masks.joined(more)),
        image_id=target["image_id"],
        area=torch.cat([target["area"], other["area"]]),
        iscrowd=torch.cat([target["iscrowd"], other["iscrowd"]]),
    )


def _of_kind(kind: Tensor | CompactMasks, masks: CompactMasks) -> Tensor | CompactMasks:
    """The masks as compact or as full-size ones, as ``kind`` is."""
    if isinstance(kind, CompactMasks):
        return masks
    return tv_tensors.wrap(masks.dense(), like=kind)


def _crop_boxes(masks: CompactMasks) -> Tensor:
    """The boxes of tight crops, float32 (N, 4) xyxy.

    The far edges lie one past the last pixel, so that a one-pixel object has a box of width 1
    (torchvision.ops.masks_to_boxes would give 0).
    """
    return torch.cat([masks.boxes[:, :2], masks.boxes[:, :2] + masks.boxes[:, 2:]], dim=1).float()
