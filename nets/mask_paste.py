"""Pasting 28x28 mask probabilities into the image as run lengths, in place of torchvision's paste.

torchvision's ``paste_masks_in_image`` makes one full-size float image per object (100 objects at 12
megapixels are 4.8 GB). Here each mask is resized to its own box, thresholded there, and its run
lengths are computed from that crop alone. Same pixels as torchvision's result ``>= 0.5``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pycocotools import mask as coco_mask
from torch import Tensor
from torchvision.models.detection.roi_heads import expand_boxes, expand_masks

Rle = dict[str, Any]


def paste_masks(
    masks: Tensor, boxes: Tensor, height: int, width: int, threshold: float = 0.5
) -> list[Rle]:
    """Turn mask-head probabilities into COCO run lengths at image size.

    Args:
        masks: float (N, 1, M, M), probabilities of each object's own class.
        boxes: float (N, 4) xyxy in pixels of the image.
        height, width: size of the image in pixels.
        threshold: a pixel belongs to the object from this probability on.
    """
    padded, scale = expand_masks(masks.detach().float().cpu(), padding=1)
    corners = expand_boxes(boxes.detach().float().cpu(), scale).to(torch.int64).tolist()
    return [
        _paste(mask, corner, height, width, threshold)
        for mask, corner in zip(padded, corners, strict=True)
    ]


def _paste(mask: Tensor, box: list[int], height: int, width: int, threshold: float) -> Rle:
    x1, y1, x2, y2 = box
    size = (max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1))
    soft = F.interpolate(mask[None], size=size, mode="bilinear", align_corners=False)[0, 0].numpy()
    left, top = max(x1, 0), max(y1, 0)
    right, bottom = max(min(x2 + 1, width), left), max(min(y2 + 1, height), top)
    crop = soft[top - y1 : bottom - y1, left - x1 : right - x1] >= threshold
    return encode_crop(crop, left, top, height, width)


def encode_crop(crop: np.ndarray, left: int, top: int, height: int, width: int) -> Rle:
    """COCO run lengths of a (height, width) mask, empty but for the bool crop at (left, top)."""
    rows, columns = crop.shape
    framed = np.zeros((rows + 2, columns), dtype=bool)
    framed[1:-1] = crop
    row, column = np.divmod(np.flatnonzero(framed[1:] != framed[:-1]), columns)
    # COCO counts column by column; to sort the few edges is quicker than to transpose the crop.
    edges = np.sort((column + left) * height + row + top)
    # A run that reaches the image's lower edge goes on at the top of the next column.
    joined = np.flatnonzero(edges[1:] == edges[:-1])
    if len(joined):
        edges = np.delete(edges, np.concatenate([joined, joined + 1]))
    counts = np.diff(np.concatenate([[0], edges, [height * width]]))
    if counts[-1] == 0:  # the last run ends with the image; pycocotools writes no empty run there
        counts = counts[:-1]
    rle = coco_mask.frPyObjects({"counts": counts, "size": [height, width]}, height, width)
    return {"size": [height, width], "counts": rle["counts"].decode("ascii")}
