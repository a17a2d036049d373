"""Which thresholds hold is told in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nets.weights_file import WeightsFile
from utils.evaluation.operating_point import Cost, OperatingPoint
from utils.prediction.threshold_text import MOST_NAMED, thresholds_in_words

ARCH = "maskrcnn_resnet18_fpn_small"


@pytest.fixture
def weights() -> WeightsFile:
    return WeightsFile(ARCH, 3, ("cat", "dog"), {}, score_threshold=0.3)


def stored(thresholds, rule="f1", notes=()) -> dict:
    """An operating point as a weights file holds it."""
    costs = dict.fromkeys(thresholds, Cost(0, 0, 0))
    return OperatingPoint(rule, thresholds, costs, dict.fromkeys(notes, "no")).to_dict()


@pytest.mark.parametrize(
    ("point", "given", "wanted"),
    [
        ({}, None, "score threshold 0.3 of the weights file"),
        ({}, 0.0, "score threshold 0 as given"),
        (stored({"cat": 0.617, "dog": 0.48}), 0.75, "score threshold 0.75 as given"),
        (stored({"cat": 0.617, "dog": 0.48}), None,
         "score thresholds of the weights file for best F1: cat 0.62, dog 0.48"),
        (stored({"cat": 0.5, "dog": 0.48}, "recall=0.95", ["cat"]), None,
         "score thresholds of the weights file for recall at least 0.95: cat 0.50, "
         "dog 0.48; not reached for cat"),
    ],
)  # fmt: skip
def test_it_is_told_which_thresholds_are_used_and_why(weights, point, given, wanted):
    assert thresholds_in_words(replace(weights, operating_point=point), given) == wanted


def test_many_classes_are_told_in_short():
    names = tuple(f"kind {n}" for n in range(80))
    thresholds = {name: 0.3 + (n * 7 % 80) / 250 for n, name in enumerate(names)}
    point = stored(thresholds, "precision=0.9", names[: MOST_NAMED + 1])
    weights = WeightsFile(ARCH, 81, names, {}, operating_point=point)
    assert thresholds_in_words(weights) == (
        "score thresholds of the weights file for precision at least 0.9: "
        "0.30 (kind 0) to 0.62 (kind 57) in 80 classes; not reached for 9 classes"
    )
