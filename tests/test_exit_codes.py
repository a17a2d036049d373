"""How commands end: one message, and a code that says why."""

from __future__ import annotations

import errno
import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from nets.contract import TargetError
from nets.weights_file import WeightsError
from utils.config import CommonConfig, ConfigError
from utils.data.records import DataError
from utils.exit_codes import exit_code, message, run
from utils.training.engine import DivergedError

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


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("Tried to allocate 2 GB")])
def test_out_of_memory_names_the_flags_that_help(error):
    text = message(error)
    for flag in ("--batch-size", "--min-size", "--max-size", "--rois"):
        assert flag in text
    assert (str(error) or "no details") in text


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
