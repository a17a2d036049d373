"""Runs of train.py in processes that start at once: forks of a server that has imported it.

What a run does, the signals it gets and how it dies are real; only the start of Python and torch
is shared.
"""

from __future__ import annotations

import atexit
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
LONGEST = 120.0  # seconds
_context = multiprocessing.get_context("forkserver")
_number = itertools.count()


class TrainingProcess:
    """One ``python train.py ARGUMENTS``, with a process group of its own; prints to a file."""

    def __init__(self, folder, *arguments):
        self.output_file = Path(folder) / f"printed-{next(_number)}.txt"
        self.output_file.touch()
        texts = [str(argument) for argument in arguments]
        self.process = _started(_train, texts, str(self.output_file))
        atexit.register(self.kill)  # a failed test must not leave a run that pytest waits for

    @property
    def pid(self):
        return self.process.pid

    @property
    def output(self) -> str:
        """What it has printed."""
        return self.output_file.read_text(encoding="utf-8")

    def wait_for(self, text) -> None:
        """Until it has printed a text."""
        end = time.monotonic() + LONGEST
        while text not in self.output:
            assert self.process.is_alive(), f"ended without {text!r}:\n{self.output}"
            assert time.monotonic() < end, f"no {text!r} in:\n{self.output}"
            time.sleep(0.01)

    def send(self, number, to_group=False) -> None:
        """A signal, as kill or, to the whole group, as a terminal's Ctrl-C sends it."""
        (os.killpg if to_group else os.kill)(self.pid, number)

    def ended(self, code) -> str:
        """What it printed, once it has ended with an exit code."""
        self.process.join(LONGEST)
        assert self.process.exitcode == code, self.output
        assert "Traceback" not in self.output
        return self.output

    def kill(self) -> None:
        """End it, and all that it started, as kill -9 does."""
        if self.process.is_alive():
            self.send(signal.SIGKILL, to_group=True)
        self.process.join()


def trained(folder, *arguments) -> str:
    """What a run that succeeds prints."""
    return TrainingProcess(folder, *arguments).ended(0)


@contextmanager
def lock_held(file):
    """Another process than this one has the lock on a file."""
    command = [
        sys.executable, "-c",
        "import fcntl, sys\n"
        "file = open(sys.argv[1], 'a')\n"
        "fcntl.lockf(file, fcntl.LOCK_EX)\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()",
        file,
    ]  # fmt: skip
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        assert process.stdout.readline() == b"locked\n"
        yield
        process.communicate()


def saving_for_ever(root, heard):
    """A process that goes on with the run ``saved`` under ``root``, tells ``heard`` from which save
    on, and saves again and again."""
    return _started(_save_for_ever, root, heard, daemon=True)


def _started(target, *arguments, daemon=False):
    """A fork of the server, which finds train.py and starts torch with one thread."""
    os.environ |= {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    _context.set_forkserver_preload(["train", "torch.utils.tensorboard"])
    process = _context.Process(target=target, args=arguments, daemon=daemon)
    process.start()
    return process


def _save_for_ever(root, heard):
    import torch

    from nets.weights_file import WeightsFile
    from utils.config import TrainConfig, to_dict
    from utils.training import run_lock
    from utils.training.checkpoint import Checkpoints
    from utils.training.resume import read_saved_run

    config = TrainConfig(resume="saved", output_root=root)
    checkpoints = Checkpoints(root / "weights" / "saved", keep=0)
    number = 0
    if (checkpoints.folder / "last.pth").exists():
        saved = read_saved_run(config)
        number = saved.state["number"]
        assert bool((saved.weights.model["weight"] == number).all())
        checkpoints.restore({"best": None, "best_epoch": 0}, saved.path)
    left = {path.name for path in checkpoints.folder.iterdir()} - {run_lock.LOCK}
    heard.send((number, sorted(left)))
    while True:
        number += 1
        model = {"weight": torch.full((300, 1000), float(number))}
        weights = WeightsFile(config.arch, 2, ("cat",), model)
        checkpoints.save_last(weights, {"number": number, "settings": to_dict(config)})


def _train(arguments, output_file):
    os.setpgid(0, 0)
    descriptor = os.open(output_file, os.O_WRONLY | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(descriptor, stream.fileno())
    sys.stdout.reconfigure(line_buffering=True, encoding="utf-8")
    import train
    from utils.command_line import parse
    from utils.config import TrainConfig
    from utils.data import worker_watch
    from utils.exit_codes import run
    from utils.training import recorder

    recorder.SECONDS_BETWEEN_LINES = 0.0  # a line for each step, to wait for
    multiprocessing.set_start_method("fork", force=True)  # a second server would import torch
    try:
        sys.exit(run(train.main, parse(TrainConfig, arguments, train.__doc__)))
    finally:
        worker_watch._end_all()  # which atexit calls at the end of a program, not of a fork
