"""Where the RPN sees objects, what of it the heads get to see, and which objects it reaches."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import box_area, nms

from utils.charts import line_chart
from utils.drawing import Colour, panel
from utils.inspection.canvas import NEGATIVE, OBJECT, PALE, POSITIVE, Canvas
from utils.inspection.chapter import Chapter, Figure, Key, Table
from utils.inspection.chapters.cards import stacked
from utils.inspection.chapters.proposal_fits import fits
from utils.inspection.close_up import close_up
from utils.inspection.evidence import gather_evidence
from utils.inspection.heat_map import colour_scale, coloured
from utils.inspection.proposals import (
    ProposalSteps,
    best_fits,
    data_boxes,
    level_counts,
    objectness_map,
    proposal_steps,
    recall_lines,
)
from utils.inspection.subject import Subject

SURE = 0.5  # objectness that says object
TOP, CROPS, REMOVED = 6, 3, 10  # shown at most
# Of the boxes that are moved, as many as are shown; unlike that of labelled objects.
COLOURS: tuple[Colour, ...] = (
    (255, 70, 70), (255, 160, 30), (80, 220, 255), (120, 120, 255), (255, 90, 230), (250, 250, 250)
)  # fmt: skip
ALIKE, APART = 0.5, 0.1  # IoU above which boxes, and crops, show the same again
INSIDE = 0.9  # of its area: a box of which less is left stuck out for all to see
IMAGES = 5  # whose recall is measured together
RIM, TINT = 0.25, 0.65  # how far around the image is shown, and how strong a heat map over it
CROP, CHART = 310, (960, 600)  # sides in pixels of the picture

INTRODUCTION = (
    "At every point of its maps the region proposal network (RPN) asks for each of a few anchors: "
    "is there an object, of whatever class, and how must the anchor be moved to fit it? The surest "
    "answers are the proposals. The heads look at nothing else: what has no proposal is not found."
)


def proposals_chapter(subject: Subject) -> Chapter:
    """From objectness to proposals, and whether these reach the labelled objects."""
    objects = subject.object_boxes
    evidence = gather_evidence(subject) if len(objects) else None
    steps = evidence.proposed if evidence else proposal_steps(subject.model.rpn, subject.trace)
    parts: list[Figure | Table] = [
        objectness_figure(subject, objects),
        *refinement_figure(subject, steps, objects),
        *clipping_figure(subject, steps),
        *suppression_figure(subject, steps),
        funnel_table(subject, steps),
    ]
    introduction, findings = INTRODUCTION, tuple[str, ...]()
    if evidence:
        figure, table, findings = fits(subject, evidence)
        parts += [figure, table]
    else:
        introduction += " This image has no labelled objects to hold them against."
    parts += recall_figures(subject, steps, objects)
    return Chapter("proposals", "Proposals: where to look", introduction, tuple(parts), findings)


def objectness_figure(subject: Subject, objects: Tensor) -> Figure:
    """The highest objectness at each place, over the image."""
    sure, scores = objectness_map(subject.trace), subject.trace.objectness.sigmoid()
    grey = np.asarray(Image.fromarray(subject.input_pixels).convert("L"))[..., None]
    tinted = TINT * coloured(sure.numpy(), 0, 1) + (1 - TINT) * grey
    canvas = Canvas(tinted.round().astype(np.uint8))
    canvas.boxes(objects, OBJECT)
    scale = colour_scale(canvas.size[0], "0: background", "objectness 1: object")
    picture = stacked([canvas.picture(), scale])
    text = (
        "Each pixel shows the highest score of any anchor at the nearest point of any level. "
        f"{int((scores >= SURE).sum()):,} of {len(scores):,} anchors have {SURE} or more; the "
        f"surest has {scores.max():.2f}. "
    )
    if len(objects):
        edges = objects.long().tolist()
        lit = sum(bool((sure[y1 : y2 + 1, x1 : x2 + 1] >= SURE).any()) for x1, y1, x2, y2 in edges)
        text += f"{lit} of {len(objects)} labelled objects have such a place in their box. "
    text += (
        "Good: light on objects, dark elsewhere. Dark everywhere: the RPN had too little training, "
        "or the objects are unlike those it was taught."
    )
    title = "Where the RPN sees objects: look for light on every object and dark elsewhere"
    return Figure("objectness", title, picture, text, _object_key(objects))


def refinement_figure(subject: Subject, steps: ProposalSteps, objects: Tensor) -> list[Figure]:
    """The surest valid anchors before and after they are moved; none if none is valid."""
    valid = torch.where(steps.large)[0]
    anchors = subject.trace.anchors[steps.anchors]
    order = valid[nms(anchors[valid], steps.scores[valid], ALIKE)[:TOP]]
    if not len(order):
        return []
    before, after = anchors[order], steps.refined[order]
    canvas = _before_and_after(subject, before, after, steps.scores[order])
    canvas.boxes(objects, OBJECT)
    text = (
        f"The {len(order)} surest anchors, a colour each; those that overlap a surer one by an IoU "
        f"above {ALIKE} are left out. "
    )
    if len(objects):
        first, last = (float(best_fits(boxes, objects)[0].mean()) for boxes in (before, after))
        text += f"Their mean IoU with a labelled object: {first:.2f} before, {last:.2f} after. "
    text += (
        "Good: each solid box fits an object better than the dashed one of its colour; several may "
        "settle on one object. If they do not fit, the RPN needs more training."
    )
    keys = Key(PALE, "anchor", "dashed"), Key(PALE, "as the RPN moves it, with its score")
    title = "The surest anchors, before and after: look for solid boxes that fit better"
    return [Figure("refinement", title, canvas.picture(), text, (*keys, *_object_key(objects)))]


def clipping_figure(subject: Subject, steps: ProposalSteps) -> list[Figure]:
    """What reached beyond the image, before and after; none if nothing did."""
    inside = box_area(steps.clipped) / box_area(steps.refined)
    far = torch.where(steps.large & (inside < INSIDE))[0]
    if not len(far):
        return []
    order = far[nms(steps.clipped[far], steps.scores[far], ALIKE)[:TOP]]
    canvas = _before_and_after(
        subject, steps.refined[order], steps.clipped[order], steps.scores[order]
    )
    cut = int((steps.refined != steps.clipped).any(dim=1).sum())
    text = (
        f"{cut:,} of {len(inside):,} boxes reached beyond the image and were cut at its edge. "
        f"{len(far):,} kept less than {INSIDE:.0%} of their area; {len(order)} of the surest are "
        f"drawn. This is normal. {int((~steps.large).sum()):,} had nothing left, or too low scores."
    )
    keys = Key(PALE, "as the RPN wants it", "dashed"), Key(PALE, "cut, with its score")
    title = "Cut to the image: look at what reaches over its edge"
    return [Figure("clipping", title, canvas.picture(), text, keys)]


def suppression_figure(subject: Subject, steps: ProposalSteps) -> list[Figure]:
    """Some boxes that stayed, with those they removed; none if nothing was removed."""
    removers = steps.kept[torch.isin(steps.kept, steps.suppressed_by)]
    if not len(removers):
        return []
    chosen = removers[nms(steps.clipped[removers], steps.scores[removers], APART)[:CROPS]]
    crops, captions = [], []
    for winner in chosen.tolist():
        box, removed = steps.clipped[winner], steps.clipped[steps.suppressed_by == winner]
        shown = removed[:REMOVED]
        canvas = close_up(subject.input_pixels, CROP, [box, *shown])
        canvas.boxes(shown, NEGATIVE, "dotted", width=2)
        canvas.box(box, POSITIVE)
        crops.append(canvas.picture())
        told = f"removed {len(removed)}, shown {len(shown)}"
        captions.append(f"score {steps.scores[winner]:.2f}, {told}")
    text = (
        "Non-maximum suppression (NMS) goes through the boxes of each level, the surest first, and "
        f"removes those that overlap it by an IoU above {subject.model.rpn.nms_thresh:g}: "
        f"{int((steps.suppressed_by >= 0).sum()):,} of {int(steps.large.sum()):,} here. Shown are "
        f"the surest that removed some, at {len(chosen)} places. Good: all red boxes are about the "
        "object in blue. If one fits a neighbour better, that neighbour may be lost."
    )
    keys = Key(POSITIVE, "stays"), Key(NEGATIVE, "removed by it", "dotted")
    title = "Suppression: look for red boxes that mean the same object as the blue one"
    return [Figure("suppression", title, panel(crops, captions, CROPS), text, keys)]


def funnel_table(subject: Subject, steps: ProposalSteps) -> Table:
    """How many boxes there are after each step, by level."""
    counts, rpn = level_counts(subject.trace, steps), subject.model.rpn
    rows = [
        (step, *(f"{number:,}" for number in (sum(numbers), *numbers)))
        for step, numbers in counts.items()
    ]
    left, more = len(steps.survivors), len(steps.survivors) - len(steps.kept)
    text = (
        f"The RPN ranking takes the surest {rpn.pre_nms_top_n():,} of each level, and of these "
        f"leaves out what is too small or has an objectness below {rpn.score_thresh:g}: here "
        f"{int((~steps.large).sum()):,}. Of what the suppression (NMS) leaves, the "
        f"surest {steps.limit:,} are handed on to the heads. Here "
        + (f"{more:,} more were left." if more else f"only {left:,} were left: they get them all.")
    )
    head = ("step", "all", *subject.trace.features)
    return Table("From anchors to proposals: how many are left", head, tuple(rows), text)


def recall_figures(subject: Subject, steps: ProposalSteps, objects: Tensor) -> list[Figure]:
    """Recall against the number of proposals, of this image and of several."""
    own = [(steps.clipped[steps.survivors], objects)] if len(objects) else []
    found = own + data_boxes(subject, IMAGES - len(own))
    figures = [_recall_figure("recall", "this image", own, steps.limit)] if own else []
    if len(found) > len(own):
        where = f"{len(found)} images of the data"
        figures.append(_recall_figure("recall-images", where, found, steps.limit))
    return figures


def _recall_figure(name: str, where: str, found: list[tuple[Tensor, Tensor]], limit: int) -> Figure:
    most = max(limit, *(len(boxes) for boxes, _ in found))
    counts = sorted({*(2**power for power in range(most.bit_length())), limit, most})
    lines = recall_lines(found, counts)
    chart = line_chart(
        "", ("proposals, the surest first", "share of objects reached"),
        {line: list(zip(counts, recall, strict=True)) for line, recall in lines.items()},
        log=True, top=1.05, marks={f"handed on: at most {limit:,}": limit},
    )  # fmt: skip
    half, strict, mean = (recall[counts.index(limit)] for recall in lines.values())
    text = (
        f"With the proposals handed on, {half:.0%} of {sum(len(objects) for _, objects in found)} "
        f"objects are reached at an IoU of 0.5, {strict:.0%} at 0.7; the mean of 0.5 to 0.95 is "
        f"{mean:.2f}. All that the suppression leaves reach {lines['IoU 0.5'][-1]:.0%} at 0.5. "
        "Good: high well before the dashed line. Still rising there: more --proposals. Low to the "
        "right end: the RPN needs training or other anchors."
    )
    title = f"How many proposals it takes to reach the objects of {where}"
    return Figure(name, title, chart.resize(CHART, Image.Resampling.LANCZOS), text)


def _object_key(objects: Tensor) -> tuple[Key, ...]:
    return (Key(OBJECT, "labelled object"),) if len(objects) else ()


def _before_and_after(subject: Subject, before: Tensor, after: Tensor, scores: Tensor) -> Canvas:
    """Boxes dashed and, with their scores, solid; a colour each, and room beside the image."""
    height, width = subject.trace.size
    far = max(height, width) * (1 + RIM)
    image = torch.tensor([[0.0, 0, width, height]])
    shown = torch.cat([before, after, image]).clamp(max(height, width) - far, far)
    region = torch.cat([shown[:, :2].amin(0), shown[:, 2:].amax(0)]).tolist()
    canvas = Canvas(subject.input_pixels, region=region)
    for colour, old, new, score in zip(COLOURS, before, after, scores, strict=False):
        canvas.box(old, colour, "dashed")
        canvas.box(new, colour, text=f"{score:.2f}")
    return canvas
