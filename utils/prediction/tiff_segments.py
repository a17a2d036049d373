"""TIFF files entered half-way: the strips or tiles that a window touches, by tifffile.

tifffile and imagecodecs (requirements-slides.txt) are not needed: without them, and for what is
not stored in one of the plain ways below, Pillow reads the whole picture.
"""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from utils.data.records import DataError

try:
    import tifffile
except ImportError:
    tifffile = None  # type: ignore[assignment]

KINDS = {"L": "u1", "RGB": "u1", "RGBA": "u1", "I;16": "u2", "F": "f4"}  # of numbers, by mode
CACHE_BYTES = 200_000_000  # of decoded segments, which neighbouring windows touch again
ORIENTATION = 274  # its tag
CONTIGUOUS = 1  # the samples of a pixel side by side
MINISBLACK, TRUE_COLOUR, YCBCR = 1, 2, 6
OPAQUE, STRAIGHT_ALPHA = (), (2,)


class Segments:
    """A page of a TIFF file, which stays open; threads may share it.

    Attributes:
        width, height: as it is stored.
        orientation: as EXIF counts them.
    """

    def __init__(self, path: Path, page: Any) -> None:
        self.path = path
        self.page = page
        self.lock = threading.Lock()  # of the file's position and of the segments kept
        self.width, self.height = page.imagewidth, page.imagelength
        self.orientation = page.tags.valueof(ORIENTATION, 1)
        if page.is_tiled:
            self.columns, self.rows = page.tilewidth, page.tilelength
        else:
            self.columns, self.rows = self.width, min(page.rowsperstrip, self.height)
        size = self.columns * self.rows * page.samplesperpixel * page.dtype.itemsize
        across = -(-self.width // self.columns)
        decode = functools.partial(_decoded, page, across)
        self.segment = functools.lru_cache(max(1, CACHE_BYTES // size))(decode)

    def crop(self, box: tuple[int, int, int, int]) -> Image.Image:
        """The part inside left, top, right and bottom, as ``Image.crop``.

        Raises:
            DataError: it is damaged.
        """
        left, top, right, bottom = box
        part = np.empty((bottom - top, right - left, self.page.samplesperpixel), self.page.dtype)
        for y in range(top - top % self.rows, bottom, self.rows):
            for x in range(left - left % self.columns, right, self.columns):
                segment = self._segment(x // self.columns, y // self.rows)
                first, last = max(y, top), min(y + self.rows, bottom)
                start, stop = max(x, left), min(x + self.columns, right)
                part[first - top : last - top, start - left : stop - left] = segment[
                    first - y : last - y, start - x : stop - x
                ]
        return Image.fromarray(part if part.shape[2] > 1 else part[:, :, 0])

    def _segment(self, column: int, row: int) -> np.ndarray:
        try:
            with self.lock:
                return self.segment(column, row)
        except Exception as error:  # of any codec
            raise DataError(
                f"{self.path}: cannot be decoded ({error}); the file is damaged or cut short, "
                "replace or remove it"
            ) from error


def open_segments(path: Path, number: int, picture: Image.Image) -> Segments | None:
    """The page with this number, from 0, at which the picture stands; None if the file is no TIFF,
    or the page not stored in a plain way."""
    if tifffile is None or picture.format != "TIFF":
        return None
    file = None
    try:
        file = tifffile.TiffFile(path)
        page: Any = file.pages[number]
        plain = (
            page.planarconfig == CONTIGUOUS
            and page.photometric in (MINISBLACK, TRUE_COLOUR, YCBCR)
            and page.extrasamples in (OPAQUE, STRAIGHT_ALPHA)
            and page.samplesperpixel == len(picture.getbands())
            and page.dtype == KINDS.get(picture.mode)
        )
        if plain:
            segments = Segments(path, page)
            segments.crop((0, 0, 1, 1))
            return segments
    except Exception:  # no codec for it, or damaged, of which Pillow says what it is
        pass
    if file:
        file.close()
    return None


def _decoded(page: Any, across: int, column: int, row: int) -> np.ndarray:
    """A strip or a tile, (rows, columns, samples)."""
    number = row * across + column
    file = page.parent.filehandle
    file.seek(page.dataoffsets[number])
    data = file.read(page.databytecounts[number])
    return page.decode(data, number, jpegtables=page.jpegtables)[0][0]
