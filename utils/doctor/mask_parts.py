"""The separate parts of an object: pixels that touch, also at a corner, belong together.

Parts are found and put together as runs of pixels down the columns, as COCO's run lengths are, so
that no full-size mask is decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from utils.data.records import Rle
from utils.data.run_lengths import run_lengths


class Part(NamedTuple):
    """Pixels that touch: run ``i`` is ``starts[i]`` to ``stops[i]`` (not included), pixels counted
    down the columns of the picture; ``box`` is x1, y1, x2, y2 around them."""

    starts: np.ndarray
    stops: np.ndarray
    area: int
    box: tuple[int, int, int, int]


def find_parts(rle: Rle) -> list[Part]:
    """The parts of an object, the largest first; none if it has no pixel.

    Neighbours are the eight around a pixel, as in ``scipy.ndimage.label`` with a 3x3 structure.
    """
    height = rle["size"][0]
    columns, starts, stops = _column_runs(rle)
    if not len(columns):
        return []
    tops, bottoms = starts - columns * height, stops - columns * height
    part_of = np.array(_joined(columns.tolist(), tops.tolist(), bottoms.tolist()))
    order = np.argsort(part_of, kind="stable")
    begins = np.flatnonzero(np.diff(part_of[order], prepend=0))  # of the runs of each part
    columns, starts, stops, tops, bottoms = (
        values[order] for values in (columns, starts, stops, tops, bottoms)
    )
    areas = np.add.reduceat(stops - starts, begins).tolist()
    low = [np.minimum.reduceat(values, begins).tolist() for values in (columns, tops)]
    high = [np.maximum.reduceat(values, begins).tolist() for values in (columns + 1, bottoms)]
    boxes = zip(*low, *high, strict=True)
    runs = np.split(starts, begins[1:]), np.split(stops, begins[1:])
    return sorted(map(Part, *runs, areas, boxes), key=lambda part: -part.area)


def encode_parts(parts: Sequence[Part], height: int, width: int) -> Rle:
    """Parts as the run lengths of one object."""
    edges = _once([edge for part in parts for edge in (part.starts, part.stops)])
    counts = np.diff(edges, prepend=0, append=height * width)
    counts = counts if counts[-1] else counts[:-1]
    rle = {"size": [height, width], "counts": counts.tolist()}
    packed = coco_mask.frPyObjects(rle, height, width)
    return {"size": [height, width], "counts": packed["counts"].decode("ascii")}


def _column_runs(rle: Rle) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Column, start and stop of every run of object pixels; runs end with their column."""
    height = rle["size"][0]
    runs = run_lengths(rle["counts"])
    if runs is None:
        raise ValueError("broken run lengths, which no reader hands on")
    edges = np.cumsum(runs)
    edges = _once([edges[: len(edges) // 2 * 2]])  # the last background has no second edge
    starts, stops = edges[::2], edges[1::2]
    first, last = starts // height, (stops - 1) // height
    number = last - first + 1  # of columns that a run spans
    place = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    columns = np.repeat(first, number) + place
    starts = np.maximum(np.repeat(starts, number), columns * height)
    stops = np.minimum(np.repeat(stops, number), (columns + 1) * height)
    return columns, starts, stops


def _once(edges: Sequence[np.ndarray]) -> np.ndarray:
    """Where runs begin and end, sorted; where one ends and the next begins is no edge."""
    found, times = np.unique(np.concatenate(edges), return_counts=True)
    return found[times % 2 == 1]


def _joined(columns: list[int], starts: list[int], stops: list[int]) -> list[int]:
    """The part, from 1 on, of each run of pixels; runs are given column by column, downwards."""
    parent = list(range(len(columns)))

    def first_of(run: int) -> int:
        while parent[run] != run:
            parent[run] = run = parent[parent[run]]
        return run

    left = 0  # the first run of the column before that may still touch
    for run, column in enumerate(columns):
        while columns[left] < column - 1 or (
            columns[left] == column - 1 and stops[left] < starts[run]
        ):
            left += 1
        other = left
        while other < run and columns[other] == column - 1 and starts[other] <= stops[run]:
            parent[first_of(run)] = first_of(other)
            other += 1
    number: dict[int, int] = {}
    return [number.setdefault(first_of(run), len(number) + 1) for run in range(len(columns))]
