"""Each object as a picture of its own: its box, or its pixels alone on nothing."""

from __future__ import annotations

from pathlib import Path

from utils.prediction.found_picture import FoundPicture


def write_crops(found: FoundPicture, folder: Path) -> None:
    """The part of the picture in each object's box."""
    raise NotImplementedError


def write_cutouts(found: FoundPicture, folder: Path) -> None:
    """The pixels of each object, all else see-through (PNG with alpha)."""
    raise NotImplementedError
