"""A folder to correct in labelme, the least sure pictures first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from utils.prediction.journal import Record
from utils.prediction.sources import SourceImage


def write_review(
    folder: Path,
    records: Iterable[Record],
    sources: Mapping[str, SourceImage],
    classes: Sequence[str],
    thresholds: Sequence[float],
    most: int,
) -> None:
    """The least sure pictures, numbered in this order, each with its labelme file."""
    raise NotImplementedError
