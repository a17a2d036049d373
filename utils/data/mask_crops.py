"""Masks of objects cut to their boxes, straight from outlines, without the full-size masks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from utils.data.records import Instance, Polygons, Rle, to_rle
from utils.data.run_lengths import joined_run_lengths, ranks, sums_within


class Crop(NamedTuple):
    """The pixels of an object in the box around them."""

    x: int  # of the first column
    y: int  # of the first row
    mask: np.ndarray  # uint8 0/1 (h, w), with a pixel in its first and last row and column


def crop_mask(instance: Instance, height: int, width: int) -> Crop | None:
    """The mask of one object in a picture of that size; None if it has no pixel there.

    The same pixels that ``records.instance_masks`` gives; box and area of the instance are not
    looked at.
    """
    return crop_rle(to_rle(instance.segmentation, height, width))


def to_rles(segmentations: Sequence[Rle | Polygons], height: int, width: int) -> list[Rle]:
    """As ``records.to_rle``, of all objects of a picture at once, which is faster."""
    polygons = [part for one in segmentations if not isinstance(one, dict) for part in one]
    parts = iter(coco_mask.frPyObjects(polygons, height, width) if polygons else ())
    rles: list[Rle] = []
    for one in segmentations:
        if isinstance(one, dict):
            rles.append(one)
            continue
        rle = coco_mask.merge(list(islice(parts, len(one))))
        rles.append({"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")})
    return rles


def crop_rle(rle: Rle) -> Crop | None:
    """The mask of COCO's compressed run lengths; None if it has no pixel."""
    return crop_rles([rle])[0]


def crop_rles(rles: Sequence[Rle]) -> list[Crop | None]:
    """As ``crop_rle``, of all masks of a picture at once, which is faster."""
    if not rles:
        return []
    decoded = joined_run_lengths([rle["counts"] for rle in rles])
    if decoded is None:
        raise ValueError("broken run lengths, which no reader hands on")
    runs, numbers = decoded
    height = rles[0]["size"][0]
    edges, owners = sums_within(runs, numbers), np.repeat(np.arange(len(rles)), numbers)
    is_object = (ranks(numbers) % 2 == 1) & (runs > 0)
    starts, stops, owners = (edges - runs)[is_object], edges[is_object], owners[is_object]
    crops: list[Crop | None] = [None] * len(rles)
    if not len(starts):
        return crops
    columns, tops = np.divmod(starts, height)
    last_columns, bottoms = np.divmod(stops - 1, height)
    seen, heads, mine = np.unique(owners, return_index=True, return_inverse=True)
    # A run that goes on in the next column has the last row and the first.
    is_cut = last_columns > columns
    top = np.minimum.reduceat(np.where(is_cut, 0, tops), heads)
    rows = np.maximum.reduceat(np.where(is_cut, height - 1, bottoms), heads) + 1 - top
    left = columns[heads]
    sizes = rows * (np.maximum.reduceat(last_columns, heads) + 1 - left)
    ends = np.cumsum(sizes)
    origins = ends - sizes - left * rows - top  # where the picture's first pixel would be
    steps = np.zeros(ends[-1] + 1, np.int8)
    np.add.at(steps, origins[mine] + columns * rows[mine] + tops, 1)
    np.add.at(steps, origins[mine] + last_columns * rows[mine] + bottoms + 1, -1)
    pixels = np.split(np.cumsum(steps[:-1], dtype=np.int8).view(np.uint8), ends[:-1])
    for number, x, y, h, mask in zip(
        *(values.tolist() for values in (seen, left, top, rows)), pixels, strict=True
    ):
        crops[number] = Crop(x, y, mask.reshape(-1, h).T)
    return crops
