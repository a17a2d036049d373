"""One epoch of training and one pass of evaluation; a small network must learn two pictures."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from nets.mask_rcnn import build_model
from utils.config import TrainConfig
from utils.data.records import ImageRecord, Instance, RecordSet
from utils.data.targets import record_target
from utils.device import Precision
from utils.evaluation.coco_evaluator import CocoEvaluator
from utils.training.engine import (
    LOSSES,
    DivergedError,
    evaluate,
    loss_values,
    seed_epoch,
    train_one_epoch,
)
from utils.training.schedule import build_optimizer, build_schedule

FP32 = Precision("fp32", "cpu")
SIDE = 96


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """For so small a network a second thread costs more than it gives."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def drawn_record(image_id, masks) -> ImageRecord:
    instances = tuple(Instance.from_mask(1, mask) for mask in masks)
    return ImageRecord(image_id, Path(f"root/{image_id}.png"), SIDE, SIDE, instances)


def drawn_sample(record):
    """Grey noise with a bright object wherever the record has one."""
    target = record_target(record)
    generator = torch.Generator().manual_seed(record.image_id)
    image = torch.rand(3, SIDE, SIDE, generator=generator) * 0.3
    for n, mask in enumerate(target["masks"]):
        image[:, mask.bool()] = torch.tensor([0.9, 0.3 * n, 0.5])[:, None]
    return image, target


def two_pictures():
    rows, columns = np.mgrid[:SIDE, :SIDE]
    disc = (columns - 30) ** 2 + (rows - 40) ** 2 <= 22**2
    box = (columns >= 55) & (columns < 90) & (rows >= 20) & (rows < 80)
    wide = (columns >= 10) & (columns < 85) & (rows >= 50) & (rows < 82)
    return [drawn_record(1, [disc, box]), drawn_record(2, [wide])]


def small_network(seed=0):
    torch.manual_seed(seed)
    return build_model(
        "maskrcnn_resnet18_fpn_small", 2, min_size=SIDE, max_size=SIDE,
        box_batch_size_per_image=16, rpn_pre_nms_top_n_train=50, rpn_post_nms_top_n_train=50,
        rpn_pre_nms_top_n_test=50, rpn_post_nms_top_n_test=50,
    )  # fmt: skip


def settings(**changes) -> TrainConfig:
    return TrainConfig(weights="none", schedule="constant", warmup=0, **changes)


def trained(model, batches, config, reports):
    optimizer = build_optimizer(model, config)
    schedule = build_schedule(optimizer, config, len(batches))
    train_one_epoch(model, batches, optimizer, schedule, FP32, FP32.scaler(), config.clip_norm,
                    reports.append)  # fmt: skip
    return optimizer, schedule


@pytest.fixture(scope="module")
def overfitted():
    """A small network after 40 steps on two pictures, the reports, and the pictures."""
    records = two_pictures()
    images, targets = zip(*map(drawn_sample, records), strict=True)
    batch = (list(images), list(targets))
    model, reports = small_network(), []
    config = settings(optimizer="adamw", lr=1e-3, clip_norm=10.0)
    trained(model, [batch] * 40, config, reports)
    return model, reports, records, batch


def test_every_step_is_reported(overfitted):
    _, reports, _, _ = overfitted
    assert len(reports) == 40
    for report in reports:
        assert set(report.losses) == {"loss", *LOSSES}
        parts = sum(report.losses[name] for name in LOSSES)
        assert report.losses["loss"] == pytest.approx(parts)
        assert report.images == 2
        assert report.lr == 1e-3
        assert 0 <= report.wait_seconds <= report.seconds


def test_losses_fall(overfitted):
    _, reports, _, _ = overfitted
    first, last = reports[0].losses, reports[-1].losses
    assert last["loss"] < 0.4 * first["loss"]
    assert last["loss_mask"] < 0.7 * first["loss_mask"]


def test_two_pictures_are_learned(overfitted):
    model, _, records, (images, targets) = overfitted
    evaluator = CocoEvaluator(RecordSet(Path("root"), "drawn", ("thing",), tuple(records)))
    evaluate(model, [(images, targets)], FP32, evaluator.process, with_losses=False)
    metrics = evaluator.evaluate()
    assert metrics["segm/AP50"] > 0.6
    assert metrics["bbox/AP50"] > 0.6


def test_evaluation_changes_nothing(overfitted):
    model, _, _, batch = overfitted
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert any(name.endswith("running_mean") for name in before)
    random_state = torch.get_rng_state()
    evaluate(model, [batch], FP32, lambda *_: None)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not any(module.training for module in model.modules())


def test_evaluation_hears_each_image_once_and_in_order(overfitted):
    model, _, _, (images, targets) = overfitted
    heard = []
    single = [([image], [target]) for image, target in zip(images, targets, strict=True)]
    evaluate(model, single, FP32, lambda image_id, prediction: heard.append(image_id))
    assert heard == [1, 2]


def test_evaluation_losses_are_means_over_images(overfitted):
    model, _, _, (images, targets) = overfitted
    batches = [(images[:1], targets[:1]), (images[1:], targets[1:])]
    one, two = (evaluate(model, [batch], FP32, lambda *_: None) for batch in batches)
    both = evaluate(model, batches, FP32, lambda *_: None)
    assert set(both) == {"loss", *LOSSES}
    assert both == pytest.approx({name: (one[name] + two[name]) / 2 for name in both})


def test_a_larger_batch_weighs_more(overfitted, monkeypatch):
    model, _, _, (images, targets) = overfitted
    per_call = iter([1.0, 4.0])

    def fake_detect(model, images, targets):
        return [{}] * len(images), dict.fromkeys(LOSSES, torch.tensor(next(per_call)))

    monkeypatch.setattr("utils.training.engine.detect", fake_detect)
    batches = [(images, targets), (images[:1], targets[:1])]
    losses = evaluate(model, batches, FP32, lambda *_: None)
    assert losses["loss_mask"] == pytest.approx((2 * 1 + 4) / 3)


@pytest.mark.parametrize("batches", [[], "both"])
def test_without_losses_there_are_none(overfitted, batches):
    model, _, _, batch = overfitted
    given = [batch] if batches else []
    assert evaluate(model, given, FP32, lambda *_: None, with_losses=False) == {}


class Stub(nn.Module):
    """Stands in for the network: five losses that are the weight times the image's first value."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, images, targets):
        return {name: self.weight * images[0].flatten()[0] for name in LOSSES}


def stub_batch(value, image_id=1):
    image, target = drawn_sample(drawn_record(image_id, []))
    return [torch.full_like(image, value)], [target]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_no_number_stops_before_the_weights_change(value):
    model, reports = Stub(), []
    batches = [stub_batch(1.0), stub_batch(value, image_id=42), stub_batch(1.0)]
    with pytest.raises(DivergedError, match=r"not finite.*loss_mask.*images \[42\].*--lr"):
        trained(model, batches, settings(lr=0.1, momentum=0, weight_decay=0), reports)
    assert len(reports) == 1
    # One good step: each of the five losses has gradient 1.
    assert model.weight.item() == pytest.approx(2 - 0.1 * 5)


def test_a_network_with_a_nan_weight_is_noticed():
    model = small_network()
    with torch.no_grad():
        model.roi_heads.mask_predictor.mask_fcn_logits.bias.fill_(float("nan"))
    image, target = drawn_sample(two_pictures()[0])
    before = model.rpn.head.cls_logits.weight.clone()
    with pytest.raises(DivergedError):
        trained(model, [([image], [target])], settings(), [])
    assert torch.equal(model.rpn.head.cls_logits.weight, before)


def test_gradients_are_clipped_to_the_norm():
    model = Stub()
    config = settings(lr=1.0, momentum=0, weight_decay=0, clip_norm=0.25)
    trained(model, [stub_batch(100.0)], config, [])
    assert model.weight.item() == pytest.approx(2 - 0.25, abs=1e-5)


def test_schedule_moves_once_a_step():
    config = replace(settings(lr=1.0, momentum=0, weight_decay=0), warmup=3)
    reports = []
    _, schedule = trained(Stub(), [stub_batch(0.0)] * 5, config, reports)
    assert [r.lr for r in reports] == pytest.approx([0.001, 0.334, 0.667, 1, 1])
    assert schedule.last_epoch == 5


def test_a_batch_without_objects_trains():
    model, reports = small_network(), []
    image, target = drawn_sample(drawn_record(1, []))
    trained(model, [([image], [target])], settings(), reports)
    assert np.isfinite(reports[0].losses["loss"])
    assert reports[0].losses["loss_mask"] == 0


def test_loss_values_are_numbers_in_a_fixed_order():
    losses = {name: torch.tensor(float(n)) for n, name in enumerate(reversed(LOSSES))}
    values = loss_values(losses)
    assert list(values) == ["loss", *LOSSES]
    assert values["loss"] == 10
    assert values["loss_rpn_box_reg"] == 0


def test_an_epochs_draws_depend_on_seed_and_number_alone():
    draws = {}
    for seed, epoch in [(0, 0), (0, 1), (1, 0), (0, 1)]:
        torch.rand(7)  # whatever came before
        seed_epoch(seed, epoch)
        drawn = torch.rand(3)
        assert torch.equal(draws.setdefault((seed, epoch), drawn), drawn)
    assert len({tuple(drawn.tolist()) for drawn in draws.values()}) == 3


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_a_gpu_trains_and_evaluates(name):
    precision = Precision(name, "cuda")
    model = build_model("maskrcnn_resnet18_fpn_small", 2, min_size=96, max_size=96)
    model = model.to("cuda", memory_format=precision.memory_format)
    config = settings(optimizer="adamw", lr=1e-3, clip_norm=10.0)
    images, targets = zip(*map(drawn_sample, two_pictures()), strict=True)
    batches = [(list(images), list(targets))] * 20
    optimizer = build_optimizer(model, config)
    schedule = build_schedule(optimizer, config, len(batches))
    reports = []
    train_one_epoch(
        model, batches, optimizer, schedule, precision, precision.scaler(),
        clip_norm=config.clip_norm, on_step=reports.append,
    )  # fmt: skip
    assert reports[-1].losses["loss"] < reports[0].losses["loss"]
    found = {}
    losses = evaluate(model, batches[:1], precision, found.__setitem__)
    assert len(found) == 2
    assert all(math.isfinite(value) for value in losses.values())
    assert next(iter(found.values()))["boxes"].device.type == "cpu"


def test_a_validation_loss_that_is_no_number_is_noticed(overfitted, monkeypatch):
    losses = dict.fromkeys(LOSSES, torch.tensor(math.nan))
    monkeypatch.setattr("utils.training.engine.detect", lambda *_: ([{}, {}], losses))
    with pytest.raises(DivergedError, match=r"validation loss is not finite: .*loss_mask nan"):
        evaluate(small_network(), [overfitted[3]], FP32, lambda *_: None)
