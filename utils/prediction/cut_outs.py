"""Each object as a picture of its own: its box, or its pixels alone on nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from utils.data.channels import rgb_view
from utils.folders import safe_name
from utils.prediction.found_picture import FoundPicture
from utils.prediction.picture_files import save_picture, shown_suffix
from utils.prediction.pixels import MOST_SHOWN, PixelArray, Pixels

MARGIN = 0.05  # around an object, of the longer side of its mask
LONGEST_NAME = 55  # letters of a class in a file name; file systems take 255 bytes in all


def write_crops(found: FoundPicture, folder: Path) -> None:
    """The part of the picture around each object, 8-bit RGB: ``001_person_0.98.jpg``, or ``.png``.

    Raises:
        OSError: the disk is full or not writable; names the file.
    """
    _clear(folder)
    pixels = found.picture.pixels
    suffix = shown_suffix(found.picture.name)
    shown = _shown(pixels)
    for stem, crop in zip(_stems(found), found.crops, strict=True):
        if not crop:
            continue
        height, width = crop.mask.shape
        margin = round(MARGIN * max(height, width)) + 1
        x, y = max(crop.x - margin, 0), max(crop.y - margin, 0)
        right = min(crop.x + width + margin, pixels.width)
        bottom = min(crop.y + height + margin, pixels.height)
        picture = Image.fromarray(rgb_view(shown.window(x, y, right - x, bottom - y)))
        save_picture(picture, folder / f"{stem}{suffix}")


def write_cutouts(found: FoundPicture, folder: Path) -> None:
    """The pixels of each object, all else see-through and black: ``001_person_0.98.png``, RGBA.

    Raises:
        OSError: the disk is full or not writable; names the file.
    """
    _clear(folder)
    shown = _shown(found.picture.pixels)
    for stem, crop in zip(_stems(found), found.crops, strict=True):
        if not crop:
            continue
        height, width = crop.mask.shape
        inside = crop.mask[:, :, None]
        colours = rgb_view(shown.window(crop.x, crop.y, width, height)) * inside
        picture = Image.fromarray(np.concatenate([colours, 255 * inside], axis=2))
        save_picture(picture, folder / f"{stem}.png")


def _clear(folder: Path) -> None:
    """Remove the objects that were found in an earlier picture of this name."""
    for path in folder.glob("*.*"):
        if path.is_file():
            path.unlink()


def _stems(found: FoundPicture) -> list[str]:
    """The file name of each object: its place, class and score."""
    named = zip(found.names, found.prediction["scores"].tolist(), strict=True)
    return [
        f"{place:03d}_{safe_name(name[:LONGEST_NAME])}_{score:.2f}"
        for place, (name, score) in enumerate(named, 1)
    ]


def _shown(pixels: Pixels) -> Pixels:
    """What windows are cut from: channels other than RGB are stretched over the whole picture, in a
    huge one over each window."""
    if pixels.width * pixels.height > MOST_SHOWN:
        return pixels
    return PixelArray(pixels.view(MOST_SHOWN))
