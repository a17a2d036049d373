"""The fifth chapter: from proposals to detections, step by step, and what the image costs."""

from __future__ import annotations

from torchvision.ops import box_iou

from utils.inspection.chapter import Chapter, Figure, Table
from utils.inspection.chapters.box_head import (
    class_scores,
    refinement,
    score_histogram,
    step_table,
    suppression,
)
from utils.inspection.chapters.losses import loss_parts
from utils.inspection.chapters.mask_head import masks, result
from utils.inspection.detections import (
    SAME_PLACE,
    DetectionSteps,
    are_shown,
    counterparts,
    detection_steps,
)
from utils.inspection.subject import Subject
from utils.inspection.suppression import NOBODY

INTRODUCTION = (
    "The heads look at each proposal. The box head says which class is in it, with a score, and "
    "moves its edges; of boxes of one class at one place only the surest stays. The mask head then "
    "says which pixels of each remaining box are the object's. IoU, the overlap of two boxes, is 1 "
    "where they are the same and 0 where they do not meet."
)
MOST_NAMED = 3


def heads_chapter(subject: Subject) -> Chapter:
    """Class scores, refinement, removal, suppression, masks, result and losses of the image."""
    steps = detection_steps(subject.model.roi_heads, subject.trace)
    taught = subject.training
    introduction = INTRODUCTION
    parts: list[Figure | Table | None] = []
    if len(steps.scores):
        parts += [class_scores(subject, steps), refinement(subject, steps)]
        parts += [step_table(subject, steps), score_histogram(subject, steps)]
        parts += [*suppression(subject, steps), masks(subject)]
    else:
        introduction += " In this image there is no proposal, so they have nothing to look at."
    parts.append(result(subject))
    if taught is None:
        introduction += " The picture has no labels, so there are no losses to show."
    else:
        parts += loss_parts(subject, taught)
    return Chapter(
        "heads", "The heads: which objects, where, and their masks", introduction,
        tuple(part for part in parts if part is not None), findings(subject, steps),
    )  # fmt: skip


def findings(subject: Subject, steps: DetectionSteps) -> tuple[str, ...]:
    """What should be looked at first."""
    return (*_not_shown(subject, steps), *_cut(subject, steps), *_against_labels(subject))


def _not_shown(subject: Subject, steps: DetectionSteps) -> list[str]:
    """Nothing is found, or nothing that is sure enough."""
    prediction = subject.trace.prediction
    scores, labels = prediction["scores"], prediction["labels"]
    if subject.record is not None and not subject.record.instances:
        return []  # as it should be
    if not len(scores):
        best = f"; the highest is {steps.scores[:, 1:].max():.2f}" if len(steps.scores) else ""
        return [f"The network finds nothing here: no score is above {steps.least:g}{best}."]
    if are_shown(scores, labels, subject.weights.thresholds).any():
        return []
    name = subject.classes[int(labels[0]) - 1]
    return [
        f"predict.py shows nothing here: of {len(scores)} detections none reaches the threshold of "
        f"its class. The surest is {name} {scores[0]:.2f}, and "
        f"{subject.weights.thresholds[int(labels[0]) - 1]:.2f} is asked; predict.py takes a lower "
        "one by --score-threshold."
    ]


def _cut(subject: Subject, steps: DetectionSteps) -> list[str]:
    """The limit of detections cost some that would have been shown."""
    cut = steps.survivors[steps.limit :]
    scores, labels = steps.candidate_scores[cut], steps.labels[cut]
    count = int(are_shown(scores, labels, subject.weights.thresholds).sum())
    if not count:
        return []
    return [
        f"The limit of {steps.limit} detections in an image cut {count} that reach the threshold "
        f"of their class, the surest with {scores[0]:.2f}: predict.py takes a higher one by "
        "--max-detections."
    ]


def _against_labels(subject: Subject) -> list[str]:
    """Labelled objects that are taken for another class or not found, and detections beside all."""
    taught, found = subject.training, subject.trace.detections
    if taught is None:
        return []
    shown = are_shown(found["scores"], found["labels"], subject.weights.thresholds)
    boxes, scores, labels = (found[name][shown] for name in ("boxes", "scores", "labels"))
    wanted = taught.target["labels"]
    own, other = counterparts(taught.target["boxes"], wanted, boxes, labels)
    texts = []
    taken = (own == NOBODY) & (other != NOBODY)
    for place in taken.nonzero()[:, 0].tolist()[:MOST_NAMED]:
        by = int(other[place])
        asked, said = (subject.classes[int(i) - 1] for i in (wanted[place], labels[by]))
        texts.append(
            f"Labelled object {place + 1}, {asked}, is taken for {said} with a score of "
            f"{scores[by]:.2f}: a wrong label, or classes that look alike to the network."
        )
    if int(taken.sum()) > MOST_NAMED:
        texts.append(f"{int(taken.sum()) - MOST_NAMED} more are taken for another class.")
    missed = int(((own == NOBODY) & (other == NOBODY)).sum())
    if missed:
        texts.append(
            f"{missed} of {len(wanted)} labelled objects have no shown detection that overlaps "
            f"them by an IoU of {SAME_PLACE:g}; 'tools.inspect explain' says why."
        )
    over = box_iou(boxes, taught.target["boxes"])
    alone = int((over < SAME_PLACE).all(dim=1).sum())
    if alone:
        texts.append(
            f"{alone} of {len(boxes)} shown detections overlap no labelled object by an IoU of "
            f"{SAME_PLACE:g}: false alarms, or objects without a label."
        )
    return texts
