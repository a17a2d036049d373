"""Huge pictures looked at in tiles, and the parts of an object that a border cuts put together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from utils.prediction.found_picture import FoundPicture, Picture, Unusable
from utils.prediction.predictor import Predictor


class Tiling(NamedTuple):
    """Tiles with sides of ``side`` pixels, of which neighbours share the part ``overlap``."""

    side: int
    overlap: float


def tiled_stream(
    predictor: Predictor, pictures: Iterable[Picture | Unusable], tiling: Tiling
) -> Iterator[FoundPicture | Unusable]:
    """As ``Predictor.stream``, each picture looked at tile by tile."""
    raise NotImplementedError
