"""The prediction benchmark: both ways find the same, and its figures are there."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from nets.mask_rcnn import build_model
from nets.weights_file import WeightsFile, save_weights
from tools import prediction_benchmark
from tools.prediction_benchmark import DRAWN, compare, our_way, read_pictures, reference_way

ARCH = "maskrcnn_resnet18_fpn_small"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    options = {"min_size": 64, "max_size": 96, "box_detections_per_img": 7}
    model = build_model(ARCH, 3, **options)
    path = tmp_path_factory.mktemp("weights") / "small.pth"
    save_weights(path, WeightsFile(ARCH, 3, ("cat", "dog"), model.state_dict(), options))
    return path


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(3):
        pixels = rng.integers(0, 256, (50 + number, 70, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    return tmp_path


def test_both_ways_find_the_same_number(weights, folder):
    reference, ours = reference_way(weights), our_way(weights, "fp32")
    for picture in read_pictures(folder, 2):
        assert reference(picture) == ours(picture) == 7


def test_pictures_are_a_folders_or_pennfudans_or_noise(folder, tmp_path, monkeypatch):
    assert [one.shape for one in read_pictures(folder, 2)] == [(50, 70, 3), (51, 70, 3)]
    monkeypatch.setenv("PENNFUDAN_ROOT", str(tmp_path / "missing"))
    first, second = read_pictures(None, 2)
    assert first.shape == second.shape == DRAWN
    assert (first != second).any()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "PNGImages").symlink_to(folder)
    monkeypatch.setenv("PENNFUDAN_ROOT", str(tmp_path / "there"))
    assert len(read_pictures(None, 9)) == 3


@pytest.mark.slow
def test_figures_are_medians_ratio_and_memory(weights, folder, monkeypatch):
    clock = iter(np.cumsum([0, 9, 0, 3, 0, 8, 0, 2, 0, 1, 0, 4]).tolist())  # start and end in turn
    monkeypatch.setattr(prediction_benchmark.time, "perf_counter", lambda: next(clock))
    (result,) = compare(weights, folder, 3, 1, "fp32")
    assert (result["reference_s"], result["ours_s"], result["ratio"]) == (8, 3, 8 / 3)
    assert result["name"] == "predict small.pth, 7 detections"
    assert min(result["reference_mb"], result["ours_mb"]) > 100
    json.dumps(result)
