"""What was found in the tiles of a picture, put together: no object twice, none in parts.

Two tiles both see the part in which they overlap. There, masks of two tiles that are mostly the
same pixels (IoU) are the same object; so are a mask and one that it contains, if this one is the
smaller piece and a border cut it, for a tile may see several parts of one object, like the legs of
a U. Boxes do not say as much: those of neighbouring objects overlap too.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from pycocotools import mask as coco_mask

from nets.contract import Prediction
from nets.mask_paste import encode_crop
from utils.data.mask_crops import Crop, crop_rle

SAME = 0.5  # IoU from which on two masks are one object's
PART = 0.8  # share of a mask in another from which on it is a part of it
MASK_CELLS = 28  # of the mask head across a box: no edge is known better than to one of them
CROPS_KEPT = 500

Box = tuple[int, int, int, int]  # x1, y1, x2, y2, the last ones excluded


class Tile(NamedTuple):
    """A part of the picture, in pixels."""

    x: int
    y: int
    width: int
    height: int


class Piece(NamedTuple):
    """What one tile shows of an object, in the picture's pixels.

    Attributes:
        tile: which one.
        label: 1..K.
        score: 0..1.
        box: of the network, x1, y1, x2, y2.
        bounds: of the mask's pixels.
        area: of the mask.
        is_cut: it ends at a border of the tile that is none of the picture.
        rle: the mask in the tile's frame.
    """

    tile: Tile
    label: int
    score: float
    box: tuple[float, float, float, float]
    bounds: Box
    area: int
    is_cut: bool
    rle: dict[str, Any]


def pieces_of(prediction: Prediction, tile: Tile, width: int, height: int) -> list[Piece]:
    """What was found in a tile of a picture of that size; without what has no pixel."""
    masks = prediction["masks"]
    if not masks:
        return []
    areas = coco_mask.area(masks).tolist()
    corners = coco_mask.toBbox(masks).astype(int)
    corners[:, 2:] += corners[:, :2]
    shift = (tile.x, tile.y, tile.x, tile.y)
    boxes = prediction["boxes"].double() + torch.tensor(shift)
    labels, scores = prediction["labels"].tolist(), prediction["scores"].tolist()
    return [
        Piece(
            tile, label, score, tuple(box), tuple(bounds + shift), area,
            _is_cut(bounds, tile, width, height), rle,
        )
        for label, score, box, bounds, area, rle in zip(
            labels, scores, boxes.tolist(), corners, areas, masks, strict=True
        )
        if area
    ]  # fmt: skip


def _is_cut(bounds: np.ndarray, tile: Tile, width: int, height: int) -> bool:
    x1, y1, x2, y2 = bounds.tolist()
    near_x, near_y = 1 + (x2 - x1) / MASK_CELLS, 1 + (y2 - y1) / MASK_CELLS
    return (
        (tile.x > 0 and x1 < near_x)
        or (tile.y > 0 and y1 < near_y)
        or (tile.x + tile.width < width and x2 > tile.width - near_x)
        or (tile.y + tile.height < height and y2 > tile.height - near_y)
    )


def stitched(pieces: Sequence[Piece], width: int, height: int) -> Prediction:
    """The objects of a picture of that size, best first.

    Of the views of an object the one that no border cuts is taken as it is, the surest if there are
    several. If there is none, or a cut one is larger, they are joined: their masks, their boxes,
    and of their scores the highest, as a low one may only mean that the tile saw little of it.
    """
    pairs = sorted(_matches(pieces))
    gone = _seen_better(pieces, pairs)
    groups = _joined([i for i in range(len(pieces)) if i not in gone], pairs)
    groups.sort(key=lambda group: -max(pieces[i].score for i in group))
    boxes = np.zeros((len(groups), 4), np.float32)
    scores, labels, masks = [], [], []
    for row, group in enumerate(groups):
        parts = [pieces[i] for i in group]
        ends = np.array([part.box for part in parts])
        boxes[row] = [*ends[:, :2].min(axis=0), *ends[:, 2:].max(axis=0)]
        labels.append(parts[0].label)
        scores.append(max(part.score for part in parts))
        masks.append(_mask(parts, width, height))
    return Prediction(
        boxes=torch.from_numpy(boxes),
        labels=torch.tensor(labels, dtype=torch.int64),
        scores=torch.tensor(scores, dtype=torch.float32),
        masks=masks,
    )


def _mask(parts: list[Piece], width: int, height: int) -> dict[str, Any]:
    """The union of masks in the picture's frame, made from run lengths."""
    masks = []
    for part in parts:
        crop = _crop(part)
        masks.append(encode_crop(crop.mask, crop.x, crop.y, height, width))
    if len(masks) == 1:
        return masks[0]
    merged = coco_mask.merge(masks)
    return {"size": [height, width], "counts": merged["counts"].decode("ascii")}


def _crop(piece: Piece) -> Crop:
    """The mask of a piece, its place that in the picture."""
    crop = crop_rle(piece.rle)
    assert crop, "pieces have pixels"
    return Crop(crop.x + piece.tile.x, crop.y + piece.tile.y, crop.mask)


def _seen_better(pieces: Sequence[Piece], pairs: list[tuple[int, int]]) -> set[int]:
    """The pieces that another tile shows whole, or is surer of."""
    gone: set[int] = set()
    twins = defaultdict(list)
    for pair in pairs:
        for i, j in (pair, pair[::-1]):
            if pieces[i].is_cut:
                continue
            if not pieces[j].is_cut:
                twins[i].append(j)
            elif pieces[j].area <= pieces[i].area:
                gone.add(j)
    for i in sorted(twins, key=lambda i: -pieces[i].score):
        if i not in gone:
            gone.update(twins[i])
    return gone


def _joined(kept: list[int], pairs: list[tuple[int, int]]) -> list[list[int]]:
    """The pieces in groups that are connected by pairs."""
    group = {i: [i] for i in kept}
    for i, j in pairs:
        if i in group and j in group and group[i] is not group[j]:
            group[i] += group[j]
            for k in group[j]:
                group[k] = group[i]
    return list({id(members): members for members in group.values()}.values())


def _matches(pieces: Sequence[Piece]) -> Iterator[tuple[int, int]]:
    """The pairs of pieces of two tiles that show the same object, the lower index first."""
    inside: dict[Tile, list[int]] = defaultdict(list)
    for i, piece in enumerate(pieces):
        inside[piece.tile].append(i)
    bounds = np.array([piece.bounds for piece in pieces]).reshape(-1, 4)

    @lru_cache(CROPS_KEPT)
    def crop(i: int) -> Crop:
        return _crop(pieces[i])

    for one, other in _neighbours(inside):
        first, second = bounds[inside[one]][:, None], bounds[inside[other]]
        touching = np.minimum(first[..., 2:], second[..., 2:]) > np.maximum(
            first[..., :2], second[..., :2]
        )
        for a, b in np.argwhere(touching.all(axis=2)).tolist():
            i, j = inside[one][a], inside[other][b]
            if _same_object(pieces[i], pieces[j], crop(i), crop(j)):
                yield min(i, j), max(i, j)


def _neighbours(tiles: Iterable[Tile]) -> Iterator[tuple[Tile, Tile]]:
    """The pairs of tiles, all of one size, that overlap."""
    places = {(tile.x, tile.y): tile for tile in tiles}
    columns, rows = sorted({x for x, _ in places}), sorted({y for _, y in places})
    for (x, y), tile in places.items():
        for beside in _near(columns, x, tile.width):
            for below in _near(rows, y, tile.height):
                if (below, beside) > (y, x) and (beside, below) in places:
                    yield tile, places[beside, below]


def _near(starts: list[int], start: int, length: int) -> list[int]:
    """Which of the sorted starts are less than a length away."""
    return starts[bisect_right(starts, start - length) : bisect_left(starts, start + length)]


def _same_object(one: Piece, other: Piece, crop: Crop, other_crop: Crop) -> bool:
    """Whether two tiles show the same object, by the masks in the part that both see.

    Pieces of two classes are so only if one of them is whole: of an object that a border cuts, the
    rest may look like something else.
    """
    a, b = one.tile, other.tile
    shared = _intersection(
        (a.x, a.y, a.x + a.width, a.y + a.height), (b.x, b.y, b.x + b.width, b.y + b.height)
    )
    counts = [int(_part(mask, shared).sum()) for mask in (crop, other_crop)]
    touching = _intersection(one.bounds, other.bounds)
    both = int((_part(crop, touching) & _part(other_crop, touching)).sum())
    same = 0 < both >= SAME * (sum(counts) - both)
    (smaller, count), (larger, _) = sorted(
        zip((one, other), counts, strict=True), key=lambda piece: piece[0].area
    )
    if one.label != other.label:
        return same and smaller.is_cut and not larger.is_cut
    return same or (smaller.is_cut and 0 < both >= PART * count)


def _intersection(one: Box, other: Box) -> Box:
    return (
        max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])
    )  # fmt: skip


def _part(crop: Crop, box: Box) -> np.ndarray:
    """The mask's pixels in a box."""
    x1, y1, x2, y2 = (
        max(0, end - start) for end, start in zip(box, 2 * (crop.x, crop.y), strict=True)
    )
    return crop.mask[y1:y2, x1:x2]
