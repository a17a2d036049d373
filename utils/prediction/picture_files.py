"""Saving pictures so that an error names the file."""

from __future__ import annotations

import io
from pathlib import Path, PurePosixPath

from PIL import Image

from nets.whole_file import replacing
from utils.data.images import JPEG_SUFFIXES

JPEG_QUALITY = 92
LONGEST_JPEG = 65_500  # pixels of a side
PNG_LEVEL = 1  # of zlib: four times as fast as the usual 6, for files 5 to 20 % larger


def shown_suffix(name: str) -> str:
    """The suffix of pictures to look at that are made of a source: JPEG if it is one, else PNG."""
    return ".jpg" if PurePosixPath(name).suffix.lower() in JPEG_SUFFIXES else ".png"


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a picture in the format of its suffix, PNG if it is too long for a JPEG; folders are
    made.

    Raises:
        OSError: the disk is full or not writable; names the file, of which nothing is left.
    """
    if path.suffix == ".jpg" and max(picture.size) > LONGEST_JPEG:
        path = path.with_suffix(".png")
    buffer = io.BytesIO()  # as encoders write in small pieces
    kind = Image.registered_extensions()[path.suffix.lower()]
    # Colours of JPEGs are kept pixel by pixel, or they would run over the outlines.
    picture.save(buffer, kind, quality=JPEG_QUALITY, subsampling=0, compress_level=PNG_LEVEL)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(buffer.getbuffer())
