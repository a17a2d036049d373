"""The prediction benchmark: both ways find the same, and its figures are there."""

from __future__ import annotations

import json
from functools import partial

import pytest
import torch
from benchmarked import save_noise, save_small_weights
from torch.nn.modules.module import register_module_forward_hook
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from nets.weights_file import load_weights
from tools import machine, prediction_benchmark
from tools.machine import Limits
from tools.prediction_benchmark import (
    DRAWN,
    DRAWN_FOR_GPU,
    GPU_BATCH,
    SCORE,
    WAYS,
    compare,
    main,
    our_way,
    read_pictures,
    reference_way,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_small_weights(tmp_path_factory.mktemp("weights") / "small.pth")


@pytest.fixture
def folder(tmp_path):
    return save_noise(tmp_path)


@pytest.fixture(autouse=True)
def missing(monkeypatch, tmp_path):
    monkeypatch.setenv("PENNFUDAN_ROOT", str(tmp_path / "missing"))


def test_both_ways_find_the_same_number(weights, folder):
    reference, ours = reference_way(weights, CPU), our_way(weights, CPU, "fp32")
    pictures = read_pictures(folder, 2, CPU)
    for picture in pictures:
        assert reference([picture]) == ours([picture]) == 7
    assert reference(pictures) == ours(pictures) == 14


@pytest.fixture
def called():
    """The modules that are called, in turn."""
    modules = []
    with register_module_forward_hook(lambda module, *_: modules.append(module)):
        yield modules


def test_the_reference_has_torchvisions_modules_and_threshold(weights, folder, called):
    reference_way(weights, CPU)(read_pictures(folder, 2, CPU))
    first, second = [module for module in called if isinstance(module, MaskRCNN)]
    assert first is second
    assert first.roi_heads.score_thresh == SCORE == 0.05
    assert not first.training
    assert all(type(module).__module__.startswith("torch") for module in first.modules())


def test_the_random_network_finds_a_hundred_objects(tmp_path):
    """So many have a score above the threshold, even in a small picture."""
    path = prediction_benchmark.random_weights(tmp_path / "random.pth")
    weights = load_weights(path)
    model = weights.build().eval()
    model.transform.min_size, model.transform.max_size = (128,), 128
    model.roi_heads.score_thresh = SCORE
    with torch.inference_mode():
        (found,) = model([torch.rand(3, 128, 128)])
    assert len(found["boxes"]) == 100
    assert weights.classes == ("object",)


def test_pictures_are_a_folders_or_pennfudans_or_noise(folder, tmp_path, monkeypatch):
    assert [one.shape for one in read_pictures(folder, 2, CPU)] == [(50, 70, 3), (51, 70, 3)]
    first, second = read_pictures(None, 2, CPU)
    assert first.shape == second.shape == DRAWN
    assert (first != second).any()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "PNGImages").symlink_to(folder)
    monkeypatch.setenv("PENNFUDAN_ROOT", str(tmp_path / "there"))
    assert len(read_pictures(None, 9, CPU)) == 3
    assert [one.shape for one in read_pictures(None, 2, GPU)] == 2 * [DRAWN_FOR_GPU]
    assert len(read_pictures(folder, 9, GPU)) == 3


class Script:
    """Ways that take their time by a clock and remember how many pictures they were given."""

    def __init__(self, monkeypatch, seconds):
        self.now, self.given = 0.0, []
        self.seconds = {way: iter(numbers) for way, numbers in seconds.items()}
        monkeypatch.setattr(machine.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(machine, "wait_for", lambda device: None)
        for way, name in (("reference", "reference_way"), ("ours", "our_way")):
            made = partial(self.way, way)
            monkeypatch.setattr(prediction_benchmark, name, lambda *_, made=made: made)

    def way(self, way, pictures):
        self.given.append((way, [one.shape[0] for one in pictures]))
        self.now += next(self.seconds[way])
        torch.ones(2, 3) @ torch.ones(3, 4)  # 48 operations
        return 7 * len(pictures)


def test_figures_are_medians_ratio_rates_and_memory(weights, folder, monkeypatch):
    # One call to count operations or detections, one to warm up, three of two pictures each.
    script = Script(monkeypatch, {"reference": [70, 50, 8, 9, 4, 8], "ours": [90, 60, 1, 2, 6, 2]})

    def memory(module, arguments):
        assert not script.given, "memory is measured while this process holds little"
        assert module == "tools.prediction_benchmark"
        assert arguments[1:] == [str(weights), "2", "bf16", str(folder)]
        return {"reference": 900.0, "ours": 400.0}[arguments[0]]

    rates = {torch.float32: Limits(1e-9, 4e-9), torch.bfloat16: Limits(6e-9, 4e-9)}
    monkeypatch.setattr(machine, "limits", lambda device, dtype: rates[dtype])
    monkeypatch.setattr(prediction_benchmark, "peak_memory", memory)
    (result,) = compare(weights, folder, 2, 2, "cpu", "bf16")
    assert result == pytest.approx({
        "name": "predict small.pth cpu bf16, 7 detections",
        "reference_s": 8, "ours_s": 2, "ratio": 4, "gflop_per_image": 48e-9,
        "reference_images_per_s": 1 / 8, "reference_limit_gflops": 4e-9,
        "reference_share_of_limit": 1.5, "reference_mb": 900,
        "ours_images_per_s": 0.5, "ours_limit_gflops": 6e-9, "ours_share_of_limit": 4,
        "ours_mb": 400,
    })  # fmt: skip
    json.dumps(result)
    for way in WAYS:
        turns = [heights for name, heights in script.given if name == way][1:]
        assert turns == [[50], [51], [50], [51], [50]]


def test_a_gpu_takes_several_together_and_no_rest(weights, monkeypatch):
    script = Script(monkeypatch, {"reference": [1, 1, 16, 16], "ours": [1, 1, 8, 8]})
    told = []
    monkeypatch.setattr(prediction_benchmark, "facts_of", lambda *facts: told.append(facts) or {})
    monkeypatch.setattr(prediction_benchmark, "DRAWN_FOR_GPU", (4, 4, 3))
    (result,) = compare(weights, None, 2 * GPU_BATCH + 3, 1, "cuda", "fp32")
    assert {len(pictures) for _, pictures in script.given} == {GPU_BATCH}
    assert result == pytest.approx({
        "name": "predict small.pth cuda fp32, 7 detections",
        "reference_s": 16 / GPU_BATCH, "ours_s": 8 / GPU_BATCH, "ratio": 2,
        "gflop_per_image": 48e-9 / GPU_BATCH,
    })  # fmt: skip
    assert [(way, *numbers) for way, _, *numbers in told] == [
        ("reference", GPU, torch.float32, 16 / GPU_BATCH, 48 / GPU_BATCH),
        ("ours", GPU, torch.float32, 8 / GPU_BATCH, 48 / GPU_BATCH),
    ]


@pytest.mark.parametrize("way", WAYS)
def test_the_process_that_is_measured_looks_at_each_picture(weights, folder, called, capsys, way):
    main([way, str(weights), "2", "fp32", str(folder)])
    assert sum(isinstance(module, GeneralizedRCNNTransform) for module in called) == 2
    assert float(capsys.readouterr().out) > 50


@pytest.mark.slow
def test_memory_is_that_of_processes_of_their_own(weights, folder):
    (result,) = compare(weights, folder, 1, 1, "cpu", "fp32")
    assert min(result["reference_mb"], result["ours_mb"]) > 100
    assert result["gflop_per_image"] > 0
