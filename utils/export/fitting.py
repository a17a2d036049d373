"""Pictures fitted into the one size that an exported file takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torchvision.transforms.v2.functional import resize


class Fitted(NamedTuple):
    """A picture in the upper left corner of a canvas.

    Attributes:
        canvas: (H, W, C), of the picture's type.
        height, width: of the picture on it, in pixels.
    """

    canvas: np.ndarray
    height: int
    width: int


def fitted(array: np.ndarray, size: tuple[int, int], fill: Sequence[float]) -> Fitted:
    """A picture made as large as a canvas has room for, its sides in proportion.

    Args:
        array: (H, W, C), uint8 or float32 in 0..1.
        size: height and width of the canvas.
        fill: the colour of the rest, in 0..1: the mean that the network subtracts, so that it sees
            what it is padded with itself.
    """
    scale = min(size[0] / array.shape[0], size[1] / array.shape[1])
    height, width = (
        min(most, max(1, round(side * scale)))
        for side, most in zip(array.shape[:2], size, strict=True)
    )
    picture = torch.from_numpy(np.require(array, requirements=["C", "W"])).permute(2, 0, 1)
    resized = resize(picture, [height, width], antialias=True).permute(1, 2, 0).numpy()
    colour = np.asarray(fill, np.float32)
    if array.dtype == np.uint8:
        colour = np.rint(colour * 255)
    canvas = np.empty((*size, array.shape[2]), array.dtype)
    canvas[:] = colour
    canvas[:height, :width] = resized
    return Fitted(canvas, height, width)
