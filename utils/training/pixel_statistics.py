"""Mean and standard deviation of one's own images, to normalise them with."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from utils.data.epoch_batches import SampleKey
from utils.data.instance_dataset import InstanceDataset

MOST_IMAGES = 1000  # of more, an evenly spread sample is measured
LEAST_STD = 1e-6  # a channel that varies less is constant, and is not divided by it
Sums = tuple[int, np.ndarray, np.ndarray]  # pixels; per channel, the sum and that of squares


@dataclass(frozen=True)
class PixelStatistics:
    """Of each channel in 0..1 over ``images`` of ``total`` images; 1 is the deviation of a channel
    that is constant."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    images: int
    total: int

    def __str__(self) -> str:
        of = f"{self.images} images"
        if self.images < self.total:
            of = f"{self.images} of {self.total} images, evenly spread"
        mean, std = (" ".join(f"{value:.4f}" for value in v) for v in (self.mean, self.std))
        return f"normalised by mean {mean} and deviation {std}, of {of}"

    def options(self) -> dict[str, Any]:
        """Keywords of ``build_model``."""
        return {"image_mean": list(self.mean), "image_std": list(self.std)}


def pixel_statistics(dataset: InstanceDataset) -> PixelStatistics:
    """Measure the images of a data set before any transform; every pixel weighs the same.

    The deviation is the population's, as ``torchvision``'s ImageNet numbers are used. Images are
    read in threads, one pass, sums in float64. Of drawn scenes those of the first epoch are taken.

    Raises:
        DataError: as ``dataset.read``.
    """
    count = min(len(dataset), MOST_IMAGES)
    chosen = [i * len(dataset) // count for i in range(count)]
    pool = ThreadPoolExecutor()
    try:
        found = pool.map(lambda index: _sums(dataset.read(SampleKey(0, index))[0]), chosen)
        progress = tqdm(found, "measuring pixels", count, leave=False, disable=None)
        pixels, sums, squares = 0, np.zeros(dataset.channels), np.zeros(dataset.channels)
        for number, total, of_squares in progress:
            pixels += number
            sums += total
            squares += of_squares
    finally:  # Ctrl-C does not wait for all the others
        pool.shutdown(cancel_futures=True)
    mean = sums / pixels
    std = np.sqrt(np.maximum(squares / pixels - mean**2, 0))
    std = np.where(std < LEAST_STD, 1.0, std)
    return PixelStatistics(tuple(mean.tolist()), tuple(std.tolist()), count, len(dataset))


def _sums(image: np.ndarray) -> Sums:
    """Of an image (H, W, C), uint8 or float32 in 0..1."""
    flat = image.reshape(-1, image.shape[2])
    scale = 255 if image.dtype == np.uint8 else 1
    total = flat.sum(axis=0, dtype=np.float64) / scale
    squares = np.einsum("pc,pc->c", flat, flat, dtype=np.float64) / scale**2
    return len(flat), total, squares
