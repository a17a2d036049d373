"""The two operations of Mask R-CNN that every runtime has in its own form: NMS and RoIAlign.

An exportable network is given them, so that its graph holds those that the format knows. Both give
tensors whose size depends on the sizes of their arguments alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torchvision
from torch import Tensor
from torch.nn import functional as F

from nets.fixed_size import NONE
from nets.roi_align import Pooling, bins_of

# (boxes (B, N, 4), scores (B, N), groups int64 (B, N), number of groups, IoU) -> bool (B, N)
Suppress = Callable[[Tensor, Tensor, Tensor, int, float], Tensor]
# (map (B, C, H, W), images int64 (N,), boxes (N, 4), pooling) -> (N, C, rows, columns)
Pool = Callable[[Tensor, Tensor, Tensor, Pooling], Tensor]
# Beside all boxes of images. torchvision tells exporters that its NMS keeps two boxes at least, and
# an exported program looks whether that is true.
TWO_APART = ((-2.0, -2.0, -1.0, -1.0), (-4.0, -4.0, -3.0, -3.0))


class ExportOperators(NamedTuple):
    """NMS and RoIAlign of a format.

    Attributes:
        suppress: which boxes stay: in its image and group, none that is surer has a higher IoU with
            it. Places with the score ``NONE`` do not stay.
        pool: RoIAlign of boxes, in pixels, on one map.
    """

    suppress: Suppress
    pool: Pool


def suppress(boxes: Tensor, scores: Tensor, groups: Tensor, count: int, most_iou: float) -> Tensor:
    """By torchvision's operator, all images and groups in one call.

    Each group is moved to a place of its own, as ``torchvision.ops.batched_nms`` does it, in
    float64: in float32 the boxes of the ninetieth class of a fourth image would lose their
    fractions.
    """
    images = torch.arange(boxes.shape[0], device=boxes.device)[:, None]
    exact = boxes.double()
    moved = exact + ((images * count + groups) * (exact.max() + 1))[:, :, None]
    apart = torch.tensor(TWO_APART, dtype=torch.float64, device=boxes.device)
    # Places without a box lie on each other, so that one of them removes all others at once.
    moved = torch.where((scores > NONE)[:, :, None], moved, apart[0])
    everything = torch.cat([moved.flatten(0, 1), apart])
    chances = F.pad(scores.flatten().double(), (0, len(TWO_APART)), value=NONE)
    kept = torch.ops.torchvision.nms(everything, chances, most_iou)
    stays = torch.zeros_like(chances, dtype=torch.bool)
    stays = stays.index_put((kept,), torch.ones((), dtype=torch.bool, device=boxes.device))
    return stays[: -len(TWO_APART)].unflatten(0, scores.shape) & (scores > NONE)


def pool_rows(feature: Tensor, images: Tensor, boxes: Tensor, pooling: Pooling) -> Tensor:
    """By weighted sums of rows (``nets.roi_align``), which are threaded and vectorised."""
    table, cells, weights = bins_of(feature, images, boxes, pooling)
    sums = F.embedding_bag(cells, table, mode="sum", per_sample_weights=weights)
    return sums.view(boxes.shape[0], *pooling.size, feature.shape[1]).permute(0, 3, 1, 2)


def pool_regions(feature: Tensor, images: Tensor, boxes: Tensor, pooling: Pooling) -> Tensor:
    """By torchvision's operator, which ONNX has too."""
    regions = torch.cat([images[:, None].to(boxes.dtype), boxes], dim=1)
    return torchvision.ops.roi_align(feature, regions, pooling.size, pooling.scale, pooling.samples)


TORCH_OPERATORS = ExportOperators(suppress, pool_rows)
