"""An exported file that is ready to run, whatever runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nets.out_of_memory import is_out_of_memory
from nets.weights_file import WeightsError, first_line
from utils.export.card import ModelCard


class Found(NamedTuple):
    """What is found in a batch of B images, as ``nets.exportable.ExportableMaskRCNN`` gives it.

    Attributes:
        boxes: float32 (B, D, 4) xyxy in pixels of the images.
        labels: int64 (B, D), 1..K.
        scores: float32 (B, D), sorted down.
        masks: float32 (B, D, 28, 28), probabilities within the box.
        counts: int64 (B,), how many of the D places are filled, from the first on.
        pasted: uint8 0/1 (B, D, H, W), masks of the images' size, if the file gives them.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    masks: np.ndarray
    counts: np.ndarray
    pasted: np.ndarray | None = None


class Session(ABC):
    """A file that ``tools.export`` wrote, opened by its runtime.

    Attributes:
        path: of the file.
        card: what it knows of itself.
    """

    path: Path
    card: ModelCard

    @abstractmethod
    def run(self, images: np.ndarray) -> Found:
        """Find objects.

        Args:
            images: (B, H, W, C) of the size and number that the card's settings say, C-contiguous;
                uint8 RGB, or float32 in 0..1 of another number of channels.
        """


@contextmanager
def reading(path: Path, what: str, advice: str) -> Iterator[None]:
    """Make a ``WeightsError`` of what a runtime raises when it cannot read a file: errors of many
    kinds, depending on the damage.

    Args:
        path: of the file.
        what: it should be.
        advice: what to do if it was copied, and if not.
    """
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise WeightsError(
            f"{path}: is no {what} that can be run ({first_line(error)[:200]}); if it was copied, "
            f"{advice}"
        ) from error


class Signature(NamedTuple):
    """What a network takes and gives.

    Attributes:
        dtype: of its images, as numpy calls it.
        shape: of its images, (B, H, W, C); ``None`` where any number will do.
        outputs: their names.
    """

    dtype: str
    shape: tuple[int | None, ...]
    outputs: tuple[str, ...]


def signature_of(card: ModelCard) -> Signature:
    """What a file must have whose description this is."""
    height, width = card.settings.size or (None, None)
    return Signature(
        "uint8" if card.takes_bytes else "float32",
        (card.settings.batch, height, width, card.weights.channels),
        card.outputs,
    )


def check_signature(path: Path, card: ModelCard, found: Sequence[Signature]) -> None:
    """Hold what a runtime tells of a file's network, one signature for each input, against what the
    file says of itself.

    Raises:
        WeightsError: they differ.
    """
    wanted = signature_of(card)
    if list(found) != [wanted]:
        raise WeightsError(
            f"{path}: its network takes and gives {_in_words(found)}, its description says "
            f"{_in_words([wanted])}; was it edited? Export it again"
        )


def _in_words(signatures: Sequence[Signature]) -> str:
    """``uint8 (any, 480, 640, 3) -> boxes, labels``."""
    told = []
    for one in signatures:
        sides = ", ".join("any" if side is None else str(side) for side in one.shape)
        told.append(f"{one.dtype} ({sides}) -> {', '.join(one.outputs)}")
    return " and ".join(told) or "no image"
