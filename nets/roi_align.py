"""RoIAlign as matrix products, in place of torchvision's CPU kernel under bfloat16.

torchvision's CPU kernel is scalar, knows float32 only, and its backward pass runs on one thread.
RoIAlign's bilinear weights are separable, so pooling one box is ``rows @ features @ columns.T``
with two thin matrices: more arithmetic, but at the speed of bfloat16 matrix products, with a
gradient for free. Same result as ``torchvision.ops.MultiScaleRoIAlign`` (He et al. 2017, section
3) to rounding. Measured in docs/benchmarks.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import initLevelMapper

# Above this many cells on the largest map, what the kernel saves by touching few cells outweighs
# its slowness. In float32 it nearly always does.
MAX_CELLS_TRAINING = 128 * 128
MAX_CELLS_INFERENCE = 32 * 32
DTYPES = (torch.bfloat16,)
PADDING = 32  # size_divisible of GeneralizedRCNNTransform


class MatmulRoIAlign(MultiScaleRoIAlign):
    """Drop-in ``MultiScaleRoIAlign`` that pools bfloat16 features on the CPU by matrix products.

    All else (other devices and dtypes, larger maps, adaptive sampling) goes to torchvision.
    """

    def forward(
        self,
        x: dict[str, Tensor],
        boxes: list[Tensor],
        image_shapes: list[tuple[int, int]],
    ) -> Tensor:
        """Pool ``boxes`` (one (N_i, 4) xyxy tensor per image) to (sum N_i, C, *output_size)."""
        features = [x[name] for name in self.featmap_names]
        if self.scales is None:
            self._infer_scales(x, boxes, image_shapes)
        if not self._pays(features):
            return super().forward(x, boxes, image_shapes)
        assert self.scales is not None
        assert self.map_levels is not None

        levels = self.map_levels(boxes).split([len(b) for b in boxes])
        pooled: list[Tensor] = []
        order: list[Tensor] = []
        start = 0
        for image, (image_boxes, image_levels) in enumerate(zip(boxes, levels, strict=True)):
            for level, (feature, scale) in enumerate(zip(features, self.scales, strict=True)):
                chosen = torch.where(image_levels == level)[0]
                if len(chosen):
                    pooled.append(self._pool(feature[image], image_boxes[chosen] * scale))
                    order.append(chosen + start)
            start += len(image_boxes)
        if not pooled:
            return features[0].new_zeros((0, features[0].shape[1], *self.output_size))
        return torch.cat(pooled)[torch.cat(order).argsort()]

    def set_strides(self, strides: Sequence[int]) -> None:
        """Say how many pixels of the input lie between the points of each map.

        torchvision infers it from the sizes of the first batch's images, which tells less than it
        needs where a batch is padded for the sake of another process's images.
        """
        self.scales = [1 / stride for stride in strides]
        levels = [int(math.log2(stride)) for stride in (strides[0], strides[-1])]
        self.map_levels = initLevelMapper(
            *levels, canonical_scale=self.canonical_scale, canonical_level=self.canonical_level
        )

    def _infer_scales(
        self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]
    ) -> None:
        """Let torchvision infer scales and level mapper, by a call without boxes.

        It does so once, from the first batch, dividing the sizes of maps by those of images before
        padding: a strip 40 pixels high, padded to 64, would double the scales for all that follow.
        The padded sizes give them exactly.
        """
        padded = [(_padded(height), _padded(width)) for height, width in image_shapes]
        maps = {name: x[name][:1, :1].float() for name in self.featmap_names}
        super().forward(maps, [boxes[0][:0].float()], padded)

    def _pays(self, features: list[Tensor]) -> bool:
        largest = max(f.shape[-2] * f.shape[-1] for f in features)
        limit = MAX_CELLS_TRAINING if torch.is_grad_enabled() else MAX_CELLS_INFERENCE
        first = features[0]
        on_cpu = first.device.type == "cpu" and first.dtype in DTYPES
        return on_cpu and largest <= limit and self.sampling_ratio >= 1 and len(features) > 1

    def _pool(self, feature: Tensor, boxes: Tensor) -> Tensor:
        """Pool boxes in cell units, (N, 4), from one (C, H, W) map to (N, C, h, w)."""
        channels, height, width = feature.shape
        out_height, out_width = self.output_size
        rows = _weights(boxes[:, 1], boxes[:, 3], height, out_height, self.sampling_ratio)
        columns = _weights(boxes[:, 0], boxes[:, 2], width, out_width, self.sampling_ratio)
        cells = feature.permute(1, 2, 0).reshape(height, width * channels)
        lines = rows.to(feature.dtype).flatten(0, 1) @ cells
        lines = lines.view(len(boxes), out_height, width, channels)
        pooled = columns.to(feature.dtype)[:, None] @ lines
        return pooled.permute(0, 3, 1, 2)


def _padded(side: int) -> int:
    """What ``GeneralizedRCNNTransform`` pads a side to."""
    return -(-side // PADDING) * PADDING


def _weights(low: Tensor, high: Tensor, cells: int, bins: int, samples: int) -> Tensor:
    """Bilinear weight of each cell in each bin along one axis: (N, bins, cells).

    ``low`` and ``high`` (N,) bound the boxes in cell units. As in torchvision's kernel a box is at
    least one cell wide, and samples more than one cell outside the map count as zero.
    """
    low, high = low.float(), high.float()
    step = (high - low).clamp(min=1) / (bins * samples)
    ticks = torch.arange(bins * samples, device=low.device) + 0.5
    position = low[:, None] + ticks * step[:, None]
    inside = (position >= -1) & (position <= cells)
    position = position.clamp(0, cells - 1)
    distance = position[:, :, None] - torch.arange(cells, device=low.device)
    weight = (1 - distance.abs()).clamp(min=0) * inside[:, :, None]
    return weight.view(len(low), bins, samples, cells).mean(dim=2)
