"""Colour splash: the objects in colour, all else grey."""

from __future__ import annotations

from PIL import Image

from utils.prediction.found_picture import FoundPicture


def splash(found: FoundPicture) -> Image.Image:
    """The picture in grey with its objects in colour, at its own size unless that is huge."""
    raise NotImplementedError
