"""How the commands end: one message instead of a traceback, and an exit code that tells why.

0 done, 1 an internal error, 2 wrong usage, 3 out of memory or disk, 4 wrong input files,
5 training diverged, 130 interrupted.
"""

from __future__ import annotations

import errno
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import TypeVar

import torch

from nets.contract import TargetError
from nets.weights_file import WeightsError
from utils.config import CommandConfig, ConfigError
from utils.data.records import DataError
from utils.training.engine import DivergedError
from utils.training.recorder import log

ConfigT = TypeVar("ConfigT", bound=CommandConfig)
USAGE, RESOURCES, DATA, DIVERGED, INTERRUPTED = 2, 3, 4, 5, 130
EXPECTED: dict[type[BaseException], int] = {
    ConfigError: USAGE,
    DataError: DATA,
    TargetError: DATA,
    WeightsError: DATA,
    DivergedError: DIVERGED,
    torch.OutOfMemoryError: RESOURCES,
    MemoryError: RESOURCES,
    KeyboardInterrupt: INTERRUPTED,
}
OUT_OF_DISK = (errno.ENOSPC, errno.EDQUOT)
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
MEMORY_ADVICE = "out of memory; lower --batch-size, --min-size and --max-size, or --rois"


def run(main: Callable[[ConfigT], None], config: ConfigT) -> int:
    """Run a command; returns its exit code. Errors nobody expects keep their traceback."""
    warnings.formatwarning = _plain_warning
    try:
        main(config)
        return 0
    except BaseException as error:
        code = exit_code(error)
        if code is None:
            raise
        if config.debug:
            traceback.print_exc()
        print(f"error: {message(error)}", file=sys.stderr)
        log.error("ended with exit code %d: %s", code, message(error))
        return code


def _plain_warning(message: Warning | str, *_: object, **__: object) -> str:
    """A warning is for the person at the terminal, without the line of code it came from."""
    return f"warning: {message}\n"


def exit_code(error: BaseException) -> int | None:
    """The exit code of an expected error; None for any other."""
    for kind, code in EXPECTED.items():
        if isinstance(error, kind):
            return code
    if isinstance(error, OSError) and error.errno in OUT_OF_DISK:
        return RESOURCES
    if isinstance(error, OSError) and error.errno in NOT_WRITABLE:
        return USAGE
    return RESOURCES if "can't allocate memory" in str(error) else None


def message(error: BaseException) -> str:
    """The error in words. A loader process hands its error on wrapped in its own traceback; only
    the error itself is shown."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if exit_code(error) == RESOURCES and not isinstance(error, OSError):
        return f"{MEMORY_ADVICE} ({str(error).splitlines()[0] if str(error) else 'no details'})"
    text = str(error).strip()
    return text.rsplit(f"{type(error).__name__}: ", 1)[-1] if text.startswith("Caught ") else text
