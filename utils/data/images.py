"""Reading pictures: one function for training, testing and prediction, so all see the same pixels.

The rule, stored in every weights file: upright by EXIF, 8-bit RGB. Grey is repeated to three
channels; CMYK and palettes are converted; a see-through pixel shows white behind it; 16-bit is
divided by 257, and so are 32-bit integers that need 16 bits; other 32-bit integers and floats are
stretched from their minimum to their maximum, unless floats already lie in 0..1. Nothing is ever
clipped silently. Of another number of channels than three, images are floats that no 8 bits
have rounded (``utils.data.channels``), and so may arrays be (``utils.data.arrays``).
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

from utils.data.arrays import ARRAY_SUFFIX, is_array, open_array, read_array, read_id_array
from utils.data.channels import (
    DEEP_MODE,
    RGB,
    SMALLEST_RANGE,
    on_white,
    picture_channels,
    value_range,
)
from utils.data.embedded_pictures import open_embedded
from utils.data.records import DataError

JPEG_SUFFIXES = (".jpg", ".jpeg", ".jfif")
IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp", *JPEG_SUFFIXES}
)
READ_SUFFIXES = IMAGE_SUFFIXES | {ARRAY_SUFFIX}
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
    """The pictures in a folder by their suffix (any case), hidden files left out, sorted.

    Arrays (``.npy``) are what a folder without any picture holds; beside pictures they are taken
    for something else, as programs leave masks and features there.
    """
    candidates = folder.rglob("*") if recursive else folder.iterdir()
    files = sorted(path for path in candidates if not path.name.startswith(".") and path.is_file())
    pictures = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    return pictures or [path for path in files if is_array(path)]


def load_image(path: Path | str, channels: int = RGB) -> np.ndarray:
    """Read a picture or array, upright: uint8 RGB, (H, W, 3), or so many ``channels``, which are
    float32 in 0..1, (H, W, channels), if they are not three.

    Raises:
        DataError: the file is missing, empty, cut short, not a picture, of another number of
            channels, or larger than Pillow's limit against decompression bombs; the message names
            it and says what to do.
    """
    if is_array(path):
        return read_array(path, channels)
    with open_picture(path) as picture:
        frames = _decoded(lambda opened: getattr(opened, "n_frames", 1), picture, path)
        if frames > 1 and (channels == RGB or picture.format != "TIFF"):
            warnings.warn(f"{path}: has {frames} frames, the first is used", stacklevel=2)
        return _decoded(lambda opened: to_channels(opened, channels, path), picture, path)


def upright_size(path: Path | str) -> tuple[int, int]:
    """Width and height of a picture after EXIF rotation, read from its header alone where the
    format allows (a PNG may carry its EXIF data after the pixels).

    Raises:
        DataError: as ``load_image``, though not for every file that is cut short.
    """
    if is_array(path):
        height, width = open_array(path).shape[:2]
        return width, height
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
    if is_array(path):
        return read_id_array(path)
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


def to_channels(picture: Image.Image, channels: int, path: Path | str) -> np.ndarray:
    """The pixels of an opened picture, upright, as ``load_image`` gives them."""
    if channels == RGB:
        return to_rgb(_upright(picture))
    return picture_channels(picture, channels, path)


def to_rgb(picture: Image.Image) -> np.ndarray:
    """Convert a decoded picture of any Pillow mode to uint8 RGB, (H, W, 3), by the reading rule."""
    if picture.mode in ("I", "F") or picture.mode.startswith(DEEP_MODE):
        grey = _to_8_bits(np.asarray(picture))
        return np.repeat(grey[:, :, None], RGB, axis=2)
    opaque = on_white(picture)
    # A copy that may be written to, and the only one: convert() makes one even of RGB.
    return np.array(opaque if opaque.mode == "RGB" else opaque.convert("RGB"))


def _upright(picture: Image.Image) -> Image.Image:
    """The picture as its EXIF data turn it; itself, not a copy as Pillow gives, if they do not."""
    turn = picture.getexif().get(ORIENTATION_TAG, 1)
    return picture if turn == 1 else ImageOps.exif_transpose(picture)


def _decoded(read: Callable[[Image.Image], Any], picture: Image.Image, path: Path | str) -> Any:
    """Apply ``read``, which decodes the pixels, and name the file if it cannot."""
    try:
        return read(picture)
    except DataError:  # which says all there is to say
        raise
    except DAMAGE as error:
        raise _damaged(path, error) from error


def _damaged(path: Path | str, error: Exception) -> DataError:
    return DataError(
        f"{path}: cannot be decoded ({error}); the file is damaged or cut short, "
        "replace or remove it"
    )


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    """Map 16-bit and 32-bit values to 0..255."""
    if values.dtype.kind == "f":
        values = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = value_range(values)
    levels = (values.astype(np.float64) - low) * (255 / max(high - low, SMALLEST_RANGE))
    return np.rint(levels).astype(np.uint8)
