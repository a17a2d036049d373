"""Pictures with objects in them, as a run of predict.py finds them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from nets.contract import Prediction
from utils.data.records import encode_mask
from utils.prediction.found_picture import FoundPicture, Picture
from utils.prediction.pixels import PixelArray

CLASSES = ("cat", "dog")


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Pixels that differ, uint8 RGB, or floats in 0.2..0.7 of any other number of channels."""
    random = np.random.default_rng(height * width)
    if channels == 3:
        return random.integers(0, 256, (height, width, 3), np.uint8)
    return random.uniform(0.2, 0.7, (height, width, channels)).astype(np.float32)


def found_picture(
    image: np.ndarray,
    masks: Sequence[np.ndarray],
    labels: Sequence[int] = (),
    classes: tuple[str, ...] = CLASSES,
    name: str = "a.png",
) -> FoundPicture:
    """Objects of score 0.98, 0.97..., of the first class unless told, over an image."""
    boxes = [_box(np.asarray(mask)) for mask in masks]
    prediction = Prediction(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels or [1] * len(masks), dtype=torch.int64),
        scores=torch.tensor([0.98 - i / 100 for i in range(len(masks))]),
        masks=[encode_mask(np.asarray(mask, np.uint8)) for mask in masks],
    )
    picture = Picture(name, name.rpartition(".")[0], PixelArray(image), stamp=[name])
    return FoundPicture(picture, prediction, classes)


def random_masks(height: int, width: int, count: int, seed: int = 0) -> list[np.ndarray]:
    """Overlapping ellipses, some with a hole, some of two parts; the last has no pixel."""
    random = np.random.default_rng(seed)
    rows, columns = np.ogrid[:height, :width]
    masks = []
    for i in range(count - 1):
        parts = []
        for _ in range(1 + i % 2):
            y, x = random.uniform(0, height), random.uniform(0, width)
            a, b = random.uniform(1, height / 3 + 1), random.uniform(1, width / 3 + 1)
            distance = ((rows - y) / a) ** 2 + ((columns - x) / b) ** 2
            parts.append((distance <= 1) & ((distance >= 0.2) | (i % 3 > 0)))
        masks.append(np.logical_or.reduce(parts))
    return [*masks, np.zeros((height, width), bool)]


def _box(mask: np.ndarray) -> list[int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return [0, 0, 1, 1]
    return [int(v) for v in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)]
