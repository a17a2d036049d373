"""The separate parts of a mask: pixels that touch, also at a corner, belong together."""

from __future__ import annotations

import numpy as np


def label_parts(mask: np.ndarray) -> np.ndarray:
    """Number the parts of a mask, (H, W), anything nonzero being object.

    Returns:
        int32 (H, W): 0 is background, 1 to N are the parts. Neighbours are the eight around a
        pixel, as in ``scipy.ndimage.label`` with a 3x3 structure.
    """
    height, width = mask.shape
    padded = np.zeros((width, height + 2), np.int8)
    padded[:, 1:-1] = (mask != 0).T
    steps = np.diff(padded, axis=1)
    columns, starts = np.nonzero(steps == 1)
    stops = np.nonzero(steps == -1)[1]
    part_of = _joined(columns.tolist(), starts.tolist(), stops.tolist())
    labels = np.zeros((width, height), np.int32)
    for column, start, stop, part in zip(columns, starts, stops, part_of, strict=True):
        labels[column, start:stop] = part
    return labels.T


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
