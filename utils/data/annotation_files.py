"""Opening annotation files: text and JSON from strangers, and paths that stay in the data set."""

from __future__ import annotations

import gc
import json
import math
import mmap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from typing import Any

from utils.data.records import DataError

LONGEST_NAME = 255  # bytes of a file name on common file systems
MOST_BYTES = 2_000_000_000  # COCO's own training annotations are 0.5 GB


def read_text(path: Path, most_bytes: int) -> str:
    """A text file in UTF-8, with or without a byte order mark, line ends kept as they are.

    Raises:
        DataError: not a file, unreadable, larger than ``most_bytes``, or not UTF-8.
    """
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            raise DataError(f"{path}: cannot be read, it is not a file")
        if path.stat().st_size > most_bytes:
            raise DataError(f"{path}: is larger than {most_bytes} bytes, which no such file is")
        return path.read_bytes().decode("utf-8-sig")
    except DataError:
        raise
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def read_json(path: Path) -> Any:
    """Read a JSON file in UTF-8, with or without a byte order mark.

    Raises:
        DataError: as ``read_text``, or not JSON, nested too deep, or holding a number that is not
            finite; the message names the file and the place.
    """
    text = read_text(path, MOST_BYTES)
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite_float)
    except RecursionError as error:
        raise DataError(f"{path}: is nested too deep to be an annotation file") from error
    except ValueError as error:
        raise DataError(f"{path}: cannot be read as JSON ({error})") from error


def peek_json(path: Path, words: Sequence[bytes], most_bytes: int) -> Any:
    """What a JSON file holds that may be of a format whose files have these words in them; None if
    it is not, is larger, or cannot be read."""
    try:
        if not mentions(path, *words) or path.stat().st_size > most_bytes:
            return None
        return read_json(path)
    except (OSError, DataError):
        return None


@contextmanager
def without_collection() -> Iterator[None]:
    """Python looks for no cycles meanwhile: annotations have none, and among millions of numbers
    the search takes a third of the time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def mentions(path: Path, *words: bytes) -> bool:
    """Whether a file holds all of the words, found without parsing it; nothing is raised."""
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            return False
        with (
            open(path, "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            return all(content.find(word) >= 0 for word in words)
    except (OSError, ValueError):  # cannot be opened, or is empty
        return False


def path_inside(root: Path, name: str, source: Path) -> Path:
    """The path that an annotation file names, which must lie inside ``root``.

    Separators of Windows are understood. Existence is not checked.

    Args:
        root: the data set's folder.
        name: what the file says, relative to ``root``.
        source: the annotation file, for the message.

    Raises:
        DataError: absolute, with a drive, empty, with control characters, or leading outside
            ``root``, also through a symbolic link or a loop of them.
    """
    windows = PureWindowsPath(name)
    outside = windows.drive or windows.root or not windows.parts or not name.isprintable()
    outside = outside or any(
        len(part.encode("utf-8", "replace")) > LONGEST_NAME for part in windows.parts
    )
    path = root.joinpath(*windows.parts) if not outside else root
    if outside or not is_inside(path, root):
        raise DataError(
            f"{source}: names {name[:60]!r}, which is not a file inside {root}; paths must be "
            "relative to the data set and stay in it"
        )
    return path


def check_stays(path: Path, root: Path) -> None:
    """Raise ``DataError`` for a path in ``root`` that a link leads out of it.

    ``root`` may be a link itself.
    """
    if not is_inside(path, root):
        raise DataError(
            f"{path}: is behind a link that leads out of {root}; put the file itself there"
        )


def is_inside(path: Path, root: Path) -> bool:
    """Whether a path lies in ``root``, links followed; ``root`` may be a link itself."""
    try:
        return path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of links
        return False


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a number that annotations can hold")


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large a number")
    return value
