"""Saving pictures so that an error names the file."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from PIL import Image

JPEG_QUALITY = 92


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a picture in the format of its suffix; folders are made.

    Raises:
        OSError: the disk is full or not writable; names the file, of which nothing is left.
    """
    buffer = io.BytesIO()
    kind = Image.registered_extensions()[path.suffix.lower()]
    picture.save(buffer, kind, quality=JPEG_QUALITY)
    save_bytes(buffer.getvalue(), path)


def save_bytes(data: bytes, path: Path) -> None:
    """Write a file; folders are made.

    Raises:
        OSError: the disk is full or not writable; names the file, of which nothing is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.write_bytes(data)
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
