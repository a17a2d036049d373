"""What is told of a training that diverged, and what is kept of it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from my_dataset import InstanceDataset, ShapesDataset, read_data
from nets.compact_masks import CompactMasks
from utils.data.loader import collate
from utils.data.transforms import train_transforms
from utils.training.diverged import DivergedError, Moment, keeping_batch
from utils.training.panels import batch_panel

LOSSES = {"loss": math.inf, "loss_mask": 0.12345, "loss_classifier": math.nan}
MOMENT = Moment(epoch=2, step=31, losses=LOSSES, lr=0.0125)


@pytest.fixture
def dataset(drawn_pennfudan):
    data = read_data(drawn_pennfudan)
    return InstanceDataset(data, train_transforms("light"), compact_masks=True)


def broken(data, path, moment, batches):
    """The error that leaves ``keeping_batch``."""
    with pytest.raises(DivergedError) as caught, keeping_batch(data, path):
        raise DivergedError("the loss is not finite", moment, batches)
    return caught.value


def test_a_moment_is_told_in_one_line():
    assert str(DivergedError("the loss is not finite", MOMENT)) == (
        "the loss is not finite in step 31 (epoch 3) at learning rate 1.25e-02 "
        "(loss inf, loss_mask 0.123, loss_classifier nan)"
    )


@pytest.mark.parametrize("scale", [65536.0, 1.0, 0.125])
def test_float16_tells_its_scale(scale):
    text = str(DivergedError("it", replace(MOMENT, scale=scale)))
    assert f"at learning rate 1.25e-02, gradient scale {scale:g} (" in text


def test_the_batch_is_kept_and_drawn(dataset, tmp_path):
    batches = [collate([dataset[0], dataset[1]]), collate([dataset[2]])]
    path = tmp_path / "diverged.pth"
    message = str(broken(dataset.data, path, MOMENT, batches))

    paths = [str(record.path) for record in dataset.data.images[:3]]
    first, images, kept, advice = message.splitlines()
    assert first == str(DivergedError("the loss is not finite", MOMENT))
    assert images == f"  images: {', '.join(paths)}"
    assert kept == f"  the batch is kept in {path}, drawn in diverged.jpg"
    assert advice == "  lower --lr, lengthen --warmup or set --clip-norm"

    content = torch.load(path, weights_only=True)
    assert content["paths"] == paths
    samples = [
        sample for images, targets in batches for sample in zip(images, targets, strict=True)
    ]
    assert len(samples) == len(content["images"]) == len(content["targets"]) == 3
    for (image, target), again, labels in zip(
        samples, content["images"], content["targets"], strict=True
    ):
        assert torch.equal(image, again)
        assert isinstance(target["masks"], CompactMasks)
        assert torch.equal(target["masks"].dense(), labels["masks"])
        assert labels["masks"].shape[1:] == again.shape[1:]
        assert torch.equal(target["boxes"], labels["boxes"])
        assert labels["image_id"] == target["image_id"]

    wanted = batch_panel(samples, paths, dataset.data.classes)
    with Image.open(tmp_path / "diverged.jpg") as picture:
        assert picture.size == wanted.size
        assert np.abs(np.asarray(picture).astype(int) - np.asarray(wanted)).mean() < 5


def test_float16_has_a_way_on_of_its_own(dataset, tmp_path):
    moment = replace(MOMENT, scale=0.125)
    error = broken(dataset.data, tmp_path / "kept.pth", moment, [collate([dataset[0]])])
    assert str(error).endswith("--clip-norm; --precision bf16 and fp32 have no gradient scale")


def test_drawn_scenes_are_named_by_their_numbers(tmp_path):
    dataset = ShapesDataset(2)
    batch = collate([dataset[0], dataset[1]])
    batch[1][1]["image_id"] = 4711  # of a later epoch
    message = str(broken(dataset.data, tmp_path / "kept.pth", MOMENT, [batch]))
    assert f"images: {dataset.data.images[0].path}, scene 4711\n" in message


@pytest.mark.filterwarnings("error:invalid value")
def test_pixels_that_are_no_numbers_are_kept_and_drawn(dataset, tmp_path):
    images, targets = collate([dataset[0]])
    images[0][0, :4], images[0][1, :4], images[0][2, :4] = math.nan, math.inf, -math.inf
    path = tmp_path / "kept.pth"
    assert "is kept in" in str(broken(dataset.data, path, MOMENT, [(images, targets)]))
    assert torch.load(path, weights_only=True)["images"][0][0, :4].isnan().all()
    with Image.open(path.with_suffix(".jpg")) as picture:
        assert picture.width > 100


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("fault", ["no folder", "a box that is no number"])
def test_the_error_comes_through_where_the_batch_cannot_be_kept(dataset, tmp_path, fault):
    images, targets = collate([dataset[0]])
    path = tmp_path / ("nowhere/kept.pth" if fault == "no folder" else "kept.pth")
    if fault != "no folder":
        targets[0]["boxes"][0, 0] = math.nan
    message = str(broken(dataset.data, path, MOMENT, [(images, targets)]))
    assert message.startswith("the loss is not finite in step 31")
    assert str(dataset.data.images[0].path) in message
    assert fault != "no folder" or "the batch could not be kept (" in message
    assert list(tmp_path.rglob("*.part")) == []


def test_an_error_without_a_batch_stays_as_it_is(dataset, tmp_path):
    first = DivergedError("the validation loss is not finite")
    with pytest.raises(DivergedError) as caught, keeping_batch(dataset.data, tmp_path / "kept.pth"):
        raise first
    assert caught.value is first
    assert list(tmp_path.glob("kept*")) == []


def test_other_errors_pass(dataset, tmp_path):
    with pytest.raises(KeyError), keeping_batch(dataset.data, tmp_path / "kept.pth"):
        raise KeyError
    assert list(tmp_path.glob("kept*")) == []
