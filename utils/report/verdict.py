"""What the numbers of a model come to, in a few sentences, the most important first.

Each sentence is a function of plain numbers. The limits in it are rules of thumb: they say what is
worth a look, not what is significant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from utils.evaluation.assessment import Assessment
from utils.evaluation.error_counts import Counts, count_kinds
from utils.evaluation.intervals import Interval
from utils.evaluation.operating_point import Cost
from utils.report.run_record import RunRecord
from utils.report.score_charts import total_cost

MANY = 50  # of which a share is told, too
MOST_SENTENCES = 7
MOST_LIMITS = 3
GRADES = {0.95: "Very good", 0.85: "Good", 0.7: "Usable", 0.4: "Weak", 0.0: "Poor"}  # by F1
CERTAINTY = {0.05: "Sure", 0.15: "Fairly sure", math.inf: "Unsure"}  # by the interval's width
SMOOTHED, LEAST_EPOCHS = 3, 4
LEAST_RISE = 0.03  # of the validation loss, as a share of its least
LEAST_GAIN = 0.01  # of AP
LEAST_SHARE = 0.1  # of all errors, below which a kind does not limit anything
SMALL_SIDES = (16, 32)
NEAR_CEILING = 0.03  # of IoU

# What the network did, and what to try, by kind of error. Flags are those of train.py.
OF_OBJECTS = {
    "missed": ("are missed altogether", "train longer, or label more images with such objects"),
    "wrong class": (
        "are found as another class",
        "see the confusion matrix; label more of the classes that are mixed up, and try "
        "--balance-classes if one is rare",
    ),
    "merged": (
        "are merged with a neighbour",
        "more training images with touching objects, or a larger --min-size",
    ),
    "split": (
        "are found in parts only",
        "label more such objects, and try --augment strong, which varies their size",
    ),
    "poor outline": (
        "are found with an outline too poor to count",
        "check that the labels' outlines are exact (python -m tools.check), or train longer",
    ),
}
OF_DETECTIONS = {
    "background": (
        "are of nothing that is labelled",
        "look whether the labels miss objects; if not, add images of what is mistaken",
    ),
    "duplicate": (
        "are second ones of the same object",
        "train longer, or choose fewer with test.py --operating-point precision=0.9 --store",
    ),
}


class Sizes(NamedTuple):
    """Objects that were not found: how many there are, and how many under 16 and 32 px."""

    missed: int
    under_16: int
    under_32: int


def verdict(assessment: Assessment, run: RunRecord | None) -> list[str]:
    """At most seven sentences about a model."""
    cost, images = total_cost(assessment.costs), len(assessment.data.images)
    if cost.recall is None:
        return [quality(cost, None)]
    if not any(len(found["scores"]) for found in assessment.predictions.values()):
        return [nothing_found(images), *assessment.zero_reasons]
    kind = "segm" if "segm" in assessment.matches else "bbox"
    ap = assessment.metrics.get(f"{kind}/AP")
    of_ap = assessment.intervals.get(f"{kind}/AP")
    sentences = [quality(cost, ap, kind), *assessment.zero_reasons]
    sentences.append(certainty(of_ap, images))
    if run:
        sentences += [
            overfitting(run.column("train/loss"), run.column("val/loss"), run.epoch_numbers),
            still_improving(run.column(f"{kind}/AP")),
        ]
    counts = count_kinds(assessment.errors)
    sentences += limits(counts.objects, counts.detections, missed_sizes(assessment))
    if assessment.ceiling:
        highest = assessment.ceiling.metrics.get("ceiling/IoU")
        sentences.append(outline_limit(assessment.metrics.get("matched/IoU"), highest))
    return [sentence for sentence in sentences if sentence][:MOST_SENTENCES]


def nothing_found(images: int) -> str:
    """For a model that detects nothing at all."""
    return (
        f"Nothing was found in any of the {images} images, not even with a low score: the network "
        "has not learned yet. Train longer, or look at train_batch0.jpg whether the labels are "
        "right; with --weights none much longer."
    )


def quality(cost: Cost, ap: float | None, kind: str = "segm") -> str:
    """How good the detections above the score threshold are."""
    if cost.f1 is None:
        return "Nothing is labelled and nothing was found, so there is nothing to judge."
    if cost.recall is None:
        return f"No object is labelled; {cost.false} detections are false alarms."
    objects, made = cost.found + cost.missed, cost.found + cost.false
    grade = next(word for least, word in GRADES.items() if cost.f1 >= least)
    wrong = f"; {_of_all(cost.false, made, 'detections')} are wrong" if made else ""
    text = f"{grade}: it finds {_of_all(cost.found, objects, 'objects')}{wrong}"
    of = "masks" if kind == "segm" else "boxes"
    return f"{text}. AP of {of} is {ap:.2f}." if ap is not None else f"{text}."


def certainty(interval: Interval | None, images: int) -> str:
    """How far AP can be trusted."""
    if interval is None:
        return f"How sure that is cannot be said with {images} image(s); test on more."
    width = interval.high - interval.low
    word = next(word for most, word in CERTAINTY.items() if width <= most)
    more = "; four times as many would halve that range" if word != "Sure" else ""
    return (
        f"{word}: over very many such images AP would lie between {interval.low:.2f} and "
        f"{interval.high:.2f} (95 %), as far as {images} images can tell{more}."
    )


def overfitting(train: Sequence[float], val: Sequence[float], epochs: Sequence[float]) -> str:
    """Whether the validation loss went up while the training loss still went down.

    Both are averaged over three epochs. The rise since the least must be above 3 %, and above how
    much the single epochs scatter about their average.
    """
    if len(val) < LEAST_EPOCHS or not np.isfinite([*train, *val]).all():
        return ""
    smooth_train, smooth_val = _smoothed(train), _smoothed(val)
    least = int(smooth_val.argmin())
    rise = smooth_val[-1] - smooth_val[least]
    scatter = float(np.std(np.asarray(val)[1:-1] - smooth_val))
    if rise <= max(LEAST_RISE * smooth_val[least], scatter):
        return ""
    if val[-2] <= smooth_val[least] * (1 + LEAST_RISE):  # only the last epoch is high
        return ""
    if smooth_train[-1] >= smooth_train[least]:
        return ""
    since = epochs[least + int(np.argmin(val[least : least + SMOOTHED]))]
    return (
        f"Overfitting since epoch {since:.0f}: the validation loss rises while the training loss "
        f"falls. best.pth is of the epoch with the highest AP; more images, --augment strong or "
        "fewer --epochs help."
    )


def still_improving(ap: Sequence[float]) -> str:
    """Whether AP, averaged over three epochs, still rose, and the last epoch is the best one."""
    if len(ap) < LEAST_EPOCHS or not np.isfinite(ap).all():
        return ""
    smooth = _smoothed(ap)
    gains = smooth[-1] - smooth[-2], ap[-1] - ap[-2]
    if min(gains) <= LEAST_GAIN or ap[-1] < max(ap):
        return ""
    last = ", ".join(f"{value:.2f}" for value in ap[-SMOOTHED:])
    return (
        f"AP still rose when the training ended ({last} in the last epochs): train longer "
        f"(--epochs {2 * len(ap)})."
    )


def limits(objects: Counts, detections: Counts, sizes: Sizes) -> list[str]:
    """What most of the errors are, with what to try, the most frequent first."""
    rows: list[tuple[int, str]] = []
    total = sum(of["all"] for kind, of in objects.items() if kind != "ignored")
    made = sum(of["all"] for kind, of in detections.items() if kind != "ignored")
    found, correct = objects["found"]["all"], detections["correct"]["all"]
    errors = (total - found) + (made - correct)
    under = dict(zip(SMALL_SIDES, sizes[1:], strict=True))
    small = next((side for side, count in under.items() if 2 * count > sizes.missed), 0)
    if small:
        of_size = under[small]
        text = (
            f"{of_size} of the {sizes.missed} objects that are not found are smaller than "
            f"{small} x {small} px: try a larger --min-size with --max-size, and --anchors auto."
        )
        rows.append((of_size, text))
    for kind, (what, advice) in OF_OBJECTS.items():
        if kind != "missed" or not small:
            text = f"{objects[kind]['all']} of {total} objects {what}: {advice}."
            rows.append((objects[kind]["all"], text))
    for kind, (what, advice) in OF_DETECTIONS.items():
        text = f"{detections[kind]['all']} of {made} detections {what}: {advice}."
        rows.append((detections[kind]["all"], text))
    rows = [row for row in rows if row[0] and row[0] >= LEAST_SHARE * errors]
    return [text for _, text in sorted(rows, key=lambda row: -row[0])][:MOST_LIMITS]


def outline_limit(matched: float | None, ceiling: float | None) -> str:
    """Whether the outlines of what is found could be better with this network."""
    if matched is None or ceiling is None:
        return ""
    if ceiling - matched <= NEAR_CEILING:
        return (
            f"The outlines are as exact as masks of 28 x 28 allow (IoU {matched:.2f}, at most "
            f"{ceiling:.2f}): more training will not sharpen them."
        )
    return (
        f"The outlines of what is found could be sharper (IoU {matched:.2f}, masks of 28 x 28 "
        f"allow {ceiling:.2f}): train longer, or make the labels' outlines more exact."
    )


def missed_sizes(assessment: Assessment) -> Sizes:
    """How large the objects are that are not found."""
    areas = [
        one.area
        for of_image in assessment.errors
        for one in of_image.objects
        if one.kind not in ("found", "ignored")
    ]
    under = [sum(area < side**2 for area in areas) for side in SMALL_SIDES]
    return Sizes(len(areas), *under)


def _smoothed(values: Sequence[float]) -> np.ndarray:
    return np.convolve(values, np.ones(SMOOTHED) / SMOOTHED, "valid")


def _of_all(part: int, whole: int, what: str) -> str:
    """``138 of 148 objects (93 %)``; of few without the share. 100 % is all, 0 % is none."""
    text = f"{part} of {whole} {what}"
    if whole < MANY:
        return text
    share = min(max(round(100 * part / whole), int(part > 0)), 100 - int(part < whole))
    return f"{text} ({share} %)"
