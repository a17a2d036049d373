"""How the commands end: one message instead of a traceback, and an exit code that tells why.

0 done, 1 an internal error, 2 wrong usage, 3 out of memory or disk, 4 wrong input files,
5 training diverged, 130 and 143 stopped by a signal.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from nets.contract import TargetError
from nets.freezing import PartError
from nets.out_of_memory import is_out_of_memory
from nets.weights_file import WeightsError
from utils.config import (
    AUTO_BATCH,
    CommandConfig,
    CommonConfig,
    ConfigError,
    LoadingConfig,
    TrainConfig,
)
from utils.data.records import DataError
from utils.data.worker_watch import WorkerError
from utils.interruption import INTERRUPTED, Stopped
from utils.processes import PeerError, have_the_last_word
from utils.training.diverged import DivergedError
from utils.training.text_log import log

ConfigT = TypeVar("ConfigT", bound=CommandConfig)
INTERNAL, USAGE, RESOURCES, DATA, DIVERGED = 1, 2, 3, 4, 5
EXPECTED: dict[type[BaseException], int] = {
    ConfigError: USAGE,
    PartError: USAGE,
    DataError: DATA,
    TargetError: DATA,
    WeightsError: DATA,
    DivergedError: DIVERGED,
    WorkerError: RESOURCES,
    PeerError: INTERNAL,
    KeyboardInterrupt: INTERRUPTED,
}
OUT_OF_DISK = (errno.ENOSPC, errno.EDQUOT)
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
# What a step's memory grows with.
MEMORY_SETTINGS = ("batch_size", "min_size", "max_size", "rois", "proposals")
SMALLER_STEPS = "--batch-size auto finds what fits, --accumulate N keeps what a step is made of, "


def run(main: Callable[[ConfigT], None], config: ConfigT) -> int:
    """Run a command; returns its exit code. Errors nobody expects keep their traceback."""
    warnings.formatwarning = _plain_warning
    try:
        main(config)
        return 0
    except BaseException as error:
        have_the_last_word()
        code = exit_code(error)
        if code is None:
            raise
        if config.debug:
            traceback.print_exc()
        text = memory_message(error, config) if is_out_of_memory(error) else message(error)
        kind = "" if isinstance(error, Stopped) else "error: "
        # In one piece: processes may speak at once, and print() writes the end of a line apart.
        sys.stderr.write(f"{_process()}{kind}{text}\n")
        log.error("ended with exit code %d: %s", code, text)
        return code


def _process() -> str:
    """Which of several processes speaks."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return f"process {os.environ['RANK']}: " if several else ""


@contextmanager
def noting_settings(config: CommandConfig) -> Iterator[None]:
    """If memory runs out within, tell of these settings instead of those ``run`` was given: a run
    that is resumed has its own, and one with ``--batch-size auto`` a number."""
    try:
        yield
    except BaseException as error:
        if is_out_of_memory(error):
            error.add_note(memory_advice(config))
        raise


def memory_message(error: BaseException, config: CommandConfig) -> str:
    """What the memory was not enough for, and the flags that need less."""
    details = (str(error).strip().splitlines() or ["no details"])[0]
    advice = getattr(error, "__notes__", None) or [memory_advice(config)]
    return f"out of memory: {advice[0]} ({details})"


def memory_advice(config: CommandConfig) -> str:
    """The flags of a command that need less memory."""
    if isinstance(config, TrainConfig):
        shown = {name: getattr(config, name) for name in MEMORY_SETTINGS}
        is_smallest = config.batch_size in (AUTO_BATCH, 1)
        if config.batch_size == AUTO_BATCH:
            shown["batch_size"] = "auto"
        flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in shown.items())
        return (
            f"not enough for {flags}; lower them. {'' if is_smallest else SMALLER_STEPS}"
            "--freeze heads and --precision bf16 (on hardware that has it) take less"
        )
    ways = ["take smaller images"]
    if isinstance(config, CommonConfig):
        ways += ["--precision bf16 takes less on hardware that has it"]
        ways += ["--device cpu computes beside the GPU"]
    if isinstance(config, LoadingConfig):
        ways += ["--workers 0 loads nothing ahead"]
    return "; ".join(ways)


def _plain_warning(message: Warning | str, *_: object, **__: object) -> str:
    """A warning is for the person at the terminal, without the line of code it came from."""
    return f"warning: {message}\n"


def exit_code(error: BaseException) -> int | None:
    """The exit code of an expected error; None for any other."""
    if isinstance(error, Stopped):
        return error.exit_code
    for kind, code in EXPECTED.items():
        if isinstance(error, kind):
            return code
    if isinstance(error, OSError) and error.errno in OUT_OF_DISK:
        return RESOURCES
    if isinstance(error, OSError) and error.errno in NOT_WRITABLE:
        return USAGE
    return RESOURCES if is_out_of_memory(error) else None


def message(error: BaseException) -> str:
    """The error in words. A loader process hands its error on wrapped in its own traceback; only
    the error itself is shown."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, OSError) and error.filename and exit_code(error) is not None:
        full = error.errno in OUT_OF_DISK
        way = "free some space, and go on" if full else "choose a place that can be written to"
        return f"{error.filename}: {error.strerror}; {way}"
    text = str(error).strip()
    return text.rsplit(f"{type(error).__name__}: ", 1)[-1] if text.startswith("Caught ") else text
