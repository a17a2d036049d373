"""Objects of contact maps in the genome: bins of the map, and pairs of regions (BEDPE)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from utils.prediction.journal import Record


def write_bedpe(
    path: Path, classes: Sequence[str], records: Iterable[Record], bin_size: str, origin: str
) -> None:
    """A line per object: the two regions of the genome that it brings together."""
    raise NotImplementedError
