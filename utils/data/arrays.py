"""Images in numpy's ``.npy`` files: (height, width) or (height, width, channels) of numbers."""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError

import numpy as np
from PIL import Image

from utils.data.channels import RGB, scaled, wrong_channels
from utils.data.records import DataError

ARRAY_SUFFIX = ".npy"
# What numpy raises on a damaged header, which it reads as a Python literal.
DAMAGE = (
    OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError,
    RuntimeError, AttributeError, MemoryError, TokenError,
)  # fmt: skip


def is_array(path: Path | str) -> bool:
    """Whether a file is an array by its ending."""
    return Path(path).suffix.lower() == ARRAY_SUFFIX


def pixels_allowed(pixels: int) -> bool:
    """Whether an image of so many pixels is within the limit that Pillow has for pictures."""
    return Image.MAX_IMAGE_PIXELS is None or pixels <= 2 * Image.MAX_IMAGE_PIXELS


def open_array(path: Path | str) -> np.ndarray:
    """The array in a file, its header checked and its numbers not yet read.

    Returns:
        (H, W) or (H, W, C) of integers or floats, mapped into memory, not to be written to.

    Raises:
        DataError: the file is missing, damaged or cut short, holds Python objects, which could run
            code, or no image, or one of more pixels than allowed.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        with np.errstate(over="ignore"):  # of a claimed size, which is refused then
            stored = np.lib.format.open_memmap(path, mode="r")
    except PermissionError as error:
        raise DataError(f"{path}: may not be read (permission denied)") from error
    except DAMAGE as error:
        details = " ".join(str(error).split())[:200]
        raise DataError(
            f"{path}: is not an array of numbers that can be read ({details}); save it again with "
            "numpy.save(..., allow_pickle=False)"
        ) from error
    if stored.ndim not in (2, 3) or stored.dtype.kind not in "uif" or 0 in stored.shape:
        raise DataError(
            f"{path}: is {stored.dtype} of shape {stored.shape}; an image is (height, width) or "
            "(height, width, channels) of integers or floats"
        )
    if not pixels_allowed(stored.shape[0] * stored.shape[1]):
        raise DataError(
            f"{path}: has {stored.shape[0] * stored.shape[1]} pixels, more than allowed; if you "
            "trust the file, allow it with --max-pixels N"
        )
    return stored


def read_array(path: Path | str, channels: int) -> np.ndarray:
    """The image in an array file, scaled as ``utils.data.channels`` says.

    Returns:
        float32 (H, W, channels) in 0..1; of three channels, uint8 as pictures are, one channel
        being repeated.

    Raises:
        DataError: as ``open_array``; or another number of channels; or a number is not finite.
    """
    stored = open_array(path)
    found = stored.shape[2] if stored.ndim == 3 else 1
    if found != channels and (found, channels) != (1, RGB):
        raise wrong_channels(f"{path} (shape {stored.shape})", found, channels)
    image = scaled(np.array(stored), path)
    if channels != RGB:
        return image
    return np.repeat(np.rint(image * 255).astype(np.uint8), RGB // found, axis=2)


def read_id_array(path: Path | str) -> np.ndarray:
    """The object numbers in an array file, int64 (H, W).

    Raises:
        DataError: as ``open_array``, and for floats and several channels.
    """
    stored = open_array(path)
    if stored.ndim != 2 or stored.dtype.kind not in "ui":
        raise DataError(
            f"{path}: an id mask must have one whole number per pixel, this array is "
            f"{stored.dtype} of shape {stored.shape}"
        )
    return stored.astype(np.int64)
