"""Overlay pictures: masks, boxes, names and scores over the picture."""

from __future__ import annotations

from PIL import Image

from utils.drawing import draw_objects, predicted_objects
from utils.prediction.found_picture import FoundPicture
from utils.prediction.pixels import MOST_SHOWN


def overlay(found: FoundPicture) -> Image.Image:
    """The picture, 8-bit RGB, with what was found in it, at its own size unless that is huge; the
    colours follow the tracks in a video."""
    shown = found.picture.pixels.view(MOST_SHOWN)
    return draw_objects(shown, predicted_objects(found.prediction, found.classes, found.tracks))
