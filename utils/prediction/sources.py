"""What ``--source`` can name: images, folders and globs."""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from utils.data.channels import RGB
from utils.data.epoch_batches import SampleKey
from utils.data.images import READ_SUFFIXES, list_images, load_image
from utils.data.read_options import ReadOptions
from utils.data.records import DataError
from utils.open_judged_data import open_evaluation_data
from utils.prediction.found_picture import Picture, Unusable
from utils.prediction.pixels import PixelArray
from utils.prediction.windows import open_windows


class SourceImage(NamedTuple):
    """One picture to look at: its ``name`` (relative, forward slashes), the ``stem`` of its output
    files, its file if it has one; ``read`` gives its pixels as ``load_image`` does."""

    name: str
    stem: str
    path: Path | None
    read: Callable[[], np.ndarray]
    channels: int = RGB

    @property
    def stamp(self) -> list[Any]:
        """What tells whether the picture is the one of an earlier run: path, size and time."""
        if self.path is None:
            return [self.name]
        status = self.path.stat()
        return [str(self.path.resolve()), status.st_size, status.st_mtime_ns]

    def load(self) -> Picture | Unusable:
        """The picture with its pixels; what is wrong if it cannot be read."""
        try:
            return Picture(self.name, self.stem, PixelArray(self.read()), self.path, self.stamp)
        except DataError as error:
            return Unusable(self.name, str(error))

    def open(self) -> Picture | Unusable:
        """The picture, of which windows can be read; what is wrong if it cannot be."""
        if self.path is None:
            return self.load()
        try:
            pixels = open_windows(self.path, self.channels)
            return Picture(self.name, self.stem, pixels, self.path, self.stamp)
        except DataError as error:
            return Unusable(self.name, str(error))


def find_images(sources: Sequence[str], channels: int = RGB) -> list[SourceImage]:
    """All pictures that the sources name, each once, in the order given.

    A folder is searched with its sub-folders, which are mirrored in the names. The pictures are
    read as so many ``channels``.

    Raises:
        DataError: a source names nothing.
    """
    found: dict[Path, tuple[Path, str]] = {}
    for source in sources:
        for path, name in _expand(source):
            found.setdefault(path.resolve(), (path, name))
    names: set[str] = set()
    stems: set[str] = set()
    images = []
    for path, given in found.values():
        name = _unique(given, names)
        stem = _unique(PurePosixPath(name).with_suffix("").as_posix(), stems)
        images.append(SourceImage(name, stem, path, partial(load_image, path, channels), channels))
    return images


def labelled_images(
    description: dict[str, Any],
    classes: Sequence[str],
    data: str = "",
    format: str = "auto",
    options: ReadOptions = ReadOptions(),
    channels: int = RGB,
) -> list[SourceImage]:
    """The images that test.py would judge: the held-out ones of the weights' own data set, or all
    of another one.

    Raises:
        DataError: as ``utils.open_data.open_evaluation_data``.
    """
    dataset = open_evaluation_data(
        description, classes, data=data, format=format, options=options, channels=channels
    )

    def read(index: int) -> np.ndarray:
        return dataset.read(SampleKey(0, index))[0]

    stems: set[str] = set()
    images = []
    for index, record in enumerate(dataset.data.images):
        name = dataset.data.name_of(record)
        stem = _unique(PurePosixPath(name).with_suffix("").as_posix(), stems)
        images.append(SourceImage(name, stem, None, partial(read, index), channels))
    return images


def _expand(source: str) -> list[tuple[Path, str]]:
    path = Path(source)
    if path.is_dir():
        inside = [(p, p.relative_to(path).as_posix()) for p in list_images(path, recursive=True)]
        if not inside:
            kinds = ", ".join(sorted(READ_SUFFIXES))
            raise DataError(f"{source}: no pictures in this folder ({kinds})")
        return inside
    if path.exists():
        return [(path, path.name)]
    matches = [Path(match) for match in sorted(glob.glob(source, recursive=True))]
    matches = [p for p in matches if p.is_file() and p.suffix.lower() in READ_SUFFIXES]
    if not matches:
        raise DataError(f"{source}: no such file or folder, and no pictures match it as a pattern")
    return [(match, match.name) for match in matches]


def _unique(name: str, taken: set[str]) -> str:
    """``name``, or ``name-2``... if a picture of another folder has it already."""
    pure = PurePosixPath(name)
    number, candidate = 1, name
    while candidate.lower() in taken:
        number += 1
        candidate = pure.with_name(f"{pure.stem}-{number}{pure.suffix}").as_posix()
    taken.add(candidate.lower())
    return candidate
