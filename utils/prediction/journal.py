"""What a run of predict.py found, a line of JSON per picture: written as it goes, read by tables.

A line is there once all files of its picture are. A run that was stopped, even by ``kill -9``, goes
on behind the last whole line. Several processes have a journal each, in one folder.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, TypedDict

from utils.config import ConfigError

PATTERN = "found-{}.jsonl"  # stands beside the outputs


class Record(TypedDict, total=False):
    """A picture and its objects, in plain values."""

    name: str
    stem: str
    stamp: list[Any]  # what tells whether the picture has changed
    width: int
    height: int
    objects: list[dict[str, Any]]  # of COCO, without ids: category_id, bbox, area, score, ...
    measurements: list[Mapping[str, float | None]]  # one per object, with --measurements
    video: str  # the video that it is a frame of
    frame: int
    seconds: float  # into the video
    frames: int  # of a video that is done; its frames have records of their own, with objects
    turn: int  # of a picture that is done again: how often it was before; see ``Journal.add``


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
    turn: int
    is_picture: bool  # with objects; else a video, or a picture that was taken back
    video: str  # that it is a frame of; empty for others
    source: tuple[Any, Any]  # stem and stamp; None in what was taken back


class Journal:
    """The records of a run's folder; this process adds its own.

    Args:
        folder: is there already.
        number: of this process, from 0.

    Raises:
        ConfigError: another process has the journal of this number open.
        OSError: the journal cannot be written; names the file.
    """

    def __init__(self, folder: Path, number: int = 0) -> None:
        self.folder = folder
        self.path = folder / PATTERN.format(number)
        self.file = open(self.path, "ab", buffering=0)  # noqa: SIM115  (open as long as the run)
        _lock(self.file, folder)
        _cut_after_last_line(self.path)
        self.lines: dict[str, _Line] = {}  # the one that counts of each picture
        self.read: dict[Path, int] = {}  # so many bytes of each file
        self.catch_up()

    def close(self) -> None:
        self.file.close()

    def pictures(self, order: Sequence[str] = ()) -> list[str]:
        """The names of the pictures that there are records of: those in ``order``, then the frames
        of the videos in it; all of them without an order."""
        found = [name for name, line in self.lines.items() if line.is_picture]
        if not order:
            return found
        wanted, known = set(order), set(found)
        frames = (name for name in found if self.lines[name].video in wanted)
        return [*(name for name in order if name in known), *frames]

    def has(self, source: Source) -> bool:
        """Whether this very source was done before, by any of the processes."""
        line = self.lines.get(source.name)
        return line is not None and line.source == (source.stem, source.stamp)

    def add(self, record: Record) -> None:
        """Write a record.

        That of a picture which was done before counts instead of the earlier one. It tells so by
        its turn, since the two may be in the journals of two processes.

        Raises:
            OSError: the disk is full; names the file.
        """
        self._write(record)

    def drop(self, name: str) -> None:
        """Take back what was noted of a picture, or of a video and its frames, if anything was.

        Raises:
            OSError: the disk is full; names the file.
        """
        for other, line in self.lines.items():
            if name == other or (name == line.video and line.is_picture):
                self._write(Record(name=other))

    def catch_up(self) -> None:
        """Take notice of what all processes have added by now."""
        for path in sorted(self.folder.glob(PATTERN.format("*"))):
            with open(path, "rb") as file:
                start = file.seek(self.read.get(path, 0))
                for text in file:
                    if not text.endswith(b"\n"):
                        break
                    self._notice(text, path, start)
                    start += len(text)
            self.read[path] = start

    def records(self, order: Sequence[str] = ()) -> Iterator[Record]:
        """Those of ``pictures(order)`` up to the last ``catch_up()``, one at a time."""
        with ExitStack() as stack:
            files = {path: stack.enter_context(open(path, "rb")) for path in self.read}
            for line in map(self.lines.__getitem__, self.pictures(order)):
                yield _record_at(files[line.path], line.start)

    def _write(self, record: Record) -> None:
        if before := self.lines.get(record["name"]):
            record = {**record, "turn": before.turn + 1}
        text = json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"
        rest = memoryview(text.encode())
        try:
            while rest:
                rest = rest[self.file.write(rest) :]
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def _notice(self, text: bytes, path: Path, start: int) -> None:
        with suppress(ValueError, KeyError, TypeError):  # broken: as if it was not there
            record = json.loads(text)
            name = record["name"]
            line = _Line(
                path, start, record.get("turn", 0), "objects" in record, record.get("video", ""),
                (record.get("stem"), record.get("stamp")),
            )  # fmt: skip
            if name not in self.lines or line.turn >= self.lines[name].turn:
                self.lines[name] = line


def forget(folder: Path) -> None:
    """Remove the journals of a folder.

    Raises:
        ConfigError: a process has one open.
    """
    for path in folder.glob(PATTERN.format("*")):
        with open(path, "ab") as file:
            _lock(file, folder)
            path.unlink()


def _record_at(file: BinaryIO, start: int) -> Record:
    file.seek(start)
    return json.loads(file.readline())


def _cut_after_last_line(path: Path) -> None:
    """Remove what a stopped process wrote of a line that it did not end."""
    with open(path, "rb+") as file:
        whole = 0
        for line in file:
            whole += len(line) if line.endswith(b"\n") else 0
        file.truncate(whole)


def _lock(file: BinaryIO, folder: Path) -> None:
    """Keep the file to this process until it is closed, where there are such locks."""
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigError(
            f"{folder}: another process is writing there; wait for it or stop it, or give another "
            "--output"
        ) from error
    except OSError:  # a file system without locks
        return
