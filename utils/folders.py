"""Names, folders that never overwrite others, files that are written whole."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO

from nets.whole_file import replacing


def numbered(name: str) -> Iterator[str]:
    """``name``, ``name-2``, ``name-3``... without end."""
    yield name
    for number in itertools.count(2):
        yield f"{name}-{number}"


def new_folder(path: Path) -> Path:
    """Make ``path``, or the first of ``path-2``, ``path-3``... that does not exist."""
    if path.name in ("", ".."):  # as in "--output ."
        path = path.resolve()
    for name in numbered(path.name):
        candidate = path.with_name(name)
        try:
            candidate.mkdir(parents=True)
            break
        except FileExistsError:
            continue
    return candidate


@contextlib.contextmanager
def passing_folder(root: Path, prefix: str) -> Iterator[Path]:
    """A folder in ``root`` that is gone afterwards, as is what of ``root`` itself was not there.

    Raises:
        OSError: ``root`` cannot be written to.
    """
    made = [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        for folder in reversed(made):
            folder.mkdir(exist_ok=True)
        with TemporaryDirectory(prefix=prefix, dir=root) as name:
            yield Path(name)
    finally:
        for folder in made:
            with contextlib.suppress(OSError):  # somebody else uses it by now
                folder.rmdir()


def safe_name(name: str) -> str:
    """A file name on every system: separators and control characters become ``_``."""
    safe = "".join("_" if c in '<>:"/\\|?*' or not c.isprintable() else c for c in name)
    return safe.strip(" .") or "run"


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: a run that is stopped leaves no half of it.

    Raises:
        OSError: the disk is full or not writable; names the file, which is as it was before.
    """
    partial = path.with_name(".part")  # one per folder, so that a killed run leaves at most one
    with replacing(path, partial) as file:
        file.write(data)


@contextlib.contextmanager
def whole_text(path: Path) -> Iterator[TextIO]:
    """A text file to be written as UTF-8, piece by piece, that is there whole or not at all.

    Raises:
        OSError: the disk is full; names the file, which is as it was before.
    """
    with (
        replacing(path) as file,
        io.TextIOWrapper(file, encoding="utf-8", newline="") as text,
    ):
        yield text


def write_json(path: Path, content: Any) -> None:
    """UTF-8, indented, non-ASCII kept readable."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    write_file(path, f"{text}\n".encode())
