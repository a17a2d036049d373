"""Everything that is known about what a model found in labelled images.

    assessment = assess(data, predictions, "f1")
    assessment.metrics["segm/AP"], assessment.intervals["segm/AP"]

``test.py``, the end of a training and the report page show it; nothing here knows a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from nets.contract import Prediction, chosen
from utils.data.records import RecordSet
from utils.evaluation.agreement import area_agreement, area_sums, count_agreement, count_sums
from utils.evaluation.coco_evaluator import CocoEvaluator, Metrics, metrics_of
from utils.evaluation.coco_parameters import MOST_DETECTIONS
from utils.evaluation.confusion import confusion_matrix
from utils.evaluation.error_kinds import ImageErrors, sort_errors
from utils.evaluation.image_sums import ImageSums, means
from utils.evaluation.intervals import Interval, ap_intervals, interval
from utils.evaluation.mask_ceiling import Ceiling, mask_ceiling
from utils.evaluation.matches import Matches, surest
from utils.evaluation.operating_point import Cost, OperatingPoint, choose, costs_at
from utils.evaluation.outlines import ImageOutlines, image_outlines, outline_sums
from utils.evaluation.precision_recall import precision_recall_sums
from utils.evaluation.undefined import undefined_numbers
from utils.evaluation.zero_ap import why_zero

BOXES, MASKS = "bbox", "segm"


@dataclass(frozen=True)
class Assessment:
    """What a model found, against the labels.

    ``predictions`` are by image id, ``matches`` by IoU type. ``metrics`` are the numbers by name,
    ``intervals`` those of the headline numbers, ``undefined`` says of a headline number that is not
    there why. ``operating_point`` holds the score thresholds, and what they cost where they were
    chosen; ``costs`` is that on these images, by class. ``errors`` are in the order of the images,
    ``confusion`` is int64 (K + 1, K + 1). Predictions without masks have no errors and no ceiling.
    ``zero_reasons`` say why an AP is 0, where that can be known.
    """

    data: RecordSet
    predictions: Mapping[int, Prediction]
    max_dets: int
    matches: dict[str, Matches]
    metrics: Metrics
    intervals: dict[str, Interval]
    undefined: dict[str, str]
    operating_point: OperatingPoint
    costs: dict[str, Cost]
    errors: tuple[ImageErrors, ...]
    confusion: np.ndarray | None
    ceiling: Ceiling | None
    zero_reasons: list[str]


def assess(
    data: RecordSet,
    predictions: Mapping[int, Prediction],
    point: OperatingPoint | str = "f1",
    *,
    max_dets: int = MOST_DETECTIONS,
    input_size: tuple[int, int] | None = None,
    has_masks: bool = True,
) -> Assessment:
    """Compare predictions with labels in every way.

    Args:
        data: the labelled images, five at least for intervals.
        predictions: by image id; an image without one is one in which nothing was found.
        point: the score thresholds, or the rule to choose them by on these very images.
        max_dets: the surest detections of an image and class that count.
        input_size: the network's least and greatest side, for the ceiling of its masks.
        has_masks: whether the predictions have outlines, not boxes alone.
    """
    predictions = {
        n: surest(without(one, data.unlabelled), max_dets) for n, one in predictions.items()
    }
    evaluator = CocoEvaluator(data, max_dets)
    for image_id, prediction in predictions.items():
        evaluator.process(image_id, prediction)
    matches = evaluator.matches()
    if not has_masks:
        del matches[MASKS]
    of_kind = matches[MASKS if has_masks else BOXES]
    point = _chosen(point, of_kind, data) if isinstance(point, str) else point
    least = [point.thresholds[name] for name in data.classes]

    sums = precision_recall_sums(of_kind, least)
    metrics = metrics_of(matches, data.classes, max_dets) | means(sums)
    errors: tuple[ImageErrors, ...] = ()
    if has_masks:
        errors = tuple(
            sort_errors(record, predictions.get(record.image_id, NOTHING), np.array(least))
            for record in data.images
        )
        more, further = _of_errors(data, predictions, errors)
        sums |= more
        metrics |= further
    of_sums = {name: _interval(of_name) for name, of_name in sums.items() if name in metrics}
    intervals = ap_intervals(matches, data.classes, max_dets)
    intervals |= {name: found for name, found in of_sums.items() if found}
    ceiling = None
    if input_size and has_masks:
        ceiling = mask_ceiling(data, input_size, max_dets=max_dets)
    return Assessment(
        data=data,
        predictions=predictions,
        max_dets=max_dets,
        matches=matches,
        metrics=metrics,
        intervals=intervals,
        undefined=undefined_numbers(metrics, of_kind, data.classes, tuple(matches), max_dets),
        operating_point=point,
        costs=costs_at(of_kind, data.classes, point.thresholds),
        errors=errors,
        confusion=confusion_matrix(errors, data.classes) if has_masks else None,
        ceiling=ceiling,
        zero_reasons=why_zero(data, predictions, has_masks) if _is_zero(metrics) else [],
    )


NOTHING = Prediction(
    boxes=torch.zeros(0, 4),
    labels=torch.zeros(0, dtype=torch.int64),
    scores=torch.zeros(0),
    masks=[],
)


def without(prediction: Prediction, labels: frozenset[int]) -> Prediction:
    """A prediction but for the detections with some labels."""
    kept = [label not in labels for label in prediction["labels"].tolist()]
    return chosen(prediction, torch.tensor(kept, dtype=torch.bool))


def _of_errors(
    data: RecordSet, predictions: Mapping[int, Prediction], errors: tuple[ImageErrors, ...]
) -> tuple[dict[str, ImageSums], Metrics]:
    """Outlines, counts and areas of what is found; sums by image, and all numbers."""
    found = np.zeros((len(errors), len(data.classes)))
    objects = np.zeros_like(found)
    outlines: list[ImageOutlines] = []
    for number, (record, of_image) in enumerate(zip(data.images, errors, strict=True)):
        prediction = predictions.get(record.image_id, NOTHING)
        counted = np.zeros(len(prediction["labels"]), dtype=bool)
        pairs = []
        for verdict in of_image.detections:
            if verdict.kind != "ignored":
                found[number, verdict.label - 1] += 1
            counted[verdict.index] = True
            if verdict.kind == "correct" and verdict.other is not None:
                pairs.append((verdict.other, verdict.index))
        for instance in record.instances:
            objects[number, instance.label - 1] += not instance.iscrowd
        outlines.append(image_outlines(record, prediction, pairs, counted, len(data.classes)))
    sums = outline_sums(outlines, data.classes)
    counts = count_sums(found, objects, data.classes)
    image = np.repeat(np.arange(len(outlines)), [len(one.label) for one in outlines])
    label, true, predicted = (
        np.concatenate([getattr(one, name) for one in outlines] or [np.zeros(0, dtype=np.int64)])
        for name in ("label", "true_area", "found_area")
    )
    areas = area_sums(image, label, true, predicted, len(outlines), data.classes)
    numbers = (
        means(sums)
        | count_agreement(found, objects, data.classes)
        | area_agreement(label, true, predicted, data.classes)
    )
    return sums | counts | areas, numbers


def _interval(sums: ImageSums) -> Interval | None:
    bearing, value = int(np.count_nonzero(sums.counts)), float(sums.mean()[0])
    lowest, highest = sums.bounds or (value, value)
    return interval(sums.mean, len(sums.counts), bearing=bearing, lowest=lowest, highest=highest)


def _chosen(rule: str, matches: Matches, data: RecordSet) -> OperatingPoint:
    """The thresholds that a rule chooses on these images."""
    empty = np.array([not record.instances for record in data.images], dtype=bool)
    return choose(matches, data.classes, rule, empty)


def _is_zero(metrics: Metrics) -> bool:
    """Whether an average precision, or that of a class, is as good as 0."""
    return any(value < 0.005 for name, value in metrics.items() if name.split("/")[1] == "AP")
