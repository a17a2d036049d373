"""What goes wrong: classes mixed up, kinds of errors, and counts and areas that are off."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from utils.evaluation.assessment import Assessment
from utils.evaluation.error_counts import SIZES, Counts, count_kinds, error_lines
from utils.evaluation.error_kinds import DETECTION_KINDS, OBJECT_KINDS
from utils.report.markup import box, charts, details, listed, table
from utils.report.svg_charts import Axis, Mark, Series, axis, scatter_chart, share_bars

SIDES = (0, 16, 32, 48, 64, 96, 128, 192, 256, 512)  # bins of size, by the root of the area
MOST_CELLS = 15  # classes that a confusion matrix is readable with
MOST_CONFUSIONS = 20
SIZE_NAMES = {"small": "under 32² px", "medium": "32² to 96² px", "large": "from 96² px"}
NOTHING = "nothing"
KIND_COLOURS = {
    "found": "#3fb58f", "correct": "#3fb58f", "wrong class": "#f08030", "split": "#f0c040",
    "merged": "#9a8cf0", "poor outline": "#cc79a7", "missed": "#56b4e9", "background": "#56b4e9",
    "duplicate": "#c8a070", "ignored": "#cccccc",
}  # fmt: skip

MEANINGS = (
    "found, correct: label and detection of the same class fit with an IoU of 0.5 or more.",
    "missed: no detection comes near the object.",
    "background: the detection has nothing to do with an object (IoU under 0.1); sometimes the "
    "label is what is missing.",
    "duplicate: the object has a detection already.",
    "wrong class: the outline fits an object of another class.",
    "merged: one outline covers several objects. Split: several outlines are parts of one object.",
    "poor outline: the right object, but with an IoU under 0.5.",
)


def error_charts(assessment: Assessment) -> str:
    """The confusion matrix, kinds of errors by size, counts and areas; nothing without masks."""
    if not assessment.errors:
        return ""
    counts = count_kinds(assessment.errors)
    drawn = [
        _recall_by_size(assessment),
        _kinds_chart("Objects: found, or why not", counts.objects, OBJECT_KINDS),
        _kinds_chart("Detections: right, or what is wrong", counts.detections, DETECTION_KINDS),
        _count_chart(assessment),
        _area_chart(assessment),
    ]
    matrix = ""
    if assessment.confusion is not None:
        matrix = "<h3>Which class is taken for which</h3>"
        matrix += confusion_table(assessment.confusion, assessment.data.classes)
    return (
        listed(error_lines(counts))
        + details("What are these kinds?", listed(MEANINGS))
        + matrix
        + charts([one for one in drawn if one])
    )


def confusion_table(confusion: np.ndarray, classes: Sequence[str]) -> str:
    """Rows are the labels, columns what was found; of many classes, the largest confusions."""
    rows = [*classes, NOTHING]
    if len(classes) > MOST_CELLS:
        wrong = confusion.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_CONFUSIONS]
        pairs = [np.unravel_index(place, wrong.shape) for place in order if wrong.flat[place]]
        lines = [[rows[row], rows[column], str(wrong[row, column])] for row, column in pairs]
        return table(("labelled", "found as", "number"), lines)
    totals = confusion.sum(axis=1)
    head = "".join(f"<th>{escape(name)}</th>" for name in rows)
    lines_html = []
    for row, name in enumerate(rows):
        cells = []
        for column, number in enumerate(confusion[row]):
            if row == column == len(classes):
                cells.append("<td></td>")
                continue
            share = number / totals[row] if totals[row] else 0.0
            hue = "0,158,115" if row == column else "213,94,0"
            cells.append(f'<td style="background:rgba({hue},{0.6 * share:.2f})">{number}</td>')
        lines_html.append(f"<tr><th>{escape(name)}</th>{''.join(cells)}</tr>")
    return box(
        '<table class="confusion"><caption>Rows: what is labelled. Columns: what was found. Green '
        "is right; the last column is not found, the last row is false and of no class.</caption>"
        f"<tr><th></th>{head}</tr>{''.join(lines_html)}</table>"
    )


def size_bins(areas: np.ndarray) -> np.ndarray:
    """Which of ``SIDES`` each area in square pixels belongs to."""
    return np.searchsorted(SIDES, np.sqrt(areas), side="right") - 1


def _recall_by_size(assessment: Assessment) -> str:
    objects = [one for image in assessment.errors for one in image.objects if one.kind != "ignored"]
    if not objects:
        return ""
    bins = size_bins(np.array([one.area for one in objects]))
    found = np.array([one.kind == "found" for one in objects])
    used = range(int(bins.min()), int(bins.max()) + 1)
    return share_bars(
        "Objects found, by size (root of the area, px)",
        [_bin_name(number) for number in used],
        {
            "found": [int((found & (bins == number)).sum()) for number in used],
            "not found": [int((~found & (bins == number)).sum()) for number in used],
        },
    )


def _bin_name(number: int) -> str:
    if number == len(SIDES) - 1:
        return f"{SIDES[number]} and more"
    return f"{SIDES[number]} to {SIDES[number + 1]}"


def _kinds_chart(title: str, counts: Counts, kinds: Sequence[str]) -> str:
    used = [size for size in SIZES if any(counts[kind][size] for kind in kinds)]
    parts = {kind: [counts[kind][size] for size in used] for kind in kinds if counts[kind]["all"]}
    names = [SIZE_NAMES[size] for size in used]
    return share_bars(title, names, parts, [KIND_COLOURS[kind] for kind in parts]) if used else ""


def _count_chart(assessment: Assessment) -> str:
    """Predicted against true number of objects, a dot for each image."""
    true = [sum(one.kind != "ignored" for one in image.objects) for image in assessment.errors]
    found = [sum(one.kind != "ignored" for one in image.detections) for image in assessment.errors]
    most = float(max(*true, *found, 1))
    return scatter_chart(
        "Counts per image", Axis("labelled", 0, most), Axis("found", 0, most),
        [Series("an image", true, found)], [Mark("equal")],
    )  # fmt: skip


def _area_chart(assessment: Assessment) -> str:
    """Bland and Altman's chart of the areas of what is found, in percent of the true area."""
    true, found = paired_areas(assessment)
    metrics = assessment.metrics
    names = [f"area/{name}_percent" for name in ("low", "bias", "high")]
    if not all(name in metrics for name in names):
        return ""
    mean, off = (true + found) / 2, 100 * (found / true - 1)
    low, bias, high = levels = [metrics[name] for name in names]
    return scatter_chart(
        "Areas of what is found, against the labels",
        axis("mean of both areas, px²", mean.tolist()),
        axis("too large by, %", [*off.tolist(), *levels]),
        [Series("an object", mean.tolist(), off.tolist())],
        [
            Mark(f"mean {bias:+.1f} %", y=bias),
            Mark(f"95 % lie between {low:+.0f} and {high:+.0f} %", y=low),
            Mark("", y=high),
        ],
    )


def paired_areas(assessment: Assessment) -> tuple[np.ndarray, np.ndarray]:
    """Area as labelled and as found, float64 (P,) each, of all objects that are found."""
    true, found = [], []
    for image in assessment.errors:
        area_of = {one.index: one.area for one in image.detections}
        for one in image.objects:
            if one.kind == "found" and one.other is not None:
                true.append(max(one.area, 1.0))
                found.append(area_of[one.other])
    return np.array(true), np.array(found)
