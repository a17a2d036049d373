"""Batch norms folded into convolutions: the same network, to rounding."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torchvision.ops import FrozenBatchNorm2d

from nets.fold_norms import fold_batch_norms
from nets.mask_rcnn import ARCHITECTURES, build_model

NORMS = (nn.BatchNorm2d, FrozenBatchNorm2d)


def shaken(module):
    """With norms that do something."""
    torch.manual_seed(0)
    for norm in module.modules():
        if isinstance(norm, NORMS):
            for tensor in (norm.weight.data, norm.running_var):
                tensor.uniform_(0.5, 1.5)
            for tensor in (norm.bias.data, norm.running_mean):
                tensor.uniform_(-0.5, 0.5)
    return module.eval()


def norms_in(module):
    return sum(isinstance(part, NORMS) for part in module.modules())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("norm", [nn.BatchNorm2d(6, eps=0.1), FrozenBatchNorm2d(6, eps=0.0)])
def test_one_norm(norm, bias):
    module = shaken(nn.Sequential(nn.Conv2d(4, 6, 3, groups=2, bias=bias), norm, nn.ReLU()))
    image = torch.randn(2, 4, 9, 8)
    with torch.no_grad():
        wanted = module(image)
        fold_batch_norms(module)
        assert norms_in(module) == 0
        assert_close(module(image), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.BatchNorm2d(4)),
        nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)),
        nn.Sequential(nn.ConvTranspose2d(4, 4, 1), nn.BatchNorm2d(4)),
    ],
)
def test_a_norm_that_follows_no_convolution_stays(module):
    image = torch.randn(1, 4, 5, 5)
    shaken(module)
    wanted = module(image)
    fold_batch_norms(module)
    assert norms_in(module) == 1
    assert torch.equal(module(image), wanted)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("arch", sorted(ARCHITECTURES))
@torch.no_grad()
def test_every_architecture_computes_the_same(arch, frozen):
    model = shaken(build_model(arch, 2, frozen_norm=frozen))
    parts = {
        "backbone": (model.backbone, torch.rand(1, 3, 64, 96)),
        "rpn": (model.rpn.head, [torch.rand(1, model.backbone.out_channels, 8, 9)]),
        "mask": (model.roi_heads.mask_head, torch.rand(1, model.backbone.out_channels, 14, 14)),
        "box": (model.roi_heads.box_head, torch.rand(2, model.backbone.out_channels, 7, 7)),
    }
    for name, (part, given) in parts.items():
        folded = copy.deepcopy(part)
        fold_batch_norms(folded)
        assert norms_in(folded) == 0, name
        wanted, found = part(given), folded(given)
        if name == "backbone":
            wanted, found = list(wanted.values()), list(found.values())
        scale = max(float(one.abs().max()) for one in torch.utils._pytree.tree_leaves(wanted))
        assert_close(found, wanted, rtol=1e-4, atol=1e-5 * scale)
