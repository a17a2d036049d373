"""Whether an exported file finds what the network finds, looked at before the file is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from nets.out_of_memory import is_out_of_memory
from nets.weights_file import WeightsError, first_line
from utils.export.card import ModelCard
from utils.export.formats import FORMATS
from utils.export.session import Session
from utils.export.verification.agreement import FEW, Agreement, agreement
from utils.export.verification.differences import (
    BOXES,
    MASKS,
    SCORES,
    Difference,
    difference,
    paste_fault,
)
from utils.export.verification.form import form_fault, of_image
from utils.export.verification.images import cases, spread_evenly
from utils.export.verification.reference import Detections, Reference

OWN_IMAGES = 2  # of the user's; an image of an ordinary network takes seconds
OWN_IMAGES_INT8 = 8  # that agreement is measured on
MOST_TOLD = 5
# Of the network and of the file, in an image of a height and width.
Pair = tuple[Detections, Detections, tuple[int, int]]


@dataclass(frozen=True)
class VerifiedCase:
    """A case that file and network were compared in.

    Attributes:
        name: what it shows.
        size: height and width of its images in pixels.
        batch: how many the file was given at once.
        detections: how many the network has, by image.
        undecided: how many of either side hang on rounding.
        boxes, scores, masks: the largest differences, boxes in pixels; ``None`` for formats that
            cannot be equal.
    """

    name: str
    size: tuple[int, int]
    batch: int
    detections: tuple[int, ...]
    undecided: int = 0
    boxes: float | None = None
    scores: float | None = None
    masks: float | None = None

    @property
    def where(self) -> str:
        """For a person."""
        height, width = self.size
        return f"{self.name}, {height}x{width} pixels, {self.batch} at once"


@dataclass(frozen=True)
class Verification:
    """How a file compares with its network.

    Attributes:
        cases: what was compared.
        agreement: of formats that cannot be equal.
        notes: what could not be looked at.
        faults: why the file is not to be used.
    """

    cases: tuple[VerifiedCase, ...]
    agreement: Agreement | None
    notes: tuple[str, ...]
    faults: tuple[str, ...]

    def lines(self) -> list[str]:
        """For a person."""
        counts = [count for case in self.cases for count in case.detections]
        sizes = dict.fromkeys(f"{height}x{width}" for height, width in (c.size for c in self.cases))
        told = [
            f"compared with the network: {len(counts)} images of {', '.join(sizes)} pixels, in "
            f"batches of {', '.join(map(str, sorted({case.batch for case in self.cases})))}, "
            f"{min(counts, default=0)} to {max(counts, default=0)} detections in each"
        ]
        if self.agreement:
            told.append(self.agreement.line())
        elif not self.faults:
            boxes, scores, masks = (
                max((getattr(case, name) for case in self.cases), default=0)
                for name in ("boxes", "scores", "masks")
            )
            told.append(
                f"equal to rounding: boxes to {boxes:.2g} pixels, scores to {scores:.2g}, mask "
                f"probabilities to {masks:.2g}"
            )
        return told + [f"note: {note}" for note in self.notes]

    def check(self) -> None:
        """Raise ``WeightsError`` that says where file and network differ, if they do."""
        if self.faults:
            more = len(self.faults) - MOST_TOLD
            told = [*self.faults[:MOST_TOLD], *([f"and {more} more"] if more > 0 else [])]
            raise WeightsError(
                f"the exported file differs from the network and is not kept: {'; '.join(told)}"
            )

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for the report."""
        tolerances = {"boxes, of the longer side": BOXES, "scores": SCORES, "masks": MASKS}
        return {**asdict(self), **({} if self.agreement else {"tolerances": tolerances})}


def verify(card: ModelCard, session: Session, images: Sequence[np.ndarray]) -> Verification:
    """Hold an exported file against its network as torchvision runs it.

    Args:
        card: what the file was written from; its weights have their tensors.
        session: the file.
        images: (H, W, C) of the user's, as the network takes them; there may be none.
    """
    reference, is_exact = Reference(card), not FORMATS[card.format].is_int8
    seen: list[VerifiedCase] = []
    drawn: list[Pair] = []
    own: list[Pair] = []
    faults: list[str] = []
    if session.card.to_json() != card.to_json():
        faults.append("its description is not that which was written into it")
    some = spread_evenly(images, OWN_IMAGES if is_exact else OWN_IMAGES_INT8)
    for case in cases(card, some, lambda image: not len(reference.detections(image).scores)):
        size = (case.images.shape[1], case.images.shape[2])
        expected = [reference.detections(image) for image in case.images]
        result = VerifiedCase(
            name=case.name,
            size=size,
            batch=card.settings.batch or len(case.images),
            detections=tuple(len(found.scores) for found in expected),
        )
        try:
            found = _found(card, session, case.images)
        except WeightsError as error:
            faults.append(f"{result.where}, {error}")
            continue
        once = dict(found).items()  # an image that was given twice counts once
        (own if case.is_own else drawn).extend((expected[n], file, size) for n, file in once)
        if is_exact:
            parts = [
                difference(
                    expected[n], file, size, card.score_threshold, card.detections,
                    partial(reference.varied, case.images[n]),
                )
                for n, file in found
            ]  # fmt: skip
            faults += [f"{result.where}, {fault}" for part in parts for fault in part.faults]
            result = _with(result, parts)
        seen.append(result)
    agreed = None if is_exact else agreement(own or drawn, card.weights.thresholds)
    if agreed and (fault := agreed.fault()):
        faults.append(fault)
    return Verification(tuple(seen), agreed, tuple(_notes(seen, agreed)), tuple(faults))


def _found(card: ModelCard, session: Session, images: np.ndarray) -> list[tuple[int, Detections]]:
    """What the file finds, and in which of the images (N, H, W, C). If it takes another number of
    images at once, some are given twice.

    Raises:
        WeightsError: it cannot be run, or what it gives does not have the form it should.
    """
    results: list[tuple[int, Detections]] = []
    batch = card.settings.batch or len(images)
    for first in range(0, len(images), batch):
        numbers = np.arange(first, first + batch) % len(images)
        given = np.ascontiguousarray(images[numbers])
        try:
            found = session.run(given)
        except Exception as error:  # of the runtime's, of many kinds
            if is_out_of_memory(error):
                raise
            raise WeightsError(f"it cannot be run: {first_line(error)}") from error
        if fault := form_fault(found, given.shape, card):
            raise WeightsError(fault)
        for place, number in enumerate(numbers.tolist()):
            file = of_image(found, place)
            results.append((number, file))
            if found.pasted is None:
                continue
            if fault := paste_fault(file, found.pasted[place, : len(file.scores)]):
                raise WeightsError(fault)
    return results


def _with(case: VerifiedCase, parts: Sequence[Difference]) -> VerifiedCase:
    return replace(
        case,
        undecided=sum(part.undecided for part in parts),
        boxes=max(part.boxes for part in parts),
        scores=max(part.scores for part in parts),
        masks=max(part.masks for part in parts),
    )


def _notes(seen: Sequence[VerifiedCase], agreed: Agreement | None) -> list[str]:
    notes = []
    if seen and not any(0 in case.detections for case in seen):
        notes.append("the network finds something in every image; none was without detections")
    if agreed and agreed.sure < FEW:
        notes.append(
            f"with {agreed.sure} sure detections agreement says little; test.py judges the file"
        )
    return notes
