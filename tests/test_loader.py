"""Batches: every image once per epoch, the same pixels whatever the workers."""

import gc
import os
import sys

import pytest
import torch
from PIL import Image

from my_dataset import InstanceDataset
from utils.data.formats.id_masks import read_id_masks
from utils.data.loader import EpochSampler, SampleKey, eval_loader, train_loader, worker_count
from utils.data.records import DataError
from utils.data.transforms import train_transforms


class Numbers(torch.utils.data.Dataset):
    """Its items are their own keys."""

    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, key):
        return torch.tensor(key), {"key": key}


def order(sampler, epoch):
    sampler.epoch = epoch
    return [key.number for key in sampler]


@pytest.mark.parametrize("length", [0, 1, 7])
def test_every_epoch_shows_every_image_once(length):
    sampler = EpochSampler(length, seed=0)
    assert len(sampler) == length
    for epoch in range(3):
        assert sorted(order(sampler, epoch)) == list(range(length))
        assert [key.epoch for key in sampler] == [epoch] * length


def test_order_comes_from_seed_and_epoch_alone():
    sampler = EpochSampler(50, seed=1)
    first, second = order(sampler, 0), order(sampler, 1)
    assert first != second
    torch.rand(5)
    assert order(sampler, 0) == first
    assert order(EpochSampler(50, seed=1), 1) == second
    assert order(EpochSampler(50, seed=2), 0) not in (first, second)


def test_last_batch_may_be_smaller_and_none_is_lost():
    sampler = EpochSampler(7, seed=0)
    sampler.epoch = 4
    batches = list(train_loader(Numbers(7), sampler, 3, workers=0, pin_memory=False))
    assert [len(images) for images, _ in batches] == [3, 3, 1]
    keys = [target["key"] for _, targets in batches for target in targets]
    assert sorted(keys) == [SampleKey(4, i) for i in range(7)]
    assert [tuple(image.tolist()) for images, _ in batches for image in images] == keys


def test_evaluation_goes_one_by_one_in_order():
    batches = list(eval_loader(Numbers(4), workers=0, pin_memory=False))
    assert [[target["key"] for target in targets] for _, targets in batches] == [[0], [1], [2], [3]]


@pytest.mark.parametrize(
    ("wanted", "device", "cores", "platform", "expected"),
    [
        (0, "cuda", 16, "linux", 0),
        (3, "cpu", 2, "linux", 3),
        (12, "cuda", 2, "linux", 12),
        (-1, "cpu", 16, "linux", 0),
        (-1, "cuda", 16, "linux", 8),
        (-1, "cuda", 4, "linux", 4),
        (-1, "cuda", None, "linux", 1),
        (-1, "cuda", 16, "win32", 2),
        (-1, "mps", 8, "darwin", 2),
    ],
)
def test_worker_count(monkeypatch, wanted, device, cores, platform, expected):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setattr(sys, "platform", platform)
    assert worker_count(wanted, device) == expected


def epochs_of(root, workers):
    """Two epochs of augmented batches, through one loader as training uses it."""
    dataset = InstanceDataset(read_id_masks(root), train_transforms(), seed=3)
    sampler = EpochSampler(len(dataset), seed=3)
    loader = train_loader(dataset, sampler, 4, workers, pin_memory=False)
    epochs = []
    for epoch in range(2):
        sampler.epoch = epoch
        epochs.append([pair for batch in loader for pair in zip(*batch, strict=True)])
    return epochs


def test_workers_change_nothing(drawn_pennfudan):
    alone, helped = epochs_of(drawn_pennfudan, 0), epochs_of(drawn_pennfudan, 2)
    for samples, others in zip(alone, helped, strict=True):
        assert len(samples) == 6
        for (image, target), (other_image, other_target) in zip(samples, others, strict=True):
            assert torch.equal(image, other_image)
            for field in ("boxes", "labels", "masks", "area", "iscrowd"):
                assert torch.equal(target[field], other_target[field])
            assert target["image_id"] == other_target["image_id"]
    by_id = [{target["image_id"]: image for image, target in samples} for samples in alone]
    assert not all(torch.equal(by_id[0][i], by_id[1][i]) for i in by_id[0]), "flips are fixed"


def test_error_in_a_worker_keeps_its_kind_and_names_the_file(drawn_pennfudan, monkeypatch):
    # After an error torch waits this many seconds, 5 by default, for the worker to end.
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.2, raising=False)
    data = read_id_masks(drawn_pennfudan)
    broken = data.images[4].path
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(DataError, match=broken.name):
        list(eval_loader(InstanceDataset(data), workers=1, pin_memory=False))
    gc.collect()


def test_workers_are_given_the_pixel_limit(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1234)
    loader = eval_loader(Numbers(1), workers=1, pin_memory=False)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 99)  # as a spawned process has its own
    loader.worker_init_fn(0)
    assert Image.MAX_IMAGE_PIXELS == 1234
