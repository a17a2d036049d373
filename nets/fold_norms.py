"""Batch norms folded into the convolutions before them, in a network that will not train again.

A frozen batch norm multiplies and adds: two passes over each feature map, which it also turns back
into float32 under autocast. ``norm(conv(x))`` is a convolution with other weights and another bias;
same result to rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d


@torch.no_grad()
def fold_batch_norms(module: nn.Module) -> None:
    """Fold, in place, each norm that its module registers right after a convolution.

    torchvision's networks register them in the order in which they run.
    """
    before: nn.Module | None = None
    for name, child in module.named_children():
        if isinstance(before, nn.Conv2d) and isinstance(child, nn.BatchNorm2d | FrozenBatchNorm2d):
            _fold(before, child)
            setattr(module, name, nn.Identity())
        fold_batch_norms(child)
        before = child


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d | FrozenBatchNorm2d) -> None:
    mean, variance = norm.running_mean, norm.running_var
    assert isinstance(mean, Tensor)
    assert isinstance(variance, Tensor)
    scale = norm.weight * (variance + norm.eps).rsqrt()
    bias = 0 if conv.bias is None else conv.bias
    conv.weight.mul_(scale[:, None, None, None])
    conv.bias = nn.Parameter(norm.bias + (bias - mean) * scale, requires_grad=False)
