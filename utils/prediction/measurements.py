"""Measurements of each object: sizes, place, form, intensity."""

from __future__ import annotations

from utils.prediction.found_picture import FoundPicture


def measure(found: FoundPicture) -> list[dict[str, float]]:
    """What is measured of each object, in pixels; in the order of the prediction."""
    raise NotImplementedError
