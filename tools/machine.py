"""What a machine can do at most, and what a way of computing takes of it."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

GIGA = 1e9
MEGABYTE = 2**20
MAP = (2, 256, 104, 152)  # of the FPN's, the most frequent work of the network
REPEATS = 5
# What CUDA's runtime is asked for: work, or to wait for it.
LAUNCHES = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cudaGraphLaunch")
SYNCHRONISATIONS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


class Limits(NamedTuple):
    """The best rates that were measured, in GFLOP/s; a multiply-add is two."""

    matmul: float
    conv: float

    @property
    def best(self) -> float:
        return max(self)


def limits(device: torch.device, dtype: torch.dtype) -> Limits:
    """The rates of a product of matrices and of a 3x3 convolution, the best of several."""
    side = 2048 if device.type == "cpu" else 8192
    matrix = torch.randn(side, side, device=device).to(dtype)
    maps = torch.randn(MAP, device=device).to(dtype, memory_format=torch.channels_last)
    kernel = torch.randn(MAP[1], MAP[1], 3, 3, device=device).to(dtype)
    works: tuple[Callable[[], Tensor], ...] = (
        lambda: matrix @ matrix,
        lambda: F.conv2d(maps, kernel, padding=1),
    )
    with torch.inference_mode():
        rates = [flops(work) / min(timed(work, device, REPEATS)) / GIGA for work in works]
    return Limits(*rates)


def flops(work: Callable[[], object]) -> float:
    """Operations of the convolutions and products of matrices; a multiply-add is two."""
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def timed(work: Callable[[], object], device: torch.device, times: int) -> list[float]:
    """Seconds of each call, after one that is not counted."""
    seconds = []
    for _ in range(times + 1):
        wait_for(device)
        start = time.perf_counter()
        work()
        wait_for(device)
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def taking_turns(
    works: dict[str, Callable[[], object]], device: torch.device, rounds: int
) -> dict[str, float]:
    """Median seconds of each, one after the other in each round, after one round to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            wait_for(device)
            start = time.perf_counter()
            work()
            wait_for(device)
            if number:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def wait_for(device: torch.device) -> None:
    """A GPU goes on with its work while the program does."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def gpu_calls(work: Callable[[], object]) -> dict[str, int]:
    """How often a GPU is given something to do, and how often the program waits for it."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        work()
    counts = {event.key: event.count for event in profile.key_averages()}
    return {
        "launches": sum(counts.get(name, 0) for name in LAUNCHES),
        "synchronisations": sum(counts.get(name, 0) for name in SYNCHRONISATIONS),
    }


def peak_memory(module: str, arguments: Sequence[str]) -> float:
    """The most memory, in MB, of a process of its own, ``python -m module arguments``, that ends
    with ``print_peak_memory``."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def print_peak_memory() -> None:
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEGABYTE)
