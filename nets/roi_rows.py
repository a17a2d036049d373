"""RoIAlign as weighted sums of rows, in place of torchvision's CPU kernel in inference.

torchvision's CPU kernel is scalar, runs on one thread, and wants float32 maps, one channel after
the other: bfloat16 channels-last maps are copied for it, twice per image. In such a map all
channels of a cell are one row, and a bin of RoIAlign (He et al. 2017, section 3) is a weighted sum
of rows, which ``embedding_bag`` computes vectorised, threaded, and in bfloat16 too. Same result as
``torchvision.ops.MultiScaleRoIAlign`` to rounding. Measured in docs/benchmarks.md.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from nets.roi_align import MatmulRoIAlign


class RowsRoIAlign(MatmulRoIAlign):
    """Drop-in ``MultiScaleRoIAlign`` that pools by sums of rows on a CPU, without gradients.

    All else (other devices, gradients, adaptive sampling) goes to ``MatmulRoIAlign``.
    """

    def forward(
        self,
        x: dict[str, Tensor],
        boxes: list[Tensor],
        image_shapes: list[tuple[int, int]],
    ) -> Tensor:
        """Pool ``boxes`` (one (N_i, 4) xyxy tensor per image) to (sum N_i, C, *output_size)."""
        features = [x[name] for name in self.featmap_names]
        on_cpu = features[0].device.type == "cpu" and not torch.is_grad_enabled()
        if not on_cpu or self.sampling_ratio < 1 or self.scales is None:
            return super().forward(x, boxes, image_shapes)
        assert self.map_levels is not None
        everything = torch.cat(boxes)
        images = torch.arange(len(boxes)).repeat_interleave(torch.tensor([len(b) for b in boxes]))
        levels = self.map_levels(boxes)
        pooled = features[0].new_empty((len(everything), *self.output_size, features[0].shape[1]))
        for level, (feature, scale) in enumerate(zip(features, self.scales, strict=True)):
            here = torch.where(levels == level)[0]
            pooled[here] = self._sums(feature, images[here], everything[here] * scale)
        return pooled.permute(0, 3, 1, 2)

    def _sums(self, feature: Tensor, images: Tensor, boxes: Tensor) -> Tensor:
        """Pool boxes in cell units, (N, 4), from (B, C, H, W) maps to (N, h, w, C)."""
        _, channels, height, width = feature.shape
        rows, row_weights = _taps(
            boxes[:, 1], boxes[:, 3], height, self.output_size[0], self.sampling_ratio
        )
        columns, column_weights = _taps(
            boxes[:, 0], boxes[:, 2], width, self.output_size[1], self.sampling_ratio
        )
        lines = rows + images[:, None, None] * height
        cells = lines[:, :, None, :, None] * width + columns[:, None, :, None, :]
        weights = row_weights[:, :, None, :, None] * column_weights[:, None, :, None, :]
        sums = F.embedding_bag(
            cells.flatten(3).flatten(0, 2),
            feature.permute(0, 2, 3, 1).reshape(-1, channels),
            mode="sum",
            per_sample_weights=weights.flatten(3).flatten(0, 2).to(feature.dtype),
        )
        return sums.view(len(boxes), *self.output_size, channels)


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
    shape = (len(low), bins, 2 * samples)
    return near.view(shape), weights.view(shape)
