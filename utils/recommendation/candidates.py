"""A network written in every format that can be written here."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nets.weights_file import WeightsFile, first_line
from utils.export.card import ModelCard, card_of
from utils.export.formats import AOTI, FORMATS, REQUIREMENTS, missing
from utils.export.open_session import open_session
from utils.export.session import Session
from utils.export.settings import ExportSettings
from utils.export.write import write

MEGABYTE = 1e6


class Candidate(NamedTuple):
    """A file that was written and opened.

    Attributes:
        card: of its network, with the tensors.
        session: the file, ready to run.
        megabytes: of all its parts, a million bytes each.
        write_s, open_s: seconds it took.
    """

    card: ModelCard
    session: Session
    megabytes: float
    write_s: float
    open_s: float


def candidates(
    weights: WeightsFile,
    settings: ExportSettings,
    calibration: Sequence[np.ndarray],
    folder: Path,
) -> Iterator[Candidate]:
    """Write and open the formats, one by one, each in a folder of its own in ``folder``; says what
    is done, which formats lack a package, and why one fails."""
    absent = {name: missing(format.packages) for name, format in FORMATS.items()}
    if packages := sorted({package for names in absent.values() for package in names}):
        left_out = ", ".join(name for name, names in absent.items() if names)
        tell(f"left out: {left_out}; {', '.join(packages)} not installed here: "
             f"pip install -r {REQUIREMENTS}")  # fmt: skip
    for name in (name for name, packages in absent.items() if not packages):
        if FORMATS[name].is_int8 and not calibration:
            tell(f"{name}: left out: it takes training images; --data says where they are")
            continue
        tell(f"{name}: is written" + (", which takes minutes" if name == AOTI else ""))
        try:
            yield _candidate(card_of(weights, settings, name), folder / name, calibration)
        except Exception as error:  # of any kind, as there are as many exporters and runtimes
            tell_failure(name, error)


def _candidate(card: ModelCard, folder: Path, calibration: Sequence[np.ndarray]) -> Candidate:
    folder.mkdir()
    path = folder / f"model{FORMATS[card.format].suffixes[0]}"
    start = time.perf_counter()
    write(card, path, calibration)
    written = time.perf_counter()
    session = open_session(path)
    opened = time.perf_counter()
    size = sum(part.stat().st_size for part in folder.iterdir())
    return Candidate(card, session, size / MEGABYTE, written - start, opened - written)


def tell(text: str) -> None:
    """At once: the next thing may take minutes."""
    print(text, flush=True)


def tell_failure(format: str, error: Exception) -> None:
    """A format that is no candidate, and why."""
    tell(f"{format}: left out: {first_line(error) or type(error).__name__}")
