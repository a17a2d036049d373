"""Batches for training and evaluation."""

from __future__ import annotations

import os
import sys
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nets.contract import Target
from utils.data.epoch_batches import EpochBatches
from utils.data.shared_memory import affordable_workers
from utils.data.worker_watch import (
    Progress,
    Recorded,
    WatchedDataset,
    WatchedLoader,
    worker_start,
)

Batch = tuple[list[Tensor], list[Target]]
MOST_WORKERS = 8


def train_loader(
    dataset: Dataset[Any], batches: EpochBatches, workers: int, pin_memory: bool, timeout: float
) -> WatchedLoader[Batch]:
    """Batches of one epoch; set ``batches.epoch`` before each. Iterating over them raises
    ``WorkerError`` if a worker dies or takes more than ``timeout`` seconds for a batch."""
    workers = _affordable(workers, batches.batch_size, dataset)
    return _loader(dataset, workers, pin_memory, timeout, batch_sampler=batches)


def eval_loader(
    dataset: Dataset[Any],
    workers: int,
    pin_memory: bool,
    timeout: float,
    rank: int = 0,
    processes: int = 1,
) -> WatchedLoader[Batch]:
    """One image at a time, in order: padding to a neighbour's size would change its numbers.

    Of several processes, each has every so many-th image, with none twice; it may have none.
    """
    numbers = range(rank, len(dataset), processes)  # type: ignore[arg-type]
    workers = _affordable(workers, 1, dataset)
    return _loader(dataset, workers, pin_memory, timeout, batch_size=1, sampler=numbers)


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


def _affordable(workers: int, batch_size: int, dataset: Dataset[Any]) -> int:
    """No more workers than shared memory has room for, where the size of the images is known."""
    if not isinstance(dataset, Recorded):
        return workers
    return affordable_workers(workers, batch_size, dataset.data.images, dataset.channels)


def _loader(
    dataset: Dataset[Any], workers: int, pin_memory: bool, timeout: float, **order: Any
) -> WatchedLoader[Batch]:
    progress = Progress(workers)
    loader: DataLoader[Batch] = DataLoader(
        WatchedDataset(dataset, progress) if workers else dataset,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
        timeout=timeout if workers else 0,
        collate_fn=collate,
        generator=torch.Generator(),  # a loader of its own draws nothing from training's
        worker_init_fn=worker_start(progress),
        **order,
    )
    return WatchedLoader(loader, dataset, progress)


def to_device(
    images: list[Tensor], targets: list[Target], device: torch.device
) -> tuple[list[Tensor], list[dict[str, Any]]]:
    """Images and what the model needs of the targets, moved without waiting for the copy."""
    moved: list[dict[str, Any]] = [
        {key: target[key].to(device, non_blocking=True) for key in ("boxes", "labels", "masks")}
        for target in targets
    ]
    return [image.to(device, non_blocking=True) for image in images], moved
