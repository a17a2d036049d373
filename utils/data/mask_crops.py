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
    columns, last_columns = starts // height, (stops - 1) // height
    tops, bottoms = starts % height, (stops - 1) % height + 1
    is_cut = (last_columns > columns).any()  # a run goes on in the next column
    top, bottom = (0, height) if is_cut else (int(tops.min()), int(bottoms.max()))
    first, rows = int(columns[0]), bottom - top
    steps = np.zeros((int(last_columns[-1]) + 1 - first) * rows + 1, np.int8)
    np.add.at(steps, (columns - first) * rows + tops - top, 1)
    np.add.at(steps, (last_columns - first) * rows + bottoms - top, -1)
    mask = np.cumsum(steps[:-1], dtype=np.int8).view(np.uint8).reshape(-1, rows).T
    used = np.flatnonzero(mask.any(axis=1))
    return Crop(first, top + int(used[0]), mask[used[0] : used[-1] + 1])
