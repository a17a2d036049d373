"""Which score thresholds hold, in words."""

from __future__ import annotations

from nets.weights_file import WeightsFile
from utils.evaluation.operating_point import OperatingPoint
from utils.evaluation.threshold_rule import in_words

MOST_NAMED = 8  # classes whose thresholds are told


def thresholds_in_words(weights: WeightsFile, score_threshold: float | None = None) -> str:
    """Which thresholds a ``Predictor`` of the same arguments has, and where they are from."""
    if score_threshold is not None:
        return f"score threshold {score_threshold:g} as given"
    if not weights.operating_point:
        return f"score threshold {weights.score_threshold:g} of the weights file"
    point = OperatingPoint.from_dict(weights.operating_point, weights.classes)
    shown = [f"{name} {threshold:.2f}" for name, threshold in point.thresholds.items()]
    unmet = list(point.notes)
    if len(shown) > MOST_NAMED:
        ends = [f(weights.classes, key=point.thresholds.__getitem__) for f in (min, max)]
        low, high = (f"{point.thresholds[name]:.2f} ({name})" for name in ends)
        shown = [f"{low} to {high} in {len(shown)} classes"]
    if len(unmet) > MOST_NAMED:
        unmet = [f"{len(unmet)} classes"]
    rule = in_words(point.rule)
    suffix = f"; not reached for {', '.join(unmet)}" if unmet else ""
    return f"score thresholds of the weights file for {rule}: {', '.join(shown)}{suffix}"
