"""A run over pictures: read ahead, look, write behind, note; ended at a picture's boundary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from tqdm import tqdm

from utils.data.records import DataError
from utils.interruption import Interruption, Stopped
from utils.prediction.counts import count
from utils.prediction.found_picture import FoundPicture, Unusable
from utils.prediction.journal import Journal, Record
from utils.prediction.outputs import Outputs
from utils.prediction.pipeline import ordered
from utils.prediction.predictor import Predictor
from utils.prediction.sources import SourceImage
from utils.prediction.tables import Tables
from utils.prediction.tiling import Tiling, tiled_stream
from utils.processes import Processes

ItemT = TypeVar("ItemT")
READERS, WRITERS = 2, 2  # threads


class Run:
    """What looking at pictures and at videos shares.

    Attributes:
        failures: what could not be used, by name.
    """

    def __init__(
        self,
        predictor: Predictor,
        outputs: Outputs,
        journal: Journal,
        tables: Tables,
        interruption: Interruption,
        processes: Processes,
        tiling: Tiling | None = None,
        strict: bool = False,
    ) -> None:
        self.predictor = predictor
        self.outputs = outputs
        self.journal = journal
        self.tables = tables
        self.interruption = interruption
        self.processes = processes
        self.tiling = tiling
        self.strict = strict
        self.failures: dict[str, str] = {}

    def look_at(self, sources: Sequence[SourceImage]) -> None:
        """Find the objects of all these pictures and write what is wanted of them.

        Raises:
            DataError: a picture cannot be used, and ``strict`` stops at the first.
            Stopped: the run was asked to end; all that was found so far is written.
        """
        if self.tiling:
            found = tiled_stream(self.predictor, map(SourceImage.open, sources), self.tiling)
        else:
            found = self.predictor.stream(ordered(SourceImage.load, sources, READERS))
        written = ordered(self._write, found, WRITERS)
        for result in self.bar(written, len(sources), "image"):
            if isinstance(result, Unusable):
                self.fail(result)
            else:
                self.note(result)
                tqdm.write(f"{result['name']}: {self.counted(result)}")
            self.check()

    def bar(self, items: Iterable[ItemT], total: int | None, unit: str) -> Iterator[ItemT]:
        """The items, with a progress bar in the first process."""
        hidden = None if self.processes.is_first else True
        return tqdm(items, "predicting", total, unit=unit, leave=False, disable=hidden)

    def note(self, record: Record) -> None:
        """Remember a picture that is done."""
        self.journal.add(record)
        if self.processes.is_first:
            self.tables.write_if_due(self.journal)

    def fail(self, unusable: Unusable) -> None:
        """Remember one that cannot be used; the others are still wanted, unless ``strict``."""
        self.failures[unusable.name] = unusable.problem
        if self.strict:
            raise DataError(f"{unusable.name}: {unusable.problem}")
        tqdm.write(f"{unusable.name}: cannot be used")

    def check(self) -> None:
        """Raise ``Stopped`` if the run was asked to end."""
        if self.interruption.urged:
            raise Stopped(self.interruption.urged)

    def counted(self, record: Record) -> str:
        """``3 person, 1 dog`` or ``nothing``."""
        return in_words(count(record, self.predictor.classes))

    def _write(self, found: FoundPicture | Unusable) -> Record | Unusable:
        return found if isinstance(found, Unusable) else self.outputs.write_all(found)


def in_words(counts: dict[str, int]) -> str:
    """``3 person, 1 dog`` or ``nothing``."""
    return ", ".join(f"{number} {name}" for name, number in counts.items()) or "nothing"
