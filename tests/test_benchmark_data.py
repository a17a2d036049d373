"""The images of the benchmarks: drawn ones are the same each time, real ones where they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nets.compact_masks import CompactMasks
from tools import benchmark_data
from tools.benchmark_data import DRAWN, OBJECTS, drawn_instances, open_data, penn_fudan
from utils.data.instance_dataset import PennFudanDataset

HEIGHT, WIDTH = 60, 90


@pytest.fixture
def missing(monkeypatch, tmp_path):
    monkeypatch.setenv("PENNFUDAN_ROOT", str(tmp_path / "missing"))


def test_drawn_images_have_objects_and_one_size(missing):
    data = open_data(3, compact_masks=False)
    assert len(data) == 3
    for number in range(3):
        image, target = data[number]
        assert image.shape == (3, *DRAWN)
        assert target["masks"].shape == (OBJECTS, *DRAWN)
        assert target["labels"].tolist() == [1] * OBJECTS
        assert target["image_id"] == number


@pytest.mark.parametrize("compact", [True, False])
def test_drawn_images_are_the_same_each_time_and_differ(missing, compact):
    first, again = (open_data(2, compact_masks=compact) for _ in range(2))
    for number in range(2):
        (image, target), (other, same) = first[number], again[number]
        assert torch.equal(image, other)
        assert torch.equal(target["boxes"], same["boxes"])
        assert isinstance(target["masks"], CompactMasks) is compact
    assert not torch.equal(first[0][0], first[1][0])
    assert not torch.equal(first[0][1]["boxes"], first[1][1]["boxes"])


def test_objects_lie_inside_and_have_the_size_that_is_asked_for():
    instances = drawn_instances(np.random.default_rng(0), (HEIGHT, WIDTH), 200, (5, 12))
    assert len(instances) == 200
    x, y, width, height = np.array([one.bbox for one in instances]).T
    assert x.min() >= 0
    assert y.min() >= 0
    assert (x + width).max() <= WIDTH
    assert (y + height).max() <= HEIGHT
    for side in (width, height):  # a diameter, outlines being rounded to pixels
        assert 9 <= side.min() < 13
        assert 22 < side.max() <= 26
    assert (x + width).max() - x.min() > 0.9 * WIDTH, "they lie everywhere"
    assert (y + height).max() - y.min() > 0.9 * HEIGHT


def test_no_objects_are_none():
    assert drawn_instances(np.random.default_rng(0), (HEIGHT, WIDTH), 0, (5, 12)) == ()


@pytest.mark.parametrize("compact", [True, False])
def test_real_images_are_taken_where_they_are(drawn_pennfudan, monkeypatch, compact):
    monkeypatch.setenv("PENNFUDAN_ROOT", str(drawn_pennfudan))
    assert penn_fudan() == drawn_pennfudan
    data, wanted = open_data(2, compact_masks=compact), PennFudanDataset(drawn_pennfudan)
    assert len(data) == len(wanted) == 6
    for number in range(6):
        (image, target), (pixels, objects) = data[number], wanted[number]
        assert torch.equal(image, pixels)
        masks = target["masks"].dense() if compact else target["masks"]
        assert torch.equal(masks, objects["masks"])


def test_they_lie_where_the_variable_says_or_beside_the_project(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark_data, "PENNFUDAN", tmp_path)
    monkeypatch.delenv("PENNFUDAN_ROOT", raising=False)
    assert penn_fudan() == tmp_path
    monkeypatch.setenv("PENNFUDAN_ROOT", str(tmp_path / "missing"))
    assert penn_fudan() is None
