"""COCO's compressed run lengths, decoded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LONGEST_CODE = 6  # characters of 5 bits


def run_lengths(counts: str) -> np.ndarray | None:
    """The run lengths in a compressed string, int64, background first; None if it is broken."""
    decoded = joined_run_lengths([counts])
    return None if decoded is None else decoded[0]


def joined_run_lengths(counts: Sequence[str]) -> tuple[np.ndarray, np.ndarray] | None:
    """The run lengths of several masks, one after the other, and how many each has; both int64.

    Each is written in characters of 5 bits, lowest first, a sixth bit telling that more follow;
    from a mask's fourth on it is the change from the one before last (``rleFrString`` of
    pycocotools). None if a string is broken.
    """
    text = "".join(counts)
    if not text.isascii():
        return None
    codes = np.frombuffer(text.encode(), np.uint8).astype(np.int64) - 48
    is_last = codes & 32 == 0
    stops = np.cumsum([len(one) for one in counts])
    if not all(counts) or codes.min() < 0 or codes.max() > 63 or not is_last[stops - 1].all():
        return None
    ends = np.flatnonzero(is_last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > LONGEST_CODE:
        return None
    place = np.arange(len(codes)) - np.repeat(starts, lengths)
    runs = np.add.reduceat((codes & 31) << (5 * place), starts)
    runs -= np.where(codes[ends] & 16, 1 << (5 * lengths), 0)
    numbers = np.diff(np.searchsorted(ends, stops), prepend=0)  # of runs in each mask
    rank = ranks(numbers)
    odd, even = rank % 2 == 1, (rank % 2 == 0) & (rank > 0)
    runs[odd] = sums_within(runs[odd], numbers // 2)
    runs[even] = sums_within(runs[even], (numbers - 1) // 2)
    return runs, numbers


def ranks(numbers: np.ndarray) -> np.ndarray:
    """The numbers from 0 on, for each group of so many values."""
    return np.arange(numbers.sum()) - np.repeat(np.cumsum(numbers) - numbers, numbers)


def sums_within(values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Cumulative sums, for each group of so many values."""
    sums = np.concatenate([[0], np.cumsum(values)])
    return sums[1:] - np.repeat(sums[np.cumsum(numbers) - numbers], numbers)
