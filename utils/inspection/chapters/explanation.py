"""Why an object was missed, or how it was found: in words, one picture and a table."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch
from pycocotools import mask as coco_mask

from utils.data.channels import rgb_view
from utils.data.records import DataError
from utils.drawing import panel
from utils.evaluation.error_kinds import MOSTLY, DetectionVerdict
from utils.inspection.canvas import NEGATIVE, NEUTRAL, OBJECT, PALE, POSITIVE, Canvas
from utils.inspection.chapter import Chapter, Figure, Key, Table
from utils.inspection.close_up import LEAST, around
from utils.inspection.journey import Inquiry, Journey, inquiry, iou_text, journey
from utils.inspection.subject import Subject
from utils.report.verdict import OF_OBJECTS

ADVICE = {
    "anchors": "no anchor has its size and shape. Train with --anchors auto, and if it is small "
    "with a larger --min-size.",
    "RPN boxes": "the RPN does not move its anchors onto it. Train longer or with more images of "
    "such objects, and look whether its label is right.",
    "RPN ranking": "the RPN takes it for background. Train with more images of such objects, and "
    "look whether some lack a label; more --proposals keep more boxes.",
    "RPN NMS": "a surer box was in its place. Train with more images of objects that touch like "
    "these, or with a larger --min-size.",
    "proposals": "too many boxes were surer. Train with more --proposals, or with more images of "
    "such objects.",
    "box head": "the box head moves its boxes off it. Train longer or with more images of such "
    "objects, and look whether its label is right.",
    "class scores": "the box head takes it for something else. Look whether its label is right; "
    "train with more images of such objects. A lower predict.py --score-threshold shows it only if "
    "its score is not far below.",
    "NMS": "of two boxes that overlap so much, one is kept. Try predict.py with a higher "
    "--nms-threshold, or train with more images of objects that touch like these.",
    "detection limit": "there are too many surer detections. Try predict.py with more "
    "--max-detections.",
    "score threshold": "it was found, but not surely enough. Try predict.py with a lower "
    "--score-threshold, which shows more false alarms too, or train with more images like it.",
    "outline": "its outline is poor. Look whether the labels' outlines are exact (python -m "
    "tools.check), train longer, or with a larger --min-size.",
    "match": "its detection counts for another object. Look whether it is labelled twice; else "
    "train with more images of objects that touch like these.",
}  # fmt: skip
SIDE, NARROW = 470, 0.6  # of a panel, and the width to its height of one with three beside it
NEAR = 0.1  # the share that is shown around boxes
MOST_LINES, MOST_NAMED = 20, 25  # objects that are told of in words; that are labelled in full
RPN, HEADS = ("RPN boxes", "RPN ranking", "RPN NMS", "proposals"), (
    "box head", "class scores", "NMS", "detection limit", "score threshold",
)  # fmt: skip


def explanation_chapter(
    subject: Subject, number: int | None = None, missed: int | None = None
) -> Chapter:
    """What became of one labelled object, or of all of them.

    Args:
        subject: what is looked into.
        number: of the object, from 1 on, by its place in the record.
        missed: its number among the objects that are not found, from 1 on; where all are found,
            the chapter says so.

    Raises:
        DataError: there is no such object; says which there are.
    """
    instances = subject.record.instances if subject.record is not None else ()
    if number is None and missed is None:
        return _overview(subject)
    if not instances:
        what = "has no labels" if subject.record is None else "has no labelled objects"
        raise DataError(f"{subject.name}: {what}, so there is none to explain")
    looked = inquiry(subject)
    lost = [
        at + 1
        for at, one in enumerate(looked.errors.objects)
        if one.kind not in ("found", "ignored")
    ]
    if missed is not None and not lost:
        return _overview(subject, "None is missed. ")
    if missed is not None and missed > len(lost):
        listed = ", ".join(map(str, lost))
        raise DataError(
            f"{subject.name}: --missed {missed}, but {len(lost)} are missed: object {listed}"
        )
    number = lost[missed - 1] if missed is not None else number
    assert number is not None
    if not 1 <= number <= len(instances):
        raise DataError(
            f"{subject.name}: no object {number}; its objects are numbered from 1 to "
            f"{len(instances)}"
        )
    way = journey(looked, number - 1)
    if not way.stages:
        return _overview(subject, f"Object {number}: {verdict(looked, way)}. ")
    return _of_one(subject, looked, way)


def verdict(looked: Inquiry, way: Journey) -> str:
    """What became of an object, in the words of test.py's report."""
    kind, other, name = way.verdict.kind, way.verdict.other, looked.classes
    if kind == "ignored":
        return "a crowd, which is not judged"
    if not way.stages:
        return "has no pixel, so nothing can be found; look at its label"
    if kind == "missed" or other is None:
        return "missed"
    score = f"score {looked.seen.prediction['scores'][other]:.2f}"
    numbers = f"({score}, mask IoU {iou_text(way.verdict.iou)})"
    if kind == "wrong class":
        found_as = name[int(looked.seen.prediction["labels"][other]) - 1]
        return f"found as {found_as}, not {name[way.instance.label - 1]} {numbers}"
    if kind == "split":
        pieces = [one for one in looked.errors.detections if one.kind == "split"]
        count = sum(one.other == way.verdict.index for one in pieces)
        return f"split: {count} detections lie on parts of it; the best {numbers}"
    if kind == "merged":
        # Of a crowd, the IoU is the share: of each object, what lies in the detection.
        shares = coco_mask.iou(looked.rles, [looked.seen.prediction["masks"][other]], [1])[:, 0]
        alike = looked.of_class(way.instance.label).any(dim=1).numpy()
        covered = [str(at + 1) for at in np.flatnonzero(alike & (shares >= MOSTLY))]
        return f"merged: one detection {numbers} covers objects {' and '.join(covered)}"
    return f"{'found' if kind == 'found' else 'found with a poor outline'} {numbers}"


def _of_one(subject: Subject, looked: Inquiry, way: Journey) -> Chapter:
    name, outcome = looked.classes[way.instance.label - 1], verdict(looked, way)
    size, scale = (looked.boxes[way.number - 1].view(2, 2).diff(dim=0)[0]), looked.seen.scale
    across, down = (size / torch.tensor(scale)).tolist()
    end = f", lost at: {way.lost.name}" if way.lost else ""
    title = f"Object {way.number} ({name}) of {subject.name}: {outcome}{end}"
    lines = [
        f"{title}.",
        f"label: {across:.0f}x{down:.0f} pixels, {size[0]:.0f}x{size[1]:.0f} in the network's "
        "input. IoU 1 is its very box, from 0.5 on a box counts.",
        *(f"{stage.name}: {stage.text}" for stage in way.told),
    ]
    advice = ""
    if way.lost:
        advice = f"{way.lost.name}: {ADVICE[way.lost.name]}"
        if way.verdict.kind in ("merged", "split", "wrong class"):
            advice += f" Objects that {OF_OBJECTS[way.verdict.kind][0]}: "
            advice += f"{OF_OBJECTS[way.verdict.kind][1]}."
        lines.append(f"What to do: {advice}")
    rows = tuple((f"{one.name}: {one.text}", iou_text(one.iou)) for one in way.told)
    table = Table("Stage by stage", ("stage", "best IoU"), rows, "It is lost at the first stage "
                  "after which none of its boxes has IoU 0.5 any more.")  # fmt: skip
    parts = (_way_figure(subject, looked, way, outcome + end), table)
    return Chapter("explain", title, "\n".join(lines), parts, (advice,) if advice else ())


def _way_figure(subject: Subject, looked: Inquiry, way: Journey, outcome: str) -> Figure:
    """Four panels at most: anchor, proposal, box of the class, outline."""
    told = {stage.name: stage for stage in way.told}
    groups = (
        [told[name] for name in names if name in told] for names in (("anchors",), RPN, HEADS)
    )
    stages = [group[-1] for group in groups if group]
    pixels, scale = rgb_view(subject.pixels), torch.tensor(looked.seen.scale * 2)
    label, other = looked.boxes[way.number - 1] / scale, way.verdict.other
    is_far = way.verdict.kind == "missed"
    found = [] if is_far or other is None else [looked.seen.prediction["boxes"][other]]
    drawn = [box / scale for one in stages for box in (one.box, one.rival) if box is not None]
    region = around([label, *drawn, *found], pixels.shape[1::-1], NEAR, LEAST)
    keys, pictures, captions = {OBJECT: Key(OBJECT, "the object's label")}, [], []
    for stage in stages:
        canvas, lost = Canvas(pixels, SIDE, region), stage is way.lost
        canvas.box(label, OBJECT)
        if stage.rival is not None:
            canvas.box(stage.rival / scale, NEUTRAL, "dotted")
            keys[NEUTRAL] = Key(NEUTRAL, "the surer box that removed it", "dotted")
        if stage.box is not None:
            colour = NEGATIVE if lost else POSITIVE
            canvas.box(stage.box / scale, colour, "dashed")
            text = "the box that was lost there" if lost else "the best box that is left"
            keys[colour] = Key(colour, text, "dashed")
        pictures.append(canvas.picture())
        captions.append(f"{stage.name}: {'lost' if lost else f'IoU {iou_text(stage.iou)}'}")
    canvas = Canvas(pixels, SIDE, region)
    areas = _outline(canvas, looked, way)
    pictures.append(canvas.picture())
    mask = "none" if other is None else f"mask IoU {iou_text(way.verdict.iou)}"
    captions.append(f"{'nearest detection' if is_far else 'outline'}: {mask}")
    numbered = [f"{at}. {text}" for at, text in enumerate(captions, 1)]
    narrow = canvas.size[0] < NARROW * canvas.size[1]
    return Figure(
        "way", f"Do the dashed boxes follow the green one? Object {way.number}: {outcome}",
        panel(pictures, numbered, 4 if narrow else 2),
        f"The last picture should be all green, labelled and detected. {way.told[-1].text}",
        (*keys.values(), *areas),
    )  # fmt: skip


def _outline(canvas: Canvas, looked: Inquiry, way: Journey) -> list[Key]:
    """Draw the label's area and that of the detection that was meant for it."""
    label = coco_mask.decode(looked.rles[way.number - 1]).astype(bool)
    found, other = np.zeros_like(label), way.verdict.other
    if other is not None:
        found = coco_mask.decode(looked.seen.prediction["masks"][other]).astype(bool)
    parts = (
        (label & found, OBJECT, "labelled and detected"),
        (label & ~found, NEGATIVE, "labelled only"),
        (found & ~label, POSITIVE, "detected only"),
    )
    shown = [one for one in parts if one[0].any()]
    for area, colour, _ in shown:
        canvas.mask(area, colour)
    return [Key(colour, text, "area") for _, colour, text in shown]


def _overview(subject: Subject, lead: str = "") -> Chapter:
    """All objects of the image, and what was detected beside them."""
    title = f"What became of the objects of {subject.name}"
    if subject.record is None:
        return _without_labels(subject, title)
    looked = inquiry(subject)
    ways = [journey(looked, index) for index in range(len(subject.record.instances))]
    kinds = Counter(one.verdict.kind for one in ways)
    judged = len(ways) - kinds["ignored"]
    wrong = [one for one in looked.errors.detections if one.kind not in ("correct", "ignored")]
    counts = ", ".join(f"{count} {kind}" for kind, count in Counter(w.kind for w in wrong).items())
    objects = f"{kinds['found']} of {judged} objects are found" if ways else "No object is labelled"
    summary = f"{lead}{objects}. Wrong detections: {counts or 'none'}."
    told = [way for way in ways if way.missed] or ways
    lines = [f"{way.number} ({looked.classes[way.instance.label - 1]}): {_fate(looked, way)}"
             for way in told[:MOST_LINES]]  # fmt: skip
    more = [f"and {len(told) - MOST_LINES} more"] if len(told) > MOST_LINES else []
    table = Table(
        "The objects",
        ("object", "class", "verdict", "lost at", "best anchor IoU", "best proposal IoU", "score",
         "mask IoU"),
        tuple(_row(looked, way) for way in ways),
        "The score is that of the surest box of its class; --object N tells the way of one.",
    )  # fmt: skip
    figure = _overview_figure(subject, looked, ways, wrong, summary)
    text = "\n".join([summary, *lines, *more])
    return Chapter("explain", title, text, (figure, table) if ways else (figure,))


def _fate(looked: Inquiry, way: Journey) -> str:
    return verdict(looked, way) + (f", lost at: {way.lost.name}" if way.lost else "")


def _row(looked: Inquiry, way: Journey) -> tuple[str, ...]:
    iou = {stage.name: iou_text(stage.iou) for stage in way.stages}
    has_mask = way.verdict.other is not None
    return (
        str(way.number), looked.classes[way.instance.label - 1], way.verdict.kind,
        way.lost.name if way.lost else "-", iou.get("anchors", "-"), iou.get("proposals", "-"),
        f"{way.score:.2f}" if way.score else "-", iou_text(way.verdict.iou) if has_mask else "-",
    )  # fmt: skip


def _overview_figure(
    subject: Subject, looked: Inquiry, ways: list[Journey], wrong: list[DetectionVerdict], text: str
) -> Figure:
    canvas, keys = Canvas(rgb_view(subject.pixels)), {}
    for way in sorted(ways, key=lambda way: not way.missed):  # labels of the missed find a place
        x, y, width, height = way.instance.bbox
        colour, of = (NEGATIVE, "not found") if way.missed else (OBJECT, "found")
        if way.verdict.kind == "ignored":
            colour, of = PALE, "not judged"
        name = f" {looked.classes[way.instance.label - 1]}" if len(ways) <= MOST_NAMED else ""
        canvas.box((x, y, x + width, y + height), colour, text=f"{way.number}{name}")
        keys[colour] = Key(colour, f"labelled, {of}")
    for one in wrong:
        box = looked.seen.prediction["boxes"][one.index]
        canvas.box(box, POSITIVE, "dashed", f"{one.kind} {one.score:.2f}", width=2)
        keys[POSITIVE] = Key(POSITIVE, "wrong detection, its kind and score", "dashed")
    return Figure("objects", "Which objects are found (green), which are not (red)?",
                  canvas.picture(), text, tuple(keys.values()))  # fmt: skip


def _without_labels(subject: Subject, title: str) -> Chapter:
    """What was detected in an image that nothing is known of."""
    found = subject.trace.prediction
    least = torch.tensor(subject.weights.thresholds, dtype=torch.float64)[found["labels"] - 1]
    canvas, sure = Canvas(rgb_view(subject.pixels)), found["scores"].double() >= least
    for at in torch.where(sure)[0].tolist():
        name = subject.classes[int(found["labels"][at]) - 1]
        canvas.box(found["boxes"][at], POSITIVE, text=f"{name} {found['scores'][at]:.2f}")
    text = (
        f"This image has no labels, so nothing is known of what was missed; {int(sure.sum())} "
        f"detections are sure enough, of {len(sure)}. Label it to have its objects explained."
    )
    keys = (Key(POSITIVE, "detection, with its score"),) if sure.any() else ()
    figure = Figure("objects", "Is each detection an object, and each object detected?",
                    canvas.picture(), text, keys)  # fmt: skip
    return Chapter("explain", title, text, (figure,))
