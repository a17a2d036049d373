"""Paths in the files of a YOLO data set, which often were written for another machine."""

from __future__ import annotations

from functools import cache
from pathlib import Path, PureWindowsPath

from utils.data.annotation_files import path_inside, read_text
from utils.data.images import list_images
from utils.data.outlines import shown
from utils.data.records import DataError

LIST_SUFFIX = ".txt"
MOST_BYTES = 200_000_000  # of a list
MOST_FOLDERS = 32  # in one path


def find_inside(home: Path, text: str, source: Path) -> Path | None:
    """What a path means inside ``home``: the path itself, else its last folders; None if nothing.

    Where the path starts is not looked at: Roboflow writes ``../train/images`` for the folder
    beside the file, and absolute paths are those of another machine.

    Args:
        home: the folder that nothing may lead out of.
        text: the path as the file writes it.
        source: the file, for the message.

    Raises:
        DataError: control characters, a name too long, or a link that leads out of ``home``.
    """
    names = folder_and_names(text)
    if len(names) > MOST_FOLDERS:
        return None
    tails = (names[i:] for i in range(len(names) or 1))
    paths = (path_inside(home, "/".join(tail), source) if tail else home for tail in tails)
    return next((path for path in paths if path.exists()), None)


def folder_and_names(text: str) -> tuple[str, ...]:
    """The names in a path of any system, without where it starts and steps up."""
    path = PureWindowsPath(text)
    return tuple(part for part in path.parts if part not in (path.anchor, ".."))


def listed_pictures(source: Path, places: list[Path]) -> tuple[list[Path], list[str]]:
    """The pictures that a list names, one per line, relative to it or to one of ``places``.

    Returns:
        The pictures in the order of the list, and a problem for each line that names none.

    Raises:
        DataError: the list cannot be read.
    """

    @cache
    def folders(parent: str) -> list[dict[str, Path]]:
        """The pictures by name of every folder that ``parent`` may mean, best first."""
        names = folder_and_names(parent)
        found = []
        for place in dict.fromkeys((source.parent, *places)):
            for i in range(len(names) + 1 if len(names) <= MOST_FOLDERS else 0):
                tail = "/".join(names[i:])
                try:
                    folder = path_inside(place, tail, source) if tail else place
                except DataError:
                    continue  # leads away, so nothing may be read there
                if folder.is_dir():
                    found.append({picture.name: picture for picture in list_images(folder)})
        return found

    pictures, problems = [], []
    for number, line in enumerate(read_text(source, MOST_BYTES).splitlines(), start=1):
        if not line.strip():
            continue
        named = PureWindowsPath(line.strip())
        found = (by_name.get(named.name) for by_name in folders(str(named.parent)))
        picture = next((path for path in found if path), None)
        if picture is not None:
            pictures.append(picture)
        else:
            problems.append(
                f"{source}: line {number} names {shown(line.strip())}, and {places[-1]} holds no "
                "such image; restore it or remove the line"
            )
    return pictures, problems
