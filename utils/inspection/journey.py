"""The way of a labelled object through a network: how far its boxes got, and where they were lost.

    print(journey(gather_evidence(subject), 2).lost)  # the third object

A box is the object's if it overlaps no other more: of two that touch, each is followed by its own.
From the class on, only objects of the same class have a claim. An object is lost at the first stage
from which on none of its boxes has IoU 0.5 with it; what is refined later may come back before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

from nets.box_iou import sliced_box_iou
from nets.contract import are_shown
from utils.data.records import Instance
from utils.evaluation import error_kinds
from utils.evaluation.error_kinds import MATCH_IOU, ObjectVerdict
from utils.inspection.anchors import best_anchors
from utils.inspection.evidence import Evidence

RPN_STAGES = "anchors", "RPN boxes", "RPN ranking", "RPN NMS", "proposals"
TOLD_LOSS = 0.05  # of IoU: a better box that went is told of from here on


@dataclass(frozen=True)
class Stage:
    """How an object stands after a step.

    Attributes:
        name: of the step.
        iou: of its best box that is left then, or of its outline; 0 if none is.
        text: a sentence or two with the numbers.
        box: the best that is left, (4,); None if there is none.
        gone: the surest of those that were lost here, if none of IoU 0.5 is left.
        rival: the box that removed that one in a suppression.
    """

    name: str
    iou: float
    text: str
    box: Tensor | None = None
    gone: Tensor | None = None
    rival: Tensor | None = None


@dataclass(frozen=True)
class Journey:
    """The way of one object.

    Attributes:
        number: of the object, from 1 on.
        instance: as labelled.
        verdict: what test.py says of it.
        stages: all of them in order; none for a crowd and for an object without a pixel.
        score: for its class, of its surest box of IoU 0.5; 0 if it has none.
    """

    number: int
    instance: Instance
    verdict: ObjectVerdict
    stages: tuple[Stage, ...] = ()
    score: float = 0.0

    @property
    def missed(self) -> bool:
        """Whether it should have been found and was not."""
        return self.verdict.kind not in ("found", "ignored")

    @property
    def told(self) -> tuple[Stage, ...]:
        """The stages until it was lost."""
        reached = [at for at, stage in enumerate(self.stages) if stage.iou >= MATCH_IOU]
        return self.stages[: max(reached, default=-1) + 2]

    @property
    def lost(self) -> Stage | None:
        """The first stage from which on nothing reaches IoU 0.5, if it was not found."""
        return self.told[-1] if self.missed and self.stages else None


def journey(evidence: Evidence, index: int) -> Journey:
    """Follow the object at that place among the instances of the record."""
    one, verdict = evidence.record.instances[index], evidence.errors.objects[index]
    if not evidence.boxes[index].any():
        return Journey(index + 1, one, verdict)
    refined, objects = evidence.detected.boxes[:, one.label], evidence.of_class(one.label)
    ious, scores = own_ious(refined, objects, index), evidence.detected.scores[:, one.label]
    of_class = _class_stages(evidence, one.label, objects, _Boxes(refined, ious, scores))
    stages = (*_rpn_stages(evidence, index), *of_class, *_outline_stages(evidence, verdict))
    score = max(scores[ious >= MATCH_IOU].tolist(), default=0.0)
    return Journey(index + 1, one, verdict, stages, score)


def own_ious(boxes: Tensor, objects: Tensor, index: int) -> Tensor:
    """The IoU of each box (B, 4) with one of the objects (N, 4); 0 for those that overlap another
    object more. Returns (B,)."""
    ious = box_iou(boxes, objects[index, None])[:, 0]
    near = torch.where(ious > 0)[0]
    with_all = sliced_box_iou(boxes[near], objects)
    ious[near[with_all.amax(dim=1) > with_all[:, index]]] = 0
    return ious


Fate = Callable[[int], tuple[str, Tensor | None]]  # what became of a box, and its rival


@dataclass(frozen=True)
class _Boxes:
    """Boxes (B, 4), what each has of the object (B,), and how sure the network is of it (B,)."""

    boxes: Tensor
    ious: Tensor
    scores: Tensor

    def stage(self, name: str, places: Tensor, text: str) -> Stage:
        """How the object stands with the boxes at these places, int64 (n,)."""
        if not self.ious[places].any():
            return Stage(name, 0.0, f"{text}, none is on this object.")
        best = places[self.ious[places].argmax()]
        iou = float(self.ious[best])
        return Stage(name, iou, f"{text}, the best has IoU {iou_text(iou)}.", self.boxes[best])

    def after(self, name: str, before: Tensor, left: Tensor, text: str, fate: Fate) -> Stage:
        """The same after a step that left some of the places before it. If all that reached 0.5
        are gone, the surest of them is told of; else the best, if what stays is clearly worse."""
        stage = self.stage(name, left, text)
        had = float(self.ious[before].amax()) if len(before) else 0.0
        lost = stage.iou < MATCH_IOU <= had
        if had - stage.iou < TOLD_LOSS and not lost:
            return stage
        gone = before[self.ious[before] >= (MATCH_IOU if lost else had)]
        surest = int(gone[self.scores[gone].argmax()])
        why, rival = fate(surest)
        text = f"{stage.text} A box of IoU {iou_text(float(self.ious[surest]))} {why}."
        if not lost:
            return replace(stage, text=text)
        return replace(stage, text=text, gone=self.boxes[surest], rival=rival)


def _rpn_stages(evidence: Evidence, index: int) -> list[Stage]:
    seen, steps, objects = evidence.seen, evidence.proposed, evidence.boxes
    anchor = best_anchors(seen, objects[index, None])
    iou, (level, stride) = float(anchor.iou), list(seen.strides().items())[int(anchor.level)]
    ious = own_ious(evidence.refined, objects, index)
    boxes = _Boxes(evidence.refined, ious, seen.objectness.sigmoid())
    every = torch.arange(len(ious))
    large, left, kept = (steps.anchors[at] for at in (steps.large, steps.survivors, steps.kept))

    def passed_over(place: int) -> tuple[str, None]:
        if place in steps.anchors:
            return "was too small, or below the RPN's least objectness", None
        level = seen.levels == seen.levels[place]
        surer = int((seen.objectness[level] > seen.objectness[place]).sum())
        taken = int((steps.levels == seen.levels[place]).sum())
        return beyond(surer, "of its level by objectness", taken), None

    def suppressed(place: int) -> tuple[str, Tensor]:
        by = int(steps.suppressed_by[steps.anchors == place])
        rival, sure = steps.clipped[by], f"{steps.scores[by]:.3f} against {boxes.scores[place]:.3f}"
        why = f"was removed by one of more objectness ({sure}) on {evidence.whose(rival, objects)}"
        return why, rival

    rank = f" (number {1 + int(ious[kept].argmax())} is its best)" if ious[kept].any() else ""
    told = (
        f"The best of {len(seen.anchors):,} anchors has IoU {iou_text(iou)}, on level {level} (a "
    )
    return [
        Stage("anchors", iou, f"{told}point each {stride} pixels).", seen.anchors[anchor.index[0]]),
        boxes.stage("RPN boxes", every, "Of the anchors as the RPN moves them"),
        boxes.after("RPN ranking", every, large, f"Of the {len(large):,} with most objectness",
                    passed_over),
        boxes.after("RPN NMS", large, left, f"Of {len(left):,} left by NMS", suppressed),
        boxes.after("proposals", left, kept, f"Of {len(kept):,} proposals{rank}", lambda place: (
            beyond(left.tolist().index(place), "by objectness", steps.limit), None)),
    ]  # fmt: skip


def _class_stages(evidence: Evidence, label: int, objects: Tensor, boxes: _Boxes) -> list[Stage]:
    steps, thresholds = evidence.detected, evidence.thresholds
    name, least = evidence.classes[label - 1], thresholds[label - 1]
    # Of a class, each proposal is one candidate at most: the proposals stand for them.
    every, mine = torch.arange(len(boxes.ious)), steps.labels == label
    candidates = steps.proposals[mine]
    left, kept = (steps.proposals[at[mine[at]]] for at in (steps.survivors, steps.kept))
    sure = kept[are_shown(boxes.scores[kept], torch.full_like(kept, label), thresholds)]

    def scored_low(place: int) -> tuple[str, None]:
        scores, names = steps.scores[place], ("background", *evidence.classes)
        others = [at for at in scores.argsort(descending=True).tolist() if at != label]
        told = ", ".join(f"{names[at]} {scores[at]:.3f}" for at in (label, *others[:2]))
        return f"was scored {told}; more than {steps.least:g} is asked for", None

    def suppressed(place: int) -> tuple[str, Tensor]:
        by = int(steps.suppressed_by[mine & (steps.proposals == place)])
        rival, score = steps.candidate_boxes[by], steps.candidate_scores[by]
        over = float(box_iou(boxes.boxes[place, None], rival[None]))
        return (
            f"was removed by a surer {name} ({score:.3f} against {boxes.scores[place]:.3f}) on "
            f"{evidence.whose(rival, objects)}, which overlaps it by IoU {over:.2f}", rival
        )  # fmt: skip

    def cut(place: int) -> tuple[str, None]:
        surer = int((steps.candidate_scores[steps.survivors] > boxes.scores[place]).sum())
        return beyond(surer, "by score", steps.limit), None

    return [
        boxes.stage("box head", every, f"Of the proposals as the box head moves them for {name}"),
        boxes.after("class scores", every, candidates, f"Of {len(candidates)} taken for {name}",
                    scored_low),
        boxes.after("NMS", candidates, left, f"Of {len(left)} left by NMS", suppressed),
        boxes.after("detection limit", left, kept, f"Of {len(kept)} detections", cut),
        boxes.after("score threshold", kept, sure, f"Of the {len(sure)} above its threshold",
                    lambda place: (f"has score {boxes.scores[place]:.3f}; {name} counts from "
                                   f"{least:.3f} on", None)),
    ]  # fmt: skip


def _outline_stages(evidence: Evidence, verdict: ObjectVerdict) -> list[Stage]:
    found, sure = verdict.kind == "found", evidence.errors.detections
    sure = tuple(one for one in sure if one.label == verdict.label)
    if found:
        sure = tuple(one for one in sure if one.index == verdict.other)
    masks = [evidence.seen.prediction["masks"][one.index] for one in sure]
    ious = error_kinds.mask_ious(masks, [evidence.rles[verdict.index]], np.array([False]))[:, 0]
    if not ious.any():
        return [Stage(name, 0.0, "No outline is left.") for name in ("outline", "match")]
    best, iou = sure[int(ious.argmax())], float(ious.max())
    box = evidence.seen.detections["boxes"][best.index]
    to = "no object" if best.other is None else f"object {best.other + 1}"
    text = "It is found." if found else f"The detection counts for {to}, and can for one only."
    return [
        Stage("outline", iou, f"The best outline: mask IoU {iou_text(iou)}.", box),
        Stage("match", iou if found else 0.0, text, box),
    ]


def iou_text(iou: float) -> str:
    """An IoU to be read; what does not reach 0.5 is not rounded up to it."""
    return f"{min(iou, 0.49) if iou < MATCH_IOU else iou:.2f}"


def beyond(surer: int, order: str, limit: int) -> str:
    """That too many boxes are surer."""
    return f"was number {surer + 1:,} {order}; the first {limit:,} go on"
