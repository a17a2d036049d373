"""How well counts and areas agree with the labels, for those who measure with the model.

AP says how well objects are found. Someone who counts cells or sizes lesions asks whether the
numbers that come out are too high or too low, and how far off a single one can be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from utils.evaluation.image_sums import ImageSums, by_class, means

LIMITS = 1.96  # standard deviations; 95 % of a normal distribution lie within


def count_sums(
    found: np.ndarray, objects: np.ndarray, classes: Sequence[str]
) -> dict[str, ImageSums]:
    """The errors of counting: ``count/bias``, ``count/MAE``, ``count/MSE`` and ``count/exact``.

    The error of an image is how many objects are found in it less how many there are; ``exact`` is
    the share of images without one. The overall numbers are those of all classes counted together,
    so an object taken for another class is no error there. Per class, too, if there are several.

    Args:
        found, objects: (N, K), how many there are per image and class, crowds left out.
    """
    errors = np.asarray(found, dtype=np.float64) - objects
    columns = {"": errors.sum(axis=1)}
    if len(classes) > 1:
        columns |= {f"/{label}": errors[:, k] for k, label in enumerate(classes)}
    once = np.ones(len(errors))
    return {
        f"count/{name}{suffix}": ImageSums(values, once, (0.0, 1.0) if name == "exact" else None)
        for suffix, error in columns.items()
        for name, values in {
            "bias": error,
            "MAE": np.abs(error),
            "MSE": error**2,
            "exact": (error == 0) * 1.0,
        }.items()
        if len(error)
    }


def count_agreement(
    found: np.ndarray, objects: np.ndarray, classes: Sequence[str]
) -> dict[str, float]:
    """The means of ``count_sums``, with the root ``count/RMSE`` in place of ``count/MSE``."""
    metrics = means(count_sums(found, objects, classes))
    for name in [name for name in metrics if name.startswith("count/MSE")]:
        metrics[name.replace("MSE", "RMSE", 1)] = math.sqrt(metrics.pop(name))
    return metrics


class Agreement(NamedTuple):
    """Bland and Altman's agreement of two measurements of the same things (Lancet 1986).

    The bias is the mean of the differences; between the limits, 1.96 standard deviations below and
    above it, 95 % of normally distributed differences lie.
    """

    bias: float
    low: float
    high: float


def bland_altman(differences: np.ndarray) -> Agreement | None:
    """The agreement that differences (P,) show; None of fewer than two."""
    if len(differences) < 2:
        return None
    bias, spread = float(differences.mean()), LIMITS * float(differences.std(ddof=1))
    return Agreement(bias, bias - spread, bias + spread)


def concordance(first: np.ndarray, second: np.ndarray) -> float | None:
    """Lin's concordance correlation (Biometrics 1989) of two measurements of the same P things.

    1 if all are equal, less by scatter and by bias alike. None if it is undefined: of fewer than
    two things, or if each measurement is the same number.
    """
    if len(first) < 2:
        return None
    covariance = float(np.mean((first - first.mean()) * (second - second.mean())))
    total = float(first.var() + second.var() + (first.mean() - second.mean()) ** 2)
    return 2 * covariance / total if total else None


def area_agreement(
    label: np.ndarray, true_area: np.ndarray, found_area: np.ndarray, classes: Sequence[str]
) -> dict[str, float]:
    """How the areas of found objects agree with the labelled ones.

    ``area/bias``, ``area/low`` and ``area/high`` in pixels, found less true, and with ``_percent``
    in percent of the true area (``Agreement``); ``area/concordance``. Per class, too, if there are
    several. What is undefined is absent: all of it with fewer than two pairs.

    Args:
        label: int64 (P,), 1..K, of the objects that were found.
        true_area, found_area: float64 (P,), in pixels; ``true_area`` is above 0.
    """
    chosen = {"": np.ones(len(label), dtype=bool)}
    if len(classes) > 1:
        chosen |= {f"/{name}": label == k for k, name in enumerate(classes, start=1)}
    metrics: dict[str, float] = {}
    for suffix, of_class in chosen.items():
        true, found = true_area[of_class], found_area[of_class]
        for unit, differences in (("", found - true), ("_percent", 100 * (found / true - 1))):
            agreement = bland_altman(differences)
            if agreement:
                for name, value in agreement._asdict().items():
                    metrics[f"area/{name}{unit}{suffix}"] = value
        correlation = concordance(true, found)
        if correlation is not None:
            metrics[f"area/concordance{suffix}"] = correlation
    return metrics


def area_sums(
    image: np.ndarray,
    label: np.ndarray,
    true_area: np.ndarray,
    found_area: np.ndarray,
    images: int,
    classes: Sequence[str],
) -> dict[str, ImageSums]:
    """``area/bias`` and ``area/bias_percent`` of ``area_agreement``, to be weighted by image.

    ``image``, int64 (P,), says in which of the ``images`` images each pair lies.
    """

    def per_image(values: np.ndarray) -> np.ndarray:
        table = np.zeros((images, len(classes)))
        np.add.at(table, (image, label - 1), values)
        return table

    pairs = per_image(np.ones(len(label)))
    differences = {
        "area/bias": found_area - true_area,
        "area/bias_percent": 100 * (found_area / true_area - 1),
    }
    sums: dict[str, ImageSums] = {}
    for name, values in differences.items():
        sums |= by_class(name, per_image(values), pairs, classes, bounds=None)
    return sums
