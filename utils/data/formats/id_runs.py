"""The runs of equal numbers in an id mask, found in one pass whatever the number of objects."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from pycocotools import mask as coco_mask

from utils.data.records import Rle


def id_rles(ids: np.ndarray, without: Collection[int] = (0,)) -> dict[int, Rle]:
    """The run lengths of every number in an id mask (H, W), as of ``records.encode_mask``.

    The numbers in ``without`` are left out; the others come sorted.
    """
    height, width = ids.shape
    flat = ids.ravel(order="F")  # COCO's runs go down the columns
    starts, lengths = _runs(flat)
    numbers = flat[starts]
    order = np.argsort(numbers, kind="stable")
    found, firsts = np.unique(numbers[order], return_index=True)
    rles = {}
    for number, own in zip(found.tolist(), np.split(order, firsts[1:]), strict=True):
        if number not in without:
            counts = _counts(starts[own], lengths[own], flat.size)
            rle = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
            rles[number] = {"size": [height, width], "counts": rle["counts"].decode("ascii")}
    return rles


def value_counts(ids: np.ndarray, values: np.ndarray) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """For every number in ``ids``, the ``values`` of its pixels, sorted, and how many have each.

    Both are (H, W).
    """
    ids, values = ids.ravel(), values.ravel()
    starts, lengths = _runs(ids, values)
    ids, values = ids[starts], values[starts]
    order = np.lexsort((values, ids))
    ids, values = ids[order], values[order]
    pairs, _ = _runs(ids, values)
    counts = np.add.reduceat(lengths[order], pairs)
    found, firsts = np.unique(ids[pairs], return_index=True)
    parts = (np.split(one, firsts[1:]) for one in (values[pairs], counts))
    return dict(zip(found.tolist(), zip(*parts, strict=True), strict=True))


def _runs(*flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Starts and lengths of the runs in which none of the arrays changes."""
    changes = np.logical_or.reduce([one[1:] != one[:-1] for one in flat])
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
    return starts, np.diff(starts, append=len(flat[0]))


def _counts(starts: np.ndarray, lengths: np.ndarray, size: int) -> list[int]:
    """Background and object in turn, from the runs of an object; the last is never 0."""
    ends = starts + lengths
    gaps = starts - np.concatenate([[0], ends[:-1]])
    counts = np.stack([gaps, lengths], 1).ravel().tolist()
    rest = size - int(ends[-1])
    return [*counts, rest] if rest else counts
