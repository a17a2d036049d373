"""The numbers that a paper or a colleague asks for, each with its interval and its ceiling."""

from __future__ import annotations

from collections.abc import Sequence

from utils.evaluation.assessment import Assessment
from utils.evaluation.intervals import Interval
from utils.report.markup import UNDEFINED, details, listed, number, table

# What is shown, and the name of its ceiling; the names are those of metrics.json.
ROWS = {
    "masks: AP": ("segm/AP", "ceiling/AP"),
    "masks: AP50": ("segm/AP50", "ceiling/AP50"),
    "masks: AP75": ("segm/AP75", "ceiling/AP75"),
    "masks: AR{most}": ("segm/AR{most}", "ceiling/AR{most}"),
    "boxes: AP": ("bbox/AP", ""),
    "boxes: AP50": ("bbox/AP50", ""),
    "boxes: AP75": ("bbox/AP75", ""),
    "boxes: AR{most}": ("bbox/AR{most}", ""),
    "precision": ("point/precision", ""),
    "recall": ("point/recall", ""),
    "F1": ("point/F1", ""),
    "outlines: IoU": ("matched/IoU", "ceiling/IoU"),
    "outlines: Dice": ("matched/Dice", ""),
    "outlines: boundary IoU": ("matched/BoundaryIoU", "ceiling/BoundaryIoU"),
    "pixels: Dice": ("segm/Dice", ""),
    "counts: MAE": ("count/MAE", ""),
    "counts: bias": ("count/bias", ""),
}
MEANINGS = (
    "AP: average precision as COCO defines it, 0 to 1: the mean over classes and over how exactly "
    "a mask has to fit (IoU 0.5 to 0.95). AP50 and AP75 are at IoU 0.5 and 0.75.",
    "AR: the share of objects found with any score, over the same IoUs.",
    "IoU: pixels that outline and label share, divided by the pixels of either; 1 is equal.",
    "precision, recall, F1: at the score thresholds below: the share of finds that are right, the "
    "share of objects that are found, and the harmonic mean of both. Right is IoU 0.5 or more.",
    "outlines: of the objects that are found, how well the masks fit. Boundary IoU looks only at a "
    "band along the outline. Pixels: the same for all pixels of a class in an image.",
    "counts: the number found in an image less the number labelled. MAE is how far off that is in "
    "the mean, bias is whether there are too many (above 0) or too few.",
    "95 % interval: where the number would lie with very many images such as these; by drawing "
    "the test images again (bootstrap).",
    "ceiling: what exact boxes and classes would reach with masks of 28 x 28.",
)


def headline_table(assessment: Assessment) -> str:
    """The headline numbers, what they mean, and those of each class."""
    rows: list[Sequence[str]] = []
    reasons: dict[str, list[str]] = {}
    for texts in ((what, *names) for what, names in ROWS.items()):
        what, name, highest = (text.format(most=assessment.max_dets) for text in texts)
        ceiling = assessment.ceiling.metrics.get(highest) if assessment.ceiling else None
        rows.append([what, *_cells(assessment, name), number(ceiling)])
        if name not in assessment.metrics:
            reason = assessment.undefined.get(name, "not known for these predictions")
            reasons.setdefault(reason, []).append(what)
    notes = [f"{UNDEFINED} {reason}: {', '.join(names)}" for reason, names in reasons.items()]
    return (
        table(("", "value", "95 % interval", "ceiling"), rows)
        + listed(notes, "small")
        + details("What do these mean?", listed(MEANINGS))
        + _class_table(assessment)
    )


def _class_table(assessment: Assessment) -> str:
    """AP of each class, if there are several."""
    classes = assessment.data.classes
    if len(classes) < 2:
        return ""
    kind = "segm" if "segm" in assessment.matches else "bbox"
    objects = assessment.matches[kind].objects[0].sum(axis=0)
    rows = [
        [name, str(count), *_cells(assessment, f"{kind}/AP/{name}"),
         *_cells(assessment, f"{kind}/AP50/{name}")]
        for name, count in zip(classes, objects, strict=True)
    ]  # fmt: skip
    head = ("class", "objects", "AP", "95 % interval", "AP50", "95 % interval")
    return f"<h3>{'Masks' if kind == 'segm' else 'Boxes'} per class</h3>" + table(head, rows)


def _cells(assessment: Assessment, name: str) -> Sequence[str]:
    """A number and its interval."""
    found = assessment.intervals.get(name)
    return number(assessment.metrics.get(name)), _range(found)


def _range(found: Interval | None) -> str:
    return UNDEFINED if found is None else f"{found.low:.3f} – {found.high:.3f}"
