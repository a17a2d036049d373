"""The chapter of the anchors: the boxes a network starts from, and which meet the objects."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import box_area

from utils.drawing import Colour, panel
from utils.inspection.anchor_advice import advice
from utils.inspection.anchors import (
    AnchorLevel,
    BestAnchors,
    PositiveAnchors,
    anchor_levels,
    best_anchors,
    misfit,
    positive_anchors,
)
from utils.inspection.canvas import NEGATIVE, NEUTRAL, OBJECT, PALE, POSITIVE, Canvas, Style
from utils.inspection.chapter import Chapter, Figure, Key, Table
from utils.inspection.roi_samples import spread
from utils.inspection.subject import Subject
from utils.inspection.training_trace import TrainingTrace

# Of the anchors' sizes, smallest first; neither these nor FORCED mean anything on other pages.
SIZE_COLOURS: tuple[Colour, ...] = (
    (255, 165, 155), (160, 105, 250), (150, 215, 255), (245, 140, 20), (235, 50, 190),
)  # fmt: skip
FORCED: Colour = (215, 130, 255)
OBJECT_KEYS = (Key(OBJECT, "labelled object"),)
DIM = 0.4
PANEL, COLUMNS = 300, 3  # side of a level's picture, and how many stand side by side
POINTS_SHOWN = 4  # of the coarsest level, across the part of the image that shows the grids
MOST_POSITIVES, MOST_OTHERS, MOST_OBJECTS, MOST_ROWS = 80, 30, 30, 10  # that are shown

INTRODUCTION = (
    "Anchors are boxes of a few sizes and shapes around every point of every feature map, {:,} in "
    "this image. The network judges each of them and moves the promising ones, so an object that "
    "no anchor overlaps well is hard to learn and hard to find."
)
WITHOUT_LABELS = (
    " This picture has no labels, so what it teaches them, and which object none of them reaches, "
    "cannot be shown."
)
WITHOUT_OBJECTS = " No object is labelled in this image, so all its anchors are background."


def anchors_chapter(subject: Subject) -> Chapter:
    """Levels, shapes, and which anchors this image teaches as object and as background."""
    model, trace, taught = subject.model, subject.trace, subject.training
    boxes = subject.object_boxes
    introduction = INTRODUCTION.format(len(trace.anchors))
    if not len(boxes):
        introduction += WITHOUT_OBJECTS if taught else WITHOUT_LABELS
    best, levels = best_anchors(trace, boxes), anchor_levels(model, trace)
    parts: list[Figure | Table] = [
        levels_table(subject, levels, best),
        grids_figure(subject, levels, boxes),
        shapes_figure(subject, levels, boxes),
    ]
    findings: list[str] = []
    if taught:
        found = positive_anchors(trace, taught, thresholds(subject)[1])
        parts += [counts_table(subject, taught, found), negatives_figure(subject, taught)]
        if len(boxes):
            names = subject.object_names
            parts.append(positives_figure(subject, taught, found, names))
            parts.append(reach_figure(subject, best, boxes, names))
            parts.append(worst_table(subject, best, boxes, names))
            findings = advice(subject, best.iou, boxes, names)
    title = "Anchors: the boxes that the network starts from"
    return Chapter("anchors", title, introduction, tuple(parts), tuple(findings))


def thresholds(subject: Subject) -> tuple[float, float]:
    """The RPN's: below which IoU an anchor is background, and from which on it is an object."""
    matcher = subject.model.rpn.proposal_matcher
    return matcher.low_threshold, matcher.high_threshold


def middle_of_largest(subject: Subject, boxes: Tensor) -> tuple[float, float]:
    """The middle of the largest object, else of the image; x before y, in the input's pixels."""
    height, width = subject.trace.size
    every = boxes if len(boxes) else torch.tensor([[0.0, 0, width, height]])
    x1, y1, x2, y2 = every[box_area(every).argmax()].tolist()
    return (x1 + x2) / 2, (y1 + y2) / 2


def levels_table(subject: Subject, levels: Sequence[AnchorLevel], best: BestAnchors) -> Table:
    """What the anchors of each level are."""
    head = ("level", "feature map", "stride px", "anchors", "sizes px", "height / width",
            "width x height px", "objects met best")  # fmt: skip
    met = best.level.bincount(minlength=len(levels)).tolist()
    rows = tuple(
        (
            level.name, "{1}x{0}".format(*level.grid), str(max(level.step)), f"{anchors:,}",
            *(", ".join(f"{x:g}" for x in values) for values in (level.sizes, level.ratios)),
            ", ".join(map(sides, level.shapes)), str(count) if len(best.iou) else "-",
        )
        for level, anchors, count in zip(levels, subject.trace.counts, met, strict=True)
    )  # fmt: skip
    return Table(
        "The levels of the feature pyramid: many small anchors, few large ones", head, rows,
        "All pixels are those of the network's input. The objects' sizes (square roots of width "
        "times height) should lie well within those of the anchors.",
    )  # fmt: skip


def grids_figure(subject: Subject, levels: Sequence[AnchorLevel], boxes: Tensor) -> Figure:
    """The points of each level in the same part of the image."""
    size, steps = subject.trace.size[::-1], [max(level.step) for level in levels]
    middle = middle_of_largest(subject, boxes)
    part = [min(POINTS_SHOWN * max(steps), side) for side in size]
    start = [min(max(m - p / 2, 0), s - p) for m, p, s in zip(middle, part, size, strict=True)]
    region = (*start, start[0] + part[0], start[1] + part[1])
    pictures = []
    for level, step in zip(levels, steps, strict=True):
        canvas, points = Canvas(subject.input_pixels, PANEL, region, DIM), level.points()
        near = (points - torch.tensor(middle)).abs().amax(1) <= max(part)
        canvas.boxes(boxes, OBJECT)
        canvas.points(points[near].tolist(), PALE, min(max(step * canvas.scale / 8, 1), 5))
        pictures.append(canvas.picture())
    captions = [f"{level.name}: a point every {max(level.step)} px" for level in levels]
    return Figure(
        "grids", "Where anchors stand: is a point near the middle of each object?",
        panel(pictures, captions, COLUMNS),
        f"The same {part[0]}x{part[1]} px of the network's input, once for each level. A small "
        f"object needs a point close to its middle, which {levels[0].name} has everywhere; on "
        f"{levels[-1].name} points are {steps[-1]} px apart, enough for large objects alone.",
        (Key(PALE, "point of the map, middle of its anchors", "dot"), *OBJECT_KEYS[: len(boxes)]),
    )  # fmt: skip


def shapes_figure(subject: Subject, levels: Sequence[AnchorLevel], boxes: Tensor) -> Figure:
    """The anchors around one place, a colour for each size, also beyond the image's border."""
    middle = torch.tensor([middle_of_largest(subject, boxes)])
    here = [level.near(middle)[0].float() for level in levels]
    around = torch.cat(here)
    corners = torch.cat([around[:, :2].amin(0) - 4, around[:, 2:].amax(0) + 4])
    canvas = Canvas(subject.input_pixels, region=corners.tolist(), dim=DIM)
    canvas.boxes(boxes, OBJECT, width=2)
    sizes, keys = sorted({size for level in levels for size in level.sizes}), []
    for size, colour in zip(sizes, SIZE_COLOURS, strict=False):
        having = [place for place, level in enumerate(levels) if size in level.sizes]
        first = levels[having[0]]
        own = slice(first.sizes.index(size), None, len(first.sizes))  # of all ratios
        canvas.boxes(here[having[0]][own], colour, "dashed")
        where, shapes = (levels[place].name for place in having), map(sides, first.shapes[own])
        keys.append(Key(colour, f"{', '.join(where)}: {', '.join(shapes)} px", "dashed"))
    height, width = subject.trace.size
    too_large = [f"{size:g}" for size in sizes if size > max(width, height)]
    anchors = subject.trace.anchors
    crossing = (anchors[:, :2] < 0) | (anchors[:, 2:] > torch.tensor([width, height]))
    return Figure(
        "shapes", "The anchors of one point: is one about as large and as long as each object?",
        canvas.picture(),
        f"The {len(around)} anchors nearest to the middle of the "
        f"{'largest object' if len(boxes) else 'image'}. {crossing.any(1).float().mean():.0%} of "
        f"all anchors cross the border of the image, {width}x{height} px (beyond it is white), and "
        "count like all others."
        + (f" Sizes larger than the whole image: {', '.join(too_large)} px." if too_large else ""),
        (*keys, *OBJECT_KEYS[: len(boxes)]),
    )  # fmt: skip


def counts_table(subject: Subject, taught: TrainingTrace, found: PositiveAnchors) -> Table:
    """How many anchors of each level are object, background, or ignored."""
    (low, high), sampler = thresholds(subject), subject.model.rpn.fg_bg_sampler
    labels, trace = taught.anchor_labels, subject.trace
    forced = torch.zeros_like(labels, dtype=torch.bool)
    forced[found.index[found.forced]] = True
    kinds = torch.stack([labels == 1, forced, labels == -1, labels == 0, *taught.sampled_anchors])
    counts = [part.sum(1).tolist() for part in (*kinds.split(trace.counts, dim=1), kinds)]
    return Table(
        "What the anchors of this image are taught as",
        ("level", "object", f"of these below {high:g}", "ignored", "background",
         "object in the loss", "background in the loss"),
        tuple(
            (name, *(f"{number:,}" for number in row))
            for name, row in zip([*trace.features, "all"], counts, strict=True)
        ),
        f"An anchor is object from an IoU of {high:g} with one on, background below {low:g}, and "
        f"ignored in between; but the best anchor of an object is taught as object also below "
        f"{high:g}. The loss takes {sampler.batch_size_per_image} of them at random, at most "
        f"{sampler.positive_fraction:.0%} of them objects.",
    )  # fmt: skip


def positives_figure(
    subject: Subject, taught: TrainingTrace, found: PositiveAnchors, names: Sequence[str]
) -> Figure:
    """Every anchor that is taught as an object."""
    canvas, high = Canvas(subject.input_pixels, dim=DIM), thresholds(subject)[1]
    anchors, drawn = subject.trace.anchors[found.index], taught.sampled_anchors[0][found.index]
    keys = [Key(OBJECT, "object: number, class, count of its anchors")]
    kinds: tuple[tuple[Tensor, Colour, Style, str], ...] = (
        (~drawn, PALE, "dotted", "not in the loss"),
        (drawn & found.forced, FORCED, "dashed", f"anchor below {high:g}, but the best there is"),
        (drawn & ~found.forced, POSITIVE, "dashed", f"anchor of IoU {high:g} or more"),
    )
    for chosen, colour, style, text in kinds:
        if chosen.any():
            boxes = anchors[chosen]
            canvas.boxes(boxes[spread(len(boxes), MOST_POSITIVES)], colour, style, width=2)
            keys.append(Key(colour, text, style))
    counts = found.object.bincount(minlength=len(names)).tolist()
    for box, name, count in zip(taught.target["boxes"], names, counts, strict=True):
        canvas.box(box, OBJECT, text=f"{name}: {count}", width=2)
    return Figure(
        "positives", "Anchors taught as objects: each object should have some in blue",
        canvas.picture(),
        f"{len(found.index)} anchors (at most {MOST_POSITIVES} of a kind are drawn), {min(counts)} "
        f"to {max(counts)} for an object. {int(found.forced.sum())} of them have an IoU below "
        f"{high:g} and are taken as no anchor overlaps the object more (many, if it is so small "
        "that it lies within many): it is learned from boxes that fit it badly.",
        tuple(keys),
    )  # fmt: skip


def negatives_figure(subject: Subject, taught: TrainingTrace) -> Figure:
    """A sample of the anchors taught as background, and of those ignored."""
    low, high = thresholds(subject)
    canvas, anchors = Canvas(subject.input_pixels, dim=DIM), subject.trace.anchors
    ignored = torch.where(taught.anchor_labels == -1)[0]
    background = torch.where(taught.sampled_anchors[1])[0]
    some = background[spread(len(background), MOST_OTHERS)]
    others = ignored[spread(len(ignored), MOST_OTHERS // 3)]
    canvas.boxes(anchors[some], NEGATIVE, "dashed", width=2)
    canvas.boxes(anchors[others], NEUTRAL, "dotted", width=2)
    canvas.boxes(boxes := taught.target["boxes"], OBJECT)
    keys = (Key(NEGATIVE, "background, in the loss", "dashed"), *OBJECT_KEYS[: len(boxes)])
    if len(ignored):
        keys += (Key(NEUTRAL, f"ignored: IoU {low:g} to {high:g}", "dotted"),)
    return Figure(
        "negatives", "Anchors taught as background: does any enclose an object without a label?",
        canvas.picture(),
        f"{len(some)} of the {len(background)} that the loss takes, of "
        f"{int((taught.anchor_labels == 0).sum()):,} in all, and {len(others)} of {len(ignored):,} "
        "ignored anchors. Where the labels forget an object, the network is taught here that it is "
        "nothing; then complete the labels.",
        keys,
    )  # fmt: skip


def reach_figure(
    subject: Subject, best: BestAnchors, boxes: Tensor, names: Sequence[str]
) -> Figure:
    """Each object with the anchor that overlaps it most."""
    low, high = thresholds(subject)
    kinds = (
        (best.iou < low, NEGATIVE, f"below {low:g}: out of reach"),
        ((best.iou >= low) & (best.iou < high), NEUTRAL, f"{low:g} to {high:g}"),
        (best.iou >= high, POSITIVE, f"{high:g} or more: good"),
    )
    worst = best.iou.argsort()[:MOST_OBJECTS]
    canvas, keys = Canvas(subject.input_pixels, dim=DIM), [*OBJECT_KEYS]
    canvas.boxes(boxes, OBJECT, width=2)
    for chosen, colour, text in kinds:
        for i in worst[chosen[worst]].tolist():
            anchor = subject.trace.anchors[best.index[i]]
            canvas.box(anchor, colour, "dashed", f"{names[i]}: {best.iou[i]:.2f}")
        if chosen[worst].any():
            keys.append(Key(colour, f"best anchor, IoU {text}", "dashed"))
    lost, between, good = (int(chosen.sum()) for chosen, *_ in kinds)
    left_out = f" Only the {len(worst)} worst are drawn." if len(names) > len(worst) else ""
    return Figure(
        "reach", "The best anchor of each object: how well does it overlap?", canvas.picture(),
        f"Of {len(names)} objects {good} have an anchor of IoU {high:g} or more, {between} one of "
        f"{low:g} to {high:g}, {lost} none of {low:g}; on average {best.iou.mean():.2f}.{left_out}",
        tuple(keys),
    )  # fmt: skip


def worst_table(subject: Subject, best: BestAnchors, boxes: Tensor, names: Sequence[str]) -> Table:
    """The objects that anchors overlap least."""
    trace, levels = subject.trace, list(subject.trace.features)
    rows = tuple(
        (names[i], f"{best.iou[i]:.2f}", sides(boxes[i]), levels[best.level[i]],
         sides(trace.anchors[best.index[i]]), misfit(subject.model, boxes[i]) or "-")
        for i in best.iou.argsort()[:MOST_ROWS].tolist()
    )  # fmt: skip
    return Table(
        "The objects that anchors overlap least",
        ("object", "best IoU", "width x height px", "level", "best anchor px", "out of range"),
        rows,
        f"{len(rows)} of {len(names)} objects. One that is within the anchors' range lies between "
        "two sizes or ratios, or between the points of a grid.",
    )  # fmt: skip


def sides(box: Tensor) -> str:
    """Width and height of a box."""
    width, height = (box[2:] - box[:2]).tolist()
    return f"{width:.0f}x{height:.0f}"
