"""Pictures as float channels: any number of them, none rounded to 8 bits.

Each channel is scaled to 0..1 as a grey picture of its own: 8-bit is divided by 255 and 16-bit by
65535, and so are 32-bit integers that need 16 bits; other integers and floats are stretched from
their minimum to their maximum, unless they already lie in 0..1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from utils.data.records import DataError

RGB = 3  # the channels of pictures, of published weights, and of a network that is told no other
SMALLEST_RANGE = 1e-12  # a flat picture is not divided by zero
SEE_THROUGH = ("RGBA", "LA", "PA", "RGBa", "La")
# How many channels a picture of Pillow's holds; modes that are not named are colour.
STORED_CHANNELS = {"1": 1, "L": 1, "I": 1, "F": 1, "LA": 2, "RGBA": 4, "CMYK": 4}
DEEP_MODE = "I;16"  # and the byte orders of it


def picture_channels(picture: Image.Image, channels: int, path: Path | str) -> np.ndarray:
    """The channels of an opened picture, float32 (H, W, channels) in 0..1, upright.

    The pages of a TIFF are its channels. One channel of a colour picture is its grey (ITU-R 601,
    as Pillow converts), on white where it is see-through; two and four are stored as they are.

    Raises:
        DataError: it holds another number of channels, pages of several sizes or of colour, or a
            number that is not finite.
    """
    pages = getattr(picture, "n_frames", 1) if picture.format == "TIFF" else 1
    if pages > 1:
        return _pages(picture, pages, channels, path)
    picture = ImageOps.exif_transpose(picture)
    found = stored_channels(picture)
    if found == channels:
        return scaled(np.asarray(picture.convert("L") if picture.mode == "1" else picture), path)
    if channels == 1:
        return scaled(np.asarray(on_white(picture).convert("RGB").convert("L")), path)
    raise wrong_channels(path, found, channels)


def stored_channels(picture: Image.Image) -> int:
    """How many channels a picture of any Pillow mode holds."""
    return 1 if picture.mode.startswith(DEEP_MODE) else STORED_CHANNELS.get(picture.mode, RGB)


def wrong_channels(path: Path | str, found: int, wanted: int) -> DataError:
    """What is said of an image of another number of channels than the network takes."""
    return DataError(
        f"{path}: has {found} channel(s), {wanted} wanted; save it with {wanted}, or train with "
        f"--channels {found}"
    )


def on_white(picture: Image.Image) -> Image.Image:
    """The picture without its alpha: a see-through pixel shows white behind it."""
    if picture.mode not in SEE_THROUGH and "transparency" not in picture.info:
        return picture
    rgba = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)


def scaled(values: np.ndarray, path: Path | str) -> np.ndarray:
    """Stored numbers (H, W) or (H, W, C) as float32 (H, W, C) in 0..1, by this file's rule.

    Raises:
        DataError: one is not finite, or they lie too far apart.
    """
    if values.ndim == 2:
        values = values[:, :, None]
    result = np.empty(values.shape, np.float32)
    for i in range(values.shape[2]):
        channel = values[:, :, i]
        low, high = value_range(channel)
        if not np.isfinite(high - low):
            raise DataError(
                f"{path}: channel {i + 1} holds numbers that are not finite (NaN or infinity); "
                "put a number in their place, such as 0"
            )
        result[:, :, i] = (channel.astype(np.float64) - low) / max(high - low, SMALLEST_RANGE)
    return result


def value_range(values: np.ndarray) -> tuple[float, float]:
    """The numbers that become 0 and 1; not finite if a number is not."""
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
        return 0.0, float(np.iinfo(values.dtype).max)
    low, high = float(values.min()), float(values.max())
    if values.dtype.kind in "iu" and low >= 0 and 255 < high <= 65535:
        return 0.0, 65535.0
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    return low, high


def rgb_view(image: np.ndarray) -> np.ndarray:
    """An image to look at, uint8 RGB (H, W, 3), of any number of channels.

    One channel is grey, two are red and green, of more the first three are shown. Channels that
    are not those of an RGB picture are stretched from their minimum to their maximum: dark 16-bit
    pictures would be black.

    Args:
        image: (H, W, C), uint8 or float32 in 0..1.
    """
    if image.dtype == np.uint8 and image.shape[2] == RGB:
        return image
    shown = image[:, :, :RGB].astype(np.float32)
    if image.shape[2] != RGB:
        low, high = shown.min(axis=(0, 1)), shown.max(axis=(0, 1))
        shown = (shown - low) / np.maximum(high - low, SMALLEST_RANGE)
    pixels = np.rint(shown * 255).astype(np.uint8)
    if image.shape[2] == 1:
        return np.repeat(pixels, RGB, axis=2)
    return np.pad(pixels, ((0, 0), (0, 0), (0, RGB - pixels.shape[2])))


def _pages(picture: Image.Image, pages: int, channels: int, path: Path | str) -> np.ndarray:
    """The pages of a TIFF side by side, each one channel."""
    if pages != channels:
        raise wrong_channels(path, pages, channels)
    read: list[np.ndarray] = []
    for number in range(pages):
        picture.seek(number)
        page = ImageOps.exif_transpose(picture)
        if stored_channels(page) != 1:
            raise DataError(
                f"{path}: page {number + 1} is a picture in colour ({page.mode}); each page must "
                "be one channel"
            )
        values = np.asarray(page.convert("L") if page.mode == "1" else page)
        if read and values.shape != read[0].shape[:2]:
            raise DataError(
                f"{path}: page {number + 1} is {page.width}x{page.height} pixels, page 1 is "
                f"{read[0].shape[1]}x{read[0].shape[0]}; all channels must be of one size"
            )
        read.append(scaled(values, path))
    return np.concatenate(read, axis=2)
