"""RoIAlign by sums of rows, held against torchvision's kernel."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close
from torchvision.ops import MultiScaleRoIAlign

from nets import roi_rows
from nets.roi_rows import RowsRoIAlign

STRIDES, IMAGE = (4, 8, 16, 32), (96, 128)
BOXES = {
    "inside": [10.2, 12.7, 50.1, 41.9],
    "whole image": [0, 0, 128, 96],
    "below a cell": [20.3, 30.4, 20.6, 30.9],
    "no area": [20, 30, 20, 30],
    "last cells": [125, 93, 128, 96],
    "first cell": [0, 0, 1.5, 1.5],
    "thin": [40, 3, 42, 90],
    "over all edges": [-30, -20, 160, 120],
    "outside": [-90, -70, -60, -50],
    "beyond": [200, 150, 260, 190],
}


def make_maps(images=1, channels=5, size=IMAGE, dtype=torch.float32):
    torch.manual_seed(0)
    return {
        str(i): torch.randn(images, channels, size[0] // stride, size[1] // stride, dtype=dtype)
        for i, stride in enumerate(STRIDES)
    }


def pooled(kind, maps, boxes, bins=7, samples=2, size=IMAGE):
    pool = kind([*maps], bins, samples)
    if kind is RowsRoIAlign:
        pool.set_strides(STRIDES)
    with torch.inference_mode():
        return pool(maps, boxes, [size] * len(boxes))


def assert_same(maps, boxes, **options):
    found = pooled(RowsRoIAlign, maps, boxes, **options)
    wanted = pooled(MultiScaleRoIAlign, maps, boxes, **options)
    assert found.shape == wanted.shape
    assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def random_boxes(count, size=IMAGE):
    corners = torch.rand(count, 2, 2) * torch.tensor([size[1], size[0]])
    return torch.cat([corners.amin(1), corners.amax(1)], 1)


@pytest.fixture(autouse=True)
def never_elsewhere(monkeypatch):
    """A fall back to the other ways would make these tests say nothing."""
    monkeypatch.setattr(roi_rows.MatmulRoIAlign, "_pays", None)


@pytest.mark.parametrize("counts", [(0,), (0, 0), (3, 0), (0, 2, 0)])
def test_images_without_boxes(counts):
    assert_same(make_maps(len(counts)), [random_boxes(count) for count in counts])


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES.keys())
def test_a_box_anywhere(box):
    assert_same(make_maps(), [torch.tensor([box], dtype=torch.float32)])


@pytest.mark.parametrize("bins", [7, 14, (3, 5)])
@pytest.mark.parametrize("samples", [1, 2, 3])
def test_boxes_of_all_levels_in_several_images(bins, samples):
    maps = make_maps(3, channels=8)
    boxes = [random_boxes(count) for count in (40, 1, 25)]
    boxes[0] = boxes[0] * 6  # of the coarser maps, and beyond the image
    assert_same(maps, boxes, bins=bins, samples=samples)


def test_maps_of_one_cell():
    boxes = [torch.tensor([[0.0, 0, 32, 32], [3, 4, 9, 31]])]
    assert_same(make_maps(size=(32, 32)), boxes, size=(32, 32))


def test_channels_last_maps_are_not_copied():
    maps = make_maps(2, channels=6)
    boxes = [random_boxes(9), random_boxes(9)]
    last = {name: one.to(memory_format=torch.channels_last) for name, one in maps.items()}
    assert torch.equal(pooled(RowsRoIAlign, last, boxes), pooled(RowsRoIAlign, maps, boxes))


def test_bfloat16_maps_give_bfloat16():
    maps, boxes = make_maps(channels=16), [random_boxes(60)]
    half = {name: one.bfloat16() for name, one in maps.items()}
    found = pooled(RowsRoIAlign, half, boxes)
    assert found.dtype == torch.bfloat16
    assert_close(found.float(), pooled(MultiScaleRoIAlign, maps, boxes), rtol=0.02, atol=0.03)


@pytest.mark.parametrize("case", ["gradients", "adaptive sampling"])
def test_all_else_goes_to_torchvision(case, monkeypatch):
    monkeypatch.setattr(roi_rows.MatmulRoIAlign, "_pays", lambda self, features: False)
    monkeypatch.setattr(RowsRoIAlign, "_sums", None)
    maps, boxes = make_maps(), [random_boxes(5)]
    samples = 0 if case == "adaptive sampling" else 2
    pool, wanted = (kind([*maps], 7, samples) for kind in (RowsRoIAlign, MultiScaleRoIAlign))
    pool.set_strides(STRIDES)
    with torch.set_grad_enabled(case == "gradients"):
        found = pool(maps, boxes, [IMAGE])
    assert torch.equal(found, wanted(maps, boxes, [IMAGE]))
