"""How many errors there are of each kind, as a table and in sentences.

counts = count_kinds(sort_errors(record, prediction, thresholds) for ...)
print(kinds_table(counts), *error_lines(counts), sep="\n")
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from utils.evaluation.error_kinds import DETECTION_KINDS, OBJECT_KINDS, ImageErrors

CLEARLY = 1.1  # how much more frequent than among all an error is in a size that is named
# COCO's sizes: the area in square pixels that each stays below.
SIZES = {"small": 32.0**2, "medium": 96.0**2, "large": np.inf}
SIZE_TEXTS = {
    "small": "under 32 x 32 px",
    "medium": "from 32 x 32 to 96 x 96 px",
    "large": "of 96 x 96 px or more",
}

Counts = dict[str, dict[str, int]]  # by kind, then by size: small, medium, large, all

_TEXTS = {
    ("objects", "wrong class"): "found as another class",
    ("objects", "split"): "found only in parts",
    ("objects", "merged"): "merged with a neighbour",
    ("objects", "poor outline"): "found with a poor outline (IoU under 0.5)",
    ("objects", "missed"): "missed",
    ("detections", "duplicate"): "on an object that has its detection already",
    ("detections", "wrong class"): "of the wrong class",
    ("detections", "split"): "on a part of an object",
    ("detections", "merged"): "on several objects at once",
    ("detections", "poor outline"): "outlined poorly (IoU under 0.5)",
    ("detections", "background"): "on no object",
}


class ErrorCounts(NamedTuple):
    """How many there are of each kind and size."""

    detections: Counts
    objects: Counts


def count_kinds(all_errors: Iterable[ImageErrors], label: int | None = None) -> ErrorCounts:
    """Count over images, of all classes or of one. Objects have their labelled area."""
    detections, objects = _zeros(DETECTION_KINDS), _zeros(OBJECT_KINDS)
    for errors in all_errors:
        for counts, verdicts in ((detections, errors.detections), (objects, errors.objects)):
            for verdict in verdicts:
                if label in (None, verdict.label):
                    counts[verdict.kind][size_of(verdict.area)] += 1
                    counts[verdict.kind]["all"] += 1
    return ErrorCounts(detections, objects)


def size_of(area: float) -> str:
    """COCO's size of an area in square pixels."""
    return next(name for name, limit in SIZES.items() if area < limit)


def kinds_table(counts: ErrorCounts) -> str:
    """Kinds by size for the terminal; kinds that do not occur are left out."""
    lines = []
    for title, of_kind in zip(("objects", "detections"), reversed(counts), strict=True):
        lines.append(f"{title:<14}" + "".join(f"{size:>8}" for size in (*SIZES, "all")))
        lines += [
            f"  {kind:<12}" + "".join(f"{number:>8}" for number in sizes.values())
            for kind, sizes in of_kind.items()
            if sizes["all"]
        ]
    return "\n".join(lines)


def error_lines(counts: ErrorCounts) -> list[str]:
    """One sentence for each kind of error that occurs, of objects first, the most frequent first.

    ``14 of 100 objects are missed; 12 of the 40 under 32 x 32 px``: the size is named that has most
    of them, if it has more than its share and more than one.
    """
    return [
        *_sentences(counts.objects, "objects", "found"),
        *_sentences(counts.detections, "detections", "correct"),
    ]


def _sentences(counts: Counts, what: str, right: str) -> list[str]:
    judged = [sizes for kind, sizes in counts.items() if kind != "ignored"]
    total = {size: sum(sizes[size] for sizes in judged) for size in (*SIZES, "all")}
    lines = []
    for kind, sizes in sorted(counts.items(), key=lambda item: -item[1]["all"]):
        if kind in (right, "ignored") or not sizes["all"]:
            continue
        verb = "is" if sizes["all"] == 1 else "are"
        line = f"{sizes['all']} of {total['all']} {what} {verb} {_TEXTS[what, kind]}"
        most = max(SIZES, key=lambda size: sizes[size])
        if sizes[most] > 1 and sizes[most] * total["all"] > CLEARLY * sizes["all"] * total[most]:
            line += f"; {sizes[most]} of the {total[most]} {SIZE_TEXTS[most]}"
        lines.append(line)
    return lines


def _zeros(kinds: Sequence[str]) -> Counts:
    return {kind: dict.fromkeys((*SIZES, "all"), 0) for kind in kinds}
