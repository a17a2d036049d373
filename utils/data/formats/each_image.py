"""Reading every image of a data set, so that all that is wrong is told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from utils.data.images import list_images
from utils.data.records import DataError, ImageRecord

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class ReadImage:
    """One image as read: its record, the class of each object, what was left out and where."""

    record: ImageRecord
    names: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)


def read_each(
    function: Callable[[Item], Result], items: Iterable[Item]
) -> list[Result | DataError]:
    """What ``function`` makes of every item, in their order, or what it raised about the data."""

    def attempt(item: Item) -> Result | DataError:
        try:
            return function(item)
        except DataError as error:
            return error

    with ThreadPoolExecutor() as pool:
        return list(pool.map(attempt, items))


def problems_of(results: Iterable[object]) -> list[str]:
    """All that is wrong, in the order of the results of ``read_each``."""
    return [text for one in results if isinstance(one, DataError) for text in one.problems]


def names_of(images: Iterable[ReadImage]) -> dict[str, Path]:
    """The classes of all objects, each with the first picture that has one."""
    found: dict[str, Path] = {}
    for one in images:
        for name in one.names:
            found.setdefault(name, one.record.path)
    return found


def unlisted_pictures(listed: Iterable[Path]) -> list[Path]:
    """The pictures that lie beside those of a data set and are none of them, by folder."""
    known = set(listed)
    folders = sorted({path.parent for path in known})
    return [path for folder in folders for path in list_images(folder) if path not in known]
