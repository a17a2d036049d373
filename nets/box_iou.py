"""IoU of many boxes with many others in slices of rows: torchvision's numbers, bounded memory.

``torchvision.ops.box_iou`` holds about eight numbers per pair at once. A picture with a thousand
objects and 160,000 anchors would take 5 GB for the 0.6 GB of its result.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_iou

PAIRS = 2**22  # per slice


def sliced_box_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """``torchvision.ops.box_iou``: (N, 4) and (M, 4), xyxy, give (N, M)."""
    rows = max(1, PAIRS // max(1, len(others)))
    if len(boxes) <= rows:
        return box_iou(boxes, others)
    return torch.cat([box_iou(part, others) for part in boxes.split(rows)])
