"""Backward passes over the cells that have a gradient are those over all cells."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from nets import sparse_gradient
from nets.mask_rcnn import ARCHITECTURES, build_model
from nets.sparse_gradient import SparseGradientConv2d, use_sparse_gradients


def twins(side=3, bias=True, inputs=4, outputs=6):
    torch.manual_seed(0)
    dense = nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=bias)
    sparse = copy.deepcopy(dense)
    sparse.__class__ = SparseGradientConv2d
    return dense, sparse


def gradients(conv, maps, gradient, autocast=False):
    maps = maps.clone().requires_grad_()
    conv.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        output = conv(maps)
    output.backward(gradient.to(output.dtype))
    return output.detach(), maps.grad, *(p.grad.clone() for p in conv.parameters())


def gradient_at(cells, shape):
    """Random numbers in some cells (image, row, column), else zeros."""
    gradient = torch.zeros(shape)
    for image, row, column in cells:
        gradient[image, :, row, column] = torch.randn(shape[1])
    return gradient


@pytest.fixture
def products(monkeypatch):
    """How many cells were reached each time that not all were gone through."""
    calls, own = [], sparse_gradient._products
    monkeypatch.setattr(
        sparse_gradient, "_products", lambda *args: calls.append(len(args[2])) or own(*args)
    )
    return calls


CELLS = {
    "nowhere": ([], 0),
    "one": ([(0, 3, 4)], 9),
    "corners": ([(0, 0, 0), (1, 6, 8), (0, 0, 8), (1, 6, 0)], 16),
    "last row above the next image": ([(0, 6, 4), (1, 0, 4)], 12),
    "neighbours": ([(0, 3, 4), (0, 3, 5), (1, 2, 2)], 21),
}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("cells", "reached"), CELLS.values(), ids=CELLS.keys())
def test_few_cells(cells, reached, bias, layout, products):
    dense, sparse = twins(bias=bias)
    maps = torch.randn(2, 4, 7, 9).to(memory_format=layout)
    gradient = gradient_at(cells, (2, 6, 7, 9)).to(memory_format=layout)
    for found, wanted in zip(
        gradients(sparse, maps, gradient), gradients(dense, maps, gradient), strict=True
    ):
        assert_close(found, wanted)
    assert products == [reached]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_gradient_of_a_weight_is_laid_out_as_it_is(layout):
    """Else processes that train together copy it each time, with a warning."""
    _, sparse = twins()
    sparse.to(memory_format=layout)
    maps = torch.randn(2, 4, 7, 9).to(memory_format=layout)
    gradients(sparse, maps, gradient_at([(0, 3, 4)], (2, 6, 7, 9)))
    assert sparse.weight.grad.stride() == sparse.weight.stride()


@pytest.mark.parametrize("side", [3, 5])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.9])
def test_any_share_of_the_cells(side, share, monkeypatch):
    monkeypatch.setattr(sparse_gradient, "CHUNK", 37)  # several, the last one shorter
    dense, sparse = twins(side)
    maps = torch.randn(3, 4, 16, 11)
    gradient = torch.randn(3, 6, 16, 11) * (torch.rand(3, 1, 16, 11) < share)  # also -0.0
    for most in (0.0, 1.0):
        monkeypatch.setattr(sparse_gradient, "MOST_REACHED", most)
        for found, wanted in zip(
            gradients(sparse, maps, gradient), gradients(dense, maps, gradient), strict=True
        ):
            assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_most_cells_are_gone_through_densely(products):
    _, sparse = twins()
    gradients(sparse, torch.randn(1, 4, 9, 9), torch.randn(1, 6, 9, 9))
    assert products == []


def test_a_gradient_that_is_no_number_is_not_lost():
    _, sparse = twins()
    gradient = gradient_at([], (1, 6, 9, 9))
    gradient[0, 2, 4, 4] = torch.nan
    _, _, weight, bias = gradients(sparse, torch.randn(1, 4, 9, 9), gradient)
    assert weight[2].isnan().all()
    assert bias[2].isnan()


def test_small_numbers_count():
    _, sparse = twins()
    gradient = gradient_at([], (1, 6, 9, 9))
    gradient[0, 2, 4, 4] = 1e-20
    _, _, _, bias = gradients(sparse, torch.randn(1, 4, 9, 9), gradient)
    assert bias[2] == 1e-20


def test_autocast_gives_what_it_gives_the_dense_one():
    dense, sparse = twins(inputs=32, outputs=32)
    maps = torch.randn(1, 32, 12, 12)
    gradient = gradient_at([(0, 1, 1), (0, 5, 7), (0, 6, 7)], (1, 32, 12, 12))
    for found, wanted in zip(
        gradients(sparse, maps, gradient, True), gradients(dense, maps, gradient, True), strict=True
    ):
        assert found.dtype == wanted.dtype
        assert_close(found, wanted, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_3x3_convolutions_of_fpn_and_rpn_do(arch):
    model = build_model(arch, 2)
    use_sparse_gradients(model)
    sparse = [n for n, m in model.named_modules() if isinstance(m, SparseGradientConv2d)]
    assert all(name.startswith(("backbone.fpn.layer_blocks", "rpn.head.conv")) for name in sparse)
    blocks = len(model.backbone.fpn.layer_blocks)
    assert len(sparse) == blocks + len([m for m in model.rpn.head.conv.modules() if
                                        isinstance(m, nn.Conv2d)])  # fmt: skip


@pytest.mark.parametrize(
    "conv",
    [nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 3, stride=2, padding=1),
     nn.Conv2d(2, 2, 3, padding=1, groups=2), nn.Conv2d(2, 2, (3, 5), padding=(1, 2))],
)  # fmt: skip
def test_other_convolutions_stay(conv):
    model = build_model("maskrcnn_resnet18_fpn_small", 2)
    model.rpn.head.conv = nn.Sequential(conv)
    use_sparse_gradients(model)
    assert type(conv) is nn.Conv2d


def test_predicting_goes_torchs_way():
    dense, sparse = twins()
    maps = torch.randn(1, 4, 8, 8)
    with torch.inference_mode():
        assert torch.equal(sparse(maps), dense(maps))
