"""Average precision at IoU 0.5 image by image, as the Shapes demo of Matterport's Mask R-CNN tells.

There, the objects of one image are pooled over all classes, the precision is taken at every recall
that is reached (not at 101), and the mean over the images is the result.
"""

from __future__ import annotations

import numpy as np

from utils.evaluation.coco_parameters import ALL, IOU_50
from utils.evaluation.matches import Matches


def voc_ap50(matches: Matches) -> float:
    """The mean over images with objects of the area under the precision-recall curve; NaN if no
    image has an object."""
    objects = matches.objects[ALL].sum(axis=1)
    areas = [_area(matches, number, count) for number, count in enumerate(objects) if count]
    return float(np.mean(areas)) if areas else np.nan


def _area(matches: Matches, number: int, objects: int) -> float:
    counted = (matches.image == number) & ~matches.ignored[ALL, IOU_50]
    order = np.argsort(-matches.score[counted], kind="stable")
    true = matches.matched[ALL, IOU_50, counted][order]
    precision = np.cumsum(true) / np.arange(1, len(true) + 1)
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    return float(highest[true].sum() / objects)
