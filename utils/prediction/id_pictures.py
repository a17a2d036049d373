"""Masks as pictures: which object, or which class, each pixel belongs to."""

from __future__ import annotations

from PIL import Image

from utils.prediction.found_picture import FoundPicture


def instance_ids(found: FoundPicture) -> Image.Image:
    """A 16-bit picture of the picture's size: 0 is background, objects count from 1, best first.
    Where objects overlap, the better one shows."""
    raise NotImplementedError


def class_ids(found: FoundPicture) -> Image.Image:
    """A picture of the picture's size with a palette: 0 is background, K the K-th class."""
    raise NotImplementedError
