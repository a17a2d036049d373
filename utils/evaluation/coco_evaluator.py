"""COCO average precision of boxes and masks, exactly as pycocotools computes it.

    evaluator = CocoEvaluator(data)
    evaluator.process(record.image_id, prediction)     # for every image
    metrics = evaluator.evaluate()                      # {"segm/AP": 0.81, "segm/AP/person": ...}

Ground truth comes from the records, so no image is read again. An image is matched when it comes,
and only the matches are kept; every further number is read off them (see ``matches``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nets.contract import Prediction
from utils.data.records import RecordSet
from utils.evaluation.average_precision import (
    average_precision,
    average_recall,
    mean_of_defined,
)
from utils.evaluation.coco_parameters import IOU_50, IOU_75, IOU_TYPES, MOST_DETECTIONS
from utils.evaluation.matches import ImageMatches, Matches, join, match_image, objects_of
from utils.evaluation.voc import voc_ap50

# The twelve numbers of COCOeval.summarize(), in its order.
NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
VOC_AP50 = "segm/VOC_AP50"
Metrics = dict[str, float]


def names_of(max_dets: int) -> list[str]:
    """``NAMES`` where another number of detections than COCO's 100 count."""
    names = [f"AR{max_dets}" if name == f"AR{MOST_DETECTIONS}" else name for name in NAMES]
    return list(dict.fromkeys(names))  # with 1 or 10, one is there already


class CocoEvaluator:
    """Compares predictions with the records of a data set; knows no model and reads no files.

    Args:
        data: the labelled images. Crowd objects count as ignore regions.
        max_dets: the surest detections of an image and class that count; ``AR100`` is named by it.

    Raises:
        ValueError: two records share an image id.
    """

    def __init__(self, data: RecordSet, max_dets: int = MOST_DETECTIONS) -> None:
        self.data = data
        self.max_dets = max_dets
        self.numbers = {record.image_id: n for n, record in enumerate(data.images)}
        if len(self.numbers) < len(data.images):
            raise ValueError("image ids are not unique")
        self.objects = [objects_of(record) for record in data.images]
        self.reset()

    def reset(self) -> None:
        """Forget all predictions."""
        self._matched: dict[int, dict[str, ImageMatches]] = {}

    def process(self, image_id: int, prediction: Prediction) -> None:
        """Take the predictions of one image.

        Raises:
            ValueError: the image is not in the data set or was processed already, or a label is
                none of its classes.
        """
        if image_id not in self.numbers:
            raise ValueError(f"image {image_id} is not in the evaluated data set")
        number = self.numbers[image_id]
        if number in self._matched:
            raise ValueError(f"image {image_id} was evaluated already; call reset() in between")
        labels = prediction["labels"]
        if len(labels) and not 1 <= labels.min() <= labels.max() <= len(self.data.classes):
            raise ValueError(
                f"image {image_id}: label {int(labels.max())} is predicted, the data has "
                f"{len(self.data.classes)} classes, counted from 1"
            )
        self._matched[number] = match_image(self.objects[number], prediction, self.max_dets)

    def matches(self) -> dict[str, Matches]:
        """The matches of all images, by IoU type. Images that were not processed count as images
        in which nothing was found."""
        return {
            kind: join(
                self.data,
                self.objects,
                {n: of_image[kind] for n, of_image in self._matched.items()},
            )
            for kind in IOU_TYPES
        }

    def evaluate(self) -> Metrics:
        """``metrics_of`` the matches."""
        return metrics_of(self.matches(), self.data.classes, self.max_dets)


def metrics_of(
    matches: dict[str, Matches], classes: tuple[str, ...], max_dets: int = MOST_DETECTIONS
) -> Metrics:
    """All numbers by name. What is undefined (no object of that size or class) is absent.

    ``bbox/AP`` ... ``segm/ARl`` over all classes, ``segm/VOC_AP50``, then ``segm/AP/<class>`` and
    ``segm/AP50/<class>``, likewise for boxes.
    """
    numbers: dict[str, Any] = {}
    for kind, of_kind in matches.items():
        precision = average_precision(of_kind, max_dets=max_dets)[0]
        numbers |= {
            f"{kind}/{name}": value for name, value in _overall(of_kind, precision, max_dets)
        }
        for index, name in enumerate(classes):
            numbers[f"{kind}/AP/{name}"] = mean_of_defined(precision[:, index], 0)
            numbers[f"{kind}/AP50/{name}"] = precision[IOU_50, index]
    if "segm" in matches:
        numbers[VOC_AP50] = voc_ap50(matches["segm"])
    return {name: float(value) for name, value in numbers.items() if not np.isnan(value)}


def _overall(
    matches: Matches, precision: np.ndarray, max_dets: int
) -> list[tuple[str, np.ndarray]]:
    """COCO's twelve numbers; ``precision`` is that of all sizes, (T, K)."""
    both = (0, 1)
    sizes = {
        size: average_precision(matches, area=size, max_dets=max_dets) for size in ("s", "m", "l")
    }
    recalls = {
        f"AR{count}": average_recall(matches, max_dets=count) for count in (1, 10, max_dets)
    } | {
        f"AR{size}": average_recall(matches, area=size, max_dets=max_dets) for size in sizes
    }  # fmt: skip
    return [
        ("AP", mean_of_defined(precision, both)),
        ("AP50", mean_of_defined(precision[IOU_50], 0)),
        ("AP75", mean_of_defined(precision[IOU_75], 0)),
        *((f"AP{size}", mean_of_defined(table[0], both)) for size, table in sizes.items()),
        *((name, mean_of_defined(table[0], both)) for name, table in recalls.items()),
    ]
