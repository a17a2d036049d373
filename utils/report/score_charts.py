"""From which score on a detection is believed, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from utils.evaluation.assessment import Assessment
from utils.evaluation.matches import Matches
from utils.evaluation.operating_point import Cost, ScoreCurve, score_curve
from utils.evaluation.threshold_rule import in_words
from utils.report.markup import charts, listed, number, paragraph, table
from utils.report.svg_charts import COLOURS, Axis, Mark, Series, line_chart

MOST_CLASSES = len(COLOURS)  # with charts of their own: those with the most objects
MOST_POINTS = 200  # of a line


def score_charts(assessment: Assessment) -> str:
    """Precision over recall, all three over the score, and the table of thresholds."""
    matches = assessment.matches.get("segm") or assessment.matches["bbox"]
    classes = assessment.data.classes
    curves = {label: score_curve(matches, label) for label in largest(matches)}
    curves = {label: curve for label, curve in curves.items() if len(curve.threshold)}
    drawn = []
    if curves:
        lines = [_precision_recall(classes[label - 1], curve) for label, curve in curves.items()]
        drawn.append(
            line_chart("Precision and recall at IoU 0.5", Axis("recall", 0, 1),
                       Axis("precision", 0, 1), lines)
        )  # fmt: skip
    point = assessment.operating_point
    drawn += [
        _threshold_chart(classes[label - 1], curve, point.thresholds[classes[label - 1]])
        for label, curve in curves.items()
    ]
    left_out = len(classes) - MOST_CLASSES
    more = f"{left_out} classes with fewer objects have no charts." if left_out > 0 else ""
    notes = [f"{name}: {note}" for name, note in point.notes.items()]
    return (
        paragraph(
            f"The score thresholds are chosen for {in_words(point.rule)}. A detection below the "
            "threshold of its class is not shown by predict.py and does not count here."
        )
        + cost_table(point.thresholds, assessment.costs)
        + listed(notes)
        + charts(drawn)
        + paragraph(more)
    )


def cost_table(thresholds: Mapping[str, float], costs: Mapping[str, Cost]) -> str:
    """What the thresholds come to on these images, in total and by class."""
    rows = [[name, f"{thresholds[name]:.2f}", *_cost_cells(cost)] for name, cost in costs.items()]
    if len(costs) > 1:
        rows.insert(0, ["all", "", *_cost_cells(total_cost(costs))])
    head = ("class", "score from", "found", "false", "not found", "precision", "recall", "F1")
    return table(head, rows)


def total_cost(costs: Mapping[str, Cost]) -> Cost:
    """The costs of all classes together."""
    return Cost(*(sum(numbers) for numbers in zip((0, 0, 0), *costs.values(), strict=True)))


def largest(matches: Matches) -> Sequence[int]:
    """The labels with the most objects, in label order; none without an object."""
    objects = matches.objects[0].sum(axis=0)
    order = np.argsort(-objects, kind="stable")[:MOST_CLASSES]
    return sorted(int(index) + 1 for index in order if objects[index])


def _cost_cells(cost: Cost) -> list[str]:
    counts = (cost.found, cost.false, cost.missed)
    return [*map(str, counts), *map(number, (cost.precision, cost.recall, cost.f1))]


def _precision_recall(name: str, curve: ScoreCurve) -> Series:
    shown = _thinned(len(curve.threshold))
    return Series(name, curve.recall[shown].tolist(), curve.precision[shown].tolist())


def _threshold_chart(name: str, curve: ScoreCurve, threshold: float) -> str:
    shown = _thinned(len(curve.threshold))[::-1]
    x = curve.threshold[shown].tolist()
    lines = [
        Series("precision", x, curve.precision[shown].tolist()),
        Series("recall", x, curve.recall[shown].tolist()),
        Series("F1", x, curve.f1[shown].tolist()),
    ]
    mark = Mark(f"threshold {threshold:.2f}", x=min(threshold, 1.0))
    return line_chart(
        f"{name}: by score threshold", Axis("score threshold", 0, 1), Axis("share", 0, 1), lines,
        [mark],
    )  # fmt: skip


def _thinned(count: int) -> np.ndarray:
    """At most ``MOST_POINTS`` of so many indices, with the first and the last."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_POINTS)).round().astype(int))
