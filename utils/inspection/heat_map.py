"""Numbers of a map as colours: dark for low, light for high."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from utils.drawing import Colour, text_font

# Ever lighter, so that the order is seen without colours too.
STOPS: tuple[Colour, ...] = (
    (8, 8, 30), (70, 20, 110), (160, 40, 110), (225, 90, 60), (250, 165, 40), (252, 250, 190),
)  # fmt: skip
NOT_FINITE: Colour = (0, 255, 255)
BAR_HEIGHT, TEXT = 14, 16


def coloured(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """uint8 RGB (h, w, 3) of numbers (h, w); ``low`` and below is the darkest, ``high`` and above
    the lightest colour. Those that are infinite or NaN are ``NOT_FINITE``."""
    share = np.clip((values - low) / (high - low if high > low else 1.0), 0, 1)
    places = np.nan_to_num(share) * (len(STOPS) - 1)
    channels = [
        np.interp(places, range(len(STOPS)), [stop[channel] for stop in STOPS])
        for channel in range(3)
    ]
    picture = np.stack(channels, axis=-1).round().astype(np.uint8)
    picture[~np.isfinite(values)] = NOT_FINITE
    return picture


def heat_map(
    values: np.ndarray, size: tuple[int, int], low: float | None = None, high: float | None = None
) -> Image.Image:
    """A map as a picture of (width, height), each number a square of one colour.

    Args:
        values: (h, w), any numbers.
        size: of the picture.
        low, high: the ends of the scale; by default the lowest and highest number.
    """
    finite = values[np.isfinite(values)]
    if low is None:
        low = float(finite.min()) if finite.size else 0.0
    if high is None:
        high = float(finite.max()) if finite.size else 1.0
    picture = Image.fromarray(coloured(values, low, high))
    return picture.resize(size, Image.Resampling.NEAREST)


def colour_scale(width: int, low: str, high: str) -> Image.Image:
    """The colours from low to high with what they mean at both ends, for below a map."""
    picture = Image.new("RGB", (width, BAR_HEIGHT + TEXT + 8), "white")
    ramp = coloured(np.linspace(0, 1, width)[None], 0, 1).repeat(BAR_HEIGHT, axis=0)
    picture.paste(Image.fromarray(ramp), (0, 0))
    draw, font = ImageDraw.Draw(picture), text_font(low + high, TEXT)
    draw.text((0, BAR_HEIGHT + 2), low, "black", font)
    draw.text((width, BAR_HEIGHT + 2), high, "black", font, anchor="ra")
    return picture
