"""One object's mask cut to its box, straight from its outline, without the full-size mask."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from utils.data.records import Instance, to_rle
from utils.data.run_lengths import run_lengths


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


def crop_rle(rle: dict[str, Any]) -> Crop | None:
    """The mask of COCO's compressed run lengths; None if it has no pixel."""
    height = rle["size"][0]
    runs = run_lengths(rle["counts"])
    if runs is None:
        raise ValueError("broken run lengths, which no reader hands on")
    edges = np.cumsum(runs)
    starts, stops = edges[:-1:2], edges[1::2]
    starts, stops = starts[stops > starts], stops[stops > starts]
    if not len(starts):
        return None
    first, last = int(starts[0]) // height, (int(stops[-1]) - 1) // height  # columns
    steps = np.zeros((last + 1 - first) * height + 1, np.int8)
    np.add.at(steps, starts - first * height, 1)
    np.add.at(steps, stops - first * height, -1)
    columns = np.cumsum(steps[:-1], dtype=np.int8).view(np.uint8).reshape(-1, height)
    rows = np.flatnonzero(columns.any(axis=0))
    return Crop(first, int(rows[0]), columns[:, rows[0] : rows[-1] + 1].T)
