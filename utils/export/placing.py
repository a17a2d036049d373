"""Files that come into place together, once all is well with them."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from nets.whole_file import sync_folder

FULL = 2**20  # bytes; a disk with fewer left is full, whatever a writer calls that


@contextmanager
def placed_when_done(path: Path) -> Iterator[Path]:
    """Another path to write ``path`` to, in a folder beside it. If the block ends well, all that it
    left there takes its place; else nothing does.

    Raises:
        OSError: the folder is missing or not writable, or the disk is full; names ``path``.
    """
    place = path.parent
    try:
        with TemporaryDirectory(
            prefix=f".{path.name}.", dir=path.parent, ignore_cleanup_errors=True
        ) as folder:
            place = Path(folder)
            with _disk_errors_told(place):
                yield place / path.name
            # The file itself last: what is there has all that belongs to it.
            written = sorted(place.iterdir(), key=lambda part: part.name == path.name)
            for part in written:
                with open(part, "rb+") as file:
                    os.fsync(file.fileno())
            for part in written:
                part.replace(path.with_name(part.name))
            sync_folder(path.parent)
    except BrokenPipeError:
        raise  # of who reads what the block prints
    except OSError as error:
        if error.filename and Path(error.filename).parent not in (path.parent, place):
            raise  # of a file that has nothing to do with this one
        is_there = error.errno == errno.ENOENT and path.parent.is_dir()  # as /proc, for example
        number = errno.EACCES if is_there else error.errno or errno.EIO
        what = f"cannot be written ({error.strerror or error})"
        raise OSError(number, what, str(path)) from error


@contextmanager
def _disk_errors_told(folder: Path) -> Iterator[None]:
    """Make an ``OSError`` of what writers raise when a disk is full: some know no such thing."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) or shutil.disk_usage(folder).free >= FULL:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
