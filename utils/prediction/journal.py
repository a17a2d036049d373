"""What a run of predict.py found, a line of JSON per picture: written as it goes, read by tables.

A line is there once all files of its picture are. A run that was stopped, even by ``kill -9``, goes
on behind the last whole line. Several processes have a journal each, in one folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypedDict

PATTERN = "found-{}.jsonl"  # stands beside the outputs


class Record(TypedDict, total=False):
    """A picture and its objects, in plain values."""

    name: str
    stem: str
    stamp: list[Any]  # what tells whether the picture has changed
    width: int
    height: int
    objects: list[dict[str, Any]]  # of COCO, without ids: category_id, bbox, area, score, ...
    measurements: list[dict[str, float]]  # one per object, with --measurements
    video: str  # the video that it is a frame of
    frame: int
    seconds: float  # into the video


class Source(Protocol):
    """What can be looked at: a picture, a video."""

    @property
    def name(self) -> str: ...
    @property
    def stem(self) -> str: ...
    @property
    def stamp(self) -> list[Any]: ...


class _Line(NamedTuple):
    path: Path
    start: int  # bytes into the file


class Journal:
    """The records of a run's folder; this process adds its own.

    Args:
        folder: is there already.
        number: of this process, from 0.
    """

    def __init__(self, folder: Path, number: int = 0) -> None:
        self.folder = folder
        self.path = folder / PATTERN.format(number)
        _cut_after_last_line(self.path)
        self.done: dict[str, tuple[list[Any], str]] = {}  # by name: the stamp and the stem
        for record in self.records():
            self.done[record["name"]] = (record["stamp"], record["stem"])
        self.file = open(self.path, "ab", buffering=0)  # noqa: SIM115  (open as long as the run)

    def close(self) -> None:
        self.file.close()

    def has(self, source: Source) -> bool:
        """Whether this very source was done before, by any of the processes."""
        return self.done.get(source.name) == (source.stamp, source.stem)

    def add(self, record: Record) -> None:
        """Write a record.

        Raises:
            OSError: the disk is full; names the file.
        """
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"
        rest = memoryview(line.encode())
        try:
            while rest:
                rest = rest[self.file.write(rest) :]
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def records(self, order: Sequence[str] = ()) -> Iterator[Record]:
        """All records of all processes, one at a time: those named in ``order`` first and in it,
        others after them. Of a picture that was done twice, the later one."""
        lines: dict[str, _Line] = {}
        for path in sorted(self.folder.glob(PATTERN.format("*"))):
            with open(path, "rb") as file:
                start = 0
                for line in file:
                    if line.endswith(b"\n"):
                        lines[json.loads(line)["name"]] = _Line(path, start)
                    start += len(line)
        names = dict.fromkeys([*(name for name in order if name in lines), *lines])
        for name in names:
            with open(lines[name].path, "rb") as file:
                file.seek(lines[name].start)
                yield json.loads(file.readline())


def _cut_after_last_line(path: Path) -> None:
    """Remove what a stopped process wrote of a line that it did not end."""
    if not path.exists():
        return
    with open(path, "rb+") as file:
        whole = 0
        for line in file:
            whole += len(line) if line.endswith(b"\n") else 0
        file.seek(whole, os.SEEK_SET)
        file.truncate()
