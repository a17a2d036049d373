"""Which box removed which in non-maximum suppression."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_iou

NOBODY = -1


def suppressors(boxes: Tensor, groups: Tensor, survivors: Tensor, threshold: float) -> Tensor:
    """The survivor that removed each box: the surest of its group that overlaps it by more than the
    threshold. torchvision's ``batched_nms`` tells who survives, not why others do not.

    Args:
        boxes: float32 (N, 4), xyxy.
        groups: int64 (N,); boxes of different groups leave each other alone.
        survivors: int64 (S,), the places of those that ``batched_nms`` left, the surest first.
        threshold: IoU.

    Returns:
        int64 (N,), a place among the boxes; -1 for the survivors.
    """
    found = torch.full((len(boxes),), NOBODY, dtype=torch.int64)
    lost = torch.ones(len(boxes), dtype=torch.bool)
    lost[survivors] = False
    for group in groups[lost].unique():
        places = torch.where(lost & (groups == group))[0]
        rivals = survivors[groups[survivors] == group]
        over = box_iou(boxes[places], boxes[rivals])
        # The first of the largest; where rounding leaves none above the threshold, the nearest.
        first = (over > threshold).float().argmax(dim=1)
        nearest = over.argmax(dim=1)
        found[places] = rivals[torch.where((over > threshold).any(dim=1), first, nearest)]
    return found
