"""What the heads are taught from an image: the sampled RoIs with their classes, boxes and masks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from utils.inspection.canvas import NEGATIVE, OBJECT, POSITIVE, Canvas
from utils.inspection.chapter import Chapter, Figure, Key, Table
from utils.inspection.chapters.positive_shares import (
    classes_table,
    counted,
    share_findings,
    shares_figure,
)
from utils.inspection.chapters.roi_targets import deltas_table, masks_figure, moves_figure
from utils.inspection.roi_samples import RoiSamples, roi_samples, spread
from utils.inspection.subject import Subject
from utils.inspection.training_trace import sampled_labels

NAME, TITLE = "targets", "Targets: what the heads are taught"
IMAGES = 6  # whose share of positives is shown
DRAWN = 12  # RoIs, and labels of objects
ROWS, NAMED = 20, 5
TOUCHING = 0.1  # IoU from which on a background RoI is labelled with it

OBJECT_KEY = Key(OBJECT, "labelled object")


def targets_chapter(subject: Subject) -> Chapter:
    """The RoIs sampled from an image, their share in others, and the boxes and masks asked for."""
    if subject.training is None or subject.number is None:
        return Chapter(
            NAME, TITLE,
            f"{subject.name} has no labels, so it teaches nothing. Name an image of labelled data "
            "(--data, --image) to see what the heads are asked for.",
        )  # fmt: skip
    samples = roi_samples(subject.training)
    sampled = {subject.number: subject.training.roi_labels}
    with subject.precision.autocast():
        for number, image, target in subject.others(IMAGES - 1):
            sampled[number] = sampled_labels(subject.model, image, target)
    parts: list[Figure | Table] = []
    if len(samples.counts):
        parts += [positives_figure(subject, samples), objects_table(subject, samples)]
    if len(samples.background):
        parts.append(background_figure(subject, samples))
    parts += [shares_figure(subject, sampled), classes_table(subject, sampled)]
    if not samples.own.all():
        parts += [moves_figure(subject, samples), deltas_table(subject, samples)]
    if len(samples.positive):
        parts.append(masks_figure(subject, samples))
    findings = [*object_findings(subject, samples), *share_findings(subject, sampled)]
    return Chapter(NAME, TITLE, _introduction(subject, samples), tuple(parts), tuple(findings))


def _introduction(subject: Subject, samples: RoiSamples) -> str:
    heads, (height, width) = subject.model.roi_heads, subject.trace.size
    sampler = heads.fg_bg_sampler
    text = (
        f"In training the heads see at most {sampler.batch_size_per_image} RoIs of an image "
        "(--rois), drawn at random from the RPN's proposals and the labelled boxes themselves. A "
        "RoI that overlaps an object by an IoU of "
        f"{heads.proposal_matcher.high_threshold:g} or more is positive: it teaches that object's "
        "class, box and mask. The others teach background alone. At most "
        f"{sampler.positive_fraction:.0%} may be positive. Here is what these weights would be "
        "taught now, without augmentation. All pixels are those of the network's input, "
        f"{width}x{height}."
    )
    if len(samples.counts):
        return text
    count = len(samples.background)
    return f"{text} This image has no objects, so all its {count} RoIs teach background."


def positives_figure(subject: Subject, samples: RoiSamples) -> Figure:
    """The positive RoIs around their objects."""
    taught, canvas = samples.taught, Canvas(subject.input_pixels, dim=0.2)
    names = subject.object_names
    named = spread(len(names), DRAWN)
    for place, box in enumerate(taught.target["boxes"]):
        canvas.box(box, OBJECT, text=names[place] if place in named else "", width=5)
    canvas.boxes(taught.rois[samples.positive[samples.own]], POSITIVE, "dashed")
    others = samples.by_overlap(~samples.own)
    drawn = []
    for number in range(len(names)):
        mine = [place for place in others if samples.objects[place] == number]
        drawn += [mine[place] for place in spread(len(mine), max(DRAWN // len(names), 1))]
    drawn = [drawn[place] for place in spread(len(drawn), DRAWN)]
    for place in drawn:
        roi, overlap = taught.rois[samples.positive[place]], samples.overlaps[place]
        canvas.box(roi, POSITIVE, "dashed", f"{overlap:.2f}", width=2)
    count, reached = len(samples.positive), int((samples.counts > 0).sum())
    overlaps = samples.overlaps[others]
    spans = f" with IoUs of {overlaps.min():.2f} to {overlaps.max():.2f}" if others else ""
    left = f", of which {len(drawn)} are drawn" if len(drawn) < len(others) else ""
    text = (
        f"{len(samples.background)} RoIs teach background; {count} teach {reached} of the "
        f"{len(samples.counts)} objects: {int(samples.own.sum())} labelled boxes that were added, "
        f"and {len(others)} proposals{spans}{left}. Good: several RoIs around each object, loose "
        "and tight ones. An object with none, or with its own box alone, is hardly learnt; the "
        "chapters on anchors and proposals show whether they reach it."
    )
    told = "RoI taught as an object, with its IoU; on a labelled box: that is one too"
    keys = (OBJECT_KEY, Key(POSITIVE, told, "dashed"))
    title = "Each object needs RoIs around it: these are taught as objects"
    return Figure("positives", title, canvas.picture(), text, keys)


def objects_table(subject: Subject, samples: RoiSamples) -> Table:
    """How many RoIs each object got, those with the fewest first."""
    rows, names = [], subject.object_names
    for place in samples.counts.argsort(stable=True)[:ROWS].tolist():
        x1, y1, x2, y2 = samples.taught.target["boxes"][place].tolist()
        mine = samples.objects == place
        overlaps = samples.overlaps[mine & ~samples.own]
        rows.append((
            names[place],
            f"{x2 - x1:.0f}x{y2 - y1:.0f}",
            "yes" if samples.own[mine].any() else "no",
            str(len(overlaps)),
            f"{overlaps.min():.2f} to {overlaps.max():.2f}" if len(overlaps) else "-",
        ))  # fmt: skip
    left = len(samples.counts) - len(rows)
    return Table(
        "How many RoIs each object got",
        ("object", "size in px", "its own box", "proposals", "their IoU"),
        tuple(rows),
        "The fewest first" + (f"; {left} objects with more are left out." if left else "."),
    )


def background_figure(subject: Subject, samples: RoiSamples) -> Figure:
    """A selection of what is taught as background, from the nearest to an object on."""
    taught, canvas = samples.taught, Canvas(subject.input_pixels, dim=0.2)
    order = samples.nearest.argsort(descending=True, stable=True).tolist()
    drawn = [order[place] for place in spread(len(order), DRAWN)]
    canvas.boxes(taught.target["boxes"], OBJECT)
    for place in drawn:
        overlap = float(samples.nearest[place])
        text = _down(overlap) if overlap >= TOUCHING else ""
        box = taught.rois[samples.background[place]]
        canvas.box(box, NEGATIVE, "dashed", text, width=2)
    text = f"{len(drawn)} of the {len(order)} background RoIs"
    keys = [Key(NEGATIVE, "RoI taught as background", "dashed")]
    if len(samples.counts):
        touching = int((samples.nearest >= TOUCHING).sum())
        text += (
            f", from the nearest to an object on; {touching} of all overlap one by an IoU of "
            f"{TOUCHING:g} or more, the nearest by {_down(float(samples.nearest.max()))}. They "
            "should show background, or an object so badly cut that it should not count"
        )
        told = f"RoI taught as background, with its IoU from {TOUCHING:g} on"
        keys = [OBJECT_KEY, Key(NEGATIVE, told, "dashed")]
    text += (
        ". If one holds an object that nobody labelled, the network is taught not to find it: "
        "label it."
    )
    title = "Does a red box hold an object that nobody labelled? All are taught as background"
    return Figure("background", title, canvas.picture(), text, tuple(keys))


def _down(overlap: float) -> str:
    """Rounded down: background just below a threshold shall not seem to reach it."""
    return f"{math.floor(overlap * 100) / 100:.2f}"


def object_findings(subject: Subject, samples: RoiSamples) -> list[str]:
    """Which objects no proposal teaches, and why."""
    sampler = subject.model.roi_heads.fg_bg_sampler
    names, findings = subject.object_names, []
    if samples.doubled.any():
        findings.append(
            f"{_named(names, samples.doubled)}: the box is exactly that of an earlier object, "
            "which gets all its RoIs, so the heads learn nothing of it. Delete the label if it is "
            "a double."
        )
    by_proposals = samples.objects[~samples.own].bincount(minlength=len(names))
    alone = (by_proposals == 0) & ~samples.doubled
    most = int(sampler.batch_size_per_image * sampler.positive_fraction)
    if len(samples.positive) >= most:  # others are drawn the next time
        if len(names) > most:
            findings.append(
                f"{len(names)} objects share {most} positive RoIs, all that the sampler takes: set "
                f"--rois above {sampler.batch_size_per_image}."
            )
    elif alone.any():
        findings.append(
            f"No proposal overlaps {int(alone.sum())} of {counted(len(names), 'object')} enough "
            f"({_named(names, alone)}): the heads learn them from their own perfect boxes alone. "
            "Look at the chapters on anchors and proposals."
        )
    return findings


def _named(names: Sequence[str], which: Tensor) -> str:
    """The first of the objects that are meant by a bool (N,)."""
    found = [name for name, is_meant in zip(names, which.tolist(), strict=True) if is_meant]
    return ", ".join(found[:NAMED]) + (", ..." if len(found) > NAMED else "")
