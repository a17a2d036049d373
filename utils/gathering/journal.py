"""``gathered.csv``: what became of every source, so that a second run goes on where one ended.

While a run goes on, rows are only appended, and the last row of a source counts; so a run that is
killed leaves at most one half row, which is dropped.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import TextIO

from utils.data.records import DataError
from utils.folders import write_file

NAME = "gathered.csv"
DUPLICATE = "duplicate"
ANY_BYTES = "surrogateescape"  # as Python reads file names that are not UTF-8, which come through


@dataclass(frozen=True)
class JournalEntry:
    """One source: its number and, once it was tried, either its file or why there is none."""

    number: int
    source: str
    file: str = ""
    pixels_sha256: str = ""
    reason: str = ""
    details: str = ""


COLUMNS = tuple(field.name for field in fields(JournalEntry))


class Journal:
    """The entries of a folder by their source; use it as a context manager to add to them.

    Raises:
        DataError: there is a ``gathered.csv`` that is not one.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.entries = {entry.source: entry for entry in read_entries(self.path)}
        self.file: TextIO | None = None

    def __enter__(self) -> Journal:
        self._rewrite()
        self.file = _open(self.path, "a")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.file:
            self.file.close()
        self._rewrite()

    def add(self, entry: JournalEntry) -> None:
        """Set what is known of a source; safe from a kill of this process once it returns."""
        assert self.file is not None, "a journal is added to inside 'with'"
        self.entries[entry.source] = entry
        csv.writer(self.file).writerow(astuple(entry))
        self.file.flush()

    def _rewrite(self) -> None:
        """One row per source, by number; the old file stays until the new one is whole."""
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        writer.writerows(map(astuple, sorted(self.entries.values(), key=lambda e: e.number)))
        write_file(self.path, text.getvalue().encode("utf-8", ANY_BYTES))


def read_entries(path: Path) -> list[JournalEntry]:
    """The rows of a journal in their order, none if there is no file; a half last row is dropped.

    Raises:
        DataError: the file is not a journal; names the row.
    """
    if not path.exists():
        return []
    try:
        with _open(path, "r") as file:
            rows = list(csv.reader(_whole_lines(file)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise _no_journal(path, f"cannot be read ({error})") from error
    if tuple(next(iter(rows), ())) != COLUMNS:  # it is written at once, never half
        raise _no_journal(path, f"does not start with {','.join(COLUMNS)}")
    if len(rows) > 1 and len(rows[-1]) != len(COLUMNS):
        rows.pop()
    entries = []
    for place, row in enumerate(rows[1:], start=2):
        if len(row) != len(COLUMNS) or not re.fullmatch("[0-9]{1,9}", row[0]):
            raise _no_journal(path, f"row {place} is not {','.join(COLUMNS)}")
        entries.append(JournalEntry(int(row[0]), *row[1:]))
    return entries


def _whole_lines(file: TextIO) -> Iterable[str]:
    return (line for line in file if line.endswith(("\n", "\r")))  # a file name may hold either


def _open(path: Path, mode: str) -> TextIO:
    return open(path, mode, newline="", encoding="utf-8", errors=ANY_BYTES)  # type: ignore[return-value]


def _no_journal(path: Path, what: str) -> DataError:
    return DataError(f"{path}: {what}, so it is not tools.gather's; move it away")
