"""Batches for training and evaluation."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from nets.contract import Target
from utils.data.images import limit_pixels

Batch = tuple[list[Tensor], list[Target]]
MOST_WORKERS = 8


class SampleKey(NamedTuple):
    """An image of one epoch. It seeds the augmentation, so a sample depends neither on the worker
    that loads it nor on what was loaded before."""

    epoch: int
    number: int  # of the image in its data set, from 0


class EpochSampler(Sampler[SampleKey]):
    """All images of ``epoch`` in an order drawn from the seed and the epoch alone."""

    def __init__(self, length: int, seed: int) -> None:
        self.length = length
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[SampleKey]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        for index in torch.randperm(self.length, generator=generator).tolist():
            yield SampleKey(self.epoch, index)


def train_loader(
    dataset: Dataset[Any], sampler: EpochSampler, batch_size: int, workers: int, pin_memory: bool
) -> DataLoader[Batch]:
    """Batches of one epoch; set ``sampler.epoch`` before each. The last may be smaller."""
    return DataLoader(
        dataset, batch_size, sampler=sampler, pin_memory=pin_memory, **_workers(workers)
    )


def eval_loader(dataset: Dataset[Any], workers: int, pin_memory: bool) -> DataLoader[Batch]:
    """One image at a time, in order: padding to a neighbour's size would change its numbers."""
    return DataLoader(dataset, 1, shuffle=False, pin_memory=pin_memory, **_workers(workers))


def worker_count(wanted: int, device_type: str) -> int:
    """``-1`` chooses: as many as cores, at most 8, beside a GPU (2 where processes are spawned,
    which is slow to start); none beside a CPU, which they would only slow down."""
    if wanted >= 0:
        return wanted
    if device_type == "cpu":
        return 0
    most = MOST_WORKERS if sys.platform == "linux" else 2
    return min(os.cpu_count() or 1, most)


def collate(samples: list[tuple[Tensor, Target]]) -> Batch:
    """Images differ in size, so a batch is two lists."""
    images, targets = zip(*samples, strict=True)
    return list(images), list(targets)


def _workers(workers: int) -> dict[str, Any]:
    return {
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "collate_fn": collate,
        "generator": torch.Generator(),  # a loader of its own draws nothing from training's
        "worker_init_fn": partial(_init_worker, Image.MAX_IMAGE_PIXELS),
    }


def _init_worker(pillow_limit: int | None, worker: int) -> None:
    """A spawned worker starts with Pillow's own limit; give it the one that was set."""
    if pillow_limit is not None:
        limit_pixels(2 * pillow_limit)
