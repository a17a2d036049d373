"""Huge pictures read window by window, with the very pixels that ``load_image`` gives.

An array file is mapped into memory. Of a TIFF only the strips or tiles are decoded that a window
touches, if tifffile is installed (requirements-slides.txt). Other formats can only be decoded from
their beginning: Pillow does so once and keeps the pixels as they are stored, in colour 4 bytes
each; no second copy of that size is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from warnings import warn

import numpy as np
from PIL import Image

from utils.data.arrays import is_array, open_array
from utils.data.channels import (
    RGB,
    on_white,
    rgb_view,
    scaled,
    stored_channels,
    wrong_channels,
)
from utils.data.images import DAMAGE, ORIENTATION_TAG, open_picture, to_rgb
from utils.data.records import DataError
from utils.prediction.pixels import Pixels, view_size
from utils.prediction.tiff_segments import open_segments

STRIP_PIXELS = 4_000_000  # looked at together, where all of a picture has to be
Turn = tuple[Image.Transpose | None, bool, bool, bool]
TURNS: dict[
    int, Turn
] = {  # by EXIF orientation: how it is turned; are the sides exchanged, then x or y mirrored
    2: (Image.Transpose.FLIP_LEFT_RIGHT, False, True, False),
    3: (Image.Transpose.ROTATE_180, False, True, True),
    4: (Image.Transpose.FLIP_TOP_BOTTOM, False, False, True),
    5: (Image.Transpose.TRANSPOSE, True, False, False),
    6: (Image.Transpose.ROTATE_270, True, True, False),
    7: (Image.Transpose.TRANSVERSE, True, True, True),
    8: (Image.Transpose.ROTATE_90, True, False, True),
}
UPRIGHT: Turn = (None, False, False, False)
Read = Callable[[int, int, int, int], np.ndarray]  # of x, y, width and height


@dataclass
class Windows:
    """A picture of which parts are read when they are wanted; threads may share it."""

    width: int
    height: int
    read: Read

    def window(self, x: int, y: int, width: int, height: int) -> np.ndarray:
        return self.read(x, y, width, height)

    def view(self, most: int) -> np.ndarray:
        """Made smaller strip by strip; what has to be stretched is so after it was made smaller."""
        width, height = view_size(self.width, self.height, most)
        if (width, height) == (self.width, self.height):
            return rgb_view(self.window(0, 0, width, height))
        factor = self.height / height
        step = max(1, int(STRIP_PIXELS / self.width / factor))
        strips = []
        for first in range(0, height, step):
            last = min(first + step, height)
            top, bottom = first * factor, min(last * factor, self.height)
            above = int(top)
            strip = self.window(0, above, self.width, min(int(bottom) + 1, self.height) - above)
            box = (0.0, top - above, float(self.width), bottom - above)
            strips.append(_resized(strip, (width, last - first), box))
        return rgb_view(np.concatenate(strips))


def open_windows(path: Path, channels: int) -> Pixels:
    """A picture of which windows are read, no more of it in memory than its format asks for.

    Raises:
        DataError: as ``load_image``; a damaged part of a TIFF shows when its window is read.
    """
    try:
        return _array(path, channels) if is_array(path) else _picture(path, channels)
    except DataError:  # which says all there is to say
        raise
    except DAMAGE as error:
        raise DataError(
            f"{path}: cannot be decoded ({error}); the file is damaged or cut short, "
            "replace or remove it"
        ) from error


def _array(path: Path, channels: int) -> Windows:
    """The windows of a file of numpy's, as ``utils.data.arrays.read_array`` gives them."""
    stored = open_array(path)
    stored = stored[:, :, None] if stored.ndim == 2 else stored
    height, width, found = stored.shape
    if found != channels and (found, channels) != (1, RGB):
        raise wrong_channels(f"{path} (shape {stored.shape})", found, channels)

    def numbers(x: int, y: int, width: int, height: int) -> np.ndarray:
        return stored[y : y + height, x : x + width]

    floats = _scaled(numbers, width, height, path)

    def levels(x: int, y: int, width: int, height: int) -> np.ndarray:
        image = np.rint(floats(x, y, width, height) * 255).astype(np.uint8)
        return np.repeat(image, RGB // found, axis=2)

    return Windows(width, height, levels if channels == RGB else floats)


def _picture(path: Path, channels: int) -> Windows:
    """The windows of a picture, as ``utils.data.images.to_channels`` gives them."""
    with open_picture(path) as picture:
        frames = getattr(picture, "n_frames", 1)
        if frames > 1 and picture.format == "TIFF" and channels != RGB:
            return _pages(picture, frames, channels, path)
        if frames > 1:
            warn(f"{path}: has {frames} frames, the first is used", stacklevel=3)
        parts = _Parts(picture, path)
    found = stored_channels(picture)
    if channels == RGB:
        return Windows(parts.width, parts.height, _rgb(parts))
    if found != channels != 1:
        raise wrong_channels(path, found, channels)

    def numbers(x: int, y: int, width: int, height: int) -> np.ndarray:
        part = parts(x, y, width, height)
        if found != channels:
            part = on_white(part).convert("RGB").convert("L")
        return _numbers_of(part)

    return Windows(parts.width, parts.height, _scaled(numbers, parts.width, parts.height, path))


def _pages(picture: Image.Image, pages: int, channels: int, path: Path) -> Windows:
    """The windows of a TIFF whose pages are one channel each."""
    if pages != channels:
        raise wrong_channels(path, pages, channels)
    reads: list[Read] = []
    width, height = 0, 0
    for number in range(pages):
        picture.seek(number)
        parts = _Parts(picture, path, number)
        if stored_channels(picture) != 1:
            raise DataError(
                f"{path}: page {number + 1} is a picture in colour ({picture.mode}); each page "
                "must be one channel"
            )
        if reads and (parts.width, parts.height) != (width, height):
            raise DataError(
                f"{path}: page {number + 1} is {parts.width}x{parts.height} pixels, page 1 is "
                f"{width}x{height}; all channels must be of one size"
            )
        width, height = parts.width, parts.height
        numbers = lambda *window, parts=parts: _numbers_of(parts(*window))  # noqa: E731
        reads.append(_scaled(numbers, width, height, path))
    return Windows(
        width, height, lambda *window: np.concatenate([read(*window) for read in reads], axis=2)
    )


class _Parts:
    """Parts of an opened picture, upright, in its own mode.

    Args:
        picture: is decoded and kept, if its file cannot be read in segments.
        path: of the file.
        page: of a TIFF, at which the picture stands and from which it will go on to others.
    """

    def __init__(self, picture: Image.Image, path: Path, page: int | None = None) -> None:
        self.mode = picture.mode
        self.crop: Callable[[tuple[int, int, int, int]], Image.Image]
        segments = open_segments(path, page or 0, picture)
        if segments:
            self.crop, orientation = segments.crop, segments.orientation
            self.width, self.height = segments.width, segments.height
        else:
            picture.load()  # after which the EXIF data of every format is known
            self.crop = (picture if page is None else picture.copy()).crop
            orientation = picture.getexif().get(ORIENTATION_TAG)
            self.width, self.height = picture.size
        self.turn, self.swapped, self.mirror_x, self.mirror_y = TURNS.get(orientation, UPRIGHT)
        if self.swapped:
            self.width, self.height = self.height, self.width

    def __call__(self, x: int, y: int, width: int, height: int) -> Image.Image:
        if self.mirror_x:
            x = self.width - x - width
        if self.mirror_y:
            y = self.height - y - height
        if self.swapped:
            x, y, width, height = y, x, height, width
        part = self.crop((x, y, x + width, y + height))
        return part if self.turn is None else part.transpose(self.turn)


def _numbers_of(part: Image.Image) -> np.ndarray:
    return np.asarray(part.convert("L") if part.mode == "1" else part)


def _rgb(parts: _Parts) -> Read:
    """Windows as ``utils.data.images.to_rgb`` gives them."""
    if parts.mode not in ("I", "F"):
        return lambda *window: to_rgb(parts(*window))

    def numbers(x: int, y: int, width: int, height: int) -> np.ndarray:
        values = np.asarray(parts(x, y, width, height))
        return np.nan_to_num(values, posinf=0.0, neginf=0.0)

    read = _below_ends(numbers, parts.width, parts.height)
    return lambda *window: to_rgb(Image.fromarray(read(*window)[:, :, 0]))[2:]


def _scaled(numbers: Read, width: int, height: int, path: Path) -> Read:
    """Windows as ``utils.data.channels.scaled`` gives the whole picture."""
    read = _below_ends(numbers, width, height)
    scaled(read(0, 0, 1, 1), path)  # raises, if a number is not finite
    return lambda *window: scaled(read(*window), path)[2:]


def _below_ends(numbers: Read, width: int, height: int) -> Read:
    """The windows with two rows above: by channel the picture's least and its greatest number.

    So they are stretched like the whole picture.
    """
    lows, highs = [], []
    step = max(1, STRIP_PIXELS // width)
    for top in range(0, height, step):
        strip = np.atleast_3d(numbers(0, top, width, min(step, height - top)))
        lows.append(strip.min(axis=(0, 1)))
        highs.append(strip.max(axis=(0, 1)))
        if strip.dtype.kind == "u" and strip.dtype.itemsize <= 2:
            break  # the range is that of the kind
    ends = np.stack([np.min(lows, axis=0), np.max(highs, axis=0)])

    def read(x: int, y: int, width: int, height: int) -> np.ndarray:
        window = np.atleast_3d(numbers(x, y, width, height))
        above = np.repeat(ends[:, None], width, axis=1)
        return np.concatenate([above, window])

    return read


def _resized(
    image: np.ndarray, size: tuple[int, int], box: tuple[float, float, float, float]
) -> np.ndarray:
    """A part of an image, resized by areas, uint8 RGB or float32 of any channels."""
    if image.dtype == np.uint8:
        return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX, box))
    return np.dstack(
        [
            np.asarray(Image.fromarray(channel).resize(size, Image.Resampling.BOX, box))
            for channel in np.moveaxis(image, 2, 0)
        ]
    )
