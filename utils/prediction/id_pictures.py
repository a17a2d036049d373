"""Masks as pictures: which object, or which class, each pixel belongs to."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from PIL import Image

from utils.drawing import instance_colour
from utils.prediction.found_picture import FoundPicture

MOST_IDS = 65_535  # of a 16-bit picture
MOST_COLOURS = 255  # of a palette, beside the background


def instance_ids(found: FoundPicture) -> Image.Image:
    """A 16-bit picture of the picture's size: 0 is background, objects count from 1, best first.
    Where objects overlap, the better one shows."""
    count = len(found.crops)
    if count > MOST_IDS:
        warnings.warn(
            f"{found.picture.name}: a 16-bit picture has no numbers for {count} objects; the best "
            f"{MOST_IDS} are in it",
            stacklevel=2,
        )
    return Image.fromarray(_numbered(found, range(1, min(count, MOST_IDS) + 1), np.uint16))


def class_ids(found: FoundPicture) -> Image.Image:
    """A picture of the picture's size: 0 is background, K the K-th class. 8-bit with a palette that
    shows each class in a colour of its own, or 16-bit for more than 255 classes."""
    labels = found.prediction["labels"].tolist()
    if len(found.classes) > MOST_COLOURS:
        return Image.fromarray(_numbered(found, labels, np.uint16))
    picture = Image.fromarray(_numbered(found, labels, np.uint8))
    colours = [(0, 0, 0), *map(instance_colour, range(MOST_COLOURS))]
    picture.putpalette([value for colour in colours for value in colour])
    return picture


def _numbered(
    found: FoundPicture, numbers: Sequence[int], dtype: type[np.unsignedinteger]
) -> np.ndarray:
    """The number of the best object at each pixel (H, W); 0 where there is none."""
    pixels = found.picture.pixels
    result = np.zeros((pixels.height, pixels.width), dtype)
    for number, crop in reversed(list(zip(numbers, found.crops, strict=False))):
        if crop:
            height, width = crop.mask.shape
            part = result[crop.y : crop.y + height, crop.x : crop.x + width]
            np.copyto(part, dtype(number), where=crop.mask.astype(bool))
    return result
