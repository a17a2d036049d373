"""Storing what is fetched: numbers, names, duplicates, and what is there from earlier runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from utils.gathering.download import FetchError, Limits
from utils.gathering.journal import DUPLICATE, Journal, JournalEntry
from utils.gathering.picture import FetchedPicture, fetch_picture

PART = ".gather-{}.part"  # a picture on its way, hidden from whoever lists the folder
NUMBER = re.compile(r"\{(?::0[1-9]d)?\}")


def file_stem(name_pattern: str, number: int) -> str:
    """``car_0007`` for ``car_{:04d}`` and 7; ``{}`` gives the number without zeros."""
    return NUMBER.sub(lambda match: match[0].format(number), name_pattern)


class Gatherer:
    """Fetches sources into a folder.

    A source is given its number when it is first seen and keeps it, so runs that were cut short
    give the same names in the end as one that was not. Numbers whose name is taken by a file of
    somebody else's are passed over.
    """

    def __init__(self, folder: Path, journal: Journal, name_pattern: str) -> None:
        self.folder, self.journal, self.name_pattern = folder, journal, name_pattern
        present = {path.name for path in folder.iterdir()}
        entries = journal.entries.values()
        self.kept = {e.pixels_sha256: e for e in entries if e.file and e.file in present}
        self.taken = {Path(name).stem.casefold() for name in present}
        self.last_number = max((entry.number for entry in entries), default=0)

    def remaining(self, sources: Sequence[str]) -> list[JournalEntry]:
        """Those of the sources that are still to be fetched, each once, numbered in their order."""
        entries = []
        for source in dict.fromkeys(sources):
            entry = self.journal.entries.get(source) or JournalEntry(self._new_number(), source)
            if not self._is_settled(entry):
                entries.append(entry)
        return entries

    def gather(
        self, entries: Sequence[JournalEntry], limits: Limits, jobs: int
    ) -> Iterator[JournalEntry]:
        """Fetch several at a time and store them in the order given, so that of two equal pictures
        the first is kept, however fast the second came.

        Raises:
            OSError: the folder cannot be written to, or the disk is full.
        """
        with ThreadPoolExecutor(jobs) as pool:
            try:
                outcomes = pool.map(partial(self._fetch, limits=limits), entries)
                for entry, outcome in zip(entries, outcomes, strict=True):
                    yield self._settle(entry, outcome)
            finally:  # also of an iteration that was not taken to its end
                limits.stop.set()
                pool.shutdown(cancel_futures=True)
                self._remove_parts()

    def _new_number(self) -> int:
        self.last_number += 1
        while file_stem(self.name_pattern, self.last_number).casefold() in self.taken:
            self.last_number += 1
        return self.last_number

    def _is_settled(self, entry: JournalEntry) -> bool:
        """Whether its picture is here, as a file of its own or as that of an equal one. All other
        failures may have passed since."""
        here = self.kept.get(entry.pixels_sha256)
        return here is not None and (here.file == entry.file or entry.reason == DUPLICATE)

    def _part(self, entry: JournalEntry) -> Path:
        return self.folder / PART.format(entry.number)

    def _fetch(self, entry: JournalEntry, limits: Limits) -> FetchedPicture | FetchError:
        try:
            return fetch_picture(entry.source, self._part(entry), limits)
        except FetchError as error:
            return error

    def _settle(self, entry: JournalEntry, outcome: FetchedPicture | FetchError) -> JournalEntry:
        """Store a fetched picture, or note why not."""
        entry = JournalEntry(entry.number, entry.source)
        if isinstance(outcome, FetchError):
            entry = replace(entry, reason=outcome.reason, details=outcome.details)
            self.journal.add(entry)
            return entry
        entry = replace(entry, pixels_sha256=outcome.pixels_sha256)
        target = self.folder / (file_stem(self.name_pattern, entry.number) + outcome.suffix)
        if twin := self.kept.get(outcome.pixels_sha256):
            entry = replace(entry, reason=DUPLICATE, details=f"equals {twin.file} ({twin.source})")
            self.journal.add(entry)
        elif target.exists():
            details = f"{target.name} came from elsewhere; move it away and run again"
            entry = replace(entry, reason="name taken", details=details)
            self.journal.add(entry)
        else:
            entry = replace(entry, file=target.name)
            # The row first: a kill between the two leaves a row without its file, which the next
            # run fetches, and not a file that it would take for somebody else's.
            self.journal.add(entry)
            self._part(entry).rename(target)
            self.kept[entry.pixels_sha256] = entry
        return entry

    def _remove_parts(self) -> None:
        """What an earlier run that was killed, or a failed one, left half done."""
        for path in self.folder.glob(PART.format("*")):
            path.unlink(missing_ok=True)
