"""Metrics as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from utils.evaluation.coco_evaluator import NAMES, Metrics

UNDEFINED = "-"


def metrics_table(metrics: Metrics, classes: Sequence[str]) -> str:
    """Boxes and masks side by side, overall and per class; ``-`` where a number is undefined."""
    names = [*NAMES]
    if len(classes) > 1:
        names += [f"{name}/{label}" for label in classes for name in ("AP", "AP50")]
    width = max(len(name) for name in names)
    lines = [f"{'':{width}}   bbox   segm"]
    for name in names:
        cells = [metrics.get(f"{kind}/{name}") for kind in ("bbox", "segm")]
        shown = [UNDEFINED if value is None else f"{value:.3f}" for value in cells]
        lines.append(f"{name:{width}}  {shown[0]:>5}  {shown[1]:>5}")
    if any(f"segm/{name}" not in metrics for name in names):
        lines.append(f"{UNDEFINED}: undefined, the labels hold no object of that size or class")
    return "\n".join(lines)
