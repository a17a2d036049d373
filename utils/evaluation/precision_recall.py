"""Precision, recall and F1 at given score thresholds, for any weighting of the images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from utils.evaluation.coco_parameters import ALL, IOU_50
from utils.evaluation.image_sums import ImageSums
from utils.evaluation.matches import Matches


def precision_recall_sums(matches: Matches, thresholds: Sequence[float]) -> dict[str, ImageSums]:
    """``point/precision``, ``point/recall`` and ``point/F1`` at IoU 0.5, all classes together.

    A name without a single value is absent.

    Args:
        matches: of masks, or of boxes.
        thresholds: the least score that counts, by class in label order.
    """
    images = matches.objects.shape[1]
    sure = matches.score >= np.asarray(thresholds)[matches.label - 1]
    counted = sure & ~matches.ignored[ALL, IOU_50]
    true = counted & matches.matched[ALL, IOU_50]
    found = np.bincount(matches.image[true], minlength=images).astype(float)
    made = np.bincount(matches.image[counted], minlength=images).astype(float)
    objects = matches.objects[ALL].sum(axis=1).astype(float)
    named = {
        "point/precision": ImageSums(found, made),
        "point/recall": ImageSums(found, objects),
        "point/F1": ImageSums(2 * found, made + objects),
    }
    return {name: sums for name, sums in named.items() if sums.counts.any()}
