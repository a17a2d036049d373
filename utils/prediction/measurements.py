"""Measurements of each object: sizes, place, form, intensity."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from utils.prediction.found_picture import FoundPicture
from utils.prediction.journal import Record


def measure(found: FoundPicture) -> list[dict[str, float]]:
    """What is measured of each object, in pixels; in the order of the prediction."""
    raise NotImplementedError


def write_measurements(
    path: Path,
    classes: Sequence[str],
    records: Iterable[Record],
    pixel_size: str = "",
    bin_size: str = "",
    origin: str = "",
) -> None:
    """``measurements.csv``: a row per object."""
    raise NotImplementedError
