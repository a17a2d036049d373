"""An exported file that is ready to run, whatever runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.export.card import ModelCard


class Found(NamedTuple):
    """What is found in a batch of B images, as ``nets.exportable.ExportableMaskRCNN`` gives it.

    Attributes:
        boxes: float32 (B, D, 4) xyxy in pixels of the images.
        labels: int64 (B, D), 1..K.
        scores: float32 (B, D), sorted down.
        masks: float32 (B, D, 28, 28), probabilities within the box.
        counts: int64 (B,), how many of the D places are filled, from the first on.
        pasted: uint8 0/1 (B, D, H, W), masks of the images' size, if the file gives them.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    masks: np.ndarray
    counts: np.ndarray
    pasted: np.ndarray | None = None


class Session(ABC):
    """A file that ``tools.export`` wrote, opened by its runtime.

    Attributes:
        path: of the file.
        card: what it knows of itself.
    """

    path: Path
    card: ModelCard

    @abstractmethod
    def run(self, images: np.ndarray) -> Found:
        """Find objects.

        Args:
            images: (B, H, W, C) of the size and number that the card's settings say, C-contiguous;
                uint8 RGB, or float32 in 0..1 of another number of channels.
        """
