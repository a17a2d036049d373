"""How commands end: one message, and a code that says why."""

from __future__ import annotations

import errno
import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from nets.contract import TargetError
from nets.freezing import PartError
from nets.weights_file import WeightsError
from utils.config import CommonConfig, ConfigError, TestConfig, TrainConfig
from utils.data.records import DataError
from utils.data.worker_watch import WorkerError
from utils.exit_codes import exit_code, memory_message, message, noting_settings, run
from utils.interruption import TIME_IS_UP, Stopped
from utils.prediction.config import PredictConfig
from utils.processes import PeerError
from utils.training.diverged import DivergedError

REPOSITORY = Path(__file__).resolve().parent.parent
CODES = [
    (ConfigError("a setting"), 2),
    (torch.OutOfMemoryError("CUDA out of memory"), 3),
    (MemoryError(), 3),
    (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), 3),
    (OSError(errno.ENOSPC, "No space left on device"), 3),
    (PermissionError(errno.EACCES, "denied"), 2),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), 3),
    (DataError("an image"), 4),
    (TargetError("a box"), 4),
    (WeightsError("a file"), 4),
    (DivergedError("a loss"), 5),
    (PartError("a layer"), 2),
    (WorkerError("a loading process"), 3),
    (PeerError("another process"), 1),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), 3),
    (KeyboardInterrupt(), 130),
]


def fail(error, config):
    raise error


def ended(error, debug=False) -> int:
    return run(functools.partial(fail, error), CommonConfig(debug=debug))


def test_success_is_0_and_silent(capsys):
    seen = []
    config = CommonConfig()
    assert run(seen.append, config) == 0
    assert seen == [config]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("error", "code"), CODES, ids=lambda x: getattr(x, "args", x))
def test_expected_errors_have_a_code_and_one_message(error, code, capsys):
    assert ended(error) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err


@pytest.mark.parametrize(("error", "code"), CODES, ids=lambda x: getattr(x, "args", x))
def test_debug_shows_the_traceback(error, code, capsys):
    assert ended(error, debug=True) == code
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert type(error).__name__ in err
    assert err.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize(
    "error", [ValueError("a bug"), OSError(errno.EIO, "broken"), SystemExit(2), KeyError("x")]
)
def test_errors_nobody_expects_pass_through(error):
    assert exit_code(error) is None
    with pytest.raises(type(error)):
        ended(error)


def test_messages_say_what_the_error_says():
    assert message(DataError("a.png: is empty")) == "a.png: is empty"
    assert message(KeyboardInterrupt()) == "interrupted"


@pytest.mark.parametrize(
    ("number", "code", "text"),
    [
        (signal.SIGINT, 130, "stopped by SIGINT"),
        (signal.SIGTERM, 143, "stopped by SIGTERM"),
        (signal.SIGUSR1, 143, "stopped by SIGUSR1"),
        (TIME_IS_UP, 0, "the time limit is reached"),
    ],
)
def test_being_stopped_is_no_error(number, code, text, capsys):
    assert ended(Stopped(number)) == code
    assert capsys.readouterr() == ("", f"{text}\n")


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("Tried to allocate 2 GB")])
def test_out_of_memory_names_the_flags_that_help(error):
    text = memory_message(error, TrainConfig(batch_size=8))
    for flag in ("--batch-size 8", "--min-size 800", "--max-size 1333", "--rois 512"):
        assert flag in text
    for flag in ("--batch-size auto", "--accumulate", "--freeze heads", "--precision bf16"):
        assert flag in text
    assert (str(error) or "no details") in text


@pytest.mark.parametrize(("size", "shown"), [(0, "auto"), (1, "1")])
def test_what_cannot_be_smaller_is_not_to_be_made_smaller(size, shown):
    text = memory_message(MemoryError(), TrainConfig(batch_size=size))
    assert f"--batch-size {shown} " in text
    assert "finds what fits" not in text


def test_the_settings_of_the_run_count_not_those_of_the_call(capsys):
    def main(config):
        with noting_settings(TrainConfig(batch_size=32)):
            raise MemoryError

    assert run(main, TrainConfig(batch_size=0)) == 3
    err = capsys.readouterr().err
    assert "--batch-size 32 " in err
    assert "--batch-size auto finds what fits" in err


@pytest.mark.parametrize("config_class", [TestConfig, PredictConfig])
def test_advice_is_of_flags_that_the_command_has(config_class):
    text = memory_message(MemoryError(), config_class())
    flags = {word.strip(";,") for word in text.split() if word.startswith("--")}
    assert "--device" in flags
    assert {flag[2:].replace("-", "_") for flag in flags} <= set(vars(config_class()))


def test_a_full_disk_is_not_called_out_of_memory():
    assert "memory" not in message(OSError(errno.ENOSPC, "No space left", "best.pth"))


class Broken(torch.utils.data.Dataset):
    """Fails in the loader's process."""

    def __init__(self, kind):
        self.kind = kind
        self.home = os.getpid()

    def __len__(self):
        return 1

    def __getitem__(self, index):
        assert os.getpid() != self.home
        raise self.kind("photos/a.png: cut short; ValueError: replace it")


@pytest.mark.parametrize("kind", [DataError, TargetError])
def test_a_loader_process_hands_on_only_the_message(kind, capsys):
    def main(config):
        next(iter(DataLoader(Broken(kind), num_workers=1)))

    assert run(main, CommonConfig()) == 4
    err = capsys.readouterr().err
    assert err == "error: photos/a.png: cut short; ValueError: replace it\n"


def test_a_warning_is_one_line_without_code(tmp_path):
    code = (
        "import sys, warnings\n"
        "from utils.config import CommonConfig\n"
        "from utils.exit_codes import run\n"
        "sys.exit(run(lambda config: warnings.warn('two frames'), CommonConfig()))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert (result.returncode, result.stderr) == (0, "warning: two frames\n")
