"""Reading pictures: one function for training, testing and prediction, so all see the same pixels.

The rule, stored in every weights file: upright by EXIF, 8-bit RGB. Grey is repeated to three
channels; CMYK and palettes are converted; a see-through pixel shows white behind it; 16-bit is
divided by 257, and so are 32-bit integers that need 16 bits; other 32-bit integers and floats are
stretched from their minimum to their maximum, unless floats already lie in 0..1. Nothing is ever
clipped silently.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from utils.data.embedded_pictures import open_embedded
from utils.data.records import DataError

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".jfif", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}
)
EMBEDDING_SUFFIX = ".json"
READING_RULE = "exif-upright rgb8 alpha-on-white int16/257 float-minmax"
SWAPPING_ORIENTATIONS = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
ORIENTATION_TAG = 0x0112
# What Pillow raises on damaged bytes, depending on the format and on what was hit.
DAMAGE = (
    OSError, EOFError, SyntaxError, ValueError, TypeError, AttributeError, LookupError,
    ArithmeticError, RuntimeError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip


def limit_pixels(most: int) -> None:
    """Refuse pictures of more than ``most`` pixels from now on, in this process.

    Pillow refuses from twice its ``MAX_IMAGE_PIXELS`` on and warns below that.
    """
    Image.MAX_IMAGE_PIXELS = most // 2
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def check_reading_rule(preprocessing: dict[str, str]) -> None:
    """Warn if a model was trained on pictures that were read by another rule than this file's."""
    rule = preprocessing.get("reading", READING_RULE)
    if rule != READING_RULE:
        warnings.warn(
            f"the weights were trained on pictures read as {rule!r}, now they are read as "
            f"{READING_RULE!r}; 16-bit, see-through or rotated pictures may look different",
            stacklevel=2,
        )


def list_images(folder: Path, recursive: bool = False) -> list[Path]:
    """The pictures in a folder by their suffix (any case), hidden files left out, sorted."""
    candidates = folder.rglob("*") if recursive else folder.iterdir()
    return sorted(
        path
        for path in candidates
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    )


def load_image(path: Path | str) -> np.ndarray:
    """Read a picture as uint8 RGB, (H, W, 3), upright.

    Raises:
        DataError: the file is missing, empty, cut short, not a picture, or larger than Pillow's
            limit against decompression bombs; the message names it and says what to do.
    """
    with open_picture(path) as picture:
        frames = _decoded(lambda opened: getattr(opened, "n_frames", 1), picture, path)
        if frames > 1:
            warnings.warn(f"{path}: has {frames} frames, the first is used", stacklevel=2)
        return _decoded(lambda opened: to_rgb(ImageOps.exif_transpose(opened)), picture, path)


def upright_size(path: Path | str) -> tuple[int, int]:
    """Width and height of a picture after EXIF rotation, read from its header alone where the
    format allows (a PNG may carry its EXIF data after the pixels).

    Raises:
        DataError: as ``load_image``, though not for every file that is cut short.
    """
    with open_picture(path) as picture:
        width, height = picture.size
        turn = _decoded(lambda opened: opened.getexif().get(ORIENTATION_TAG), picture, path)
        swapped = turn in SWAPPING_ORIENTATIONS
        if swapped and picture.format != "TIFF":  # of a TIFF, Pillow gives the upright size itself
            return height, width
        return width, height


def load_ids(path: Path | str) -> np.ndarray:
    """Read an id mask as it is stored, integers (H, W): 8-bit, 16-bit and palette indices kept.

    Raises:
        DataError: as ``load_image``, and for colour pictures, whose ids cannot be told.
    """
    with open_picture(path) as picture:
        if picture.mode in ("RGB", "RGBA", "LA", "F", "CMYK", "YCbCr", "HSV", "LAB"):
            raise DataError(
                f"{path}: an id mask must have one whole number per pixel (8-bit, 16-bit or "
                f"palette), this picture is {picture.mode}; save it as a one-channel PNG"
            )
        return _decoded(np.asarray, picture, path).astype(np.int64)


def open_picture(path: Path | str) -> Image.Image:
    """Open a picture with Pillow, its header checked; close it, or use it as a context manager.

    A path that ends in ``.json`` means the picture that is embedded in this file of labelme's.
    """
    source = open_embedded(Path(path)) if Path(path).suffix.lower() == EMBEDDING_SUFFIX else path
    try:
        return Image.open(source)
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{path}: {str(error).rstrip('.')}; if you trust the file, allow it with --max-pixels N"
        ) from error
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except PermissionError as error:
        raise DataError(f"{path}: may not be read (permission denied)") from error
    except UnidentifiedImageError as error:
        empty = Path(path).stat().st_size == 0
        what = "is empty (0 bytes)" if empty else "is not a picture Pillow can read"
        raise DataError(f"{path}: {what}; replace or remove it") from error
    except DAMAGE as error:
        raise _damaged(path, error) from error


def check_resizable(height: int, width: int, min_size: int, max_size: int) -> None:
    """Raise ``DataError`` if a picture is so thin that resizing would leave no pixel across."""
    scale = min(min_size / min(height, width), max_size / max(height, width))
    if min(height, width) * scale < 1:
        raise DataError(f"{width}x{height} pixels is too thin for an input of at most {max_size}")


def to_rgb(picture: Image.Image) -> np.ndarray:
    """Convert a decoded picture of any Pillow mode to uint8 RGB, (H, W, 3), by the reading rule."""
    mode = picture.mode
    if mode.startswith("I;16"):
        return _grey((np.asarray(picture).astype(np.uint32) + 128) // 257)
    if mode in ("I", "F"):
        return _grey(_stretch(np.asarray(picture)))
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        picture = Image.alpha_composite(white, rgba)
    return np.array(picture.convert("RGB"))  # a copy that may be written to


def _decoded(read: Callable[[Image.Image], Any], picture: Image.Image, path: Path | str) -> Any:
    """Apply ``read``, which decodes the pixels, and name the file if it cannot."""
    try:
        return read(picture)
    except DAMAGE as error:
        raise _damaged(path, error) from error


def _damaged(path: Path | str, error: Exception) -> DataError:
    return DataError(
        f"{path}: cannot be decoded ({error}); the file is damaged or cut short, "
        "replace or remove it"
    )


def _grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values.astype(np.uint8)[:, :, None], 3, axis=2)


def _stretch(values: np.ndarray) -> np.ndarray:
    """Map 32-bit values to 0..255; integers that need 16 bits follow the 16-bit rule."""
    if values.dtype.kind in "iu" and values.min() >= 0 and 255 < values.max() <= 65535:
        return (values.astype(np.int64) + 128) // 257
    values = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    return np.rint((values - low) * (255 / max(high - low, 1e-12)))
