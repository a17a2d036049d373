"""The batches of a run."""

from __future__ import annotations

import math

import pytest
import torch

from utils.config import TrainConfig
from utils.data.epoch_batches import aspect_groups
from utils.open_data import open_configured
from utils.processes import ALONE, Processes
from utils.training.batches import batches_of

CPU = torch.device("cpu")


@pytest.fixture
def data(drawn_pennfudan):
    """Five or so images to train on, the others held out."""
    return open_configured(TrainConfig(data=str(drawn_pennfudan), weights="none"))


def batches(data, processes=ALONE, **changes):
    return batches_of(TrainConfig(weights="none", **changes), data, CPU, processes)


def shown(loaded) -> list[int]:
    """The ids of the images that are loaded."""
    return [target["image_id"] for _, targets in loaded for target in targets]


def ids(dataset) -> set[int]:
    return {record.image_id for record in dataset.data.images}


def test_an_epoch_shows_every_image_once(data):
    found = batches(data, batch_size=2)
    first, val = shown(found.train), shown(found.val)
    assert len(first) == len(data.train)
    assert set(first) == ids(data.train)
    assert len(val) == len(data.val)
    assert set(val) == ids(data.val)
    assert len(found.train) == len(found.order) == math.ceil(len(data.train) / 2)
    assert found.notes == []

    found.order.epoch = 1
    assert set(shown(found.train)) == ids(data.train)
    assert shown(found.train) != first
    assert shown(batches(data, batch_size=2).train) == first
    assert shown(batches(data, batch_size=2, seed=5).train) != first


def test_the_settings_of_an_epoch_arrive(data):
    records = data.train.data.images
    found = batches(data, steps_per_epoch=7, batch_size=1, group_aspects=True, seed=3)
    assert len(found.order) == len(list(found.train)) == 7
    assert found.order.seed == 3
    assert found.order.groups == aspect_groups(records)


def test_balance_is_told(data):
    found = batches(data, balance_classes=True)
    assert len(found.notes) == 1
    assert "class balance" in found.notes[0]


def test_workers_and_their_time_arrive(data):
    found = batches(data, workers=1, worker_timeout=17)
    for loader in (found.train.loader, found.val.loader):
        assert (loader.num_workers, loader.timeout) == (1, 17)
        assert not loader.pin_memory
    assert batches(data).train.loader.num_workers == 0  # beside a CPU


def test_processes_share_the_images(data):
    shares = [batches(data, Processes(rank, 2), batch_size=1) for rank in range(2)]
    val = [set(shown(share.val)) for share in shares]
    assert val[0] | val[1] == ids(data.val)
    assert val[0].isdisjoint(val[1])
    own = [shown(list(share.train)[: share.order.own]) for share in shares]
    assert sorted(own[0] + own[1]) == sorted(ids(data.train))
