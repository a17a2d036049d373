"""Colour splash: the objects in colour, all else grey."""

from __future__ import annotations

import numpy as np
from PIL import Image

from utils.drawing import ShownMasks
from utils.prediction.found_picture import FoundPicture
from utils.prediction.pixels import MOST_SHOWN


def splash(found: FoundPicture) -> Image.Image:
    """The picture in grey (ITU-R 601, as Pillow converts) with its objects in colour, 8-bit RGB,
    at its own size unless that is huge."""
    pixels = found.picture.pixels
    shown = pixels.view(MOST_SHOWN)
    height, width = shown.shape[:2]
    splashed = np.array(Image.fromarray(shown).convert("L").convert("RGB"))
    masks = ShownMasks((pixels.width, pixels.height), (width, height))
    for crop in found.crops:
        if crop:
            x, y, mask = masks.crop(crop)
            part = np.s_[y : y + mask.shape[0], x : x + mask.shape[1]]
            np.copyto(splashed[part], shown[part], where=mask.astype(bool)[:, :, None])
    return Image.fromarray(splashed)
