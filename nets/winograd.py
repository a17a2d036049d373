"""3x3 convolutions by Winograd's minimal filtering, for bfloat16 on a CPU.

F(2x2, 3x3) of Lavin and Gray (https://arxiv.org/abs/1509.09308) makes four outputs from sixteen
products instead of thirty-six: tiles of 4x4 cells and the kernel are transformed by sums and
differences, multiplied as sixteen matrices, and transformed back. torch's convolutions on a CPU do
not do so. The maps pass in blocks that stay in the cache. As the transformed values are rounded,
the error of bfloat16 is about 2.5 times as large. Measured in docs/benchmarks.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

LEAST_CHANNELS = 256  # with fewer, the transforms outweigh what they save
LEAST_CELLS = 800  # of all maps together
TILES = 2048  # in a block
KERNEL_TRANSFORM = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])


class WinogradConv2d(nn.Conv2d):
    """A 3x3 convolution in bfloat16 that predicts and does not train."""

    transformed: Tensor

    def forward(self, input: Tensor) -> Tensor:
        if not pays(self.weight, input):
            return super().forward(input.to(self.weight.dtype))
        return convolve(input.bfloat16(), self.transformed, self.bias)


def use_winograd(module: nn.Module) -> None:
    """Exchange, in place, the convolutions for which it may pay, in a network that will not train
    again and has weights in bfloat16."""
    for conv in module.modules():
        if not isinstance(conv, nn.Conv2d) or conv.kernel_size != (3, 3):
            continue
        if keeps_size(conv) and pays(conv.weight):
            conv.__class__ = WinogradConv2d
            conv.register_buffer("transformed", transform_kernel(conv.weight), persistent=False)


def keeps_size(conv: nn.Conv2d) -> bool:
    """Whether it is a plain convolution, zeros around, by a square kernel that has a centre."""
    side = conv.kernel_size[0]
    plain = conv.stride == conv.dilation == (1, 1) and conv.groups == 1
    square = conv.kernel_size == (side, side) and conv.padding == (side // 2, side // 2)
    return plain and square and side % 2 == 1 and conv.padding_mode == "zeros"


def pays(weight: Tensor, maps: Tensor | None = None) -> bool:
    """Whether it is faster with such a weight (O, C, 3, 3), on maps (B, C, H, W)."""
    if weight.device.type != "cpu" or weight.dtype != torch.bfloat16:
        return False
    enough = maps is None or maps[:, 0].numel() >= LEAST_CELLS
    return enough and min(weight.shape[:2]) >= LEAST_CHANNELS


def transform_kernel(weight: Tensor) -> Tensor:
    """From (O, C, 3, 3) to sixteen matrices, (16, C, O), in the same dtype."""
    along = KERNEL_TRANSFORM
    with torch.autocast("cpu", enabled=False):  # which would round halfway
        kernel = torch.einsum("ia,ocab,jb->ijco", along, weight.float(), along)
    return kernel.flatten(0, 1).to(weight.dtype)


def convolve(maps: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """``conv2d`` by a 3x3 kernel with a padding of 1.

    Args:
        maps: (B, C, H, W).
        kernel: of ``transform_kernel``, (16, C, O).
        bias: (O,).

    Returns:
        (B, O, H, W), channels last.
    """
    images, channels, height, width = maps.shape
    channels_out = kernel.shape[2]
    lines, columns = -(-height // 2), -(-width // 2)  # of tiles, which overlap by two cells
    cells = maps.permute(0, 2, 3, 1)
    shape = (images, channels_out, height, width)
    output = torch.empty(shape, dtype=maps.dtype, memory_format=torch.channels_last)
    memory = _Scratch(maps)
    for some, first, last in _blocks(images, lines, columns):
        count, rows = some.stop - some.start, last - first
        padded = memory.take("padded", count, 2 * rows + 2, 2 * columns + 2, channels).zero_()
        top, bottom = max(2 * first - 1, 0), min(2 * last + 1, height)
        padded[:, top - 2 * first + 1 : bottom - 2 * first + 1, 1 : width + 1] = (
            cells[some, top:bottom]
        )  # fmt: skip
        halfway = memory.take("halfway", 4, count, 2 * rows + 2, columns, channels)
        _transform_cells(padded, halfway)
        tiles = memory.take("tiles", 4, 4, count, rows, columns, channels)
        _transform_cells(halfway, tiles)
        products = memory.take("products", 4, 4, count, rows, columns, channels_out)
        torch.bmm(tiles.view(16, -1, channels), kernel, out=products.view(16, -1, channels_out))
        if bias is not None:
            products[1, 1] += bias  # the only one of which each output has one
        halves = memory.take("halves", 2, 4, count, rows, columns, channels_out)
        _transform_products(products, *halves)
        for line, half in enumerate(halves):
            out = output.permute(0, 2, 3, 1)[some, 2 * first + line : 2 * last : 2]
            _transform_products(half[:, :, : out.shape[1]], out[:, :, 0::2], out[:, :, 1::2])
    return output


class _Scratch:
    """Memory that is used again for each block; the first is the largest."""

    def __init__(self, like: Tensor) -> None:
        self.like = like
        self.kept: dict[str, Tensor] = {}

    def take(self, name: str, *shape: int) -> Tensor:
        size = math.prod(shape)
        if name not in self.kept:
            self.kept[name] = self.like.new_empty(size)
        return self.kept[name][:size].view(shape)


def _blocks(images: int, lines: int, columns: int) -> Iterator[tuple[slice, int, int]]:
    """Some images, the first of their lines of tiles and the one past the last."""
    rows = min(lines, max(1, TILES // columns))
    together = max(1, TILES // (lines * columns))
    for image in range(0, images, together):
        for line in range(0, lines, rows):
            yield slice(image, min(image + together, images)), line, min(line + rows, lines)


def _transform_cells(values: Tensor, out: Tensor) -> None:
    """Along axis 2, of the four values a b c d of each tile, a - c, b + c, c - b, b - d."""
    end = values.shape[2] - 3
    a, b, c, d = (values[:, :, start : start + end : 2] for start in range(4))
    torch.sub(a, c, out=out[0])
    torch.add(b, c, out=out[1])
    torch.sub(c, b, out=out[2])
    torch.sub(b, d, out=out[3])


def _transform_products(values: Tensor, first: Tensor, second: Tensor) -> None:
    """Along axis 0, from four values a b c d the outputs a + b + c and b - c - d, of which the
    second may have a column less."""
    a, b, c, d = values
    torch.add(b, c, out=first).add_(a)
    b, c, d = (one[..., : second.shape[-2], :] for one in (b, c, d))
    torch.sub(b, c, out=second).sub_(d)
