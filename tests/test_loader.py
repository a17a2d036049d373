"""Batches: every image once per epoch, the same pixels whatever the workers."""

import gc
import os
import sys

import pytest
import torch
from PIL import Image

from my_dataset import InstanceDataset
from utils.data.epoch_batches import EpochBatches, SampleKey
from utils.data.formats.id_masks import read_id_masks
from utils.data.loader import eval_loader, train_loader, worker_count
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


class PixelLimits(Numbers):
    """Its items are the limits of the process that loads them."""

    def __getitem__(self, key):
        return Image.MAX_IMAGE_PIXELS, {}


def keys_of(batches):
    return [[target["key"] for target in targets] for _, targets in batches]


def test_last_batch_may_be_smaller_and_none_is_lost():
    order = EpochBatches(7, 3, seed=0)
    order.epoch = 4
    loader = train_loader(Numbers(7), order, workers=0, pin_memory=False, timeout=60)
    batches = list(loader)
    assert len(batches) == len(loader) == 3
    assert [len(images) for images, _ in batches] == [3, 3, 1]
    keys = [target["key"] for _, targets in batches for target in targets]
    assert sorted(keys) == [SampleKey(4, i) for i in range(7)]
    assert [tuple(image.tolist()) for images, _ in batches for image in images] == keys


def test_evaluation_goes_one_by_one_in_order():
    assert keys_of(eval_loader(Numbers(4), 0, False, timeout=60)) == [[0], [1], [2], [3]]


@pytest.mark.parametrize(("length", "processes"), [(7, 3), (2, 4), (0, 2)])
def test_processes_share_the_evaluation_without_padding(length, processes):
    parts = [
        keys_of(eval_loader(Numbers(length), 0, False, 60, rank, processes))
        for rank in range(processes)
    ]
    assert parts == [[[n] for n in range(rank, length, processes)] for rank in range(processes)]


def test_a_process_without_images_to_judge_has_workers_all_the_same():
    loader = eval_loader(Numbers(1), 1, False, 60, rank=1, processes=2)
    assert (len(loader), keys_of(loader)) == (0, [])


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
    order = EpochBatches(len(dataset), 4, seed=3)
    loader = train_loader(dataset, order, workers, pin_memory=False, timeout=60)
    epochs = []
    for epoch in range(2):
        order.epoch = epoch
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


def test_error_in_a_worker_keeps_its_kind_and_names_the_file(drawn_pennfudan):
    data = read_id_masks(drawn_pennfudan)
    broken = data.images[4].path
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(DataError, match=broken.name):
        list(eval_loader(InstanceDataset(data), workers=1, pin_memory=False, timeout=60))
    gc.collect()


def test_workers_are_given_the_pixel_limit(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1234)
    loader = eval_loader(PixelLimits(1), workers=1, pin_memory=False, timeout=60)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 99)  # as a spawned process has its own
    assert [images for images, _ in loader] == [[1234]]
