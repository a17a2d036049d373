"""One training at a time in the folders of a run."""

from __future__ import annotations

import os
import sys

from utils.config import ConfigError
from utils.training.run_folder import RunFolder

LOCK = ".lock"


def lock_run(folder: RunFolder) -> None:
    """Keep other processes from training in ``folder`` for as long as this one lives.

    The lock is on ``weights/<name>/.lock``, which nothing else opens: closing a file would end its
    lock. The system ends it with the process, however that dies, and forked loading processes do
    not hold it. Where there are no such locks (Windows, some network file systems) or the file
    cannot be written, there is none.

    Raises:
        ConfigError: a training is running there.
    """
    if sys.platform == "win32":
        return
    import fcntl

    try:
        # Open until the process ends.
        file = os.open(folder.weights / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        return
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        raise ConfigError(
            f"{folder.weights}: another process is training this run; wait for it or stop it, or "
            "start a new run without --resume"
        ) from error
    except OSError:  # a file system without locks
        return
