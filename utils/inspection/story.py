"""The story of an image in a network: which chapters there are, and what they are about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from utils.inspection.chapter import Chapter
from utils.inspection.chapters.activations import activations_chapter
from utils.inspection.chapters.anchors import anchors_chapter
from utils.inspection.chapters.data import data_chapter
from utils.inspection.chapters.heads import heads_chapter
from utils.inspection.chapters.proposals import proposals_chapter
from utils.inspection.chapters.targets import targets_chapter
from utils.inspection.chapters.weights import weights_chapter
from utils.inspection.config import ALL, CHAPTERS
from utils.inspection.subject import Subject


def tell(subject: Subject, what: str, start: str = "") -> Iterator[Chapter]:
    """The chapter of that name, or ``all`` of them, in the order of the data's way.

    ``start`` names the weights that the training started from, as ``weights_chapter`` takes it.
    """
    tellers: dict[str, Callable[[Subject], Chapter]] = {
        "data": data_chapter,
        "anchors": anchors_chapter,
        "proposals": proposals_chapter,
        "targets": targets_chapter,
        "heads": heads_chapter,
        "activations": activations_chapter,
        "weights": partial(weights_chapter, start=start),
    }
    for name in CHAPTERS if what == ALL else (what,):
        yield tellers[name](subject)


def about(subject: Subject) -> list[str]:
    """Which weights, data and image are looked into, a line each."""
    weights = subject.weights
    lines = [
        f"weights: {subject.path} ({weights.arch}, classes {', '.join(weights.classes)}), "
        f"{subject.precision.name} on {subject.device.type}"
    ]
    if subject.dataset is not None:
        root, count = subject.dataset.data.root, len(subject.dataset)
        lines.append(f"data: {root}, {count} images in this part")
    height, width = subject.pixels.shape[:2]
    labels = "without labels"
    if subject.record is not None:
        labels = f"number {subject.number}, {len(subject.record.instances)} labelled objects"
    return [*lines, f"image: {subject.name}, {width}x{height} pixels, {labels}", *subject.notes]
