"""The files of a new data set: all named before the first is made, each written whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from utils.config import ConfigError
from utils.data.records import DataError
from utils.folders import write_file


class OutputFile(NamedTuple):
    """A file to be written: its name in the new folder, with slashes, and what makes its bytes."""

    name: str
    content: Callable[[], bytes]


def check_names(files: Sequence[OutputFile], folder: Path, overwrite: bool) -> None:
    """Look for files that would replace others, before anything is written.

    Raises:
        DataError: two files would have one name, on some systems at least, or a name is not UTF-8.
        ConfigError: a file is there already and may not be replaced.
    """
    seen: dict[str, str] = {}
    for file in files:
        if any("\ud800" <= letter <= "\udfff" for letter in file.name):
            raise DataError(f"{file.name!r}: the name is not UTF-8 text; rename the picture")
        other = seen.setdefault(file.name.casefold(), file.name)
        if other is not file.name:
            both = repr(file.name) if other == file.name else f"{other!r} and {file.name!r}"
            raise DataError(
                f"{folder}: two pictures of the data set would both have {both} here; "
                "names must differ by more than their ending, rename one"
            )
    for place in sorted({folder, *((folder / file.name).parent for file in files)}):
        if place.exists() and not place.is_dir():
            raise ConfigError(f"{place}: is a file, must be a folder; name another folder")
    there = next((file.name for file in files if (folder / file.name).exists()), None)
    if there is not None and not overwrite:
        raise ConfigError(
            f"{folder / there}: is there already; name another folder, or replace it with "
            "--overwrite"
        )


def write_files(files: Sequence[OutputFile], folder: Path) -> None:
    """Make and write all files, in their order.

    Raises:
        DataError: a picture cannot be read.
        OSError: the disk is full or not writable.
    """
    for file in tqdm(files, "writing", unit="file", leave=False, disable=None):
        path = folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, file.content())


def other_files(files: Sequence[OutputFile], folder: Path) -> list[str]:
    """A note on what else lies in the folder, hidden files aside; none if nothing does."""
    written = {file.name for file in files}
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    seen = (path.as_posix() for path in paths if not any(p.startswith(".") for p in path.parts))
    others = sorted(name for name in seen if name not in written)
    if not others:
        return []
    return [
        f"{len(others)} other file(s) were in {folder} before and stay, first {others[0]!r}; "
        "remove those of an earlier conversion, or they may be read as part of this data"
    ]


def json_bytes(content: Any, indent: int | None = None) -> bytes:
    """UTF-8 with non-ASCII kept readable."""
    return f"{json.dumps(content, indent=indent, ensure_ascii=False)}\n".encode()


def label_names(classes: Sequence[str]) -> bytes:
    """``label_names.txt``: a name per line; its number, counted from 0, is the label."""
    return "".join(f"{name}\n" for name in ("_background_", *classes)).encode()
