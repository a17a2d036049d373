"""From which score on a detection counts: a threshold per class, chosen on labelled images, and
what it costs in false detections and missed objects.

A threshold lies midway between the lowest score it keeps and the next one below, so that rounding
and the number format move no detection across it. Detections of equal score stay together. Below
the lowest score lies ``SCORE_FLOOR``, above the highest 1. A detection is right if COCO's matching
gives it an object at IoU 0.5; detections on crowds count neither way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from nets.weights_file import WeightsFile
from utils.data.records import DataError
from utils.evaluation.coco_parameters import ALL, IOU_50
from utils.evaluation.matches import Matches
from utils.evaluation.threshold_rule import in_words, parse_rule

SCORE_FLOOR = 0.05  # torchvision's box_score_thresh: validation sees no detections below
SCORE_CEILING = 1.001  # midway to it lies above a score of 1
DEFAULT = WeightsFile.score_threshold
UNDEFINED = "-"


class Cost(NamedTuple):
    """What a threshold comes to: objects found, false detections, objects missed."""

    found: int
    false: int
    missed: int

    @property
    def precision(self) -> float | None:
        """The share of the detections that are right; None without detections."""
        return _share(self.found, self.found + self.false)

    @property
    def recall(self) -> float | None:
        """The share of the objects that are found; None without objects."""
        return _share(self.found, self.found + self.missed)

    @property
    def f1(self) -> float | None:
        """The harmonic mean of both; None without detections and objects."""
        return _share(2 * self.found, 2 * self.found + self.false + self.missed)


class ScoreCurve(NamedTuple):
    """One class at each of its S thresholds, the highest first; float64 (S,) all."""

    threshold: np.ndarray
    precision: np.ndarray
    recall: np.ndarray  # NaN without objects
    f1: np.ndarray


@dataclass(frozen=True)
class OperatingPoint:
    """The thresholds that a rule chose, by class in label order, and their costs on the images they
    were chosen on. ``notes`` say of a class why the rule could not be kept."""

    rule: str
    thresholds: dict[str, float]
    costs: dict[str, Cost]
    notes: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values in label order, as a weights file holds them: its classes may get other
        names."""
        return {
            "rule": self.rule,
            "thresholds": list(self.thresholds.values()),
            "costs": [cost._asdict() for cost in self.costs.values()],
            "notes": [self.notes.get(name, "") for name in self.thresholds],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], classes: Sequence[str]) -> OperatingPoint:
        """What ``to_dict`` made plain, for classes of these names."""
        costs = [Cost(**cost) for cost in values["costs"]]
        notes = zip(classes, values["notes"], strict=True)
        return cls(
            values["rule"],
            dict(zip(classes, values["thresholds"], strict=True)),
            dict(zip(classes, costs, strict=True)),
            {name: note for name, note in notes if note},
        )

    def where_chosen(self, other: OperatingPoint) -> OperatingPoint:
        """This one, but for classes that the rule could not be kept for: they keep the thresholds
        of another one.

        Raises:
            DataError: it could be kept for none.
        """
        if self.notes.keys() >= self.thresholds.keys():
            raise DataError(
                f"{in_words(self.rule)} cannot be had for any class on these images, so no score "
                "threshold is stored; choose another rule, or images with all classes"
            )
        thresholds = {
            name: other.thresholds[name] if name in self.notes else threshold
            for name, threshold in self.thresholds.items()
        }
        return replace(self, thresholds=thresholds)


def stored_point(weights: WeightsFile) -> OperatingPoint:
    """The score thresholds of a weights file; of one that has none, its one for all classes."""
    if weights.operating_point:
        return OperatingPoint.from_dict(weights.operating_point, weights.classes)
    thresholds = dict(zip(weights.classes, weights.thresholds, strict=True))
    return OperatingPoint(f"{weights.score_threshold:g} for all classes", thresholds, {}, {})


def choose(
    matches: Matches, classes: Sequence[str], rule: str = "f1", empty: np.ndarray | None = None
) -> OperatingPoint:
    """A threshold for each class.

    ========================  ====================================================================
    ``f1``                    the highest F1
    ``recall=0.95``           the highest threshold with this recall, else the lowest there is
    ``precision=0.9``         of those with at least this precision, the one with the most recall
    ``false-alarms=0.1``      the lowest threshold with at most so many false detections of the
                              class per image that holds no object; one above all scores if no
                              other has so few
    ========================  ====================================================================

    Of equally good thresholds the highest is taken; where nothing can be chosen, ``DEFAULT``.

    Args:
        matches: of masks, as a rule; the thresholds are those of the images in it.
        classes: names in label order.
        empty: bool (N,), the images that hold no object, not even a crowd. Matches do not tell;
            ``false-alarms`` needs it.

    Raises:
        ValueError: no such rule, or ``false-alarms`` without ``empty``.
    """
    kind, wish = parse_rule(rule)
    if kind == "false-alarms" and empty is None:
        raise ValueError(f"{rule} needs to know which images are empty")
    thresholds, notes = {}, {}
    for label, name in enumerate(classes, start=1):
        if kind != "false-alarms" and not matches.objects[ALL, :, label - 1].any():
            threshold, note = DEFAULT, f"there is no object to choose by; {DEFAULT} is taken"
        elif not len(_counted(matches, label)[0]):
            threshold, note = DEFAULT, f"nothing is detected; {DEFAULT} is taken"
        elif kind == "false-alarms":
            threshold, note = _with_few_alarms(matches, label, wish, np.asarray(empty))
        else:
            threshold, note = _on_curve(matches, label, kind, wish)
        thresholds[name] = float(threshold)
        if note:
            notes[name] = note
    return OperatingPoint(rule, thresholds, costs_at(matches, classes, thresholds), notes)


def score_curve(matches: Matches, label: int) -> ScoreCurve:
    """Precision, recall and F1 of a class over all thresholds at which they change."""
    score, right, _ = _counted(matches, label)
    objects = matches.objects[ALL, :, label - 1].sum()
    last = np.flatnonzero(np.diff(score, append=-1))  # the last of equal scores
    found, kept, level = np.cumsum(right)[last], last + 1, score[last]
    floor = SCORE_FLOOR if score.min(initial=1.0) > SCORE_FLOOR else 0.0
    threshold = (level + np.append(level[1:], floor)) / 2 if len(level) else level
    recall = found / objects if objects else np.full(len(last), np.nan)
    return ScoreCurve(threshold, found / kept, recall, 2 * found / (objects + kept))


def costs_at(
    matches: Matches, classes: Sequence[str], thresholds: Mapping[str, float]
) -> dict[str, Cost]:
    """What given thresholds, by class, come to on these images."""
    return {
        name: _cost(matches, label, thresholds[name]) for label, name in enumerate(classes, start=1)
    }


def cost_table(thresholds: Mapping[str, float], costs: Mapping[str, Cost]) -> str:
    """A row per class and, of several classes, one of their sums; ``-`` where undefined."""
    rows = [(name, f"{thresholds[name]:.2f}", cost) for name, cost in costs.items()]
    if len(costs) > 1:
        total = Cost(*(sum(numbers) for numbers in zip(*costs.values(), strict=True)))
        rows.append(("total", "", total))
    width = max((len(name) for name, _, _ in rows), default=0)
    lines = [f"{'':{width}}  threshold   found   false  not found  precision  recall     F1"]
    for name, threshold, cost in rows:
        shares = (cost.precision, cost.recall, cost.f1)
        shown = [UNDEFINED if share is None else f"{share:.3f}" for share in shares]
        lines.append(
            f"{name:{width}}  {threshold:>9}  {cost.found:6}  {cost.false:6}  {cost.missed:9}"
            f"  {shown[0]:>9}  {shown[1]:>6}  {shown[2]:>5}"
        )
    return "\n".join(lines)


def _on_curve(matches: Matches, label: int, kind: str, wish: float) -> tuple[float, str]:
    """The threshold by a rule that the curve answers, and a note if it does not."""
    curve = score_curve(matches, label)
    if kind == "f1":
        if not curve.f1.any():
            return DEFAULT, f"no detection is right; {DEFAULT} is taken"
        return curve.threshold[curve.f1.argmax()], ""
    if kind == "recall":
        if curve.recall[-1] >= wish:
            return curve.threshold[(curve.recall >= wish).argmax()], ""
        lowest = curve.threshold[-1]
        cost = _cost(matches, label, lowest)
        reached = f"{cost.found} of {cost.found + cost.missed} objects are found at most"
        return lowest, f"recall {wish:g} is not reached, {reached}; the lowest threshold is taken"
    enough = curve.precision >= wish
    if enough.any():
        return curve.threshold[np.where(enough, curve.recall, -1).argmax()], ""
    cost = _cost(matches, label, curve.threshold[curve.precision.argmax()])
    reached = f"{cost.found} of {cost.found + cost.false} detections are right at best"
    return DEFAULT, f"precision {wish:g} is not reached, {reached}; {DEFAULT} is taken"


def _with_few_alarms(
    matches: Matches, label: int, wish: float, empty: np.ndarray
) -> tuple[float, str]:
    """The lowest threshold with at most ``wish`` false detections per empty image, and a note."""
    score, _, image = _counted(matches, label)
    if not empty.any():
        return DEFAULT, f"every image holds objects; {DEFAULT} is taken"
    thresholds = score_curve(matches, label).threshold
    alarms = np.sort(score[empty[image]])
    per_image = (len(alarms) - np.searchsorted(alarms, thresholds)) / empty.sum()
    few = np.flatnonzero(per_image <= wish)
    if len(few):
        return thresholds[few[-1]], ""
    limit = f"more than {wish:g} false alarms per image without objects"
    return (score[0] + SCORE_CEILING) / 2, f"even the surest score gives {limit}; none is kept"


def _counted(matches: Matches, label: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score, whether it is right, and image of the detections of a class that count, (C,) each, by
    falling score."""
    counted = (matches.label == label) & ~matches.ignored[ALL, IOU_50]
    chosen = np.flatnonzero(counted)
    chosen = chosen[np.argsort(-matches.score[chosen], kind="stable")]
    return matches.score[chosen], matches.matched[ALL, IOU_50, chosen], matches.image[chosen]


def _cost(matches: Matches, label: int, threshold: float) -> Cost:
    score, right, _ = _counted(matches, label)
    right = right[score >= threshold]
    found = int(right.sum())
    return Cost(found, len(right) - found, int(matches.objects[ALL, :, label - 1].sum()) - found)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
