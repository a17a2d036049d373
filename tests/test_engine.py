"""The steps of a training; a small network must learn two pictures."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from nets.freezing import train_only
from nets.losses import LOSSES, named
from nets.mask_rcnn import build_model
from nets.sampler import SeededSampler, sampling_from
from nets.weights_file import WeightsFile, load_weights
from utils.config import TrainConfig
from utils.data.records import ImageRecord, Instance, RecordSet
from utils.data.targets import record_target
from utils.device import Precision
from utils.evaluation.coco_evaluator import CocoEvaluator
from utils.evaluation.judge import judge
from utils.training.checkpoint import BEST, Checkpoints
from utils.training.diverged import DivergedError
from utils.training.engine import MOST_OVERFLOWS, Trainer, sampling_seed
from utils.training.keeper import Keeper
from utils.training.recorder import NoRecorder
from utils.training.stages import read_stages
from utils.training.state import go_on_from, start_state
from utils.training.validation import Validated

FP32 = Precision("fp32", "cpu")
SIDE = 96


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


def drawn_batches():
    """One image a batch, the last without an object."""
    records = [*two_pictures(), drawn_record(3, [])]
    return [([image], [target]) for image, target in map(drawn_sample, records)]


def small_network(seed=0, **options):
    torch.manual_seed(seed)
    return build_model(
        "maskrcnn_resnet18_fpn_small", 2, min_size=SIDE, max_size=SIDE,
        box_batch_size_per_image=16, rpn_pre_nms_top_n_train=50, rpn_post_nms_top_n_train=50,
        rpn_pre_nms_top_n_test=50, rpn_post_nms_top_n_test=50, **options,
    )  # fmt: skip


def settings(**changes) -> TrainConfig:
    return TrainConfig(weights="none", **{"schedule": "constant", "warmup": 0, **changes})


PLAIN = {"lr": 0.1, "momentum": 0, "weight_decay": 0}  # weights move by rate times gradient


def trainer_of(model, config, scaler=None, precision=FP32) -> Trainer:
    stages = read_stages(config, "none")
    scaler = scaler or precision.scaler()
    state = start_state(model, config, stages, scaler, steps_per_epoch=5, images_per_batch=1)
    return Trainer(state, precision, config.clip_norm, config.accumulate, config.seed)


def trained(model, batches, config, **options):
    """The trainer after these batches, and its reports."""
    trainer = trainer_of(model, config, **options)
    return trainer, list(trainer.steps(batches, len(batches)))


def weights_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def differing(one, other):
    return {name for name, value in one.items() if not torch.equal(value, other[name])}


@pytest.fixture(scope="module")
def overfitted():
    """A small network after 40 steps on two pictures, the reports, and the pictures."""
    records = two_pictures()
    images, targets = zip(*map(drawn_sample, records), strict=True)
    batch = (list(images), list(targets))
    model = small_network()
    config = settings(optimizer="adamw", lr=1e-3, clip_norm=10.0)
    _, reports = trained(model, [batch] * 40, config)
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
    model, _, records, batch = overfitted
    evaluator = CocoEvaluator(RecordSet(Path("root"), "drawn", ("thing",), tuple(records)))
    for image_id, prediction, _ in judge(model, [batch], FP32, with_losses=False):
        evaluator.process(image_id, prediction)
    metrics = evaluator.evaluate()
    assert metrics["segm/AP50"] > 0.6
    assert metrics["bbox/AP50"] > 0.6


class Stub(nn.Module):
    """Stands in for the network: five losses that are the weight times the mean of the images'
    first values, so that each has that mean for a gradient."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))
        self.rpn, self.roi_heads = (
            SimpleNamespace(fg_bg_sampler=SeededSampler(1, 0.5)) for _ in range(2)
        )

    def forward(self, images, targets):
        value = torch.stack([image.flatten()[0] for image in images]).mean()
        return dict.fromkeys(LOSSES, self.weight * value)


class RootStub(Stub):
    """Its loss has no gradient where the images are 0, though the loss itself is finite."""

    def forward(self, images, targets):
        return {name: loss.abs().sqrt() for name, loss in super().forward(images, targets).items()}


def stub_batch(*values, image_id=1):
    image, target = drawn_sample(drawn_record(image_id, []))
    return [torch.full_like(image, value) for value in values], [target] * len(values)


GOOD, BAD = stub_batch(1.0), stub_batch(0.0)  # for RootStub


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_no_number_stops_before_the_weights_change(value):
    model, bad = Stub(), stub_batch(value, image_id=42)
    trainer = trainer_of(model, settings(**PLAIN))
    trainer.state.epoch = 3
    steps = trainer.steps([stub_batch(1.0), bad, stub_batch(1.0)], 3)
    next(steps)
    with pytest.raises(DivergedError) as caught:
        next(steps)

    message = str(caught.value)
    assert "the loss is not finite in step 2 (epoch 4) at learning rate 1.00e-01" in message
    assert all(f"{name} {value:.3g}" in message for name in LOSSES)
    assert "gradient scale" not in message
    assert caught.value.batches == [bad]
    assert model.weight.item() == pytest.approx(2 - 0.1 * 5)  # one good step of five gradients of 1
    assert trainer.state.step == trainer.state.schedule.last_epoch == trainer.state.batches == 1


def test_of_several_batches_in_a_step_the_broken_one_is_named():
    model, bad = Stub(), stub_batch(float("nan"))
    batches = [stub_batch(3.0), bad, stub_batch(3.0)]
    with pytest.raises(DivergedError, match="loss_mask nan") as caught:
        trained(model, batches, settings(**PLAIN, accumulate=3))
    assert len(caught.value.batches) == 1
    assert caught.value.batches[0] is bad
    assert model.weight.item() == 2


def test_a_gradient_that_is_no_number_stops_before_the_weights_change():
    model = RootStub()
    with pytest.raises(DivergedError, match=r"gradient is not finite in step 2 .*loss_mask") as it:
        trained(model, [GOOD, BAD], settings(**PLAIN, ema=0.9))
    assert it.value.batches == [BAD]
    assert it.value.moment.losses["loss"] == 0
    after_one, _ = trained(RootStub(), [GOOD], settings(**PLAIN))
    assert model.weight.item() == after_one.state.model.weight.item() != 2


def test_a_network_with_a_nan_weight_is_noticed():
    model = small_network()
    with torch.no_grad():
        model.roi_heads.mask_predictor.mask_fcn_logits.bias.fill_(float("nan"))
    before = {name: p.clone() for name, p in model.named_parameters()}
    with pytest.raises(DivergedError, match="loss_mask nan"):
        trained(model, drawn_batches(), settings())
    after = dict(model.named_parameters())
    assert differing(before, after) == {"roi_heads.mask_predictor.mask_fcn_logits.bias"}  # NaN


def fp16_scaler():
    """float16's scaler, that a CPU has too; what it does depends on the gradients alone."""
    return torch.amp.GradScaler("cpu", enabled=True)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_float16_overflow_takes_no_step(optimizer):
    config = settings(optimizer=optimizer, lr=0.1, warmup=4, ema=0.9, clip_norm=5.0)
    scaler = fp16_scaler()
    trainer, reports = trained(RootStub(), [GOOD, BAD, GOOD, BAD, GOOD], config, scaler=scaler)
    wanted, others = trained(RootStub(), [GOOD] * 3, config, scaler=fp16_scaler())

    state, its = trainer.state, wanted.state
    assert scaler.get_scale() == fp16_scaler().get_scale() / 4
    assert torch.equal(state.model.weight, its.model.weight)
    assert state.model.weight.item() != 2
    assert torch.equal(state.judged.weight, its.judged.weight)
    assert state.schedule.last_epoch == its.schedule.last_epoch == 3
    assert [reports[n].lr for n in (0, 2, 4)] == [report.lr for report in others]
    assert (state.step, state.batches) == (5, 5)  # they were seen


def test_float16_that_always_overflows_is_an_error():
    model = RootStub()
    trainer = trainer_of(model, settings(**PLAIN), scaler=fp16_scaler())
    steps = trainer.steps([BAD] * (MOST_OVERFLOWS + 1), MOST_OVERFLOWS + 1)
    for _ in range(MOST_OVERFLOWS - 1):
        next(steps)
    with pytest.raises(DivergedError) as caught:
        next(steps)
    assert MOST_OVERFLOWS == 20
    scale = f"gradient scale {2.0 ** (16 - 19):g} "
    assert "20 steps in a row overflowed in float16, the last one in step 20 " in str(caught.value)
    assert scale in str(caught.value)
    assert caught.value.batches == [BAD]
    assert model.weight.item() == 2


def test_a_good_step_forgets_the_overflows_before_it():
    few = [BAD] * (MOST_OVERFLOWS - 1)
    trainer, _ = trained(RootStub(), [*few, GOOD, *few], settings(**PLAIN), scaler=fp16_scaler())
    assert trainer.state.overflows == MOST_OVERFLOWS - 1


def test_overflows_are_counted_on_after_a_resume():
    config = settings(**PLAIN)
    first, _ = trained(RootStub(), [BAD] * 12, config, scaler=fp16_scaler())
    saved = copy.deepcopy(first.state.to_dict())
    second = trainer_of(RootStub(), config, scaler=fp16_scaler())
    weights = first.state.model.state_dict()
    go_on_from(second.state, saved, weights, config, read_stages(config, "none"))
    steps = second.steps([BAD] * 10, 22)
    for _ in range(7):
        next(steps)
    with pytest.raises(DivergedError, match=r"in step 20 .*gradient scale 0\.125 "):
        next(steps)


def test_gradients_are_clipped_to_the_norm():
    model = Stub()
    trained(model, [stub_batch(100.0)], settings(**{**PLAIN, "lr": 1.0}, clip_norm=0.25))
    assert model.weight.item() == pytest.approx(2 - 0.25, abs=1e-5)


def test_schedule_moves_once_a_step():
    config = replace(settings(lr=1.0, momentum=0, weight_decay=0), warmup=3)
    trainer, reports = trained(Stub(), [stub_batch(0.0)] * 5, config)
    assert [r.lr for r in reports] == pytest.approx([0.001, 0.334, 0.667, 1, 1])
    assert trainer.state.schedule.last_epoch == 5


def test_batches_are_gathered_to_steps_of_their_mean():
    batches = [stub_batch(value) for value in (1.0, 3.0, 4.0, 0.0, 7.0)]
    batches[4] = stub_batch(7.0, 7.0)
    config = settings(**PLAIN, accumulate=2)
    trainer = trainer_of(Stub(), config)
    weights, reports = [2.0], []
    for report in trainer.steps(batches, 5):
        weights.append(trainer.state.model.weight.item())
        reports.append(report)

    moved = [before - after for before, after in pairwise(weights)]
    assert moved == pytest.approx([0.1 * 5 * mean for mean in (2, 2, 7)])  # the last is alone
    for report, weight, mean in zip(reports, weights, (2, 2, 7), strict=False):
        assert report.losses["loss_mask"] == pytest.approx(weight * mean)
        assert report.losses["loss"] == pytest.approx(5 * weight * mean)
    assert [report.images for report in reports] == [2, 2, 2]
    assert (trainer.state.step, trainer.state.batches) == (3, 5)
    assert trainer.state.schedule.last_epoch == 3


def test_time_is_told_with_what_of_it_was_waiting():
    def loading():
        for _ in range(5):
            time.sleep(0.05)
            yield stub_batch(1.0)

    started = time.perf_counter()
    reports = []
    for report in trainer_of(Stub(), settings(**PLAIN, accumulate=2)).steps(loading(), 5):
        reports.append(report)
        time.sleep(0.2 * (len(reports) == 1))  # such as a save, which is no waiting for data
    took = time.perf_counter() - started

    for report, least in zip(reports, (0.1, 0.1, 0.05), strict=True):
        assert least <= report.wait_seconds < report.seconds
    assert reports[1].seconds - reports[1].wait_seconds > 0.2
    assert 0.45 < sum(report.seconds for report in reports) <= took


def test_accumulated_gradients_are_those_of_a_plain_loop():
    batches, config = drawn_batches(), settings(**PLAIN, accumulate=3)
    mine = small_network()
    theirs = copy.deepcopy(mine)
    trained(mine, batches, config)

    theirs.train()
    for images, targets in batches:
        seeds = [sampling_seed(config.seed, 0, target["image_id"]) for target in targets]
        with sampling_from(theirs, seeds):
            (sum(theirs(images, targets).values()) / 3).backward()
    for (name, one), other in zip(mine.named_parameters(), theirs.parameters(), strict=True):
        wanted = other.detach() - config.lr * other.grad
        assert torch.allclose(one, wanted, rtol=1e-5, atol=1e-7), name


def test_the_average_is_that_of_a_plain_loop(tmp_path):
    decay, batches = 0.2, drawn_batches() * 2
    trainer = trainer_of(small_network(), settings(lr=0.01, ema=decay))
    state = trainer.state
    mean = None
    for number, _ in enumerate(trainer.steps(batches, len(batches))):
        now = {name: p.detach().clone() for name, p in state.model.named_parameters()}
        kept = min(decay, (1 + number) / (10 + number))  # 2/11 at first, 0.2 from the third on
        mean = mean or now
        mean = {name: kept * mean[name] + (1 - kept) * now[name] for name in now}

    average = dict(state.judged.named_parameters())
    for name, wanted in mean.items():
        assert torch.allclose(average[name], wanted, rtol=1e-5, atol=1e-8), name
        assert not torch.equal(average[name], now[name]), name
    buffers = dict(state.judged.named_buffers())
    assert differing(dict(state.model.named_buffers()), buffers) == set()
    assert buffers["backbone.body.bn1.num_batches_tracked"] == len(batches)
    assert not any(p.requires_grad for p in average.values())

    weights = WeightsFile("maskrcnn_resnet18_fpn_small", 2, ("thing",), {})
    Keeper(Checkpoints(tmp_path, 0), state, NoRecorder(), weights, {}, 0).end_epoch(
        Validated({}, {}, {}), True
    )
    assert differing(load_weights(tmp_path / BEST).model, state.judged.state_dict()) == set()


def test_without_a_decay_the_model_itself_is_judged():
    state = trainer_of(Stub(), settings()).state
    assert state.judged is state.model


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_what_is_frozen_in_a_stage_stays_to_the_bit(optimizer):
    model = small_network()
    with torch.no_grad():  # a bias of 0 would not show decay
        for parameter in model.parameters():
            parameter.add_(0.01 if parameter.ndim == 1 else 0)
    config = settings(optimizer=optimizer, lr=1e-3, weight_decay=0.1, ema=0.5)
    trainer, batches = trainer_of(model, config), drawn_batches()
    body = {name for name in model.state_dict() if name.startswith("backbone.body.")}
    everything = {name for name, _ in model.named_parameters()}

    for part in ("heads", "all", "heads"):
        before = weights_of(model)
        train_only(model, part)
        list(trainer.steps(batches, len(batches)))
        moved = differing(before, weights_of(model))
        if part == "heads":
            assert moved == everything - body  # nor did running statistics move
        else:
            assert moved >= everything
            assert "backbone.body.bn1.running_mean" in moved


def test_the_same_seed_gives_the_same_weights():
    def weights(seed, disturbed=1):
        trainer = trainer_of(small_network(), settings(seed=seed))
        torch.manual_seed(disturbed)  # whatever was drawn before
        for _ in trainer.steps(drawn_batches(), 3):
            torch.rand(disturbed)
        return weights_of(trainer.state.model)

    first = weights(0)
    assert differing(first, weights(0, disturbed=7)) == set()
    assert differing(first, weights(1))


def test_an_epoch_that_is_interrupted_goes_on_the_same():
    batches, config = drawn_batches(), settings()
    whole, _ = trained(small_network(), batches, config)
    halves = trainer_of(small_network(), config)
    for part in (batches[:1], batches[1:]):
        list(halves.steps(part, len(batches)))
    assert differing(weights_of(whole.state.model), weights_of(halves.state.model)) == set()
    assert halves.state.batches == 3


def test_a_batch_without_objects_trains():
    _, reports = trained(small_network(), drawn_batches()[2:], settings())
    assert np.isfinite(reports[0].losses["loss"])
    assert reports[0].losses["loss_mask"] == 0


def test_losses_are_numbers_in_a_fixed_order():
    values = named(torch.tensor([4.0, 3.0, 2.0, 1.0, 0.0]))
    assert list(values) == ["loss", *LOSSES]
    assert values["loss"] == 10
    assert values["loss_rpn_box_reg"] == 0


def test_an_images_seed_is_that_of_run_epoch_and_image():
    seeds = {sampling_seed(*words) for words in np.ndindex(4, 4, 4)}
    assert len(seeds) == 64
    assert sampling_seed(1, 2, 3) == sampling_seed(1, 2, 3)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_a_gpu_trains_and_judges(name):
    precision = Precision(name, "cuda")
    model = build_model("maskrcnn_resnet18_fpn_small", 2, min_size=96, max_size=96)
    model = model.to("cuda", memory_format=precision.memory_format)
    config = settings(optimizer="adamw", lr=1e-3, clip_norm=10.0, ema=0.5)
    images, targets = zip(*map(drawn_sample, two_pictures()), strict=True)
    batches = [(list(images), list(targets))] * 20
    trainer, reports = trained(model, batches, config, precision=precision)
    assert reports[-1].losses["loss"] < reports[0].losses["loss"]
    found = list(judge(trainer.state.judged, batches[:1], precision))
    assert [one.image_id for one in found] == [1, 2]
    assert all(np.isfinite(value) for one in found for value in one.losses.values())
    assert found[0].prediction["boxes"].device.type == "cpu"
