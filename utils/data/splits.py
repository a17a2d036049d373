"""Which images train and which are held out: drawn once with a seed, written down, reused."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from utils.data.records import DataError, RecordSet

TUTORIAL_IMAGES, TUTORIAL_HELD_OUT = 170, 50  # PennFudan, as torchvision's tutorial splits it
HELD_OUT_SHARE = 0.2


@dataclass(frozen=True)
class Split:
    """File names relative to the data root, and the data they were drawn from."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    seed: int
    data_fingerprint: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``split.json`` and the weights file hold them."""
        return {**asdict(self), "train": list(self.train), "val": list(self.val)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Split:
        """Read what ``to_dict`` wrote; raises ``DataError`` if a field is missing or wrong."""
        try:
            split = cls(
                tuple(values["train"]),
                tuple(values["val"]),
                int(values["seed"]),
                str(values["data_fingerprint"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"not a split: {error!r} is missing or wrong") from error
        both = sorted(set(split.train) & set(split.val))
        if both:
            raise DataError(f"not a split: {both[0]} is both trained on and held out")
        return split


def held_out_count(images: int) -> int:
    """How many images to hold out: 50 of PennFudan's 170, else 20 %, at least one."""
    if images == TUTORIAL_IMAGES:
        return TUTORIAL_HELD_OUT
    return max(1, round(images * HELD_OUT_SHARE))


def make_split(data: RecordSet, seed: int) -> Split:
    """Draw a split; the same data and seed give the same one on every machine.

    Raises:
        DataError: fewer than two images, so nothing could be held out.
    """
    names = data.names()
    if len(names) < 2:
        raise DataError(
            f"{data.root}: {len(names)} image(s); at least 2 are needed, one to train on and one "
            "held out"
        )
    shuffled = random.Random(seed).sample(names, len(names))
    val = shuffled[: held_out_count(len(names))]
    train = shuffled[len(val) :]
    return Split(tuple(sorted(train)), tuple(sorted(val)), seed, data.fingerprint())


def read_split(path: Path, data: RecordSet) -> Split:
    """Read a ``split.json`` for ``data``.

    Raises:
        DataError: the file cannot be read, or was drawn from other data.
    """
    try:
        split = Split.from_dict(json.loads(path.read_text(encoding="utf-8-sig")))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable split file ({error})") from error
    if split.data_fingerprint != data.fingerprint():
        raise DataError(
            f"{path}: was drawn from other data than {data.root} (images or labels differ); "
            "leave --split-file out to draw a new split"
        )
    return split
