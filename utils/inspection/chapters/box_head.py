"""The box head's part of the chapter on the heads: from proposals to the boxes that are found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.ops import box_iou

from nets.contract import are_shown
from utils.charts import histogram
from utils.drawing import text_font
from utils.inspection.canvas import NEGATIVE, NEUTRAL, OBJECT, PALE, POSITIVE
from utils.inspection.chapter import INK, Figure, Key, Table
from utils.inspection.chapters.cards import card, grid
from utils.inspection.close_up import close_up
from utils.inspection.detections import SAME_PLACE, DetectionSteps, distinct
from utils.inspection.subject import Subject
from utils.inspection.suppression import NOBODY
from utils.prediction.threshold_text import thresholds_in_words

LETTERS = "ABCDEFGHI"  # one for each proposal that is shown
COLUMNS, SIDE, BARS_WIDTH = 3, 140, 205
MOST_REFINED, WIDE_SIDE = 6, 330
MOST_BARS = 5  # classes beside background
BAR_TEXT, BAR_STEP, NAME_WIDTH = 13, 19, 84
MOST_COLUMNS = 6  # classes of their own in the table
BINS, MOST_MARKS = 19, 22  # there is room for so many numbers along the axis
CHART = 1000, 625
MOST_WINNERS, REMOVED_EACH = 6, 3
MOST_ROWS = 10


def class_scores(subject: Subject, steps: DetectionSteps) -> Figure:
    """What the box head takes the surest proposals for; there is at least one proposal."""
    seen, classes = subject.trace, subject.classes
    places = shown_proposals(subject, steps)
    cards = []
    for letter, place in zip(LETTERS, places.tolist(), strict=False):
        box, scores = seen.proposals[place], steps.scores[place]
        canvas = close_up(subject.input_pixels, SIDE, [box])
        canvas.box(box, NEUTRAL, "dashed", width=2)
        bars = _bars(scores, classes)
        cards.append(card([canvas.picture(), bars], f"{letter}{_lies_on(subject, box)}"))
    best = steps.scores[:, 1:].max(dim=1).values
    text = (
        f"{len(places)} of {len(best)} proposals: the surest, and of those that overlap by more "
        f"than {SAME_PLACE:g} only the surest. The bars of each sum to 1. In all, "
        f"{int((best > 0.5).sum())} proposals have a class above 0.5. A good network gives a "
        "proposal on an object nearly all to one class and one beside objects nearly all to "
        "background; two long bars mean classes that look alike to it."
    )
    keys = [
        Key(NEUTRAL, "proposal", "dashed"),
        Key(POSITIVE, "score of a class", "area"),
        Key(NEGATIVE, "score of background", "area"),
    ]
    keys += [Key(PALE, "all other classes", "area")] if len(classes) > MOST_BARS else []
    return Figure(
        "class-scores", "What is in each proposal? One long blue bar is a sure answer",
        grid(cards, COLUMNS), text, tuple(keys),
    )  # fmt: skip


def refinement(subject: Subject, steps: DetectionSteps) -> Figure:
    """Where the box head moves the surest of these proposals for their best class."""
    places = shown_proposals(subject, steps)[:MOST_REFINED]
    labels = steps.scores[places, 1:].argmax(dim=1) + 1
    before, after = subject.trace.proposals[places], steps.boxes[places, labels]
    objects = subject.object_boxes
    cards = []
    for letter, label, old, new in zip(LETTERS, labels.tolist(), before, after, strict=False):
        canvas = close_up(subject.input_pixels, WIDE_SIDE, [old, new])
        canvas.boxes(objects, OBJECT, width=2)
        canvas.box(new, POSITIVE)
        canvas.box(old, NEUTRAL, "dashed")
        text = f"{letter} as {subject.classes[label - 1]}{_fits(objects, old, new)}"
        cards.append(card([canvas.picture()], text))
    text = (
        f"The edges of these {len(places)} move by {(after - before).abs().mean():.1f} pixels of "
        f"the network's input on average.{_gain(objects, before, after)} The letters are those of "
        "the picture above. The box head has another box for each class; shown is that of the "
        "surest class. Good is a blue box that is closer to the object than the "
        "yellow one."
    )
    keys = [Key(NEUTRAL, "proposal", "dashed"), Key(POSITIVE, "refined for its class")]
    keys += [Key(OBJECT, "labelled object")] if len(objects) else []
    return Figure(
        "refinement", "From proposal (dashed) to box (blue): does the blue one fit better?",
        grid(cards, COLUMNS), text, tuple(keys),
    )  # fmt: skip


def step_table(subject: Subject, steps: DetectionSteps) -> Table:
    """How many boxes each step leaves, in all and per class."""
    counts = steps.counts(subject.weights.thresholds)
    named = [*enumerate(subject.classes)] if 1 < len(subject.classes) <= MOST_COLUMNS else []
    names = (
        "pairs of proposal and class",
        f"score above {steps.least:g}",
        "left by suppression in each class",
        f"the surest {steps.limit}: detections",
        "score of at least what predict.py shows",
    )
    rows = tuple(
        (name, f"{int(row.sum()):,}", *(f"{int(row[i]):,}" for i, _ in named))
        for name, row in zip(names, counts, strict=True)
    )
    head = ("step", "all classes" if named else "boxes", *(name for _, name in named))
    cut = len(steps.survivors) - len(steps.kept)
    text = f"Proposals: {len(steps.scores)}, classes: {counts.shape[1]}. " + (
        f"The limit of {steps.limit} detections cut {cut} boxes."
        if cut
        else f"The limit of {steps.limit} detections cut none."
    )
    return Table("How many boxes each step leaves", head, rows, text)


def score_histogram(subject: Subject, steps: DetectionSteps) -> Figure | None:
    """The scores above the least, and the thresholds that detections are shown from."""
    scores = steps.candidate_scores
    if not len(scores):
        return None
    is_kept = np.zeros(len(scores), bool)
    is_kept[steps.kept] = True
    edges = np.linspace(steps.least, 1, BINS + 1).tolist()
    # The float32 scores of the ends may lie beyond them by rounding.
    values = scores.float().numpy().clip(edges[0], edges[-1])
    parts = {"detections": is_kept, "removed by suppression or the limit": ~is_kept}
    thresholds = sorted({round(one, 2) for one in subject.weights.thresholds})
    chart = histogram(
        f"Scores above {steps.least:g}", "score for the class",
        {name: values[part].tolist() for name, part in parts.items()},
        edges=edges, unit="boxes", marks=_apart(thresholds, steps.least),
        marks_name="predict.py shows from these scores on, by class",
    )  # fmt: skip
    pairs = steps.scores[:, 1:].numel()
    shown = int(are_shown(scores, steps.labels, subject.weights.thresholds)[steps.kept].sum())
    text = (
        f"{pairs - len(scores):,} of {pairs:,} pairs of proposal and class score {steps.least:g} "
        f"or less and are dropped before all else; the chart begins there. predict.py shows "
        f"{shown} of {len(steps.kept)} detections ({thresholds_in_words(subject.weights)}). Good "
        "is a gap: high scores at the right, few in the middle. Detections just left of a dashed "
        "line are the doubtful ones."
    )
    return Figure(
        "score-histogram", "Which scores are high enough? Look for a gap at the dashed lines",
        chart.resize(CHART, Image.Resampling.LANCZOS), text,
    )  # fmt: skip


def suppression(subject: Subject, steps: DetectionSteps) -> tuple[Figure | Table, ...]:
    """Which boxes removed which; nothing if none did."""
    lost = (steps.suppressed_by != NOBODY).nonzero()[:, 0]
    if not len(lost):
        return ()
    scores, boxes = steps.candidate_scores, steps.candidate_boxes
    numbers = {place: number for number, place in enumerate(steps.survivors.tolist(), 1)}
    by = steps.suppressed_by[lost]
    winners = [place for place in numbers if (by == place).any()]
    cards, drawn = [], 0
    for winner in winners[:MOST_WINNERS]:
        rivals = lost[by == winner]
        over = box_iou(boxes[winner][None], boxes[rivals])[0]
        loosest = over.argsort()[:REMOVED_EACH]
        canvas = close_up(subject.input_pixels, WIDE_SIDE, [boxes[winner], *boxes[rivals[loosest]]])
        canvas.box(boxes[winner], POSITIVE)
        canvas.boxes(boxes[rivals[loosest]], NEGATIVE, "dotted")
        name = f"{numbers[winner]} {subject.classes[int(steps.labels[winner]) - 1]}"
        text = (
            f"{name} {scores[winner]:.2f} removed {len(rivals)}; the farthest: score "
            f"{scores[rivals[loosest[0]]]:.2f}, IoU {over.min():.2f}"
        )
        cards.append(card([canvas.picture()], text))
        drawn += len(loosest)
    limit = subject.model.roi_heads.nms_thresh
    figure = Figure(
        "suppression", "One box per object: which boxes were removed as doubles of a surer one?",
        grid(cards, COLUMNS),
        f"Of boxes of one class that overlap by an IoU above {limit:g}, only the surest stays: "
        f"{len(lost)} boxes were removed, by {len(winners)} that stay. Shown are the surest "
        f"{len(cards)} of these and {drawn} of what they removed, at most {REMOVED_EACH} each, "
        "those that overlap least. A dotted box on another object than the solid one is an object "
        "lost here: 'tools.inspect explain' tries whether a higher --nms-threshold of predict.py "
        "keeps it.",
        (Key(POSITIVE, "stays"), Key(NEGATIVE, "removed", "dotted")),
    )  # fmt: skip
    return figure, _removed_table(subject, steps, lost, numbers)


def _removed_table(
    subject: Subject, steps: DetectionSteps, lost: Tensor, numbers: dict[int, int]
) -> Table:
    """The surest of the removed boxes."""
    scores, boxes = steps.candidate_scores, steps.candidate_boxes
    rows = []
    for place in lost[scores[lost].argsort(descending=True)][:MOST_ROWS].tolist():
        winner = int(steps.suppressed_by[place])
        over = box_iou(boxes[place][None], boxes[winner][None]).item()
        name = subject.classes[int(steps.labels[place]) - 1]
        by = f"{numbers[winner]} ({scores[winner]:.2f})"
        rows.append((name, f"{scores[place]:.3f}", by, f"{over:.2f}"))
    return Table(
        "The surest boxes that were removed", ("class", "score", "removed by", "IoU"),
        tuple(rows), f"{len(rows)} of {len(lost)}, the surest first. An IoU near the limit of "
        f"{subject.model.roi_heads.nms_thresh:g} is a close call.",
    )  # fmt: skip


def shown_proposals(subject: Subject, steps: DetectionSteps) -> Tensor:
    """The surest proposals at different places, int64."""
    best = steps.scores[:, 1:].max(dim=1).values
    return distinct(subject.trace.proposals, best, len(LETTERS))


def _bars(scores: Tensor, classes: Sequence[str]) -> Image.Image:
    """Scores of background and the surest classes as bars; few classes in label order."""
    shown = scores[1:].topk(min(MOST_BARS, len(classes))).indices
    if len(classes) <= MOST_BARS:
        shown = shown.sort().values
    rest = 1 - float(scores[0]) - float(scores[shown + 1].sum())
    rows = [("background", float(scores[0]), NEGATIVE)]
    rows += [(classes[i], float(scores[i + 1]), POSITIVE) for i in shown.tolist()]
    if len(classes) > MOST_BARS:
        rows.append((f"{len(classes) - MOST_BARS} others", rest, PALE))
    picture = Image.new("RGB", (BARS_WIDTH, SIDE), "white")
    draw = ImageDraw.Draw(picture)
    room = BARS_WIDTH - NAME_WIDTH - 36
    for i, (name, score, colour) in enumerate(rows):
        middle = BAR_STEP * (i + 0.5)
        font = text_font(name, BAR_TEXT)
        draw.text((0, middle), _cut(draw, name), INK, font, anchor="lm")
        ends = NAME_WIDTH, middle - 6, NAME_WIDTH + max(1, room * score), middle + 6
        draw.rectangle(ends, fill=colour)
        draw.text((BARS_WIDTH, middle), f"{score:.2f}", INK, font, anchor="rm")
    return picture


def _cut(draw: ImageDraw.ImageDraw, name: str) -> str:
    """A name as far as there is room for it."""
    shown = name
    while draw.textlength(shown, text_font(name, BAR_TEXT)) > NAME_WIDTH - 6:
        shown = shown.removesuffix("…")[:-1] + "…"
    return shown


def _lies_on(subject: Subject, box: Tensor) -> str:
    """Which labelled object a box is on, if there are labels."""
    taught = subject.training
    if taught is None:
        return ""
    if not len(taught.target["boxes"]):
        return ": no labelled object"
    over, place = box_iou(box[None], taught.target["boxes"])[0].max(dim=0)
    name = subject.classes[int(taught.target["labels"][place]) - 1]
    return f": IoU {over:.2f} with a labelled {name}" if over > 0 else ": beside all objects"


def _fits(objects: Tensor, before: Tensor, after: Tensor) -> str:
    """How well a box fits the object it is nearest to, before and after."""
    if not len(objects):
        return ""
    old, place = box_iou(before[None], objects)[0].max(dim=0)
    new = box_iou(after[None], objects)[0, place]
    return f": IoU {old:.2f}, then {new:.2f}"


def _gain(objects: Tensor, before: Tensor, after: Tensor) -> str:
    """How much better the boxes on labelled objects fit."""
    if not len(objects):
        return ""
    old, place = box_iou(before, objects).max(dim=1)
    new = box_iou(after, objects)[torch.arange(len(after)), place]
    on = old >= SAME_PLACE
    above = " Above each stands its IoU with the nearest labelled object, before and after;"
    if not on.any():
        return f"{above} none is on an object yet."
    return (
        f"{above} of the {int(on.sum())} on objects the mean goes from {old[on].mean():.2f} to "
        f"{new[on].mean():.2f}."
    )


def _apart(values: Sequence[float], low: float) -> list[float]:
    """Those that can be written beside each other along the axis of scores."""
    step, shown = (1 - low) / MOST_MARKS, [-1.0]
    for value in values:
        if value - shown[-1] >= step:
            shown.append(value)
    return [value for value in shown if low <= value <= 1]
