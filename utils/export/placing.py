"""Files that come into place together, once all is well with them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from nets.whole_file import sync_folder


@contextmanager
def placed_when_done(path: Path) -> Iterator[Path]:
    """Another path to write ``path`` to, in a folder beside it. If the block ends well, all that it
    left there takes its place; else nothing does.

    Raises:
        OSError: the folder is missing or not writable, or the disk is full; names ``path``.
    """
    try:
        folder = TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        what = f"cannot be written ({error.strerror})"
        raise OSError(error.errno, what, str(path)) from error
    with folder as place:
        yield Path(place) / path.name
        # The file itself last: what is there has all that belongs to it.
        written = sorted(Path(place).iterdir(), key=lambda part: part.name == path.name)
        for part in written:
            os.replace(part, path.with_name(part.name))
        sync_folder(path.parent)
