"""How runs of several processes end before their end: by a signal or a failure of one of them, all
of them within a minute, with the cause told and the run ready to go on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time

import pytest
import torch
from test_commands import CPU, REPOSITORY, draw_people
from test_commands import succeeded as succeeded_alone
from test_distributed import PAIR, finished, last, start_nodes, succeeded, torchrun

pytestmark = pytest.mark.slow
MINUTE = 60.0
SHAPES = ["--data", "shapes", "--name", "run", "--epochs", "2", "--epoch-scenes", "16", "-b", "2",
          "--warmup", "0", *CPU, "--precision", "fp32"]  # fmt: skip


def children(pid) -> list[int]:
    """The processes that a process started, by rank: torchrun starts them in this order."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True,
                           check=False).stdout  # fmt: skip
    return sorted(map(int, found.split()))


def begin(root, *arguments) -> subprocess.Popen:
    """A run of two processes in the midst of its first epoch."""
    running = torchrun(*PAIR, REPOSITORY / "train.py", *arguments, "--output-root", root)
    wait_for_steps(root)
    return running


def wait_for_steps(root) -> None:
    """Until the first pictures are written, right before the first step."""
    until = time.monotonic() + 2 * MINUTE
    while not (root / "runs" / "run" / "val_gt.jpg").exists():
        assert time.monotonic() < until, "training has not begun"
        time.sleep(0.05)


def end_of(running, *workers) -> tuple[int, str, str]:
    """What torchrun leaves; it and the workers must be gone within a minute, without a traceback
    of ours."""
    started = time.monotonic()
    code, out, err = finished(running, MINUTE)
    while any(is_alive(pid) for pid in workers):
        assert time.monotonic() - started < MINUTE, "a process is left"
        time.sleep(0.1)
    assert str(REPOSITORY / "utils") not in err
    assert f'File "{REPOSITORY}' not in err
    return code, out, err


def is_alive(pid) -> bool:
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


def codes(err) -> dict[int, int]:
    """The exit codes that torchrun shows, by rank."""
    found = re.findall(r"rank +: (\d+).*\n +exitcode +: (-?\d+)", err)
    return {int(rank): int(code) for rank, code in found}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The weights of a run that nothing interrupts."""
    root = tmp_path_factory.mktemp("whole")
    succeeded("train.py", *SHAPES, "--output-root", root)
    return last(root)


def assert_equal(found, wanted):
    for name, tensor in wanted.items():
        assert torch.equal(found[name], tensor), name


def test_a_signal_to_one_process_ends_all_and_the_run_goes_on_exactly(whole, tmp_path):
    running = begin(tmp_path, *SHAPES)
    workers = children(running.pid)
    os.kill(workers[1], signal.SIGUSR1)
    _, out, err = end_of(running, *workers)
    for rank in range(2):
        assert f"process {rank}: stopped by SIGUSR1" in err
    assert set(codes(err).values()) == {143}
    assert "to go on: python train.py --resume" in out

    out = succeeded("train.py", "--resume", "--output-root", tmp_path)
    assert "going on with epoch 1" in out
    assert_equal(last(tmp_path), whole)


def test_a_signal_to_torchrun_ends_all_and_one_process_can_go_on(tmp_path):
    running = begin(tmp_path, *SHAPES)
    workers = children(running.pid)
    for pid in (running.pid, *workers):  # as a cluster does, which signals every process
        os.kill(pid, signal.SIGTERM)
    _, _, err = end_of(running, *workers)
    for rank in range(2):
        assert f"process {rank}: stopped by SIGTERM" in err

    out = succeeded_alone("train.py", "--resume", "--output-root", tmp_path)
    assert re.search(r"going on with epoch 1 after \d+ of its 8 batches", out)
    assert "epoch 2/2  train loss" in out


def test_a_killed_process_ends_the_others(tmp_path):
    running = begin(tmp_path, *SHAPES)
    workers = children(running.pid)
    os.kill(workers[1], signal.SIGKILL)
    code, _, err = end_of(running, *workers)
    assert code == 1
    assert codes(err)[1] == -signal.SIGKILL
    assert "process 0: error: another process of this run has ended" in err


def test_a_picture_that_one_process_cannot_read_ends_all(tmp_path):
    people = draw_people(tmp_path / "people")
    words = ["--data", people, "--name", "run", "--arch", "maskrcnn_resnet18_fpn_small",
             "--weights", "none", "--min-size", "64", "--max-size", "96", "-b", "1",
             "--epochs", "50", "--lr", "1e-5", *CPU]  # fmt: skip
    running = begin(tmp_path, *words)
    workers = children(running.pid)
    split = (tmp_path / "runs" / "run" / "split.json").read_text(encoding="utf-8")
    name = re.search(r'"train": \[\s*"([^"]+)"', split)[1]
    (people / name).write_bytes((people / name).read_bytes()[:1000])
    code, _, err = end_of(running, *workers)
    assert code == 1
    assert 4 in codes(err).values()
    assert f"{name}: cannot be decoded" in err


def test_a_diverging_run_ends_all_with_the_cause(tmp_path):
    running = begin(tmp_path, *SHAPES, "--lr", "1e6", "--clip-norm", "0")
    code, _, err = end_of(running, *children(running.pid))
    assert code == 1
    assert 5 in codes(err).values()
    for rank in range(2):
        assert f"process {rank}: error: the loss is not finite in step" in err
    for path in (tmp_path / "weights" / "run").glob("*.pth"):
        content = torch.load(path)
        assert all(tensor.isfinite().all() for tensor in content["model"].values())


def test_processes_whose_torchrun_is_killed_save_and_leave(tmp_path):
    running = begin(tmp_path, *SHAPES, "--epochs", "50")
    workers = children(running.pid)
    running.kill()
    _, out, err = end_of(running, *workers)
    for rank in range(2):
        assert f"process {rank}: torchrun, which started this process, is gone" in err
    assert "to go on: python train.py --resume" in out


def test_torchrun_killed_on_one_machine_ends_the_other(tmp_path):
    nodes = start_nodes(tmp_path, *SHAPES, "--epochs", "50")
    wait_for_steps(tmp_path)
    workers = [pid for node in nodes for pid in children(node.pid)]
    nodes[1].kill()
    _, out, err = end_of(nodes[0], *workers)
    _, other_out, other_err = finished(nodes[1])
    # The other torchrun may have lost the one it met through, and ends its process by a signal.
    assert re.search(r"process 0: (torchrun, which started .* is gone|stopped by)", err + other_err)
    assert "to go on: python train.py --resume" in out + other_out
    assert (tmp_path / "weights" / "run" / "last.pth").exists()
