"""Pasting masks into images of their full size, by matrix products alone.

torchvision resizes each mask to its box in a loop. A bilinear resize is linear in the mask, along
each side by itself: what a row or column of the image takes from the mask's rows or columns is a
matrix, zero beyond the box.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection.roi_heads import expand_boxes

PADDING = 1  # pixels around a mask, as in torchvision, so that it fades out at its border


def dense_masks(masks: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
    """As ``torchvision.models.detection.roi_heads.paste_masks_in_image``, to rounding.

    Args:
        masks: float (N, M, M), probabilities.
        boxes: float (N, 4) xyxy in pixels of the image.
        height, width: of the image in pixels.

    Returns:
        Probabilities, float (N, height, width).
    """
    side = masks.shape[-1]
    padded = F.pad(masks, (PADDING,) * 4)
    corners = expand_boxes(boxes, (side + 2 * PADDING) / side).long()
    down = _shares(corners[:, 1], corners[:, 3], side + 2 * PADDING, height)
    across = _shares(corners[:, 0], corners[:, 2], side + 2 * PADDING, width)
    return torch.bmm(torch.bmm(down, padded), across.transpose(1, 2))


def _shares(low: Tensor, high: Tensor, cells: int, pixels: int) -> Tensor:
    """What pixels take from the cells of masks that are stretched from ``low`` to ``high``, both
    int64 (N,) and included; (N, pixels, cells)."""
    length = (high - low + 1).clamp(min=1)
    here = torch.arange(pixels, device=low.device) - low[:, None]
    place = ((here + 0.5) * (cells / length)[:, None] - 0.5).clamp(0, cells - 1)
    distance = (place[:, :, None] - torch.arange(cells, device=low.device)).abs()
    inside = (here >= 0) & (here < length[:, None])
    return (1 - distance).clamp(min=0) * inside[:, :, None]
