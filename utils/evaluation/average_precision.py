"""COCO's average precision and recall from stored matches, for any weighting of the images.

A weight of 2 counts an image twice and a weight of 0 leaves it out, so a bootstrap resample is a
row of weights. With all weights 1 the numbers are those of pycocotools.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from utils.evaluation.coco_parameters import AREAS, IOU_THRESHOLDS, MOST_DETECTIONS
from utils.evaluation.matches import Matches

RECALLS = np.linspace(0.0, 1.0, 101)  # where COCO reads the precision off
MOST_NUMBERS = 200_000  # of one array, so that it stays in the cache; more are taken in parts
# From true positives (D,), counted ones (D,), weights (B, D) and objects (B,) to numbers (B,).
OfClass = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def average_precision(
    matches: Matches,
    weights: np.ndarray | None = None,
    area: str = "all",
    max_dets: int = MOST_DETECTIONS,
) -> np.ndarray:
    """The mean over 101 recalls of the highest precision at that recall or beyond.

    Args:
        weights: float64 (B, N), how often each image counts; once each by default.
        area: the objects that count, of ``AREAS``.
        max_dets: the surest detections of an image and class that count.

    Returns:
        float64 (B, T, K); NaN where a class has no object.
    """
    return _tabulated(matches, weights, area, max_dets, _precision)


def average_recall(
    matches: Matches,
    weights: np.ndarray | None = None,
    area: str = "all",
    max_dets: int = MOST_DETECTIONS,
) -> np.ndarray:
    """The share of objects that are found; arguments and result as of ``average_precision``."""
    return _tabulated(matches, weights, area, max_dets, _recall)


def mean_of_defined(values: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """The mean of what is not NaN; NaN of nothing."""
    defined = ~np.isnan(values)
    count = defined.sum(axis=axis)
    total = np.where(defined, values, 0.0).sum(axis=axis)
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)


def _tabulated(
    matches: Matches, weights: np.ndarray | None, area: str, max_dets: int, of_class: OfClass
) -> np.ndarray:
    index = list(AREAS).index(area)
    _, images, classes = matches.objects.shape
    weights = np.ones((1, images)) if weights is None else weights
    table = np.full((len(weights), len(IOU_THRESHOLDS), classes), np.nan)
    for label in range(1, classes + 1):
        chosen = np.flatnonzero((matches.label == label) & (matches.rank < max_dets))
        chosen = chosen[np.argsort(-matches.score[chosen], kind="stable")]
        matched = matches.matched[index][:, chosen]
        counted = ~matches.ignored[index][:, chosen]
        for rows in _parts(len(weights), len(chosen)):
            objects = weights[rows] @ matches.objects[index, :, label - 1]
            there = objects > 0
            weight = weights[rows][:, matches.image[chosen]][there]
            values = [
                of_class(found & kept, kept, weight, objects[there])
                for found, kept in zip(matched, counted, strict=True)
            ]
            table[rows, :, label - 1][there] = np.stack(values, axis=1)
    return table


def _precision(
    true: np.ndarray, counted: np.ndarray, weight: np.ndarray, objects: np.ndarray
) -> np.ndarray:
    """AP of one class at one IoU, (B,), of detections by falling score.

    Precision is highest right at a true positive, so only those are looked at: each one holds for
    as many of the 101 recalls as it is the first to reach.
    """
    if not true.any():
        return np.zeros(len(weight))
    found = np.cumsum(weight[:, true], axis=1)
    made = np.cumsum(weight * counted, axis=1)[:, true]
    precision = found / (made + np.spacing(1))
    highest = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = np.searchsorted(RECALLS, found / objects[:, None], side="right")
    first = np.diff(np.where(found > 0, reached, 0), prepend=0, axis=1)
    return (highest * first).sum(axis=1) / len(RECALLS)


def _recall(
    true: np.ndarray, counted: np.ndarray, weight: np.ndarray, objects: np.ndarray
) -> np.ndarray:
    return weight[:, true].sum(axis=1) / objects


def _parts(rows: int, columns: int) -> Iterator[slice]:
    """Slices of so many rows that an array of them stays small."""
    height = max(1, MOST_NUMBERS // max(columns, 1))
    for start in range(0, rows, height):
        yield slice(start, start + height)
