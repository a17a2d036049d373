"""COCO's compressed run lengths, decoded."""

from __future__ import annotations

import numpy as np

LONGEST_CODE = 6  # characters of 5 bits


def run_lengths(counts: str) -> np.ndarray | None:
    """The run lengths in a compressed string, int64, background first; None if it is broken.

    Each is written in characters of 5 bits, lowest first, a sixth bit telling that more follow;
    from the fourth on it is the change from the one before last (``rleFrString`` of pycocotools).
    """
    if not counts.isascii():
        return None
    codes = np.frombuffer(counts.encode(), np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        return None
    ends = np.flatnonzero(codes & 32 == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > LONGEST_CODE:
        return None
    place = np.arange(len(codes)) - np.repeat(starts, lengths)
    runs = np.add.reduceat((codes & 31) << (5 * place), starts)
    runs -= np.where(codes[ends] & 16, 1 << (5 * lengths), 0)
    for first in (1, 2):
        runs[first::2] = np.cumsum(runs[first::2])
    return runs
