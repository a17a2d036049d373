"""The files that ``--source`` names: in folders, by patterns, in lists of paths."""

from __future__ import annotations

import codecs
import fnmatch
import glob
import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from utils.data.arrays import is_array
from utils.data.images import IMAGE_SUFFIXES, READ_SUFFIXES
from utils.data.records import DataError
from utils.prediction.journal import PATTERN
from utils.prediction.run_folder import SETTINGS
from utils.prediction.videos import VIDEO_SUFFIXES

STANDARD_INPUT = "-"
LIST_SUFFIX = ".txt"
SUFFIXES = tuple(READ_SUFFIXES | VIDEO_SUFFIXES)


class SourceFile(NamedTuple):
    """A file, or a camera, and its name in the run, with forward slashes. Others may have it."""

    name: str
    path: Path
    problem: str = ""  # why it cannot be used, if that is known before it is opened
    camera: int | None = None

    @property
    def is_video(self) -> bool:
        """Whether it is one by its ending, or a camera."""
        by_ending = not self.problem and self.path.suffix.lower() in VIDEO_SUFFIXES
        return by_ending or self.camera is not None


def named_files(source: str) -> list[SourceFile]:
    """The files that one source names: itself, those in it, or those that match or are listed.

    Raises:
        DataError: it names nothing.
    """
    if source == STANDARD_INPUT:
        return _listed(sys.stdin.buffer.read(), Path(), "the standard input")
    path = Path(source)
    if _is_folder(path):
        return _in_folder(path)
    if path.suffix.lower() == LIST_SUFFIX and os.path.lexists(path):
        try:
            return _listed(path.read_bytes(), path.parent, source)
        except OSError as error:
            raise DataError(f"{source}: cannot be read ({error.strerror})") from error
    if os.path.lexists(path):
        return [SourceFile(path.name, path)]
    if source.isdecimal():
        number = int(source)
        return [SourceFile(f"camera {number}", Path(str(number)), camera=number)]
    if not glob.has_magic(source):
        raise DataError(f"{source}: no such file or folder")
    return _matches(source)


def _in_folder(folder: Path) -> list[SourceFile]:
    """The pictures and videos in a folder. Arrays (``.npy``) are what a folder without any holds;
    beside pictures they are taken for something else, as programs leave masks and features there.
    """
    files = _walk(folder)
    files = [file for file in files if not is_array(file.path)] or files
    if not files:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise DataError(f"{folder}: no pictures in this folder ({kinds}), and no videos")
    return files


def _matches(pattern: str) -> list[SourceFile]:
    """What matches a pattern, named from its first wildcard on; ``**`` is any number of folders."""
    parts = Path(pattern).parts
    first = next(n for n, part in enumerate(parts) if glob.has_magic(part))
    wanted = parts[first:]
    files = _walk(Path(*parts[:first]), None if "**" in wanted else len(wanted))
    files = [f for f in files if not f.problem and _fits(f.name.split("/"), wanted)]
    if not files:
        raise DataError(f"{pattern}: no such file, and no pictures or videos match it as a pattern")
    return files


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not parts or not pattern:
        return not parts and all(part == "**" for part in pattern)
    if pattern[0] == "**":
        return _fits(parts, pattern[1:]) or _fits(parts[1:], pattern)
    return fnmatch.fnmatch(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


def _walk(root: Path, deepest: int | None = None) -> list[SourceFile]:
    """The pictures, videos and arrays in a folder and its sub-folders, sorted, and the sub-folders
    that may not be read.

    Hidden files and folders are left out, and folders that are outputs of predict.py. Each folder
    is searched once, whatever links lead to it.

    Args:
        root: the folder.
        deepest: parts of the longest name wanted; None for all.

    Raises:
        DataError: the folder itself may not be read.
    """
    files: list[SourceFile] = []
    seen: set[str] = set()
    folders = deque([("", root)])
    while folders:
        prefix, folder = folders.popleft()
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        try:
            inside = _visible(folder)
        except OSError as error:
            problem = f"{folder}: cannot be searched ({error.strerror})"
            if folder is root:
                raise DataError(problem) from error
            files.append(SourceFile(prefix.rstrip("/"), folder, problem))
            continue
        if folder is not root and _is_output(inside):
            continue
        for item in inside:
            name = f"{prefix}{item.name}"
            if _is_folder(item) if item.is_symlink() else item.is_dir():
                if deepest is None or name.count("/") + 1 < deepest:
                    # Links last, so that files are named by where they are, if that is inside.
                    add = folders.append if item.is_symlink() else folders.appendleft
                    add((f"{name}/", folder / item.name))
            elif _is_wanted(item):
                files.append(SourceFile(name, folder / item.name))
    return sorted(files, key=lambda file: file.name.split("/"))


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as items:
        return [item for item in items if not item.name.startswith(".")]


def _is_output(inside: Sequence[os.DirEntry[str]]) -> bool:
    names = [item.name for item in inside]
    return SETTINGS in names and bool(fnmatch.filter(names, PATTERN.format("*")))


def _is_folder(path: Path | os.DirEntry[str]) -> bool:
    return os.path.isdir(path)  # noqa: PTH112  (never raises)


def _is_wanted(item: os.DirEntry[str]) -> bool:
    # A link that leads nowhere is wanted, so that its loss is told.
    return item.name.lower().endswith(SUFFIXES) and (item.is_symlink() or item.is_file())


def _listed(data: bytes, folder: Path, source: str) -> list[SourceFile]:
    """What a list names, relative to its folder or else to the current one. Of those in its folder
    the sub-folders are mirrored. What is not there is among them: it cannot be opened.

    Raises:
        DataError: nothing of it is there.
    """
    lines = list(_lines(data))
    home = _absolute(folder)
    files: list[SourceFile] = []
    is_there = False
    for line in lines:
        path = next((p for p in (folder / line, Path(line)) if os.path.lexists(p)), None)
        is_there = is_there or path is not None
        path = path or folder / line
        whole = _absolute(path)
        name = whole.relative_to(home).as_posix() if whole.is_relative_to(home) else whole.name
        if not _is_folder(path):
            files.append(SourceFile(name, path))
            continue
        try:
            files += [
                file._replace(name=(PurePosixPath(name) / file.name).as_posix())
                for file in _in_folder(path)
            ]
        except DataError as error:
            files.append(SourceFile(name, path, str(error)))
    if not is_there:
        first = f", first {lines[0]!r}" if lines else ""
        raise DataError(
            f"{source}: none of {len(lines)} paths in this list is there{first}; one per line is "
            "wanted, in UTF-8, relative to the list or to the current folder"
        )
    return files


def _absolute(path: Path) -> Path:
    return Path(os.path.normpath(path.absolute()))


def _lines(data: bytes) -> Iterator[str]:
    """The paths in a list: one per line, as they are or quoted; or each ended by a zero byte, as
    ``find -print0`` does, and then with nothing left out."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # as PowerShell writes lists
        text = data.decode("utf-16", "replace")
    else:
        text = os.fsdecode(data.removeprefix(codecs.BOM_UTF8))
    if "\0" in text:
        yield from filter(None, text.split("\0"))
        return
    for line in map(str.strip, text.split("\n")):
        if line and not line.startswith("#"):
            quoted = len(line) > 1 and line[0] == line[-1] and line[0] in "\"'"
            yield line[1:-1] if quoted else line
