"""Why an object was missed, or how it was found: in words, one picture and a table."""

from __future__ import annotations

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor
from torchvision.ops import box_iou

from nets.contract import are_shown
from utils.data.channels import rgb_view
from utils.data.records import DataError
from utils.drawing import Colour, panel
from utils.evaluation.error_kinds import MATCH_IOU, MOSTLY
from utils.inspection.canvas import NEGATIVE, NEUTRAL, OBJECT, PALE, POSITIVE, Canvas, Style
from utils.inspection.chapter import Chapter, Figure, Key, Table
from utils.inspection.close_up import LEAST, around
from utils.inspection.evidence import Evidence, gather_evidence
from utils.inspection.journey import RPN_STAGES, Journey, Stage, iou_text, journey
from utils.inspection.remedy import remedy
from utils.inspection.subject import Subject
from utils.report.verdict import OF_OBJECTS

SIDE, NARROW = 470, 0.6  # of a panel, and the width to its height of one with three beside it
NEAR = 0.1  # the share that is shown around boxes
MOST_LINES, MOST_NAMED = 20, 25  # of the terminal; objects that are labelled in full
HEADS = "box head", "class scores", "NMS", "detection limit", "score threshold"


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
    evidence = gather_evidence(subject)
    lost = [
        at + 1
        for at, one in enumerate(evidence.errors.objects)
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
    way = journey(evidence, number - 1)
    if not way.stages:
        return _overview(subject, f"Object {number}: {verdict(evidence, way)}. ")
    return _of_one(subject, evidence, way)


def explanation_lines(chapter: Chapter) -> list[str]:
    """The same for a terminal: title, what happened at each stage or to each object, and verdict
    and advice."""
    tables = (part for part in chapter.parts if isinstance(part, Table))
    lines = [f"{name}: {text}" for table in tables for name, text, *_ in table.rows]
    more = [f"and {len(lines) - MOST_LINES} more"] if len(lines) > MOST_LINES else []
    return [f"{chapter.title}:", *lines[:MOST_LINES], *more, chapter.introduction]


def verdict(evidence: Evidence, way: Journey) -> str:
    """What became of an object, in the words of test.py's report."""
    kind, other, name = way.verdict.kind, way.verdict.other, evidence.classes
    if kind == "ignored":
        return "a crowd, which is not judged"
    if not way.stages:
        return "has no pixel, so nothing can be found; look at its label"
    if kind == "missed" or other is None:
        return "missed"
    score = f"score {evidence.seen.prediction['scores'][other]:.2f}"
    numbers = f"({score}, mask IoU {iou_text(way.verdict.iou)})"
    if kind == "wrong class":
        found_as = name[int(evidence.seen.prediction["labels"][other]) - 1]
        return f"found as {found_as}, not {name[way.instance.label - 1]} {numbers}"
    if kind == "split":
        pieces = [one for one in evidence.errors.detections if one.kind == "split"]
        count = sum(one.other == way.verdict.index for one in pieces)
        return f"split: {count} detections lie on parts of it; the best {numbers}"
    if kind == "merged":
        # Of a crowd, the IoU is the share: of each object, what lies in the detection.
        shares = coco_mask.iou(evidence.rles, [evidence.seen.prediction["masks"][other]], [1])[:, 0]
        alike = evidence.of_class(way.instance.label).any(dim=1).numpy()
        covered = [str(at + 1) for at in np.flatnonzero(alike & (shares >= MOSTLY))]
        return f"merged: one detection {numbers} covers objects {' and '.join(covered)}"
    return f"{'found' if kind == 'found' else 'found with a poor outline'} {numbers}"


def _of_one(subject: Subject, evidence: Evidence, way: Journey) -> Chapter:
    name = evidence.classes[way.instance.label - 1]
    size, scale = (evidence.boxes[way.number - 1].view(2, 2).diff(dim=0)[0]), evidence.seen.scale
    across, down = (size / torch.tensor(scale)).tolist()
    introduction = f"Verdict: {_fate(evidence, way)}."
    if way.lost:
        advice = remedy(evidence, way)
        introduction += f" {advice[0].upper()}{advice[1:]}"
    if way.lost and way.verdict.kind in ("merged", "split", "wrong class"):
        what, helps = OF_OBJECTS[way.verdict.kind]
        introduction += f" Objects that {what}: {helps}."
    table = Table(
        "Stage by stage", ("stage", "what happened", "best IoU"),
        tuple((one.name, one.text, iou_text(one.iou)) for one in way.told),
        f"The label: {across:.0f}x{down:.0f} pixels, {size[0]:.0f}x{size[1]:.0f} in the network's "
        f"input. IoU 1 is its very box; a box counts from {MATCH_IOU} on, and the object is lost "
        "at the first stage after which none does.",
    )  # fmt: skip
    title = f"Object {way.number} ({name}) of {subject.name}"
    return Chapter("explain", title, introduction, (_way_figure(subject, evidence, way), table))


def _way_figure(subject: Subject, evidence: Evidence, way: Journey) -> Figure:
    """Four panels at most: anchor, proposal, box of the class, outline."""
    told = {stage.name: stage for stage in way.told}
    groups = (
        [told[name] for name in names if name in told]
        for names in (RPN_STAGES[:1], RPN_STAGES[1:], HEADS)
    )
    stages = [group[-1] for group in groups if group]
    pixels, scale = rgb_view(subject.pixels), torch.tensor(evidence.seen.scale * 2)
    label, meant = evidence.boxes[way.number - 1] / scale, _meant(evidence, way)
    is_far = way.verdict.kind == "missed" and not _is_unsure(way)
    found = [] if is_far or meant is None else [evidence.seen.prediction["boxes"][meant]]
    ends = [(_drawn(stage, way), stage.rival if stage is way.lost else None) for stage in stages]
    drawn = [box / scale for pair in ends for box in pair if box is not None]
    region = around([label, *drawn, *found], pixels.shape[1::-1], NEAR, LEAST)
    keys, pictures, captions = {"label": Key(OBJECT, "the object's label")}, [], []
    for stage, (box, rival) in zip(stages, ends, strict=True):
        canvas = Canvas(pixels, SIDE, region)
        canvas.box(label, OBJECT)
        if rival is not None:
            canvas.box(rival / scale, NEUTRAL)
            keys["rival"] = Key(NEUTRAL, "the surer box that removed it")
        if box is not None:
            colour, text, style = _box_look(stage, stage is way.lost)
            canvas.box(box / scale, colour, style)
            keys[text] = Key(colour, text, style)
        pictures.append(canvas.picture())
        text = "lost" if stage is way.lost else f"IoU {iou_text(stage.iou)}"
        captions.append(f"{stage.name}: {text}")
    canvas = Canvas(pixels, SIDE, region)
    areas, iou = _outline(canvas, evidence, way, meant)
    pictures.append(canvas.picture())
    what = "nearest detection" if is_far else "outline"
    what += ", below its threshold" if _is_unsure(way) else ""
    captions.append(f"{what}: {'none' if meant is None else f'mask IoU {iou_text(iou)}'}")
    numbered = [f"{at}. {text}" for at, text in enumerate(captions, 1)]
    narrow = canvas.size[0] < NARROW * canvas.size[1]
    return Figure(
        "way", f"Object {way.number}: do the boxes follow the green one?",
        panel(pictures, numbered, 4 if narrow else 2),
        "The last picture should be all green, labelled and detected.", (*keys.values(), *areas),
    )  # fmt: skip


def _drawn(stage: Stage, way: Journey) -> Tensor | None:
    """The box that is shown of a stage: the one that was lost, where the object was."""
    return stage.gone if stage is way.lost and stage.gone is not None else stage.box


def _box_look(stage: Stage, lost: bool) -> tuple[Colour, str, Style]:
    if lost:
        return NEGATIVE, "the box that was lost there", "dotted"
    if stage.name in RPN_STAGES:
        return POSITIVE, "the best anchor or proposal", "dashed"
    return POSITIVE, "the best box of its class", "solid"


def _is_unsure(way: Journey) -> bool:
    """Whether the object was detected, below the score threshold of its class."""
    return way.lost is not None and way.lost.name == "score threshold"


def _meant(evidence: Evidence, way: Journey) -> int | None:
    """The detection that was meant for the object, its place in the prediction, if there is one."""
    if not _is_unsure(way):
        return way.verdict.other
    assert way.lost is not None
    assert way.lost.gone is not None
    found = evidence.seen.detections
    over = box_iou(way.lost.gone[None], found["boxes"])[0] * (found["labels"] == way.instance.label)
    return int(over.argmax())


def _outline(
    canvas: Canvas, evidence: Evidence, way: Journey, meant: int | None
) -> tuple[list[Key], float]:
    """Draw the label's area and that of the detection that was meant for it; returns the legend and
    the IoU of both."""
    label = coco_mask.decode(evidence.rles[way.number - 1]).astype(bool)
    found = np.zeros_like(label)
    if meant is not None:
        found = coco_mask.decode(evidence.seen.prediction["masks"][meant]).astype(bool)
    parts = (
        (label & found, OBJECT, "labelled and detected"),
        (label & ~found, NEGATIVE, "labelled only"),
        (found & ~label, POSITIVE, "detected only"),
    )
    left, top, right, bottom = (max(round(edge), 0) for edge in canvas.region)
    shown = [one for one in parts if one[0][top:bottom, left:right].any()]
    for area, colour, _ in shown:
        canvas.mask(area, colour)
    iou = float((label & found).sum() / (label | found).sum())
    return [Key(colour, text, "area") for _, colour, text in shown], iou


def _overview(subject: Subject, lead: str = "") -> Chapter:
    """All objects of the image, and what was detected beside them."""
    title = f"What became of the objects of {subject.name}"
    if subject.record is None:
        return _without_labels(subject, title)
    evidence = gather_evidence(subject)
    ways = [journey(evidence, index) for index in range(len(subject.record.instances))]
    ways.sort(key=lambda way: not way.missed)
    table = Table(
        "The objects", ("object", "verdict", "best anchor IoU", "best proposal IoU", "score"),
        tuple(_row(evidence, way) for way in ways),
        "Those that are not found come first. The score is that of the surest box of its class; "
        "--object N tells the way of one.",
    )  # fmt: skip
    figure = _overview_figure(subject, evidence, ways)
    parts = (figure, table) if ways else (figure,)
    return Chapter("explain", title, lead + evidence.summary, parts)


def _fate(evidence: Evidence, way: Journey) -> str:
    """The verdict, and where the object was lost."""
    return verdict(evidence, way) + (f", lost at: {way.lost.name}" if way.lost else "")


def _row(evidence: Evidence, way: Journey) -> tuple[str, ...]:
    iou = {stage.name: iou_text(stage.iou) for stage in way.stages}
    return (
        evidence.name(way.number - 1), _fate(evidence, way), iou.get("anchors", "-"),
        iou.get("proposals", "-"), f"{way.score:.2f}" if way.score else "-",
    )  # fmt: skip


def _overview_figure(subject: Subject, evidence: Evidence, ways: list[Journey]) -> Figure:
    canvas, keys = Canvas(rgb_view(subject.pixels)), {}
    for way in ways:  # labels of the missed find a place
        x, y, width, height = way.instance.bbox
        index, colour = way.number - 1, OBJECT
        if way.verdict.kind == "ignored":
            colour = PALE
        if way.missed:
            canvas.mask(coco_mask.decode(evidence.rles[index]).astype(bool), NEGATIVE)
            keys["missed"] = Key(NEGATIVE, "not found", "area")
        text = evidence.name(index) if len(ways) <= MOST_NAMED else str(way.number)
        canvas.box((x, y, x + width, y + height), colour, text=text)
        keys[str(colour)] = Key(colour, "labelled" if colour == OBJECT else "labelled, not judged")
    wrong = [one for one in evidence.errors.detections if one.kind not in ("correct", "ignored")]
    for one in wrong:
        box = evidence.seen.prediction["boxes"][one.index]
        canvas.box(box, POSITIVE, text=f"{one.kind} {one.score:.2f}", width=2)
        keys["wrong"] = Key(POSITIVE, "wrong detection, its kind and score")
    text = (
        f"{len(ways)} labelled objects, numbered, and {len(wrong)} wrong detections; correct ones "
        "are not drawn. Good: no red area and no blue box."
    )
    return Figure("objects", "Which objects are not found (red)? What is detected wrongly (blue)?",
                  canvas.picture(), text, tuple(keys.values()))  # fmt: skip


def _without_labels(subject: Subject, title: str) -> Chapter:
    """What was detected in an image that nothing is known of."""
    found, canvas = subject.trace.prediction, Canvas(rgb_view(subject.pixels))
    shown = are_shown(found["scores"], found["labels"], subject.weights.thresholds)
    for at in torch.where(shown)[0].tolist():
        name = subject.classes[int(found["labels"][at]) - 1]
        canvas.box(found["boxes"][at], POSITIVE, text=f"{name} {found['scores'][at]:.2f}")
    introduction = (
        "This image has no labels, so nothing is known of what was missed. Label it to have its "
        "objects explained."
    )
    count = f"{int(shown.sum())} of {len(shown)} detections"
    keys = (Key(POSITIVE, "detection, with its score"),) if shown.any() else ()
    figure = Figure("objects", "Is each detection an object, and each object detected?",
                    canvas.picture(), f"{count} reach the score threshold of their class.",
                    keys)  # fmt: skip
    return Chapter("explain", title, introduction, (figure,))
