"""The pixels of a picture: what outputs are cut and drawn from, however large the picture is."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from PIL import Image

from utils.data.channels import rgb_view

MOST_SHOWN = 50_000_000  # pixels; a picture with more is drawn smaller


class Pixels(Protocol):
    """One picture, in memory or read piece by piece."""

    height: int
    width: int

    def window(self, x: int, y: int, width: int, height: int) -> np.ndarray:
        """A part of it, as ``load_image`` gives it: uint8 RGB (height, width, 3), or float32
        (height, width, channels). The part lies inside the picture."""

    def view(self, most: int) -> np.ndarray:
        """All of it to look at, uint8 RGB (h, w, 3); made smaller if it has more than ``most``
        pixels."""


class PixelArray:
    """A picture in memory.

    Args:
        array: as ``load_image`` gives it.
    """

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.height, self.width = array.shape[:2]

    def window(self, x: int, y: int, width: int, height: int) -> np.ndarray:
        return self.array[y : y + height, x : x + width]

    def view(self, most: int) -> np.ndarray:
        shown = rgb_view(self.array)
        width, height = view_size(self.width, self.height, most)
        if (width, height) == (self.width, self.height):
            return shown
        return np.asarray(Image.fromarray(shown).resize((width, height), Image.Resampling.BOX))


def view_size(width: int, height: int, most: int) -> tuple[int, int]:
    """Width and height of a picture that is shown with at most so many pixels."""
    scale = min(1.0, (most / (width * height)) ** 0.5)
    return max(1, int(width * scale)), max(1, int(height * scale))
