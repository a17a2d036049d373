"""Decoded pictures kept in memory, so that they are decoded in the first epoch only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import get_worker_info

from utils.data.images import load_image


class PictureCache:
    """Pictures as ``load_image`` gives them; those that come first are kept, until it is full.

    A loading process keeps pictures of its own, in an equal part of the size; those that were
    there before it was forked are shared, and count. A picture is what it was when it was read: its
    file is not looked at again. What cannot be read is not kept and is refused each time. Threads
    that load at once may exceed the size by a picture each.

    Args:
        size: bytes that all processes which load one data set's training and held-out images
            keep together; 0 keeps none.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.taken = 0
        self.kept: dict[tuple[Path, int], np.ndarray] = {}

    def load(self, path: Path, channels: int) -> np.ndarray:
        """What ``load_image`` gives and raises; the pixels are the caller's, to be written to."""
        kept = self.kept.get((path, channels))
        if kept is not None:
            return kept.copy()
        pixels = load_image(path, channels)
        if self.taken + pixels.nbytes <= self._room():
            self.taken += pixels.nbytes
            self.kept[path, channels] = pixels.copy()
        return pixels

    def __getstate__(self) -> dict[str, Any]:
        """A process that is spawned, not forked, begins without pictures: each would get a copy."""
        return {"size": self.size, "taken": 0, "kept": {}}

    def _room(self) -> int:
        """Bytes that this process may keep."""
        worker = get_worker_info()
        # There are as many more to load the held-out images.
        return self.size // (2 * worker.num_workers) if worker else self.size
