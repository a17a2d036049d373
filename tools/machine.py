"""What a machine can do at most, and what a way of computing takes of it."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

CPU = torch.device("cpu")
WAYS = ("reference", "ours")
GIGA = 1e9
MEGABYTE = 2**20
SIDES = {"cpu": 2048, "cuda": 8192}  # of the matrices
MAP = (2, 256, 104, 152)  # of the FPN's, the most frequent work of the network
REPEATS = 5
STATUS = Path("/proc/self/status")
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
    side = SIDES[device.type]
    matrix = torch.randn(side, side, device=device).to(dtype)
    maps = torch.randn(MAP, device=device).to(dtype, memory_format=torch.channels_last)
    kernel = torch.randn(MAP[1], MAP[1], 3, 3, device=device).to(dtype)
    works: tuple[Callable[[], Tensor], ...] = (
        lambda: matrix @ matrix,
        lambda: F.conv2d(maps, kernel, padding=1),
    )
    with torch.inference_mode():
        rates = [
            flops(work) / min(seconds_of(work, device) for _ in range(REPEATS)) / GIGA
            for work in works
        ]
    return Limits(*rates)


def flops(work: Callable[[], object]) -> float:
    """Operations of the convolutions and products of matrices; a multiply-add is two."""
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def taking_turns(
    works: Mapping[str, Callable[[], object]], device: torch.device, rounds: int
) -> dict[str, float]:
    """Median seconds of each, one after the other in each round, after one round to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds + 1):
        for name, work in works.items():
            seconds[name].append(seconds_of(work, device))
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Of one call, until the device is done."""
    wait_for(device)
    start = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - start


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
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1])


def print_peak_memory() -> None:
    """In MB, of this process."""
    if STATUS.exists():  # Linux, whose ru_maxrss would count what the parent process held
        print(int(STATUS.read_text().split("VmHWM:")[1].split()[0]) / 1024)
    else:
        import resource  # Windows has none

        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE)


def comparison(name: str, reference: float, ours: float) -> dict[str, Any]:
    """What each result has: its name, the seconds of both ways, and how much faster ours is."""
    return {"name": name, "reference_s": reference, "ours_s": ours, "ratio": reference / ours}


def facts_of(
    way: str,
    work: Callable[[], object],
    device: torch.device,
    dtype: torch.dtype,
    seconds: float,
    operations: float,
) -> dict[str, Any]:
    """What is known of one way beside its time, by names that start with the way.

    Args:
        way: ``reference`` or ``ours``.
        work: what it does; looked at more closely on a GPU.
        dtype: what its convolutions compute in.
        seconds, operations: of an image.
    """
    rate = limits(device, dtype).best
    facts: dict[str, Any] = {
        "images_per_s": 1 / seconds,
        "limit_gflops": rate,
        "share_of_limit": operations / seconds / GIGA / rate,
    }
    if device.type == "cuda":
        facts |= gpu_calls(work)
        torch.cuda.reset_peak_memory_stats(device)
        work()
        facts["mb"] = torch.cuda.max_memory_allocated(device) / MEGABYTE
    return {f"{way}_{name}": fact for name, fact in facts.items()}
