"""What a machine can do and what a computation takes: hand-computed, by a clock of our own."""

from __future__ import annotations

import os
import resource
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tools import machine
from tools.machine import (
    MEGABYTE,
    Limits,
    comparison,
    facts_of,
    flops,
    gpu_calls,
    limits,
    peak_memory,
    print_peak_memory,
    seconds_of,
    taking_turns,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def product_with_gradient():
    left, right = torch.ones(2, 3, requires_grad=True), torch.ones(3, 4, requires_grad=True)
    (left @ right).sum().backward()


@pytest.mark.parametrize(
    ("work", "operations"),
    [
        (lambda: torch.ones(5) + 1, 0),
        (lambda: torch.ones(2, 3) @ torch.ones(3, 4), 2 * (2 * 3 * 4)),
        (product_with_gradient, 3 * 2 * (2 * 3 * 4)),
        (
            lambda: F.conv2d(torch.ones(2, 3, 5, 6), torch.ones(4, 3, 3, 3), padding=1),
            2 * (2 * 4 * 5 * 6 * 3 * 3 * 3),
        ),
    ],
    ids=["sum", "product", "with its gradient", "convolution"],
)
def test_operations_are_those_of_products_and_convolutions(work, operations):
    assert flops(work) == operations


def test_limits_are_operations_by_the_shortest_time(monkeypatch):
    monkeypatch.setattr(machine, "SIDES", {"cpu": 10})
    monkeypatch.setattr(machine, "MAP", (1, 2, 3, 4))
    monkeypatch.setattr(machine, "REPEATS", 3)
    seconds = iter([5e-6, 2e-6, 4e-6, 3e-6, 9e-6, 8e-6])
    monkeypatch.setattr(machine, "seconds_of", lambda work, device: work() is None or next(seconds))
    found = limits(CPU, torch.float32)
    assert found == pytest.approx(
        Limits(2 * 10**3 / 2e-6 / 1e9, 2 * 2 * 2 * 3 * 4 * 9 / 3e-6 / 1e9)
    )
    assert found.best == found.matmul > found.conv


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_limits_are_measured(monkeypatch, dtype):
    monkeypatch.setattr(machine, "SIDES", {"cpu": 64})
    monkeypatch.setattr(machine, "MAP", (1, 8, 16, 16))
    found = limits(CPU, dtype)
    assert min(found) > 0
    assert np.isfinite(found).all()


@pytest.fixture
def clock(monkeypatch):
    """Stands still until a test moves it."""
    time = SimpleNamespace(now=100.0)
    monkeypatch.setattr(machine.time, "perf_counter", lambda: time.now)
    return time


def test_turns_are_taken_and_the_first_does_not_count(clock):
    taken = {"slow": iter([90, 8, 1, 3]), "fast": iter([50, 2, 6, 1])}
    order = []

    def work(name):
        order.append(name)
        clock.now += next(taken[name])

    works = {name: lambda name=name: work(name) for name in taken}
    assert taking_turns(works, CPU, 3) == {"slow": 3, "fast": 2}
    assert order == 4 * ["slow", "fast"]


def test_a_gpu_is_waited_for(clock, monkeypatch):
    """What it still had to do before does not count; what it was given to do does."""
    to_do = [5]

    def wait(device):
        clock.now += sum(to_do)
        to_do.clear()

    monkeypatch.setattr(torch.cuda, "synchronize", wait)
    assert seconds_of(lambda: to_do.append(3), GPU) == 3
    assert seconds_of(lambda: to_do.append(3), CPU) == 0


@pytest.mark.parametrize(
    ("events", "launches", "synchronisations"),
    [
        ({"aten::mm": 9, "cudaMemcpyAsync": 9}, 0, 0),
        ({"cudaLaunchKernel": 7, "cudaLaunchKernelExC": 20, "cuLaunchKernel": 100}, 127, 0),
        ({"cudaGraphLaunch": 1000, "aten::mm": 9, "cudaStreamSynchronize": 3}, 1000, 3),
        ({"cudaDeviceSynchronize": 40, "cudaEventSynchronize": 500}, 0, 540),
    ],
)
def test_calls_of_a_gpu_are_counted(monkeypatch, events, launches, synchronisations):
    averages = [SimpleNamespace(key=key, count=count) for key, count in events.items()]
    looked_at, done = [], []

    @contextmanager
    def profile(activities):
        looked_at.extend(activities)
        yield SimpleNamespace(key_averages=lambda: averages if done else [])

    monkeypatch.setattr(torch.profiler, "profile", profile)
    wanted = {"launches": launches, "synchronisations": synchronisations}
    assert gpu_calls(lambda: done.append(1)) == wanted
    assert torch.profiler.ProfilerActivity.CUDA in looked_at


HUNGRY = """
import sys
from pathlib import Path

from tools.machine import print_peak_memory
from utils.memory import resident_memory

Path(sys.argv[1]).write_text(str(resident_memory()))
held = bytearray(b"x") * int(sys.argv[2])
del held
print("something else")
print_peak_memory()
"""


@pytest.mark.skipif(not machine.STATUS.exists(), reason="reads Linux's /proc")
def test_memory_is_what_a_process_held_at_most_not_what_its_parent_did(tmp_path, monkeypatch):
    (tmp_path / "hungry.py").write_text(HUNGRY)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{Path(machine.__file__).parents[1]}")
    parents = np.ones(60 * MEGABYTE)  # 480 MB
    peak = peak_memory("hungry", [str(tmp_path / "before"), str(200 * MEGABYTE)])
    del parents
    before = int((tmp_path / "before").read_text()) / MEGABYTE
    assert peak - before == pytest.approx(200, abs=20)


def test_memory_is_told_in_megabytes(tmp_path, monkeypatch, capsys):
    status = tmp_path / "status"
    monkeypatch.setattr(machine, "STATUS", status)
    usage = SimpleNamespace(ru_maxrss=300 * MEGABYTE)  # in bytes on a Mac
    monkeypatch.setattr(resource, "getrusage", lambda _: usage)
    print_peak_memory()
    status.write_text("VmPeak:\t    9999 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n")
    print_peak_memory()
    assert capsys.readouterr().out.split() == ["300.0", "2.0"]


def test_above_1_ours_is_faster():
    assert comparison("both", 6.0, ours=2.0) == {
        "name": "both", "reference_s": 6.0, "ours_s": 2.0, "ratio": 3.0,
    }  # fmt: skip


def test_facts_are_rates_and_what_a_gpu_tells(monkeypatch):
    rates = {torch.float32: Limits(50, 100), torch.bfloat16: Limits(400, 200)}
    monkeypatch.setattr(machine, "limits", lambda device, dtype: rates[dtype])
    found = facts_of("reference", lambda: 1 / 0, CPU, torch.float32, 0.25, 5e9)
    assert found == pytest.approx({
        "reference_images_per_s": 4, "reference_limit_gflops": 100, "reference_share_of_limit": 0.2,
    })  # fmt: skip

    events = []
    monkeypatch.setattr(machine, "gpu_calls", lambda work: work() or {"launches": 7})
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: events.append("reset"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: len(events) * MEGABYTE)
    found = facts_of("ours", lambda: events.append("work"), GPU, torch.bfloat16, 0.25, 5e9)
    assert found == pytest.approx({
        "ours_images_per_s": 4, "ours_limit_gflops": 400, "ours_share_of_limit": 0.05,
        "ours_launches": 7, "ours_mb": 3,
    })  # fmt: skip
    assert events == ["work", "reset", "work"]
