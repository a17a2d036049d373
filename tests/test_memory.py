"""How much memory is free and how much is taken, held against what the system says."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from utils.config import ConfigError
from utils.memory import (
    free_host_memory,
    gigabytes,
    meter_of,
    resident_memory,
    rooms_of_cgroups,
)

MB = 2**20
CPU = torch.device("cpu")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")


@contextmanager
def allowed(more):
    """Within, this process may reserve only so many more bytes."""
    reserved = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (reserved + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_a_meter_sees_what_is_given_back_again():
    torch.ones(1)
    with meter_of(CPU) as meter:
        tensor = torch.ones(200 * MB // 4)
        time.sleep(0.1)
        del tensor
        time.sleep(0.1)
        gone = resident_memory() - meter.start
        assert 190 * MB < meter.peak < 300 * MB
    assert gone < 100 * MB


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc's")
def test_kept_memory_stays_with_the_process():
    """In a process of its own, as it is for good. Block by block, as a training frees them."""
    code = """
import torch
from utils.memory import keep_freed_memory, resident_memory
keep_freed_memory(torch.device("{device}"))
blocks = [torch.ones(2**20) for _ in range(50)]
most = resident_memory()
blocks.clear()
print((most - resident_memory()) // 2**20)
"""
    given_back = [
        int(subprocess.run([sys.executable, "-c", code.format(device=device)], check=True,
                           capture_output=True, text=True).stdout)
        for device in ("cuda", "cpu")
    ]  # fmt: skip
    assert given_back[0] > 150
    assert given_back[1] < 50


def test_a_meter_starts_at_what_is_already_taken():
    kept = torch.ones(100 * MB // 4)
    with meter_of(CPU) as meter:
        time.sleep(0.05)
        assert meter.peak < 50 * MB
    assert len(kept)


def test_a_closed_meter_has_ended_its_thread():
    before = threading.active_count()
    with meter_of(CPU):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_a_device_that_does_not_tell_is_refused_in_words():
    with pytest.raises(ConfigError, match=r"cannot measure the memory of mps .*give a number"):
        meter_of(torch.device("mps"))


def test_free_memory_is_what_the_system_says(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    meminfo = Path("/proc/meminfo").read_text()
    total = int(meminfo.split("MemTotal:")[1].split()[0]) * 1024
    assert 0 < free_host_memory() < total
    alone = free_host_memory()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert free_host_memory() == pytest.approx(alone / 4, rel=0.2)


def test_the_limit_of_the_process_counts():
    with allowed(300 * MB):
        assert free_host_memory() == pytest.approx(300 * MB, rel=0.05)


def group(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)


def rooms(tmp_path, memberships):
    (tmp_path / "self").mkdir(exist_ok=True)
    (tmp_path / "self" / "cgroup").write_text(memberships)
    found = list(rooms_of_cgroups(tmp_path, tmp_path / "cgroup"))
    return [room for room in found if room != sys.maxsize]


STAT = "anon 5\ninactive_file 7\ntotal_inactive_file 9\n"


def test_groups_of_version_2_limit_with_all_that_they_are_in(tmp_path):
    home = tmp_path / "cgroup"
    group(home)  # the topmost has no files
    group(home / "a", memory__max="1000", memory__current="400", memory__stat=STAT)
    group(home / "a" / "b", memory__max="max", memory__current="300", memory__stat=STAT)
    group(home / "a" / "b" / "c", memory__max="500", memory__current="200", memory__stat=STAT)
    group(home / "other", memory__max="1", memory__current="0", memory__stat=STAT)

    assert rooms(tmp_path, "0::/a/b/c\n") == [500 - 200 + 7, 1000 - 400 + 7]


def test_groups_of_version_1_limit_too(tmp_path):
    group(
        tmp_path / "cgroup" / "memory" / "job",
        memory__limit_in_bytes="600", memory__usage_in_bytes="100", memory__stat=STAT,
    )  # fmt: skip
    memberships = "7:cpuset:/job\n4:memory:/job\n0::/\n"
    assert rooms(tmp_path, memberships) == [600 - 100 + 9]


def test_a_container_whose_group_lies_elsewhere_has_the_topmost(tmp_path):
    home = tmp_path / "cgroup"
    group(home, memory__max="100", memory__current="170", memory__stat=STAT)

    assert rooms(tmp_path, "0::/not/seen/from/here\n") == [0]


def test_no_groups_are_no_limit(tmp_path):
    assert list(rooms_of_cgroups(tmp_path, tmp_path)) == [sys.maxsize]


def test_bytes_are_shown_in_gigabytes():
    assert gigabytes(1.5 * 2**30) == "1.50 GB"
