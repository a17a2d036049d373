"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path, partial: Path | None = None) -> Iterator[BinaryIO]:
    """A new file that takes the place of ``path`` once all of it is written.

    It is called ``partial``, in the same folder, until then. If anything goes wrong, ``path`` is as
    it was before; ``kill -9`` leaves the partial file, which the next call overwrites.

    Raises:
        OSError: the disk is full or not writable; names ``path``.
    """
    partial = partial or path.with_name(f".{path.name}.part")
    try:
        with open(partial, "wb") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        what = f"cannot be written ({error.strerror or error})"
        raise OSError(error.errno or errno.EIO, what, str(path)) from error
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
