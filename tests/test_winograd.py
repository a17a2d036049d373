"""Winograd's convolutions are convolutions."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from nets import winograd
from nets.winograd import WinogradConv2d, convolve, transform_kernel, use_winograd

SIZES = [(1, 1), (2, 2), (1, 9), (3, 4), (7, 5), (8, 6), (13, 21)]


def make(images=2, channels=5, outputs=3, size=(8, 6), dtype=torch.float64):
    torch.manual_seed(0)
    maps = torch.randn(images, channels, *size, dtype=dtype)
    return (
        maps,
        torch.randn(outputs, channels, 3, 3, dtype=dtype),
        torch.randn(outputs, dtype=dtype),
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tiles", [1, 5, 12, 2048])  # lines of an image, or several images
@pytest.mark.parametrize("images", [1, 3])
def test_any_size_in_any_blocks(images, tiles, size, monkeypatch):
    monkeypatch.setattr(winograd, "TILES", tiles)
    maps, weight, bias = make(images, size=size)
    found = convolve(maps, transform_kernel(weight), bias)
    assert_close(found, F.conv2d(maps, weight, bias, padding=1), rtol=1e-5, atol=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_autocast_does_not_round_kernels_halfway():
    weight = make()[1].float()
    with torch.autocast("cpu", torch.bfloat16):
        found = transform_kernel(weight)
    assert torch.equal(found, transform_kernel(weight))


def test_no_image():
    maps, weight, bias = make(images=0)
    assert convolve(maps, transform_kernel(weight), bias).shape == (0, 3, 8, 6)


def test_no_bias():
    maps, weight, _ = make()
    found = convolve(maps.to(memory_format=torch.channels_last), transform_kernel(weight), None)
    assert_close(found, F.conv2d(maps, weight, padding=1), rtol=1e-5, atol=1e-5)


def test_bfloat16_is_off_by_little_more_than_the_direct_one():
    maps, weight, bias = make(1, 256, 256, (30, 30), torch.float32)
    half = [one.bfloat16() for one in (maps, weight / 48, bias)]
    exact = F.conv2d(*(one.float() for one in half), padding=1)
    found = convolve(half[0], transform_kernel(half[1]), half[2])
    assert found.dtype == torch.bfloat16
    error, direct = ((one - exact).norm() for one in (found, F.conv2d(*half, padding=1)))
    assert direct < error < 4 * direct


def network(**options):
    options = {"kernel_size": 3, "padding": 1, **options}
    return nn.Sequential(nn.Conv2d(256, 256, **options)).bfloat16()


@pytest.mark.parametrize(
    "options",
    [{"stride": 2}, {"padding": 0}, {"dilation": 2, "padding": 2}, {"groups": 2},
     {"kernel_size": 1, "padding": 0}, {"padding_mode": "reflect"}],
)  # fmt: skip
def test_other_convolutions_stay(options):
    module = network(**options)
    use_winograd(module)
    assert type(module[0]) is nn.Conv2d


def test_other_devices_have_better_ones():
    with torch.device("meta"):
        module = network()
    use_winograd(module)
    assert type(module[0]) is nn.Conv2d


def test_few_channels_and_float32_stay():
    module = nn.Sequential(nn.Conv2d(255, 256, 3, padding=1).bfloat16(), *network().float())
    use_winograd(module)
    assert [type(conv) for conv in module] == [nn.Conv2d, nn.Conv2d]


@pytest.mark.parametrize(("size", "calls"), [((40, 20), 1), ((20, 20), 0)])
def test_it_is_used_on_large_maps(size, calls, monkeypatch):
    made = []
    own = winograd.convolve
    monkeypatch.setattr(winograd, "convolve", lambda *args: made.append(1) or own(*args))
    module = network()
    wanted = module(torch.ones(1, 256, *size).bfloat16())
    use_winograd(module)
    assert type(module[0]) is WinogradConv2d
    assert list(module.state_dict()) == ["0.weight", "0.bias"]
    with torch.inference_mode():
        found = module(torch.ones(1, 256, *size))  # as autocast, whatever comes is cast
    assert len(made) == calls
    assert_close(found, wanted, rtol=0.05, atol=0.02)
