"""Several processes do together what one does: what they exchange, and the steps they take."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from test_commands import REPOSITORY, environment
from torch import nn

from utils.config import ConfigError
from utils.processes import (
    ALONE,
    Processes,
    have_the_last_word,
    start_processes,
    started_by_torchrun,
)

CPU = torch.device("cpu")
TORCHRUN = ["-m", "torch.distributed.run", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """What two processes report, and what they printed."""
    folder = tmp_path_factory.mktemp("reports")
    result = subprocess.run(
        [sys.executable, *TORCHRUN, REPOSITORY / "tests" / "rank_report.py", folder],
        env={**environment(), "PYTHONPATH": str(REPOSITORY)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    reports = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]
    return reports, result.stdout, result.stderr


def test_one_process_has_nothing_to_exchange():
    value = object()
    assert ALONE.gather(value) == [value]
    assert ALONE.gather_numbers(5) == [5]
    assert ALONE.stack(torch.ones(2, 3)).shape == (1, 2, 3)
    assert ALONE.from_first(value) is value
    model = nn.BatchNorm1d(1)
    assert ALONE.wrap(model) is model
    assert ALONE.with_synchronised_norms(model, CPU) is model
    ALONE.share_buffers(model)


def test_without_torchrun_a_process_is_alone(monkeypatch, capsys):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with start_processes(CPU) as processes:
        print("seen")
    assert processes is ALONE
    assert capsys.readouterr().out == "seen\n"


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("length", [0, 1, 2, 7])
def test_shares_are_a_partition_and_even(length, count):
    items = list(range(length))
    shares = [Processes(rank, count).share(items) for rank in range(count)]
    assert sorted(item for share in shares for item in share) == items
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_synchronised_norms_are_refused_without_cuda():
    with pytest.raises(ConfigError, match="--sync-norm works on CUDA devices only"):
        Processes(0, 2).with_synchronised_norms(nn.BatchNorm2d(1), CPU)


def test_synchronised_norms_replace_batch_norms():
    model = nn.Sequential(nn.BatchNorm2d(3))
    found = Processes(0, 2).with_synchronised_norms(model, torch.device("cuda"))
    assert isinstance(found[0], nn.SyncBatchNorm)


@pytest.mark.parametrize("launched", [False, True])
def test_only_what_torchrun_started_ignores_its_signal_at_the_end(monkeypatch, launched):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    if launched:
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    assert started_by_torchrun() is launched
    came = []
    before = signal.signal(signal.SIGTERM, lambda *_: came.append(1))
    try:
        have_the_last_word()
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert bool(came) is not launched


def test_each_process_knows_its_place(pair):
    first, second = pair[0]
    assert first["place"] == [0, 2, 0, True]
    assert second["place"] == [1, 2, 1, False]


def test_processes_exchange_values(pair):
    first, second = pair[0]
    assert first["gathered"] == [{"rank": 0}, {"rank": 1}]
    assert second["gathered"] is None
    for found in (first, second):
        assert found["numbers"] == [10, 11]
        assert found["stacked"] == [[0, 2.5], [1, 2.5]]
        assert found["from_first"] == "of 0"
        assert found["shared"] == [7, 7]


def test_only_the_first_process_prints(pair):
    _, out, err = pair
    assert "printed by 0" in out
    assert "printed by 1" not in out
    assert "warning" not in err.lower()


@pytest.mark.parametrize("training", ["uneven", "accumulated", "in stages"])
def test_two_processes_take_the_steps_of_one(pair, training):
    """Weights and losses after batches of 2 x n images are those of one process with 2n."""
    first, second = pair[0]
    assert first[training] < 1e-4  # of how far the weights moved: float32 sums in another order
    assert first[f"{training}: steps"] == second[f"{training}: steps"]
