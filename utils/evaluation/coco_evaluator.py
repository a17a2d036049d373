"""COCO average precision of boxes and masks, exactly as pycocotools computes it.

    evaluator = CocoEvaluator(data)
    evaluator.process(record.image_id, prediction)     # for every image
    metrics = evaluator.evaluate()                      # {"segm/AP": 0.81, "segm/AP/person": ...}

Ground truth comes from the records, so no image is read again; predictions are held as run lengths.
faster-coco-eval computes the same numbers quicker and is used where it is installed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from nets.contract import Prediction
from utils.data.records import RecordSet, to_rle

IOU_TYPES = ("bbox", "segm")
# The twelve numbers of COCOeval.summarize(), in its order.
NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
ALL_AREAS, MOST_DETECTIONS, IOU_50 = 0, -1, 0  # indices into COCOeval's precision array
Metrics = dict[str, float]


class CocoEvaluator:
    """Compares predictions with the records of a data set; knows no model and reads no files.

    Args:
        data: the labelled images. Crowd objects count as ignore regions.
        backend: ``pycocotools``, ``faster-coco-eval``, or ``auto`` for the latter if installed.
    """

    def __init__(self, data: RecordSet, backend: str = "auto") -> None:
        self.data = data
        self.coco_class, self.eval_class = _backend(backend)
        self.ground_truth = self._index(ground_truth_dataset(data))
        self.image_ids = set(self.ground_truth.getImgIds())
        self.reset()

    def reset(self) -> None:
        """Forget all predictions."""
        self._results: list[dict[str, Any]] = []
        self._seen: set[int] = set()

    def process(self, image_id: int, prediction: Prediction) -> None:
        """Take the predictions of one image.

        Raises:
            ValueError: the image is not in the data set, or was processed already.
        """
        if image_id not in self.image_ids:
            raise ValueError(f"image {image_id} is not in the evaluated data set")
        if image_id in self._seen:
            raise ValueError(f"image {image_id} was evaluated already; call reset() in between")
        self._seen.add(image_id)
        self._results += coco_results(image_id, prediction)

    def evaluate(self) -> Metrics:
        """All numbers by name. What is undefined (no object of that size or class) is absent.

        ``bbox/AP`` ... ``segm/ARl`` over all classes, then ``segm/AP/<class>`` and
        ``segm/AP50/<class>``, likewise for boxes. Images that were not processed count as images
        in which nothing was found.
        """
        metrics: Metrics = {}
        for iou_type in IOU_TYPES:
            evaluation = self._run(iou_type)
            metrics.update(_named(iou_type, evaluation.stats))
            metrics.update(self._per_class(iou_type, evaluation.eval["precision"]))
        return metrics

    def _run(self, iou_type: str) -> COCOeval:
        annotations = [
            {**result, "id": n, "area": _area(result, iou_type), "iscrowd": 0}
            for n, result in enumerate(self._results, start=1)
        ]
        images_and_classes = {
            key: self.ground_truth.dataset[key] for key in ("images", "categories")
        }
        # Not loadRes(): it fails on an empty list.
        results = self._index({**images_and_classes, "annotations": annotations})
        with _quiet():
            evaluation = self.eval_class(self.ground_truth, results, iou_type)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return evaluation

    def _per_class(self, iou_type: str, precision: np.ndarray) -> Metrics:
        """AP and AP50 of each class, from precision [IoU, recall, class, area, detections]."""
        metrics: Metrics = {}
        for index, name in enumerate(self.data.classes):
            values = precision[:, :, index, ALL_AREAS, MOST_DETECTIONS]
            if (values > -1).any():
                metrics[f"{iou_type}/AP/{name}"] = float(values[values > -1].mean())
                at_50 = values[IOU_50]
                metrics[f"{iou_type}/AP50/{name}"] = float(at_50[at_50 > -1].mean())
        return metrics

    def _index(self, dataset: dict[str, Any]) -> COCO:
        with _quiet():
            coco = self.coco_class()
            coco.dataset = dataset
            coco.createIndex()
        return coco


def ground_truth_dataset(data: RecordSet) -> dict[str, Any]:
    """The records as a COCO data set; annotation ids count from 1 (id 0 would break the matching).

    Raises:
        ValueError: two records share an image id.
    """
    ids = [record.image_id for record in data.images]
    if len(set(ids)) != len(ids):
        raise ValueError("image ids are not unique")
    annotations: list[dict[str, Any]] = []
    for record in data.images:
        for instance in record.instances:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": record.image_id,
                    "category_id": instance.label,
                    "bbox": list(instance.bbox),
                    "area": instance.area,
                    "iscrowd": instance.iscrowd,
                    "segmentation": to_rle(instance.segmentation, record.height, record.width),
                }
            )
    return {
        "images": [
            {
                "id": record.image_id,
                "file_name": data.name_of(record),
                "width": record.width,
                "height": record.height,
            }
            for record in data.images
        ],
        "categories": categories(data.classes),
        "annotations": annotations,
    }


def categories(classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """COCO's category list for class names in label order."""
    return [{"id": label, "name": name} for label, name in enumerate(classes, start=1)]


def coco_results(image_id: int, prediction: Prediction) -> list[dict[str, Any]]:
    """One prediction as COCO results: plain values, boxes as x, y, width, height."""
    boxes = prediction["boxes"].tolist()
    labels, scores = prediction["labels"].tolist(), prediction["scores"].tolist()
    return [
        {
            "image_id": image_id,
            "category_id": label,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": score,
            "segmentation": mask,
        }
        for (x1, y1, x2, y2), label, score, mask in zip(
            boxes, labels, scores, prediction["masks"], strict=True
        )
    ]


def _named(iou_type: str, stats: np.ndarray) -> Metrics:
    named = zip(NAMES, np.asarray(stats).tolist(), strict=False)
    return {f"{iou_type}/{name}": float(value) for name, value in named if value > -1}


def _area(result: dict[str, Any], iou_type: str) -> float:
    """The area that COCO sorts a result by into small, medium and large."""
    if iou_type == "bbox":
        return result["bbox"][2] * result["bbox"][3]
    return float(coco_mask.area(result["segmentation"]))


def _backend(name: str) -> tuple[type, type]:
    if name not in ("auto", "pycocotools", "faster-coco-eval"):
        raise ValueError(f"no evaluation backend {name!r}")
    if name != "pycocotools":
        try:
            import faster_coco_eval as faster

            return faster.COCO, faster.COCOeval_faster
        except ImportError:
            if name == "faster-coco-eval":
                raise
    return COCO, COCOeval


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """COCO's classes print; nobody reads it."""
    with open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
        yield
