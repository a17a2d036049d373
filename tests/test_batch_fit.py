"""The batch that fits: what is tried, what bounds it, and that trying leaves no trace."""

from __future__ import annotations

import copy
import ctypes
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_commands import CPU, NETWORK, TINY, draw_people, read, succeeded
from test_memory import allowed

from my_dataset import InstanceDataset
from nets.mask_rcnn import build_model
from nets.out_of_memory import is_out_of_memory
from nets.weights_file import load_weights
from utils.config import TrainConfig
from utils.data.records import ImageRecord, Instance, RecordSet
from utils.device import Precision
from utils.processes import ALONE, Processes
from utils.training.batch_fit import (
    MOST,
    SHARE,
    BatchFit,
    TrialBatches,
    fit_batch,
    settle_batch_size,
)
from utils.training.stages import Stage

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="measures memory under Linux")
MB = 2**20
FP32 = Precision("fp32", "cpu")
ALL = [Stage("all", 1, 0.005)]
SIZES = [(50, 40), (30, 90), (80, 20), (60, 60)]  # width, height


def data_of(sizes, objects=2):
    """Records without files: nothing of them is to be read."""
    instance = Instance(1, {"size": [1, 1], "counts": "11"}, (0, 0, 1, 1), 1, False)
    records = tuple(
        ImageRecord(n, Path(f"{n}.png"), *size, (instance,) * objects)
        for n, size in enumerate(sizes)
    )
    return InstanceDataset(RecordSet(Path("root"), "drawn", ("thing",), records))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model(
        "maskrcnn_resnet18_fpn_small", 2, min_size=64, max_size=96, box_batch_size_per_image=16,
        rpn_pre_nms_top_n_train=50, rpn_post_nms_top_n_train=50,
    )  # fmt: skip


@pytest.fixture
def config():
    return TrainConfig(data="people", weights="none", batch_size=0)


def fit(config, dataset, model, precision=FP32, stages=ALL, processes=ALONE):
    ctypes.CDLL(None).malloc_trim(0)  # else the memory of the test before is taken again
    return fit_batch(config, dataset, model, stages, precision, processes)


@pytest.mark.parametrize("is_transposed", [False, True])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_trial_batches_are_as_large_as_torchvision_makes_the_largest(model, size, is_transposed):
    batches = TrialBatches(data_of(SIZES), model, is_transposed)
    images, targets = batches.batch(size)
    padded, _ = model.transform(images, targets)
    assert padded.tensors[:, 0].numel() == batches.pixels(size)

    sizes = [*SIZES, *(side[::-1] for side in SIZES if is_transposed)]
    pictures = [torch.zeros(3, height, width) for width, height in sizes]
    if size == 1:
        all_sizes = [model.transform([one])[0].tensors[0, 0].numel() for one in pictures]
        assert batches.pixels(1) == max(all_sizes)
    elif size == 4:  # of three images are the tallest, the widest and the largest
        worst = model.transform(pictures)[0].tensors
        assert batches.pixels(4) == 4 * worst[0, 0].numel()


def test_trial_images_have_as_many_objects_as_there_can_be(model):
    few, many = (TrialBatches(data_of(SIZES, n), model, False).batch(1)[1][0] for n in (1, 77))
    assert len(few["boxes"]) == 16 // 4  # what the heads are trained on: a quarter of their RoIs
    assert len(many["boxes"]) == len(many["masks"]) == 77
    pasted = data_of(SIZES, 77)
    pasted.copy_paste = 0.5
    assert len(TrialBatches(pasted, model, False).batch(1)[1][0]["boxes"]) == 2 * 77
    boxes = many["boxes"]
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert (boxes >= 0).all()


def test_it_is_a_quarter_of_the_images_at_most(config, model):
    found = fit(config, data_of(SIZES * 5), model)  # 20 images
    assert found.batch_size == 4
    assert list(found.taken) == [1, 2, 4]
    assert "a quarter of the images" in str(found)
    assert fit(config, data_of(SIZES[:2]), model).batch_size == 1


def test_several_processes_share_the_images(config, model, monkeypatch):
    monkeypatch.setattr(Processes, "gather_numbers", lambda self, number: [number])
    two = Processes(rank=0, count=2)
    assert fit(config, data_of(SIZES * 5), model, processes=two).batch_size == 2


def test_the_process_with_the_least_memory_decides(config, model, monkeypatch):
    said = iter([[10**12, 10**12], [4, 2]])
    monkeypatch.setattr(Processes, "gather_numbers", lambda self, number: next(said))
    found = fit(config, data_of(SIZES * 5), model)
    assert found.batch_size == 2
    assert "another process" in str(found)


def test_beyond_sixteen_is_not_tried(config, model):
    found = fit(config, data_of(SIZES * 50), model)
    assert found.batch_size == max(found.taken) == MOST


@pytest.fixture(scope="module")
def larger():
    """Mostly a backbone: few regions go through the heads."""
    return build_model(
        "maskrcnn_resnet18_fpn_small", 2, min_size=224, max_size=224, box_batch_size_per_image=4,
        rpn_pre_nms_top_n_train=50, rpn_post_nms_top_n_train=50,
    )  # fmt: skip


def test_memory_bounds_it_before_it_runs_out(config, larger):
    data = data_of([(224, 224)] * 16)
    taken = fit(config, data, larger).taken
    assert taken[4] > 1.1 * taken[2] > 1.1 * taken[1]

    with allowed(int(1.3 * taken[2] / SHARE)):  # less than twice what two images take
        found = fit(config, data, larger)

    assert found.batch_size < 4
    assert list(found.taken) == [1, 2][: found.batch_size]
    assert f"{2 * found.batch_size} would take up to" in str(found)


def test_no_memory_for_one_image_is_an_error(config):
    huge = build_model("maskrcnn_resnet18_fpn_small", 2, min_size=1024, max_size=1024)
    with allowed(40 * MB), pytest.raises((RuntimeError, MemoryError)) as caught:
        fit(config, data_of([(1024, 1024)] * 8), huge)
    assert is_out_of_memory(caught.value)


def test_the_stage_that_trains_most_is_tried(config, larger):
    data = data_of([(224, 224)] * 8)
    heads, everything = Stage("heads", 1, 0.01), Stage("all", 1, 0.01)
    least, most, both = (
        fit(config, data, larger, stages=stages).taken[2]
        for stages in ([heads], [everything], [heads, everything, heads])
    )
    assert abs(both - most) < (most - least) / 2


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_trying_leaves_no_trace(config, model, optimizer, name):
    model.eval()
    model.backbone.requires_grad_(False)
    weights = copy.deepcopy(model.state_dict())
    trains = {key: p.requires_grad for key, p in model.named_parameters()}
    torch.manual_seed(5)
    drawn = torch.get_rng_state()

    config = replace(config, optimizer=optimizer, ema=0.9)
    fit(config, data_of(SIZES * 2), model, Precision(name, "cpu"))

    assert torch.equal(torch.get_rng_state(), drawn)
    assert not model.training
    assert all(p.grad is None for p in model.parameters())
    assert {key: p.requires_grad for key, p in model.named_parameters()} == trains
    for key, value in model.state_dict().items():
        assert torch.equal(value, weights[key]), key


def test_a_number_is_left_as_it_is(config, model):
    given = replace(config, batch_size=3)
    assert settle_batch_size(given, data_of(SIZES), model, ALL, FP32, ALONE) == (given, [])


def test_what_is_told_of_it():
    told = BatchFit(2**31, 4, 2, {1: 2**29, 2: 2**30}, "4 would take up to 2.10 GB")
    assert str(told) == (
        "--batch-size auto: 2 (trial steps took 0.50 GB at 1, 1.00 GB at 2, of 2.00 GB; 4 would "
        "take up to 2.10 GB); --lr is as given, and may want to grow in proportion to the batch"
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs that differ in how the batch size was given, and what the first printed."""
    home = tmp_path_factory.mktemp("auto")
    people = draw_people(home / "people")
    settings = ["--data", people, "--epochs", "1", *NETWORK, *TINY, *CPU, "--precision", "fp32"]
    out = succeeded("train.py", *settings, "-b", "auto", "--output-root", home / "auto")
    succeeded("train.py", *settings, "-b", "2", "--output-root", home / "number")
    return home, out


def weights_of(root, name="last.pth"):
    return load_weights(root / "weights" / "people" / name).model


def test_the_found_size_gives_the_same_run_as_the_number(runs):
    home, out = runs
    assert re.search(r"^--batch-size auto: 2 \(trial steps took .* a quarter", out, re.M)
    assert read(home / "auto" / "runs" / "people" / "args.json")["batch_size"] == 2
    found, given = weights_of(home / "auto"), weights_of(home / "number")
    assert all(torch.equal(value, given[key]) for key, value in found.items())


def test_a_resumed_run_can_ask_for_it_too(runs):
    home, _ = runs
    out = succeeded(
        "train.py", "--resume", "--batch-size", "auto", "--epochs", "2",
        "--output-root", home / "number", *CPU,
    )  # fmt: skip
    assert "--batch-size is now auto, as given; it was 2" in out
    assert "--batch-size auto: 2 (" in out
    assert "epoch 2/2" in out
    assert read(home / "number" / "runs" / "people" / "args.json")["batch_size"] == 2
