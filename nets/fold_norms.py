"""Batch norms folded into the convolutions before them.

A frozen batch norm multiplies and adds: two passes over each feature map, which it also turns back
into float32 under autocast, and which a training keeps for its backward pass. ``norm(conv(x))`` is
a convolution with other weights and another bias; same result to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d


class AbsorbedNorm(FrozenBatchNorm2d):
    """A frozen norm that a ``NormedConv2d`` does the work of; its numbers stay in the model."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class NormedConv2d(nn.Conv2d):
    """A convolution that also does what the frozen norm behind it would; its weight, which trains,
    is the plain one."""

    norm: tuple[AbsorbedNorm]  # within a tuple it is no part of this module

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, *folded(self, *self.norm))


def absorb_frozen_norms(module: nn.Module) -> None:
    """Let convolutions do the work of the frozen norms behind them, in place, in a network that
    trains. Names and numbers of the parameters and buffers stay as they are."""
    for parent, conv_name, norm_name in _pairs(module):
        conv, norm = getattr(parent, conv_name), getattr(parent, norm_name)
        if type(norm) is FrozenBatchNorm2d and type(conv) is nn.Conv2d:
            norm.__class__ = AbsorbedNorm
            conv.__class__ = NormedConv2d
            cast(NormedConv2d, conv).norm = (norm,)


@torch.no_grad()
def fold_batch_norms(module: nn.Module) -> None:
    """Fold the norms behind convolutions into them, in place, in a network that will not train
    again."""
    for parent, conv_name, norm_name in list(_pairs(module)):
        conv, norm = getattr(parent, conv_name), getattr(parent, norm_name)
        weight, bias = folded(conv, norm)
        conv.__class__ = nn.Conv2d
        conv.__dict__.pop("norm", None)
        conv.weight, conv.bias = (nn.Parameter(one, requires_grad=False) for one in (weight, bias))
        setattr(parent, norm_name, nn.Identity())


def folded(conv: nn.Conv2d, norm: nn.BatchNorm2d | FrozenBatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution that does what ``norm(conv(x))`` does in evaluation."""
    mean, variance = norm.running_mean, norm.running_var
    assert isinstance(mean, Tensor)
    assert isinstance(variance, Tensor)
    scale = norm.weight * (variance + norm.eps).rsqrt()
    bias = 0 if conv.bias is None else conv.bias
    return conv.weight * scale[:, None, None, None], norm.bias + (bias - mean) * scale


def _pairs(module: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """A module and the names of a convolution and of the norm that it registers right after; in
    this order torchvision's networks run them."""
    before, name_before = None, ""
    for name, child in module.named_children():
        if isinstance(before, nn.Conv2d) and isinstance(child, nn.BatchNorm2d | FrozenBatchNorm2d):
            yield module, name_before, name
        yield from _pairs(child)
        before, name_before = child, name
