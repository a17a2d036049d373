"""95 % intervals of metrics, by drawing the test images again: the bootstrap (Efron 1979).

Whole images are drawn, not objects: those of one image are hard or easy together. The percentiles
are widened for few images as Student's t is beside the normal distribution (Hesterberg 2015, "What
teachers should know about the bootstrap": the expanded percentile interval).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from utils.evaluation.average_precision import average_precision, average_recall, mean_of_defined
from utils.evaluation.coco_parameters import ALL, IOU_50, IOU_75, MOST_DETECTIONS
from utils.evaluation.matches import Matches

RESAMPLES = 2000
MOST_DRAWN = 2_500_000  # images in all resamples together; of very many images fewer are drawn
FEWEST_RESAMPLES = 200
TAIL = 0.025  # of the distribution beyond either end of a 95 % interval
FEWEST_IMAGES = 5  # the ranges of fewer hold the truth much too seldom
MOST_UNDEFINED = 0.05  # share of resamples in which a number that has an interval may be undefined
ROUNDING = 1e-9  # what differs by less is the same


class Interval(NamedTuple):
    """A number, and between which two it is thought to be over very many such images, at 95 %."""

    value: float
    low: float
    high: float


class Resampled(NamedTuple):
    """A number of the images as they are, and of every resample of them."""

    values: np.ndarray  # float64 (1 + B,); NaN where undefined
    bearing: int  # how many of the images hold an object that it is about


def interval(
    statistic: Callable[[np.ndarray], np.ndarray],
    images: int,
    *,
    bearing: int | None = None,
    count: int = RESAMPLES,
    seed: int = 0,
    lowest: float = 0.0,
    highest: float = 1.0,
) -> Interval | None:
    """The interval of any number that is made from images, or none; see ``interval_of``.

    Args:
        statistic: takes weights (B, N), gives (B,); NaN where nothing that counts has weight.
        images: N.
        bearing: how many of the images hold an object that the number is about; by default all.
    """
    values = statistic(resamples(images, count, seed))
    return interval_of(values, images if bearing is None else bearing, lowest, highest)


@lru_cache(maxsize=1)  # all numbers of an evaluation take the same ones
def resamples(images: int, count: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """How often each image is drawn, float64 (1 + count, N), read-only.

    The first row is the images as they are, once each; in the others N are drawn with replacement.
    Of more than 1,250 images there are fewer than 2,000 rows.
    """
    if images:
        count = min(count, max(FEWEST_RESAMPLES, MOST_DRAWN // images))
    drawn = np.ones((1 + count, images))
    if images:
        evenly = np.full(images, 1 / images)
        drawn[1:] = np.random.default_rng(seed).multinomial(images, evenly, count)
    drawn.flags.writeable = False
    return drawn


def interval_of(
    values: np.ndarray,
    bearing: int,
    lowest: float = 0.0,
    highest: float = 1.0,
    is_difference: bool = False,
) -> Interval | None:
    """The interval of a number from its values for ``resamples``.

    The percentiles are moved by as much as the median of the resamples is off: an image drawn twice
    makes precision uneven, so that AP of resamples is too high, the more so over many classes. Not
    so those of a difference, in which that cancels out: if few images differ, most resamples have
    none of them or few, and a moved range would leave 0 out.

    Measured on simulated sets, 300 to 500 each of 20, 50 and 200 images: it held the truth of AP,
    AP50, recall and means of 0.4 to 0.75 in 91 to 96 % of them. Less often it held AP of 12
    classes, which with few objects is itself too high (90 %, of 80 to 250 sets); with 20 images an
    AP50 of 0.96 and a mean of 0.97 (90 and 85 %); and numbers over classes of which one was in some
    3 of 50 images (80 to 88 %).

    Where all resamples give the same, no image was seen to differ. Images that do may still be
    1 - 0.025^(1/n) of all, about 3.7/n (the rule of three, for two sides), and would be worth
    ``lowest`` or ``highest`` at the most; as far as that the interval goes.

    Args:
        values: float64 (1 + B,), the first for the images as they are; NaN where undefined.
        bearing: n, how many of the images hold an object that the number is about.
        lowest, highest: what the number can be at the least and at the most; both the same if it
            has no bounds.
        is_difference: of two models on the same images.

    Returns:
        None where the number is undefined, where n is less than 5, where more than 5 % of the
        resamples are undefined, as of a number that is made from 3 images, and where all are the
        same and the number has no bounds.
    """
    value, drawn = float(values[0]), values[1:][~np.isnan(values[1:])]
    if math.isnan(value) or bearing < FEWEST_IMAGES:
        return None
    if len(drawn) < (1 - MOST_UNDEFINED) * len(values[1:]):
        return None
    if np.abs(drawn - value).max() < ROUNDING:
        if lowest == highest:
            return None
        unseen = 1 - TAIL ** (1 / bearing)
        low, high = (value + unseen * (end - value) for end in (lowest, highest))
    else:
        tail = expanded_tail(bearing)
        shift = 0.0 if is_difference else value - np.median(drawn)
        low, high = (np.quantile(drawn, [tail, 1 - tail]) + shift).tolist()
        if lowest < highest:
            low, high = max(low, lowest), min(high, highest)
    return Interval(value, low, high)


def expanded_tail(images: int) -> float:
    """The share of resamples to leave out at either end, less than 0.025.

    The mean of N images, drawn from themselves, spreads by their variance over N, where N - 1 would
    be right, and has the normal distribution's quantiles, where Student's would be. These are
    computed by the expansion of Cornish and Fisher, to 0.02 from 6 images on.
    """
    normal, freedom = NormalDist(), images - 1
    z = normal.inv_cdf(1 - TAIL)
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return normal.cdf(-t * math.sqrt(images / freedom))


def ap_intervals(
    matches: Mapping[str, Matches],
    classes: Sequence[str],
    max_dets: int = MOST_DETECTIONS,
    *,
    count: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Interval]:
    """The intervals of ``segm/AP``, ``AP50``, ``AP75``, ``AR100`` (where ``max_dets`` is 100),
    ``segm/AP/<class>`` and ``segm/AP50/<class>``, and those of boxes.

    In a resample without a class, its mean is that of the others, as in COCO's own. A number that
    has no interval is absent.
    """
    resampled = ap_resampled(matches, classes, max_dets, count=count, seed=seed)
    found = {name: interval_of(*of_name) for name, of_name in resampled.items()}
    return {name: of_name for name, of_name in found.items() if of_name is not None}


def ap_resampled(
    matches: Mapping[str, Matches],
    classes: Sequence[str],
    max_dets: int = MOST_DETECTIONS,
    *,
    count: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Resampled]:
    """The numbers of ``ap_intervals`` for every one of ``resamples``."""
    found = {}
    for kind, of_kind in matches.items():
        weights = resamples(of_kind.objects.shape[1], count, seed)
        precision = average_precision(of_kind, weights, max_dets=max_dets)
        recall = average_recall(of_kind, weights, max_dets=max_dets)
        holds = of_kind.objects[ALL] > 0  # (N, K)
        any_class = int(holds.any(axis=1).sum())
        for name, values in {
            "AP": mean_of_defined(precision, (1, 2)),
            "AP50": mean_of_defined(precision[:, IOU_50], 1),
            "AP75": mean_of_defined(precision[:, IOU_75], 1),
            f"AR{max_dets}": mean_of_defined(recall, (1, 2)),
        }.items():
            found[f"{kind}/{name}"] = Resampled(values, any_class)
        for index, label in enumerate(classes):
            of_class, bearing = precision[:, :, index], int(holds[:, index].sum())
            found[f"{kind}/AP/{label}"] = Resampled(of_class.mean(axis=1), bearing)
            found[f"{kind}/AP50/{label}"] = Resampled(of_class[:, IOU_50], bearing)
    return found
