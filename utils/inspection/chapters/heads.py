"""The heads' chapter: from proposals to detections, step by step, and what the image costs."""

from __future__ import annotations

from nets.contract import are_shown
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
from utils.inspection.detections import DetectionSteps, detection_steps
from utils.inspection.evidence import Evidence, gather_evidence
from utils.inspection.subject import Subject

INTRODUCTION = (
    "The heads look at each proposal. The box head says which class is in it, with a score, and "
    "moves its edges; of boxes of one class at one place only the surest stays. The mask head then "
    "says which pixels of each remaining box are the object's. IoU, the overlap of two boxes, is 1 "
    "where they are the same and 0 where they do not meet."
)
MOST_NAMED = 3


def heads_chapter(subject: Subject) -> Chapter:
    """Class scores, refinement, removal, suppression, masks, result and losses of the image."""
    evidence = gather_evidence(subject) if subject.record else None
    heads, taught = subject.model.roi_heads, subject.training
    steps = evidence.detected if evidence else detection_steps(heads, subject.trace)
    introduction = INTRODUCTION
    parts: list[Figure | Table | None] = []
    if len(steps.scores):
        parts += [class_scores(subject, steps), refinement(subject, steps)]
        parts += [step_table(subject, steps), score_histogram(subject, steps)]
        parts += [*suppression(subject, steps), masks(subject)]
    else:
        introduction += " In this image there is no proposal, so they have nothing to look at."
    parts.append(result(subject, evidence))
    if taught is None:
        introduction += " The picture has no labels, so there are no losses to show."
    else:
        parts += loss_parts(subject, taught)
    return Chapter(
        "heads", "The heads: which objects, where, and their masks", introduction,
        tuple(part for part in parts if part is not None), findings(subject, steps, evidence),
    )  # fmt: skip


def findings(subject: Subject, steps: DetectionSteps, evidence: Evidence | None) -> tuple[str, ...]:
    """What should be looked at first."""
    against_labels = _against_labels(evidence) if evidence else ()
    return (*_not_shown(subject, steps), *_cut(subject, steps), *against_labels)


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


def _against_labels(evidence: Evidence) -> list[str]:
    """Labelled objects that are taken for another class or not found, and wrong detections, by the
    verdicts of test.py."""
    errors, prediction = evidence.errors, evidence.seen.prediction
    texts = []
    taken = [one for one in errors.objects if one.kind == "wrong class"]
    for one in taken[:MOST_NAMED]:
        assert one.other is not None
        predicted = evidence.classes[int(prediction["labels"][one.other]) - 1]
        texts.append(
            f"Labelled object {evidence.name(one.index)} is taken for {predicted} with a score of "
            f"{prediction['scores'][one.other]:.2f}: a wrong label, or classes that look alike to "
            "the network."
        )
    if len(taken) > MOST_NAMED:
        texts.append(f"{len(taken) - MOST_NAMED} more are taken for another class.")
    kinds = {one.kind for one in errors.objects} | {one.kind for one in errors.detections}
    if kinds - {"found", "correct", "ignored"}:
        texts.append(f"{evidence.summary} 'tools.inspect explain' says why.")
    return texts
