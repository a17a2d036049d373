"""RoIAlign as weighted sums of rows, in place of torchvision's CPU kernel.

torchvision's CPU kernel is scalar, wants float32 maps, one channel after the other (bfloat16
channels-last maps are copied for it), and its backward pass runs on one thread. In a channels-last
map all channels of a cell are one row, and a bin of RoIAlign (He et al. 2017, section 3) is a
weighted sum of rows, which ``embedding_bag`` computes vectorised, threaded, and in bfloat16 too. So
is its gradient: that of a cell is a weighted sum of the gradients of the bins that looked at it.
Same results as ``torchvision.ops.MultiScaleRoIAlign`` to rounding. Measured in docs/benchmarks.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import initLevelMapper


class RowsRoIAlign(MultiScaleRoIAlign):
    """Drop-in ``MultiScaleRoIAlign`` that pools by sums of rows on a CPU.

    All else (other devices, adaptive sampling, a single map, before ``set_strides``) goes to
    torchvision.
    """

    def forward(
        self,
        x: dict[str, Tensor],
        boxes: list[Tensor],
        image_shapes: list[tuple[int, int]],
    ) -> Tensor:
        """Pool ``boxes`` (one (N_i, 4) xyxy tensor per image) to (sum N_i, C, *output_size)."""
        features = [x[name] for name in self.featmap_names]
        on_cpu = features[0].device.type == "cpu"
        if not on_cpu or self.sampling_ratio < 1 or len(features) == 1 or self.scales is None:
            return super().forward(x, boxes, image_shapes)
        assert self.map_levels is not None
        everything = torch.cat(boxes)
        images = torch.arange(len(boxes)).repeat_interleave(torch.tensor([len(b) for b in boxes]))
        levels = self.map_levels(boxes)
        pooled, order = [], []
        for level, (feature, scale) in enumerate(zip(features, self.scales, strict=True)):
            here = torch.where(levels == level)[0]
            pooling = Pooling(self.output_size, self.sampling_ratio, scale)
            bins = bins_of(feature, images[here], everything[here], pooling)
            sums = WeightedSums.apply(*bins)
            pooled.append(sums.view(len(here), *self.output_size, feature.shape[1]))
            order.append(here)
        found = torch.cat(pooled)[torch.cat(order).argsort()].permute(0, 3, 1, 2)
        return found.contiguous() if features[0].is_contiguous() else found  # as the maps lie


class Pooling(NamedTuple):
    """What RoIAlign makes of a box: ``size`` (rows, columns) bins, each the mean of ``samples`` by
    ``samples`` points of a map of which a cell is 1 / ``scale`` pixels wide."""

    size: tuple[int, int]
    samples: int
    scale: float


def bins_of(
    feature: Tensor, images: Tensor, boxes: Tensor, pooling: Pooling
) -> tuple[Tensor, Tensor, Tensor]:
    """The bins of boxes as weighted sums of the cells of a map.

    Args:
        feature: (B, C, H, W).
        images: int64 (N,), to which image of the batch each box belongs.
        boxes: float (N, 4) xyxy in pixels.
        pooling: bins and samples.

    Returns:
        The cells of the map as rows (B * H * W, C); the numbers of those in each bin, int64
        (N * rows * columns, T), and their weights, of the map's dtype.
    """
    _, channels, height, width = feature.shape
    boxes = boxes * pooling.scale
    down, across = pooling.size
    rows, row_weights = _taps(boxes[:, 1], boxes[:, 3], height, down, pooling.samples)
    columns, column_weights = _taps(boxes[:, 0], boxes[:, 2], width, across, pooling.samples)
    lines = rows + images[:, None, None] * height
    cells = lines[:, :, None, :, None] * width + columns[:, None, :, None, :]
    weights = row_weights[:, :, None, :, None] * column_weights[:, None, :, None, :]
    return (
        feature.permute(0, 2, 3, 1).reshape(-1, channels),
        cells.flatten(3).flatten(0, 2),
        weights.flatten(3).flatten(0, 2).to(feature.dtype),
    )


class WeightedSums(torch.autograd.Function):
    """Weighted sums of the rows of a table, and the gradient of the table, by ``embedding_bag``."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, numbers: Tensor, weights: Tensor) -> Tensor:
        """From the rows (R, C), their numbers in each sum (N, T) and weights (N, T), to (N, C)."""
        ctx.save_for_backward(numbers, weights)
        ctx.rows = len(table)
        return F.embedding_bag(numbers, table, mode="sum", per_sample_weights=weights)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Each row that was used gets the weighted sum of the gradients of the sums it is in."""
        numbers, weights = ctx.saved_tensors
        # Whole numbers of 32 bits are sorted by their digits, in several threads.
        rows, order = numbers.flatten().int().sort(stable=True)
        used, counts = rows.unique_consecutive(return_counts=True)
        sums = F.embedding_bag(
            order // numbers.shape[1],
            gradient.contiguous(),
            counts.cumsum(0) - counts,
            mode="sum",
            per_sample_weights=weights.flatten()[order],
        )
        table = gradient.new_zeros((ctx.rows, gradient.shape[1]))
        table[used.long()] = sums
        return table, None, None


def set_strides(pool: MultiScaleRoIAlign, strides: Sequence[int]) -> None:
    """Say how many pixels of the input lie between the points of each map.

    torchvision infers it from the first batch, dividing the sizes of maps by those of images before
    padding: a strip 40 pixels high, padded to 64, would double the scales for all that follow.
    """
    pool.scales = [1 / stride for stride in strides]
    levels = [int(math.log2(stride)) for stride in (strides[0], strides[-1])]
    pool.map_levels = initLevelMapper(
        *levels, canonical_scale=pool.canonical_scale, canonical_level=pool.canonical_level
    )


def _taps(low: Tensor, high: Tensor, cells: int, bins: int, samples: int) -> tuple[Tensor, Tensor]:
    """The cells that each bin looks at along one axis and their weights, (N, bins, 2 * samples).

    ``low`` and ``high`` (N,) bound the boxes in cell units. As in torchvision's kernel a box is at
    least one cell wide, and samples more than one cell outside the map count as zero.
    """
    low, high = low.float(), high.float()
    step = (high - low).clamp(min=1) / (bins * samples)
    position = low[:, None] + (torch.arange(bins * samples) + 0.5) * step[:, None]
    inside = (position >= -1) & (position <= cells)
    position = position.clamp(0, cells - 1)
    first = position.floor()
    share = position - first
    weights = torch.stack([1 - share, share], dim=2) * inside[:, :, None] / samples
    near = torch.stack([first, (first + 1).clamp(max=cells - 1)], dim=2).long()
    shape = (low.shape[0], bins, 2 * samples)  # not len(): it may be symbolic
    return near.view(shape), weights.view(shape)
