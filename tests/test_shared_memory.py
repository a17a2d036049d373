"""How many loading processes the shared memory has room for."""

import shutil
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from nets.compact_masks import CompactMasks
from utils.data import shared_memory
from utils.data.records import ImageRecord
from utils.data.shared_memory import affordable_workers, share

MEGABYTE = 2**20
# 12 bytes per pixel: 1, 2 and 4 MB; the largest two make a batch of 6 MB.
RECORDS = [ImageRecord(i, Path("x"), 2**16, 2**i, ()) for i in range(3)]
RECORDS = [ImageRecord(r.image_id, r.path, MEGABYTE // 12, r.height) for r in RECORDS]


@pytest.fixture
def free(monkeypatch, tmp_path):
    def set_free(megabytes):
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setattr(shared_memory, "PLACE", tmp_path)
        usage = SimpleNamespace(free=int(megabytes * MEGABYTE))
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    return set_free


def counted(wanted, batch_size=2, channels=3):
    """How many workers, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = affordable_workers(wanted, batch_size, RECORDS, channels)
    return found, [str(warning.message) for warning in caught]


@pytest.mark.parametrize(
    ("megabytes", "fitting"), [(0, 0), (17.9, 0), (18, 1), (29.9, 1), (30, 2), (54, 4), (1000, 4)]
)
def test_two_batches_per_process_and_one_with_the_main_process_fit(free, megabytes, fitting):
    free(megabytes)
    found, lines = counted(4)
    assert found == fitting
    assert len(lines) == (fitting < 4)
    for line in lines:
        assert f"{megabytes:.0f} MB free" in line
        assert f"4 loading process(es) with batches of up to 6 MB: {fitting} used" in line
        assert "--shm-size" in line
        assert "\n" not in line


def test_processes_of_one_machine_and_channels_count(free, monkeypatch):
    free(54)
    assert counted(4, channels=6)[0] == 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert counted(4)[0] == 1


def test_no_workers_and_other_systems_need_none(free, monkeypatch):
    free(0)
    assert counted(0) == (0, [])
    monkeypatch.setattr(sys, "platform", "darwin")
    assert counted(4) == (4, [])
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(shared_memory, "PLACE", Path("/no/such/place"))
    assert counted(4) == (4, [])


def test_all_tensors_of_a_sample_are_shared():
    masks = CompactMasks.from_crops([torch.ones(2, 3)], [(1, 1)], (8, 8))
    sample = (torch.zeros(3, 4, 4), {"boxes": torch.ones(1, 4), "masks": masks, "image_id": 7})
    share((torch.zeros(0, 4), sample))
    image, target = sample
    for tensor in (image, target["boxes"], masks.pixels, masks.boxes):
        assert tensor.is_shared()
    assert torch.equal(target["boxes"], torch.ones(1, 4))
