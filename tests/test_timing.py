"""Ways to find objects: the same objects by each, and seconds that are medians of turns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from eager_session import EagerSession
from inspected import ARCH, OPTIONS, make_model
from torch.nn.modules.module import register_module_forward_hook
from torchvision.models.detection import MaskRCNN

from nets.weights_file import WeightsFile
from utils.device import Precision
from utils.export.card import card_of
from utils.export.formats import ONNX
from utils.export.network import network_of
from utils.export.settings import ExportSettings
from utils.recommendation import timing
from utils.recommendation.timing import exported_way, own_way, seconds_by_turns, stock_way

FP32 = Precision("fp32", "cpu")
SETTINGS = ExportSettings(score_threshold=0.3, nms_threshold=0.4, max_detections=12)


@pytest.fixture(scope="module")
def weights():
    options = {**OPTIONS, "frozen_norm": True}
    return WeightsFile(ARCH, 4, ("a", "b", "c"), make_model().state_dict(), options)


@pytest.fixture(scope="module")
def card(weights):
    return card_of(weights, SETTINGS, ONNX)


def noise(*size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def count_by_torchvision(weights, images):
    """With the thresholds of ``SETTINGS``, computed apart from what is tested."""
    model = weights.build(reference=True)
    heads = model.roi_heads
    heads.score_thresh, heads.nms_thresh, heads.detections_per_img = 0.3, 0.4, 12
    with torch.inference_mode():
        tensors = [torch.from_numpy(image).permute(2, 0, 1) / 255 for image in images]
        return [len(found["boxes"]) for found in model(tensors)]


def test_each_way_finds_what_torchvision_finds(weights, card):
    first, second, wide = noise(60, 90), noise(60, 90, seed=1), noise(40, 97, seed=2)
    session = EagerSession(card_of(weights, replace(SETTINGS, batch=2), ONNX))
    found = (stock_way(network_of(card)), own_way(card, FP32), exported_way(session))
    for images in ([first, second], [wide]):
        wanted = count_by_torchvision(weights, images)
        assert min(wanted) > 0
        assert [way(images) for way in found] == [sum(wanted)] * 3
    # As many at once as it takes.
    assert [images.shape for images in session.seen] == [(2, 60, 90, 3), (2, 40, 97, 3)]


@pytest.mark.parametrize("changed", ["score_threshold", "nms_threshold", "max_detections"])
def test_the_thresholds_of_the_file_are_those_of_all(weights, changed):
    """Each makes fewer of what is found, in both ways alike."""
    loose = replace(SETTINGS, score_threshold=0.2, nms_threshold=0.9, max_detections=90)
    images = [noise(60, 90)]
    counts = []
    for settings in (loose, replace(loose, **{changed: getattr(SETTINGS, changed)})):
        card = card_of(weights, settings, ONNX)
        counts.append([stock_way(network_of(card))(images), own_way(card, FP32)(images)])
    assert all(stock == own for stock, own in counts)
    assert counts[1][0] < counts[0][0]


def test_the_reference_is_torchvisions(card):
    modules = []
    way = stock_way(network_of(card))
    with register_module_forward_hook(lambda module, *_: modules.append(module)):
        way([noise(60, 90)])
    (network,) = [module for module in modules if isinstance(module, MaskRCNN)]
    assert all(type(module).__module__.startswith("torch") for module in network.modules())
    assert all(p.dtype == torch.float32 for p in network.parameters())


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    return now


def test_seconds_are_medians_after_a_round_to_warm_up(clock):
    turns = []

    def scripted(name, seconds):
        left = iter(seconds)

        def way(images):
            turns.append((name, images[0]))
            clock[0] += next(left)
            return 0

        return way

    # Two batches: two calls to warm up, six that count.
    works = {
        "slow": scripted("slow", [90, 90, 4, 6, 8, 6, 90, 4]),
        "fast": scripted("fast", [0, 0, 1, 2, 3, 2, 3, 2]),
    }
    assert seconds_by_turns(works, [[0, 0], [1, 1]], 3) == {"slow": 3, "fast": 1}
    assert turns[:4] == [("slow", 0), ("fast", 0), ("slow", 1), ("fast", 1)]
    assert turns == turns[:4] * 4


def test_one_image_counts_as_one(clock):
    def way(images):
        clock[0] += 6
        return 0

    assert seconds_by_turns({"way": way}, [[0, 0, 0]], 1) == {"way": 2}
