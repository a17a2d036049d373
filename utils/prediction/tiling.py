"""Huge pictures looked at in tiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import NamedTuple

from tqdm import tqdm

from nets.contract import Prediction
from utils.data.records import DataError
from utils.prediction.found_picture import FoundPicture, Picture, Unusable
from utils.prediction.pipeline import ahead
from utils.prediction.pixels import Pixels
from utils.prediction.predictor import Predictor
from utils.prediction.stitching import Piece, Tile, pieces_of, stitched


class Tiling(NamedTuple):
    """Tiles with sides of ``side`` pixels, of which neighbours share the part ``overlap``, less
    than a half.

    The network resizes a tile as it does a picture of that size. Objects are found best in tiles
    in which they are as large, compared with the tile, as they were in the pictures of training;
    those that fit into the overlap are seen whole in one tile at least.
    """

    side: int
    overlap: float


def tiled_stream(
    predictor: Predictor,
    pictures: Iterable[Picture | Unusable],
    tiling: Tiling,
    check: Callable[[], None] = lambda: None,
) -> Iterator[FoundPicture | Unusable]:
    """As ``Predictor.stream``, each picture looked at tile by tile; ``check`` is called after each
    and may raise to leave the picture."""
    for picture in pictures:
        if isinstance(picture, Unusable):
            yield picture
            continue
        try:
            prediction = predict_tiled(predictor, picture.pixels, tiling, check)
        except DataError as error:
            yield Unusable(picture.name, str(error))
            continue
        yield FoundPicture(picture, prediction, predictor.classes)


def predict_tiled(
    predictor: Predictor,
    pixels: Pixels,
    tiling: Tiling,
    check: Callable[[], None] = lambda: None,
) -> Prediction:
    """What is in a picture, of which no more than a few tiles are in memory.

    The most detections of a picture are those of a tile here.

    Raises:
        DataError: a tile is too thin for the network, or its pixels are damaged.
    """
    tiles = tile_boxes(pixels.width, pixels.height, tiling)
    at_once = predictor.batch_size
    pieces: list[Piece] = []
    with (
        closing(ahead((pixels.window(*tile) for tile in tiles), at_once)) as windows,
        tqdm(total=len(tiles), unit="tile", leave=False, disable=None) as bar,
    ):
        for first in range(0, len(tiles), at_once):
            batch = tiles[first : first + at_once]
            predictions = predictor.predict([next(windows) for _ in batch])
            for tile, prediction in zip(batch, predictions, strict=True):
                pieces += pieces_of(prediction, tile, pixels.width, pixels.height)
            bar.update(len(batch))
            check()
    return stitched(pieces, pixels.width, pixels.height)


def tile_boxes(width: int, height: int, tiling: Tiling) -> list[Tile]:
    """The tiles of a picture, row by row; they cover it, and none reaches beyond it."""
    return [
        Tile(x, y, min(tiling.side, width), min(tiling.side, height))
        for y in _starts(height, tiling)
        for x in _starts(width, tiling)
    ]


def _starts(length: int, tiling: Tiling) -> list[int]:
    """Where tiles begin along a side; the last one is moved back to where it ends there."""
    step = max(1, tiling.side - math.ceil(tiling.overlap * tiling.side))
    last = max(0, length - tiling.side)
    return [*range(0, last, step), last]
