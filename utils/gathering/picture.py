"""Fetching one picture, from a server or a local file, and making sure that it is one."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from utils.data.images import DAMAGE, load_image
from utils.data.records import DataError
from utils.gathering.download import CHUNK, FetchError, Limits, download, plain, too_large

# Pillow's name of each format that the readers take, and the suffix that they take it by. A file is
# looked for among these alone, so one that is none of them reaches none of Pillow's rarer readers,
# some of which run programs.
SUFFIXES = {
    "BMP": ".bmp",
    "GIF": ".gif",
    "JPEG": ".jpg",
    "MPO": ".jpg",  # a JPEG with further pictures behind it, as phones make
    "PNG": ".png",
    "PPM": ".ppm",
    "TIFF": ".tif",
    "WEBP": ".webp",
}
OPENED_AS = tuple(name for name in SUFFIXES if name != "MPO")  # which is found by JPEG's reader
HAS_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)  # two letters: not C:\
HTML_TAG = re.compile(rb"<(!doctype\s+html|html|head|body)\b", re.IGNORECASE)


class FetchedPicture(NamedTuple):
    """What is known of a picture once it has been decoded."""

    suffix: str  # of its real format, with the dot
    pixels_sha256: str  # over its upright size and 8-bit RGB pixels, as the network would see them


def is_url(source: str) -> bool:
    """Whether a source is an address, of whatever kind, and not a local path."""
    return HAS_SCHEME.match(source) is not None


def fetch_picture(source: str, part: Path, limits: Limits) -> FetchedPicture:
    """Store the bytes of ``source`` in ``part``, flushed to the disk, and decode them completely.

    Raises:
        FetchError: there is nothing to be had or it is no picture that can be used; ``part`` is
            gone then.
        OSError: ``part`` cannot be written.
    """
    try:
        with open(part, "wb") as file:
            if is_url(source):
                download(source, file, limits)
            else:
                _copy(Path(source), file, limits)
            file.flush()
            os.fsync(file.fileno())
        return read_picture(part)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def read_picture(path: Path) -> FetchedPicture:
    """Decode a picture completely.

    Raises:
        FetchError: it is empty, a web page, no picture of a format that the readers take, damaged,
            or larger than Pillow's limit.
    """
    with open(path, "rb") as file:
        start = file.read(1024)
    if not start:
        raise FetchError("empty", "0 bytes")
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<") and HTML_TAG.search(start):
        raise FetchError("not a picture", "it is a web page; list the address of the picture in it")
    try:
        with Image.open(path, formats=OPENED_AS) as picture:
            format = picture.format or ""
    except Image.DecompressionBombError as error:
        details = f"{str(error).rstrip('.')}; if you trust it, allow it with --max-pixels N"
        raise FetchError("too many pixels", details) from error
    except DAMAGE as error:
        taken = ", ".join(SUFFIXES)
        raise FetchError("not a picture", f"none of {taken}, or damaged at its start") from error
    try:
        pixels = load_image(path)
    except DataError as error:
        # Pillow's words without the name of the passing file and advice that is not for it.
        details = str(error).removeprefix(f"{path}: ").removesuffix("replace or remove it")
        raise FetchError("damaged", details.rstrip(" ,;")) from error
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return FetchedPicture(SUFFIXES[format], digest.hexdigest())


def _copy(path: Path, file: BinaryIO, limits: Limits) -> None:
    try:
        is_file = path.is_file()  # no pipe or device, which may never end
    except OSError:  # a name that is too long
        is_file = False
    if not is_file:
        raise FetchError("no such file", "an address starts with http:// or https://")
    written = 0
    for chunk in _chunks(path):
        written += len(chunk)
        if written > limits.max_bytes:
            raise too_large(limits.max_bytes, "it is larger")
        file.write(chunk)


def _chunks(path: Path) -> Iterator[bytes]:
    """A local file's bytes. What fails in reading is the source's fault, in writing it is not."""
    try:
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except OSError as error:
        raise FetchError("cannot be read", plain(error.strerror or error)) from error
