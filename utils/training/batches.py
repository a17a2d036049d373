"""The batches of a run, to train on and to judge with, as its settings and processes want them."""

from __future__ import annotations

from typing import NamedTuple

import torch

from utils.config import TrainConfig
from utils.data.class_balance import describe_balance, repeat_factors
from utils.data.epoch_batches import EpochBatches, aspect_groups
from utils.data.loader import Batch, eval_loader, train_loader, worker_count
from utils.data.worker_watch import WatchedLoader
from utils.open_data import TrainingData
from utils.processes import Processes


class Batches(NamedTuple):
    """``order`` is what ``train`` loads in each epoch, ``val`` this process's held-out images."""

    order: EpochBatches
    train: WatchedLoader[Batch]
    val: WatchedLoader[Batch]
    notes: list[str]


def batches_of(
    config: TrainConfig, data: TrainingData, device: torch.device, processes: Processes
) -> Batches:
    """Loaders of both sides of the split."""
    records = data.train.data
    repeats = repeat_factors(records.images) if config.balance_classes else None
    order = EpochBatches(
        len(data.train), config.batch_size, config.seed,
        rank=processes.rank, processes=processes.count, steps=config.steps_per_epoch,
        groups=aspect_groups(records.images) if config.group_aspects else None, repeats=repeats,
    )  # fmt: skip
    workers, pin = worker_count(config.workers, device.type), device.type == "cuda"
    timeout = config.worker_timeout
    return Batches(
        order,
        train_loader(data.train, order, workers, pin, timeout),
        eval_loader(data.val, workers, pin, timeout, processes.rank, processes.count),
        [describe_balance(records, repeats)] if repeats else [],
    )
