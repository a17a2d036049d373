"""Memory: how much is free, and how much a piece of work takes."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol

import torch

from utils.config import ConfigError

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # of glibc's mallopt
MOST_HEAP_BLOCK = 32 * 2**20  # the largest it takes for the first
PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")  # of Linux
SECONDS_BETWEEN_LOOKS = 0.005


def gigabytes(size: float) -> str:
    return f"{size / 2**30:.2f} GB"


def keep_freed_memory(device: torch.device) -> None:
    """Let this process, and those it forks, keep the memory that tensors free for the next ones, if
    it computes on the CPU.

    glibc gives large blocks back to the system at once, which fills new ones with zeros page by
    page: a twentieth of the time of a training step. Other systems do as they do.
    """
    if device.type == "cpu" and sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(MMAP_THRESHOLD, MOST_HEAP_BLOCK)
            mallopt(TRIM_THRESHOLD, 2**31 - 1)


class Meter(Protocol):
    """Watches the memory of this process while it is open as a context.

    ``free`` is how many bytes it could take when it was opened, ``peak`` how many it has taken at
    most since, beyond those it had; both are there from then on.
    """

    free: int

    @property
    def peak(self) -> int: ...

    def __enter__(self) -> Meter: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def meter_of(device: torch.device) -> Meter:
    """What watches the memory that ``device`` computes in.

    Raises:
        ConfigError: neither a CUDA device nor a CPU under Linux; others do not tell.
    """
    if device.type == "cuda":
        return CudaMeter(device)
    if device.type == "cpu" and sys.platform == "linux":
        return HostMeter()
    raise ConfigError(
        f"--batch-size auto cannot measure the memory of {device.type} on {sys.platform}, only of "
        "CUDA devices and of CPUs under Linux; give a number"
    )


class CudaMeter:
    """The memory of a GPU."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __enter__(self) -> CudaMeter:
        torch.cuda.empty_cache()
        self.free = torch.cuda.mem_get_info(self.device)[0]
        self.start = torch.cuda.memory_allocated(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        torch.cuda.empty_cache()

    @property
    def peak(self) -> int:
        torch.cuda.synchronize(self.device)
        return torch.cuda.max_memory_allocated(self.device) - self.start


class HostMeter:
    """The memory beside the CPU, under Linux.

    The kernel remembers a peak, but that of the whole life of a process; so a thread looks on.
    """

    def __enter__(self) -> HostMeter:
        self.free = free_host_memory()
        self.start = self.most = resident_memory()
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.is_over.set()
        self.thread.join()

    @property
    def peak(self) -> int:
        return self.most - self.start

    def _watch(self) -> None:
        while not self.is_over.wait(SECONDS_BETWEEN_LOOKS):
            self.most = max(self.most, resident_memory())


def resident_memory() -> int:
    """Bytes of memory that this process takes."""
    return _pages(1)


def free_host_memory() -> int:
    """Bytes that this process can take before the system, its container or its own limit
    (``ulimit -v``) says no. Processes of one machine (torchrun's LOCAL_WORLD_SIZE) get equal parts
    of the first two."""
    import resource  # not there on Windows

    shared = min(_available(), *rooms_of_cgroups())
    room = shared // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return room if limit == resource.RLIM_INFINITY else min(room, max(limit - _pages(0), 0))


def rooms_of_cgroups(proc: Path = PROC, cgroups: Path = CGROUPS) -> Iterator[int]:
    """Bytes left below the limits of the control groups that this process is in, which is how
    containers and batch systems limit memory; of version 1 and 2. A file cache that could be given
    up counts as left."""
    yield sys.maxsize
    memberships = proc / "self" / "cgroup"
    for line in memberships.read_text().splitlines() if memberships.exists() else ():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            home, names = cgroups, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            home = cgroups / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = home / path.lstrip("/")
        for folder in (group, *group.parents):  # within a container, its own is the topmost
            if folder.is_relative_to(home):
                yield from _room_of(folder, *names)


def _room_of(folder: Path, limit_file: str, used_file: str, cache: str) -> Iterator[int]:
    """What is left in one control group; nothing if it has no limit."""
    try:
        limit = (folder / limit_file).read_text().strip()
        used = int((folder / used_file).read_text())
        statistics = dict(
            line.split() for line in (folder / "memory.stat").read_text().splitlines()
        )
    except OSError:  # no such group here, or none that has limits
        return
    if limit != "max":
        yield max(int(limit) - used + int(statistics.get(cache, 0)), 0)


def _available() -> int:
    """What the kernel believes can be had without swapping."""
    lines = dict(line.split(":") for line in (PROC / "meminfo").read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024


def _pages(field: int) -> int:
    """Bytes by /proc/self/statm: 0 is what is reserved, 1 what is resident."""
    return int((PROC / "self" / "statm").read_text().split()[field]) * os.sysconf("SC_PAGE_SIZE")
