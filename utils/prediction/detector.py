"""What finds objects in arrays of pixels, whatever it computes with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from nets.contract import Prediction


class Detector(ABC):
    """Finds objects.

    Attributes:
        batch_size: how many images of one size it looks at together.
    """

    batch_size: int

    @abstractmethod
    def check_size(self, height: int, width: int) -> None:
        """Raise ``DataError`` if images of this size, in pixels, cannot be looked at."""

    @abstractmethod
    def detect(self, arrays: Sequence[np.ndarray]) -> list[Prediction]:
        """What is in images (H, W, channels), uint8 or float32 in 0..1, all of one size."""
