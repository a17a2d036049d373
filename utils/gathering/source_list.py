"""What there is to gather: a text file of addresses and local paths, or a folder of pictures."""

from __future__ import annotations

from pathlib import Path

from utils.data.images import list_images
from utils.data.records import DataError
from utils.gathering.picture import is_url


def read_sources(place: Path, folder: Path) -> list[str]:
    """Addresses and absolute local paths in their order, as often as they are named.

    Args:
        place: a text file with one http(s) address or path (relative to the file) per line, blank
            lines and lines that start with ``#`` aside; or a folder, searched with its sub-folders.
        folder: where the pictures are going to, which must not be in ``place``.

    Raises:
        DataError: there is no such file or folder, it is not UTF-8 text, or it names nothing.
    """
    if place.is_dir():
        if folder.resolve().is_relative_to(place.resolve()):
            raise DataError(f"{folder}: lies in {place}, which is to stay as it is; choose another")
        sources = [str(path) for path in list_images(place.resolve(), recursive=True)]
    elif place.is_file():
        home = place.resolve().parent
        sources = [line if is_url(line) else str(home / line) for line in _lines(place)]
    else:
        raise DataError(f"{place}: no such file or folder; give a list of addresses, or a folder")
    if not sources:
        raise DataError(f"{place}: names no pictures; one address or path per line is wanted")
    return sources


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if "\0" in text:
            raise ValueError("it holds zero bytes")
    except ValueError as error:
        raise DataError(f"{path}: is not text in UTF-8 ({error}); save it as UTF-8") from error
    lines = (line.strip() for line in text.split("\n"))
    return [line for line in lines if line and not line.startswith("#")]
