"""Means over images, kept as sums so that the images can be weighted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ImageSums:
    """What a mean over the N images of a data set is made of, for any weighting of the images."""

    sums: np.ndarray  # float64 (N,), of the values in each image
    counts: np.ndarray  # float64 (N,), how many values each image has
    bounds: tuple[float, float] | None = (0.0, 1.0)  # between which every value lies

    def mean(self, weights: np.ndarray | None = None) -> np.ndarray:
        """The mean of all values, float64 (B,); NaN of none.

        Args:
            weights: float64 (B, N), how often each image counts; once each by default.
        """
        weights = np.ones((1, len(self.sums))) if weights is None else weights
        counts = weights @ self.counts
        undefined = np.full(len(weights), np.nan)
        return np.divide(weights @ self.sums, counts, out=undefined, where=counts > 0)


def by_class(
    name: str,
    sums: np.ndarray,
    counts: np.ndarray,
    classes: Sequence[str],
    bounds: tuple[float, float] | None = (0.0, 1.0),
) -> dict[str, ImageSums]:
    """``name`` over the values of all classes and, of several, ``name/<class>`` over those of each.

    ``sums`` and ``counts`` are (N, K). A name without a single value is absent.
    """
    named = {name: ImageSums(sums.sum(axis=1), counts.sum(axis=1), bounds)}
    if len(classes) > 1:
        for k, label in enumerate(classes):
            named[f"{name}/{label}"] = ImageSums(sums[:, k], counts[:, k], bounds)
    return {key: value for key, value in named.items() if value.counts.any()}


def means(sums: Mapping[str, ImageSums]) -> dict[str, float]:
    """Each mean over all images by its name."""
    return {name: float(value.mean()[0]) for name, value in sums.items()}
