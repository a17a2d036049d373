"""Fetching one picture, from a server or a local file, and making sure that it is one."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from utils.data.images import load_image, open_picture
from utils.data.records import DataError
from utils.gathering.download import CHUNK, FetchError, Limits, download, plain, too_large

# Pillow's name of each format that the readers take, and the suffix that they take it by. No other
# is decoded, so no stranger's file reaches Pillow's rarer decoders, some of which run programs.
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
HAS_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)  # two letters: not C:\
HTML_TAG = re.compile(rb"<(!doctype\s+html|html|head|body)\b", re.IGNORECASE)


class Picture(NamedTuple):
    """What is known of a picture once it has been decoded."""

    suffix: str  # of its real format, with the dot
    pixels_sha256: str  # over its upright size and 8-bit RGB pixels, as the network would see them


def is_url(source: str) -> bool:
    """Whether a source is an address, of whatever kind, and not a local path."""
    return HAS_SCHEME.match(source) is not None


def fetch_picture(source: str, part: Path, limits: Limits) -> Picture:
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


def read_picture(path: Path) -> Picture:
    """Decode a picture completely.

    Raises:
        FetchError: it is empty, a web page, no picture, damaged, larger than Pillow's limit, or of
            a format that the readers do not take.
    """
    with open(path, "rb") as file:
        start = file.read(1024)
    if not start:
        raise FetchError("empty", "0 bytes")
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<") and HTML_TAG.search(start):
        raise FetchError("not a picture", "it is a web page; list the address of the picture in it")
    try:
        with open_picture(path) as picture:
            format = picture.format or ""
    except DataError as error:
        raise _unusable("not a picture", path, error) from error
    if format not in SUFFIXES:
        raise FetchError("format not taken", f"{format}; taken are {', '.join(SUFFIXES)}")
    try:
        pixels = load_image(path)
    except DataError as error:
        raise _unusable("damaged", path, error) from error
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return Picture(SUFFIXES[format], digest.hexdigest())


def _unusable(reason: str, path: Path, error: DataError) -> FetchError:
    """Pillow's words without the name of the passing file and advice that is not for it."""
    details = str(error).removeprefix(f"{path}: ")
    details = details.removesuffix("replace or remove it").rstrip(" ,;")
    return FetchError("too many pixels" if "--max-pixels" in details else reason, details)


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
