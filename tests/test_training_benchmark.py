"""The training benchmark: both ways start alike and do the same, and its figures are there."""

from __future__ import annotations

import json
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import get_total_norm
from torchvision.models.detection import MaskRCNN

from nets.compact_masks import CompactMasks
from tools import benchmark_data, machine, training_benchmark
from tools.machine import Limits
from tools.training_benchmark import WAYS, compare, main, make_steps, start_model

CPU = torch.device("cpu")
SMALL = {"min_size": 64, "max_size": 96, "box_batch_size_per_image": 32}


@pytest.fixture(autouse=True)
def drawn(monkeypatch, tmp_path):
    monkeypatch.setenv("PENNFUDAN_ROOT", str(tmp_path / "missing"))


class Seen:
    """The networks that were trained, and their losses of each step."""

    def __init__(self):
        self.models, self.losses = [], []

    def __call__(self, module, _, output):
        if isinstance(module, MaskRCNN):
            self.models.append(module)
            self.losses.append({name: loss.item() for name, loss in output.items()})


@pytest.fixture
def small(monkeypatch):
    """Both networks look at small images and take the first anchors and RoIs, not random ones."""
    whole, options = training_benchmark.MaskRCNN, training_benchmark.network_options
    monkeypatch.setattr(training_benchmark, "MaskRCNN", partial(whole, **SMALL))
    monkeypatch.setattr(training_benchmark, "network_options", lambda c: options(c) | SMALL)
    monkeypatch.setattr(torch, "randperm", lambda n, device=None: torch.arange(n, device=device))


def gradients_of(model):
    return {name: one.grad for name, one in model.named_parameters() if one.grad is not None}


def assert_near(found, wanted):
    assert found.keys() == wanted.keys()
    difference = [found[name] - one for name, one in wanted.items()]
    apart = get_total_norm(difference) / get_total_norm(wanted.values())
    assert 0 < apart < 1e-2  # after two steps of a deep network of random weights


@pytest.mark.slow
def test_steps_are_the_same_both_ways(small):
    """And the losses go down: weights that diverge leave few RoIs, and steps that cost less."""
    seen = Seen()
    with register_module_forward_hook(seen):
        for way in WAYS:
            step = make_steps(way, 2, 1, CPU, "fp32")
            step(), step()
    first, second, *ours = seen.losses
    assert len(first) == 5
    assert ours[0] == pytest.approx(first, rel=1e-4, abs=1e-4)
    assert ours[1] == pytest.approx(second, rel=1e-2, abs=1e-2)
    assert sum(second.values()) < sum(first.values())

    reference, ours = seen.models[0], seen.models[-1]
    assert_near(gradients_of(ours), gradients_of(reference))
    start = start_model().state_dict()
    moves = [
        {name: one - start[name] for name, one in model.state_dict().items()}
        for model in (ours, reference)
    ]
    assert_near(*moves)

    kinds = [{type(module).__module__ for module in one.modules()} for one in (reference, ours)]
    assert all(name.startswith("torch") for name in kinds[0])
    assert any(name.startswith("nets.") for name in kinds[1])


def numbers_of(model):
    rpn, heads = model.rpn, model.roi_heads
    pools, samplers = (heads.box_roi_pool, heads.mask_roi_pool), (rpn, heads)
    return [
        [getattr(model.transform, n) for n in ("min_size", "max_size", "image_mean", "image_std")],
        [rpn._pre_nms_top_n, rpn._post_nms_top_n, rpn.nms_thresh, rpn.score_thresh, rpn.min_size],
        [vars(part.fg_bg_sampler) for part in samplers],
        [rpn.anchor_generator.sizes, rpn.anchor_generator.aspect_ratios],
        [(pool.featmap_names, pool.output_size, pool.sampling_ratio) for pool in pools],
        {name for name, one in model.named_parameters() if one.requires_grad},
    ]


def test_both_networks_have_the_same_numbers(monkeypatch):
    """Sizes and limits are torchvision's defaults, as those of train.py are."""
    networks = []
    monkeypatch.setattr(MaskRCNN, "to", lambda self, *_, **__: networks.append(self) or self)
    for make in (training_benchmark.reference_step, training_benchmark.our_step):
        make(CPU, "fp32")
    reference, ours = map(numbers_of, networks)
    assert ours == reference


@pytest.fixture
def batches(monkeypatch):
    """Steps that do nothing but remember their batch."""
    seen = []
    for name in ("reference_step", "our_step"):
        monkeypatch.setattr(training_benchmark, name, lambda device, precision: seen.append)
    return seen


@pytest.mark.parametrize("way", WAYS)
def test_each_step_has_other_images(batches, way):
    step = make_steps(way, 2, 3, CPU, "fp32")
    for _ in range(4):
        step()
    numbers = [[target["image_id"] for target in targets] for _, targets in batches]
    assert numbers == [[0, 1], [2, 3], [4, 5], [0, 1]]
    masks = [target["masks"] for _, targets in batches for target in targets]
    assert all(isinstance(one, CompactMasks) is (way == "ours") for one in masks)


def test_few_images_are_taken_again(batches, monkeypatch):
    data = benchmark_data.DrawnDataset(3, compact_masks=False)
    monkeypatch.setattr(training_benchmark, "open_data", lambda *_, **__: data)
    step = make_steps("reference", 2, 2, CPU, "fp32")
    step(), step()
    assert [[one["image_id"] for one in targets] for _, targets in batches] == [[0, 1], [2, 0]]


def test_figures_are_medians_ratio_rates_and_memory(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    taken = {"reference": iter([70, 50, 4, 9, 8]), "ours": iter([90, 60, 1, 6, 2])}
    made = []

    def make(way, *numbers):
        made.append((way, *numbers))

        def step():
            clock.now += next(taken[way])
            torch.ones(2, 3) @ torch.ones(3, 4)  # 48 operations

        return step

    def memory(module, arguments):
        assert not made, "the others' memory is measured while this process holds little"
        assert (module, arguments[1:]) == ("tools.training_benchmark", ["4", "bf16"])
        return {"reference": 6800.0, "ours": 3400.0}[arguments[0]]

    rates = {torch.float32: Limits(1e-9, 2e-9), torch.bfloat16: Limits(6e-9, 4e-9)}
    monkeypatch.setattr(machine.time, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(machine, "limits", lambda device, dtype: rates[dtype])
    monkeypatch.setattr(training_benchmark, "make_steps", make)
    monkeypatch.setattr(training_benchmark, "peak_memory", memory)
    (result,) = compare(3, 4, "cpu", "bf16")
    assert made == [(way, 4, 4, CPU, "bf16") for way in WAYS]
    assert result == pytest.approx({
        "name": "train maskrcnn_resnet50_fpn cpu bf16, batch of 4",
        "reference_s": 8, "ours_s": 2, "ratio": 4, "gflop_per_image": 12e-9,
        "reference_images_per_s": 0.5, "reference_limit_gflops": 2e-9,
        "reference_share_of_limit": 3, "reference_mb": 6800,
        "ours_images_per_s": 2, "ours_limit_gflops": 6e-9, "ours_share_of_limit": 4,
        "ours_mb": 3400,
    })  # fmt: skip
    json.dumps(result)


def test_the_process_that_is_measured_takes_three_steps(batches, capsys):
    main(["ours", "2", "fp32"])
    assert len(batches) == 3
    assert float(capsys.readouterr().out) > 50
