"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path, partial: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place of ``path`` once all of it is written.

    It is called ``partial``, in the same folder, until then. If anything goes wrong, ``path`` is as
    it was before; ``kill -9`` leaves the partial file, which the next call overwrites.

    Raises:
        OSError: the disk is full or not writable.
    """
    try:
        with open(partial, "wb") as file:
            yield file
        partial.replace(path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Let what was renamed in a folder outlive a power cut, where the system can promise that."""
    with contextlib.suppress(OSError):
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
