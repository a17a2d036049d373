"""``--pixel-size 0.65um``: how long the side of a pixel is."""

from __future__ import annotations

import re
from typing import NamedTuple

UNITS = ("nm", "um", "mm", "cm", "m", "km")
EXAMPLE = "such as 0.65um"
LEAST, MOST = 1e-9, 1e9  # a typing error lies beyond; areas stay finite numbers
_NUMBER_AND_UNIT = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)\s*([^0-9.\s].*|)")
_MICRO = str.maketrans("\u00b5\u03bc", "uu")  # the micro sign and the Greek letter


class PixelSize(NamedTuple):
    """The side of a square pixel."""

    side: float
    unit: str  # of UNITS


def parse_pixel_size(text: str) -> PixelSize:
    """A number and a unit: ``0.65um``, ``0.65 µm``, ``650nm``, ``0.5 m``.

    Raises:
        ValueError: it is none; the message says what is expected.
    """
    match = _NUMBER_AND_UNIT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no size of a pixel; give a number and a unit, {EXAMPLE}")
    side, unit = float(match[1]), match[2].translate(_MICRO)
    if not unit:
        raise ValueError(f"{text!r} has no unit; give it too, {EXAMPLE}")
    if unit not in UNITS:
        raise ValueError(f"{text!r} has no known unit; choose {', '.join(UNITS)}, {EXAMPLE}")
    if not LEAST <= side <= MOST:
        raise ValueError(f"{text!r} must lie in {LEAST:g}..{MOST:g}{unit}")
    return PixelSize(side, unit)
