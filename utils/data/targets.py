"""From a record to the training target of its image."""

from __future__ import annotations

import torch
from torchvision import tv_tensors

from nets.contract import CompactMasks, Target
from utils.data.mask_crops import crop_mask
from utils.data.records import ImageRecord


def record_target(record: ImageRecord, compact_masks: bool = False) -> Target:
    """The training target of one record: boxes and areas come from the mask pixels.

    Crowd regions are left out, and so are objects without a pixel.
    """
    size = (record.height, record.width)
    crops = [(i.label, crop_mask(i, *size)) for i in record.instances if not i.iscrowd]
    kept = [(label, crop) for label, crop in crops if crop is not None]
    masks = CompactMasks.from_crops(
        [torch.from_numpy(crop.mask) for _, crop in kept],
        [(crop.x, crop.y) for _, crop in kept],
        size,
    )
    # The far edges lie one past the last pixel, so that a one-pixel object has a box of width 1
    # (torchvision.ops.masks_to_boxes would give 0).
    boxes = torch.cat([masks.boxes[:, :2], masks.boxes[:, :2] + masks.boxes[:, 2:]], dim=1).float()
    return Target(
        boxes=tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size),
        labels=torch.tensor([label for label, _ in kept], dtype=torch.int64),
        masks=masks if compact_masks else tv_tensors.Mask(masks.dense()),
        image_id=record.image_id,
        area=torch.tensor([float(crop.mask.sum()) for _, crop in kept], dtype=torch.float32),
        iscrowd=torch.zeros(len(kept), dtype=torch.int64),
    )
