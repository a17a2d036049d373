"""The memory through which loading processes hand batches over: how much there is, and its use."""

from __future__ import annotations

import heapq
import os
import shutil
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from utils.data.records import ImageRecord

PLACE = Path("/dev/shm")  # of Linux; elsewhere it has no size of its own
PREFETCHED = 2  # batches that a process loads ahead, torch's default
BYTES_PER_VALUE = 4  # float32
ADVICE = "more: docker run --shm-size=8g, or mount -o remount,size=8G /dev/shm"


def affordable_workers(
    workers: int, batch_size: int, records: Sequence[ImageRecord], channels: int
) -> int:
    """As many of the loading processes as shared memory has room for, with a warning if fewer.

    Reckoned with the largest images, all of them in one batch. Processes of one machine
    (torchrun's LOCAL_WORLD_SIZE) get equal parts.
    """
    if not workers or sys.platform != "linux" or not PLACE.is_dir():
        return workers
    pixels = heapq.nlargest(batch_size, (record.width * record.height for record in records))
    batch = sum(pixels) * channels * BYTES_PER_VALUE
    free = free_memory() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    fitting = max(free - batch, 0) // max(PREFETCHED * batch, 1)  # one is with the main process
    if fitting >= workers:
        return workers
    warnings.warn(
        f"{PLACE} has {megabytes(free)} free, too little for {workers} loading process(es) with "
        f"batches of up to {megabytes(batch)}: {fitting} used instead ({ADVICE})",
        stacklevel=2,
    )
    return fitting


def free_memory() -> int:
    """Bytes of shared memory that are free on this Linux machine."""
    return shutil.disk_usage(PLACE).free


def megabytes(size: int) -> str:
    return f"{size / 2**20:.0f} MB"


def share(sample: Any) -> None:
    """Move all tensors of a sample to shared memory, in place.

    The queue between processes would do it as well, but in a thread of its own, where an error is
    printed and the batch lost, so that the main process waits for it forever.

    Raises:
        RuntimeError: there is no room for it, or too many files are open.
    """
    if isinstance(sample, Tensor):
        if sample.numel():
            sample.share_memory_()
    elif isinstance(sample, dict):
        share(list(sample.values()))
    elif isinstance(sample, list | tuple):
        for part in sample:
            share(part)
    elif hasattr(sample, "__dict__"):  # such as CompactMasks
        share(list(vars(sample).values()))
