"""Which labelled objects the proposals reach, and where the others are lost."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, stack
from torch.nn.functional import pad

from utils.evaluation.error_kinds import MATCH_IOU, NEAR_IOU
from utils.inspection.canvas import NEGATIVE, OBJECT, POSITIVE, Canvas
from utils.inspection.chapter import Figure, Key, Table
from utils.inspection.evidence import Evidence
from utils.inspection.journey import RPN_STAGES, iou_text, journey, own_ious
from utils.inspection.remedy import ADVICE
from utils.inspection.subject import Subject

OBJECTS, NAMED = 20, 5  # shown, and named in a finding, at most


def fits(subject: Subject, evidence: Evidence) -> tuple[Figure, Table, tuple[str, ...]]:
    """The labelled objects that are reached worst: each with its best proposal, the same in numbers
    after each stage, and a finding on those that were lost."""
    judged = evidence.boxes.any(dim=1).nonzero()[:, 0]
    proposals = evidence.proposed.clipped[evidence.proposed.kept]
    own = [own_ious(proposals, evidence.boxes, index) for index in judged.tolist()]
    best, ranks = pad(stack(own), (1, 0)).max(dim=1)  # with 0, number 0, if there is none
    order = best.argsort(stable=True)
    judged, best, ranks = judged[order], best[order], ranks[order]
    rows, lost = list[tuple[str, ...]](), dict[str, list[str]]()
    for index, iou, rank in zip(judged.tolist(), best.tolist(), ranks.tolist(), strict=True):
        if len(rows) >= OBJECTS and iou >= MATCH_IOU:
            break
        way, (x1, y1, x2, y2) = journey(evidence, index), evidence.boxes[index].tolist()
        name, size = evidence.name(index), f"{x2 - x1:.3g}x{y2 - y1:.3g}"
        ious = (iou_text(stage.iou) for stage in way.stages[: len(RPN_STAGES)])
        rows.append((name, size, *ious, f"{rank:,}" if iou >= NEAR_IOU else "-"))
        if way.lost and way.lost.name in RPN_STAGES:
            lost.setdefault(way.lost.name, []).append(f"{name} ({size} pixels)")
    text = (
        "The same objects, their size in pixels of the network's input: the best IoU with all "
        "anchors, with all as the RPN moves them, and with what each stage leaves of these. Where "
        f"it falls below {MATCH_IOU} for good, the object was lost. A box is that of the object it "
        "overlaps most."
    )
    table = Table(
        "Where an object is lost", ("object", "size", *RPN_STAGES, "rank"), tuple(rows[:OBJECTS]),
        text,
    )  # fmt: skip
    findings = (_finding(stage, told, len(judged)) for stage, told in lost.items())
    figure = _figure(subject, evidence, judged, best, ranks)
    return figure, table, tuple(findings)


def _finding(stage: str, told: Sequence[str], count: int) -> str:
    named = ", ".join(told[:NAMED])
    more = f" and {len(told) - NAMED} more" if len(told) > NAMED else ""
    affected = f"Affected: {len(told)} of {count} labelled objects: {named}{more}."
    return f"Lost at {stage}: {ADVICE[stage]} {affected}"


def _figure(
    subject: Subject, evidence: Evidence, judged: Tensor, best: Tensor, ranks: Tensor
) -> Figure:
    """N objects, those reached worst first, with the IoU and the rank of their best proposals."""
    proposals = evidence.proposed.clipped[evidence.proposed.kept]
    shown = best[:OBJECTS]
    canvas = Canvas(subject.input_pixels)
    canvas.boxes(evidence.boxes[judged[:OBJECTS]], OBJECT)
    for index, iou, rank in zip(judged.tolist(), shown.tolist(), ranks.tolist(), strict=False):
        if iou < NEAR_IOU:
            canvas.box(evidence.boxes[index], NEGATIVE, "dotted", f"{evidence.name(index)}: none")
            continue
        text = f"{evidence.name(index)}: IoU {iou_text(iou)}, rank {rank:,}"
        colour = POSITIVE if iou >= MATCH_IOU else NEGATIVE
        canvas.box(proposals[rank - 1], colour, "dashed", text)
    reached = int((best >= MATCH_IOU).sum())
    text = (
        f"{len(shown)} of {len(best)} labelled objects, those reached worst, with the proposal "
        f"that overlaps each most and its rank among {len(proposals):,}. {reached} of "
        f"{len(best)} have one with an IoU of {MATCH_IOU} or more; the median is "
        f"{best.median():.2f}. Good: all blue, 0.7 and more, at low ranks. Red is mostly "
        "missed: the heads are taught that such boxes are background."
    )
    fitting, near = shown >= MATCH_IOU, shown >= NEAR_IOU
    keys = (
        (shown >= 0, Key(OBJECT, "labelled object")),
        (fitting, Key(POSITIVE, f"its best proposal, IoU {MATCH_IOU} or more", "dashed")),
        (near & ~fitting, Key(NEGATIVE, f"its best proposal, IoU below {MATCH_IOU}", "dashed")),
        (~near, Key(NEGATIVE, f"object that none overlaps by {NEAR_IOU}", "dotted")),
    )
    legend = tuple(key for which, key in keys if which.any())
    title = "Labelled objects and the proposals that fit them best: look for red"
    return Figure("objects", title, canvas.picture(), text, legend)
