"""One object's mask cut to its box, straight from its outline, without the full-size mask."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from utils.data.records import Instance, Rle, to_rle


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
    edges = np.cumsum(run_lengths(to_rle(instance.segmentation, height, width)))
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


def run_lengths(rle: Rle) -> np.ndarray:
    """The lengths of a compressed run-length code, int64, background first.

    Each is written in groups of 5 bits, lowest first, a sixth bit telling that more follow; from
    the fourth on it is the difference to the one but one before (COCO's maskApi.c).
    """
    counts = rle["counts"]
    text = counts.encode("ascii") if isinstance(counts, str) else counts
    codes = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    if not len(codes):
        return codes
    ends = np.flatnonzero(codes & 32 == 0)
    starts = np.concatenate(([0], ends[:-1] + 1))
    places = np.arange(len(codes)) - np.repeat(starts, ends - starts + 1)
    values = np.add.reduceat((codes & 31) << (5 * places), starts)
    negative = codes[ends] & 16 != 0
    values -= negative.astype(np.int64) << (5 * (ends - starts + 1))
    for first in (1, 2):  # one sum of differences over the odd places, one over the even
        values[first::2] = np.cumsum(values[first::2])
    return values
