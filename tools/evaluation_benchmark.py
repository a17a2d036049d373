"""The evaluation of a data set, torchvision's way and ours, on the same drawn detections.

The reference is torchvision's recipe: full-size masks from ``paste_masks_in_image``, encoded by
pycocotools, judged by its ``COCOeval`` for boxes and for masks. Both must give the same numbers.
"""

from __future__ import annotations

import contextlib
import io
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image

from nets.contract import Prediction
from nets.mask_paste import paste_masks
from utils.data.outlines import ellipse, measure
from utils.data.records import ImageRecord, Instance, RecordSet, to_rle
from utils.evaluation.coco_evaluator import CocoEvaluator

HEIGHT, WIDTH, MASK_SIDE = 480, 640, 28
OBJECTS, SMALLEST, LARGEST = 7, 12, 350  # in an image, on average; their sides in pixels
CROWDS, GOOD = 0.03, 0.4  # share of the objects; share of the detections that lie on an object
NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
Metrics = dict[str, float]
Masks = list[dict[str, Any]]


class Heads(NamedTuple):
    """What the network's heads give for one image, best first."""

    boxes: Tensor  # float32 (D, 4) xyxy
    labels: Tensor  # int64 (D,)
    scores: Tensor  # float32 (D,)
    masks: Tensor  # float32 (D, 1, 28, 28), probabilities


def compare(images: int, detections: int, classes: int, rounds: int) -> list[dict[str, Any]]:
    """Seconds from the same outputs of the heads to all numbers, and in the last result the largest
    ``difference`` of one of these.

    Masks are pasted in ``rounds`` blocks of images, the two taking turns, then AP is computed over
    all images.
    """
    rng = np.random.default_rng(0)
    records = tuple(drawn_record(rng, number, classes) for number in range(1, images + 1))
    names = tuple(f"class {label}" for label in range(1, classes + 1))
    data = RecordSet(Path(), "drawn", names, records)
    ways = {"reference_s": (reference_masks, reference_metrics), "ours_s": (our_masks, our_metrics)}
    predictions: dict[str, list[Prediction]] = {key: [] for key in ways}
    pasting, judging, metrics = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0.0), {}
    for block in np.array_split(np.arange(images), min(rounds, images)):
        found = [drawn_detections(rng, records[number], detections, classes) for number in block]
        for key, (masks_of, _) in ways.items():
            start = time.perf_counter()
            masks = [masks_of(heads) for heads in found]
            pasting[key] += time.perf_counter() - start
            predictions[key] += [
                Prediction(boxes=heads.boxes, labels=heads.labels, scores=heads.scores, masks=rles)
                for heads, rles in zip(found, masks, strict=True)
            ]
    for key, (_, metrics_of) in ways.items():
        start = time.perf_counter()
        metrics[key] = metrics_of(data, predictions[key])
        judging[key] = time.perf_counter() - start
    parts = {
        "evaluate: masks pasted and encoded": pasting,
        "evaluate: AP of boxes and masks": judging,
        "evaluate: both": {key: pasting[key] + judging[key] for key in ways},
    }
    results: list[dict[str, Any]] = [
        {"name": name, **seconds, "ratio": seconds["reference_s"] / seconds["ours_s"]}
        for name, seconds in parts.items()
    ]
    results[-1]["difference"] = max_difference(metrics["reference_s"], metrics["ours_s"])
    return results


def drawn_record(rng: np.random.Generator, image_id: int, classes: int) -> ImageRecord:
    """An image with some ellipses of any class, which may overlap and leave the image."""
    instances: list[Instance] = []
    for _ in range(rng.poisson(OBJECTS)):
        rx, ry = np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST), 2)) / 2
        outline = ellipse(rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), rx, ry)
        instance = measure([outline], (WIDTH, HEIGHT), "drawn")
        if instance and rng.random() < CROWDS:
            rle = to_rle(instance.segmentation, HEIGHT, WIDTH)
            instance = replace(instance, segmentation=rle, iscrowd=1)
        if instance:
            instances.append(replace(instance, label=int(rng.integers(1, classes + 1))))
    return ImageRecord(image_id, Path(f"{image_id}.png"), WIDTH, HEIGHT, tuple(instances))


def drawn_detections(
    rng: np.random.Generator, record: ImageRecord, detections: int, classes: int
) -> Heads:
    """Outputs of the heads: some near an object of the image, with ellipses as masks; many equal
    scores."""
    sides = np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST), (detections, 2)))
    corners = rng.uniform(-sides / 2, [WIDTH, HEIGHT] - sides / 2)
    boxes = np.concatenate([corners, corners + sides], axis=1)
    labels = rng.integers(1, classes + 1, detections)
    scores = rng.beta(1, 4, detections)
    for n in np.flatnonzero(rng.random(detections) < GOOD) if record.instances else ():
        target = record.instances[rng.integers(len(record.instances))]
        x, y, width, height = target.bbox
        shake = rng.normal(0, 0.06, 4) * [width, height, width, height]
        boxes[n] = np.array([x, y, x + width, y + height]) + shake
        labels[n], scores[n] = target.label, rng.beta(4, 2)
    boxes = boxes.clip(0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
    ticks = (np.arange(MASK_SIDE) + 0.5) / MASK_SIDE * 2 - 1
    radius = np.hypot(ticks[:, None], ticks) + rng.normal(0, 0.05, (detections, *[MASK_SIDE] * 2))
    masks = 1 / (1 + np.exp(10 * (radius - 1)))
    scores = scores.round(2)
    order = np.argsort(-scores, kind="stable")
    return Heads(
        torch.from_numpy(boxes[order]).float(),
        torch.from_numpy(labels[order]),
        torch.from_numpy(scores[order]).float(),
        torch.from_numpy(masks[order]).float()[:, None],
    )


def reference_masks(heads: Heads) -> Masks:
    """Full-size masks, encoded one by one."""
    pasted = paste_masks_in_image(heads.masks, heads.boxes, (HEIGHT, WIDTH)) >= 0.5
    rles = [coco_mask.encode(np.array(mask[0], np.uint8, order="F")) for mask in pasted.numpy()]
    return [{**rle, "counts": rle["counts"].decode("ascii")} for rle in rles]


def our_masks(heads: Heads) -> Masks:
    return paste_masks(heads.masks, heads.boxes, HEIGHT, WIDTH)


def reference_metrics(data: RecordSet, predictions: list[Prediction]) -> Metrics:
    """COCOeval's twelve numbers and the AP of each class, of boxes and of masks; -1: undefined."""
    metrics: Metrics = {}
    with contextlib.redirect_stdout(io.StringIO()):
        labelled = COCO()
        labelled.dataset = coco_dataset(data)
        labelled.createIndex()
        for kind in ("bbox", "segm"):
            found = labelled.loadRes(coco_results(data, predictions, kind))
            evaluation = COCOeval(labelled, found, kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            names = [f"{kind}/{name}" for name in NAMES]
            metrics.update(zip(names, evaluation.stats.tolist(), strict=True))
            for label, name in enumerate(data.classes):
                precision = evaluation.eval["precision"][:, :, label, 0, -1]
                metrics[f"{kind}/AP/{name}"] = float(precision.mean())
    return metrics


def our_metrics(data: RecordSet, predictions: list[Prediction]) -> Metrics:
    evaluator = CocoEvaluator(data)
    for record, prediction in zip(data.images, predictions, strict=True):
        evaluator.process(record.image_id, prediction)
    return evaluator.evaluate()


def coco_dataset(data: RecordSet) -> dict[str, Any]:
    """The labelled images as pycocotools takes them."""
    objects = [
        (record.image_id, instance) for record in data.images for instance in record.instances
    ]
    return {
        "images": [
            {"id": record.image_id, "width": record.width, "height": record.height}
            for record in data.images
        ],
        "categories": [{"id": n, "name": name} for n, name in enumerate(data.classes, start=1)],
        "annotations": [
            {
                "id": n,
                "image_id": image_id,
                "category_id": one.label,
                "bbox": list(one.bbox),
                "area": one.area,
                "iscrowd": one.iscrowd,
                "segmentation": one.segmentation,
            }
            for n, (image_id, one) in enumerate(objects, start=1)
        ],
    }


def coco_results(data: RecordSet, predictions: list[Prediction], kind: str) -> list[dict[str, Any]]:
    """The detections as pycocotools takes them, with boxes or with masks."""
    results = []
    for record, prediction in zip(data.images, predictions, strict=True):
        x1, y1, x2, y2 = prediction["boxes"].double().unbind(1)
        boxes = torch.stack([x1, y1, x2 - x1, y2 - y1], dim=1).tolist()
        shapes = boxes if kind == "bbox" else prediction["masks"]
        key = "bbox" if kind == "bbox" else "segmentation"
        results += [
            {"image_id": record.image_id, "category_id": label, "score": score, key: shape}
            for label, score, shape in zip(
                prediction["labels"].tolist(), prediction["scores"].tolist(), shapes, strict=True
            )
        ]
    return results


def max_difference(wanted: Metrics, found: Metrics) -> float:
    """The largest difference from the numbers wanted; undefined is -1 there and absent in ours."""
    return max(abs(value - found.get(name, -1.0)) for name, value in wanted.items())
