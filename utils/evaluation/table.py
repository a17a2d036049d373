"""What is known about a model's finds as text for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from utils.evaluation.assessment import Assessment
from utils.evaluation.coco_evaluator import VOC_AP50, Metrics, names_of
from utils.evaluation.coco_parameters import IOU_TYPES, MOST_DETECTIONS
from utils.evaluation.confusion import confusion_text
from utils.evaluation.error_counts import count_kinds, kinds_table
from utils.evaluation.intervals import FEWEST_IMAGES, Interval
from utils.evaluation.operating_point import cost_table
from utils.evaluation.threshold_rule import in_words

UNDEFINED = "-"


def describe(assessment: Assessment) -> str:
    """Every number that matters, most important first, in a page of text."""
    metrics, intervals = assessment.metrics, assessment.intervals
    classes, images = assessment.data.classes, len(assessment.data.images)
    parts = [metrics_table(metrics, classes, intervals, assessment.max_dets)]
    if "segm/AP" not in intervals and "bbox/AP" not in intervals:
        parts.append(f"no 95 % intervals: they take at least {FEWEST_IMAGES} images with objects")
    else:
        parts.append(f"in brackets: where the number lies for very many such images, at 95 %, as "
                     f"far as {images} images can tell")  # fmt: skip
    parts += undefined_lines(assessment.undefined)
    parts += [f"why an AP is 0: {reason}" for reason in assessment.zero_reasons]
    point = assessment.operating_point
    parts += ["", f"at IoU 0.5 and the score thresholds for {in_words(point.rule)}:"]
    parts.append(cost_table(point.thresholds, assessment.costs))
    parts += [f"{name}: {note}" for name, note in point.notes.items()]
    parts += ["", *_agreement_lines(assessment)]
    if assessment.confusion is not None:
        parts += ["", kinds_table(count_kinds(assessment.errors))]
        if len(classes) > 1:
            parts += ["", confusion_text(assessment.confusion, classes)]
    return "\n".join(parts).rstrip()


def metrics_table(
    metrics: Metrics,
    classes: Sequence[str],
    intervals: Mapping[str, Interval] = {},
    max_dets: int = MOST_DETECTIONS,
) -> str:
    """Boxes and masks side by side, overall and per class; ``-`` where a number is undefined."""
    names = [*names_of(max_dets), VOC_AP50.split("/")[1]]
    if len(classes) > 1:
        names += [f"{name}/{label}" for label in classes for name in ("AP", "AP50")]
    width = max(len(name) for name in names)
    across = 22 if intervals else 5
    lines = [f"{'':{width}}  {'boxes':<{across}}  masks"]
    for name in names:
        cells = [with_interval(f"{kind}/{name}", metrics, intervals) for kind in IOU_TYPES]
        lines.append(f"{name:{width}}  {cells[0]:<{across}}  {cells[1]}")
    return "\n".join(lines)


def undefined_lines(undefined: Mapping[str, str]) -> list[str]:
    """``-: no object is labelled (bbox/APs, segm/APs)``, a line for each reason."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in undefined.items():
        by_reason.setdefault(reason, []).append(name)
    return [f"{UNDEFINED}: {reason} ({', '.join(names)})" for reason, names in by_reason.items()]


def with_interval(name: str, metrics: Metrics, intervals: Mapping[str, Interval]) -> str:
    """``0.910 (0.892 to 0.924)``, without brackets if there is no interval, or ``-``."""
    if name not in metrics:
        return UNDEFINED
    text = f"{metrics[name]:.3f}"
    if name in intervals:
        text += f" ({intervals[name].low:.3f} to {intervals[name].high:.3f})"
    return text


def _agreement_lines(assessment: Assessment) -> list[str]:
    """Outlines, counts and areas of what was found, a line each."""
    metrics = assessment.metrics

    def shown(name: str) -> str:
        return with_interval(name, metrics, assessment.intervals)

    lines = []
    if "matched/IoU" in metrics:
        lines.append(
            f"outlines of found objects: IoU {shown('matched/IoU')}, Dice "
            f"{shown('matched/Dice')}, boundary IoU {shown('matched/BoundaryIoU')}"
        )
    if assessment.ceiling and "ceiling/IoU" in assessment.ceiling.metrics:
        best = assessment.ceiling.metrics
        lines.append(
            f"perfect 28x28 masks at this image size: IoU {best['ceiling/IoU']:.3f}, "
            f"boundary IoU {best['ceiling/BoundaryIoU']:.3f}, segm AP {best['ceiling/AP']:.3f}"
        )
    if "segm/Dice" in metrics:
        lines.append(f"pixels of a class, found against labelled: Dice {shown('segm/Dice')}")
    if "count/MAE" in metrics:
        lines.append(
            f"counts per image: {metrics['count/bias']:+.2f} in the mean, off by "
            f"{metrics['count/MAE']:.2f}, exact in {metrics['count/exact']:.0%} of images"
        )
    if "area/bias_percent" in metrics:
        lines.append(
            f"areas: {metrics['area/bias_percent']:+.1f} % in the mean, 95 % of them between "
            f"{metrics['area/low_percent']:+.1f} and {metrics['area/high_percent']:+.1f} %"
        )
    return lines
