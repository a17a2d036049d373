"""Predictions as labelme's JSON, to be corrected by hand."""

from __future__ import annotations

from pathlib import Path

from utils.prediction.found_picture import FoundPicture


def write_labelme(found: FoundPicture, folder: Path, beside: bool) -> None:
    """The labelme file of a picture, mirrored in ``folder`` or beside the picture."""
    raise NotImplementedError
