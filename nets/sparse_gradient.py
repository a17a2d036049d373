"""Convolutions whose backward pass leaves out the cells of the map that have no gradient.

Half of the arithmetic of a training step lies in the 3x3 convolutions of the FPN and of the RPN,
and two thirds of that in their backward passes. But a gradient comes to them only from where
anchors were sampled (256 cells of an image, https://arxiv.org/abs/1506.01497) and from inside the
regions that were pooled: the rest of the map is exactly zero. On a CPU the cells that a gradient
reaches are gathered and multiplied as one matrix; same gradients to rounding. Measured in
docs/benchmarks.md.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torchvision.models.detection import MaskRCNN

from nets import winograd

MOST_REACHED = 0.7  # share of the cells, above which the dense backward pass is the faster one
CHUNK = 2048  # cells multiplied at once, so that they stay in the cache


class SparseGradientConv2d(nn.Conv2d):
    """A convolution that keeps the size of its map, for gradients that are zero in most cells."""

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type != "cpu" or input.ndim != 4 or not torch.is_grad_enabled():
            return super().forward(input)
        weight, bias = self.weight, self.bias
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            input, weight = input.to(dtype), weight.to(dtype)
            bias = None if bias is None else bias.to(dtype)
        output: Tensor = _Convolution.apply(input, weight, bias)
        return output


def use_sparse_gradients(model: MaskRCNN) -> None:
    """Let those convolutions of FPN and RPN, in place, skip the cells without a gradient."""
    for part in (model.backbone.fpn.layer_blocks, model.rpn.head):
        for conv in part.modules():
            if type(conv) is nn.Conv2d and winograd.keeps_size(conv) and conv.kernel_size != (1, 1):
                conv.__class__ = SparseGradientConv2d


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(maps, weight)
        return _convolve(maps, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        maps, weight = ctx.saved_tensors
        side = weight.shape[2]
        rows = gradient.permute(0, 2, 3, 1).reshape(-1, gradient.shape[1])
        used = torch.linalg.vector_norm(rows, dim=1) != 0  # the quickest; below 1e-22 is zero too
        grid = used.view(len(maps), 1, *maps.shape[2:]).float()
        reached = F.max_pool2d(grid, side, 1, side // 2).flatten().nonzero()[:, 0]
        if len(reached) > MOST_REACHED * len(rows):
            _, to_weight, to_bias = torch.ops.aten.convolution_backward(
                gradient, maps, weight, [len(weight)], [1, 1], [side // 2] * 2, [1, 1], False,
                [0, 0], 1, [False, *ctx.needs_input_grad[1:]],
            )  # fmt: skip
            # What an output sees through the kernel sees the output through the mirrored one.
            mirrored = weight.transpose(0, 1).flip(2, 3)
            return (
                _convolve(gradient, mirrored) if ctx.needs_input_grad[0] else None,
                to_weight,
                to_bias,
            )
        to_maps, to_weight = _products(rows, used, reached, maps, weight)
        to_bias = rows[used].sum(0, dtype=torch.float32) if ctx.needs_input_grad[2] else None
        # Laid out as the weight is, which is what several processes expect.
        return to_maps, torch.empty_like(weight).copy_(to_weight), to_bias


def _convolve(maps: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if weight.shape[2] == 3 and winograd.pays(weight, maps):
        return winograd.convolve(maps, winograd.transform_kernel(weight), bias)
    return F.conv2d(maps, weight, bias, padding=weight.shape[2] // 2)


def _products(
    rows: Tensor, used: Tensor, reached: Tensor, maps: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients of the maps, (B, C, H, W), and of the weight, float32 (O, C, k, k).

    Each cell that is reached sees the gradients of the k x k cells around it, which lie in one row
    of ``patches``; both gradients are products with these.

    Args:
        rows: the gradient, (cells, O).
        used: bool, its rows that are not zero.
        reached: int64, the cells within reach of those.
        maps, weight: what was convolved.
    """
    images, channels, height, width = maps.shape
    outputs, side = len(weight), weight.shape[2]
    margin = side // 2
    places = torch.zeros(len(rows), dtype=torch.int64)  # in ``kept``, whose first row is zero
    places[used] = torch.arange(1, int(used.sum()) + 1)
    places = F.pad(places.view(images, height, width), [margin] * 4)
    kept = torch.cat([rows.new_zeros(1, outputs), rows[used]])
    line, column = reached // width, reached % width
    line = line + 2 * margin * (line // height)  # the images lie one below the other, with margins
    offsets = torch.arange(side).flip(0)  # mirrored
    lines = (line[:, None] + offsets)[:, :, None]
    columns = (column[:, None] + offsets)[:, None, :]
    near = places.flatten()[lines * (width + 2 * margin) + columns].flatten(1)

    kernel = weight.permute(2, 3, 0, 1).reshape(-1, channels)
    cells = maps.permute(0, 2, 3, 1).reshape(-1, channels)
    to_cells = torch.zeros_like(cells)
    to_kernel = torch.zeros(kernel.shape)
    for places_near, here in zip(near.split(CHUNK), reached.split(CHUNK), strict=True):
        patches = F.embedding(places_near, kept).flatten(1)
        to_cells[here] = patches @ kernel
        to_kernel += patches.T @ cells[here]
    return (
        to_cells.view(images, height, width, channels).permute(0, 3, 1, 2),
        to_kernel.view(side, side, outputs, channels).permute(2, 3, 0, 1),
    )
