"""What ``--source`` can name, ready to be read: pictures, videos, cameras; and labelled images."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from utils.data.channels import RGB
from utils.data.epoch_batches import SampleKey
from utils.data.images import READ_SUFFIXES, load_image
from utils.data.read_options import ReadOptions
from utils.data.records import DataError
from utils.open_judged_data import open_evaluation_data
from utils.prediction.found_picture import Picture, Unusable, file_stamp
from utils.prediction.pixels import PixelArray, Pixels
from utils.prediction.source_files import SourceFile, named_files
from utils.prediction.source_names import output_stems, unique_names
from utils.prediction.videos import SourceVideo
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
        """What tells whether it has changed since an earlier run."""
        return file_stamp(self.path, self.name)

    def load(self) -> Picture | Unusable:
        """The picture with its pixels; what is wrong if it cannot be read."""
        return self._picture(lambda: PixelArray(self.read()))

    def open(self) -> Picture | Unusable:
        """The picture, of which windows can be read; what is wrong if it cannot be."""
        path = self.path
        if path is None:
            return self.load()
        return self._picture(lambda: open_windows(path, self.channels))

    def _picture(self, read: Callable[[], Pixels]) -> Picture | Unusable:
        stamp = self.stamp  # first: a file that is replaced meanwhile is another one next time
        try:
            return Picture(self.name, self.stem, read(), self.path, stamp)
        except (DataError, OSError) as error:
            return Unusable(self.name, str(error))


def find_sources(sources: Sequence[str], channels: int = RGB) -> list[SourceImage | SourceVideo]:
    """All pictures and videos that the sources name, each once, in the order given.

    A source is a picture; a video; a folder, searched with its sub-folders, which are mirrored in
    the names; a pattern such as ``photos/**/*.png``; a text file (``.txt``) of paths, one per line,
    or ``-``, which is such a list on the standard input; the number of a camera. The pictures are
    read as so many ``channels``.

    What a list names and is not there is among them, as is a sub-folder that may not be read: an
    image that cannot be loaded.

    Raises:
        DataError: a source names nothing.
    """
    folders: dict[str, str] = {}
    found: dict[tuple[str, str], SourceFile] = {}
    for source in sources:
        for file in named_files(source):
            found.setdefault(_place(file.path, folders), file)
    files = list(found.values())
    names = unique_names([file.name for file in files])
    videos = {name for name, file in zip(names, files, strict=True) if file.is_video}
    stems = output_stems(names, videos)
    return [_source(*each, channels) for each in zip(files, names, stems, strict=True)]


def in_numbers(sources: Sequence[SourceImage | SourceVideo]) -> str:
    """``3 images``, ``1 image and 2 videos``."""
    videos = sum(isinstance(source, SourceVideo) for source in sources)
    numbers = {"image": len(sources) - videos, "video": videos}
    words = [f"{n} {what}{'' if n == 1 else 's'}" for what, n in numbers.items() if n]
    return " and ".join(words) or "no images"


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

    paths = [record.path for record in dataset.data.images]
    names = unique_names([dataset.data.name_of(record) for record in dataset.data.images])
    images = []
    for index, (path, name, stem) in enumerate(zip(paths, names, output_stems(names), strict=True)):
        # Others are drawn, or embedded in a file that is no picture.
        is_picture = path.suffix.lower() in READ_SUFFIXES and path.is_file()
        file = path if is_picture else None
        images.append(SourceImage(name, stem, file, partial(read, index), channels))
    return images


def _source(file: SourceFile, name: str, stem: str, channels: int) -> SourceImage | SourceVideo:
    if file.camera is not None:
        return SourceVideo(name, stem, camera=file.camera)
    if file.is_video:
        return SourceVideo(name, stem, file.path)
    if file.problem:
        return SourceImage(name, stem, None, partial(_refuse, file.problem), channels)
    return SourceImage(name, stem, file.path, partial(load_image, file.path, channels), channels)


def _refuse(problem: str) -> NoReturn:
    raise DataError(problem)


def _place(path: Path, folders: dict[str, str]) -> tuple[str, str]:
    """The folder and name of a file behind all links; ``folders`` remembers the real folders, which
    take long to find out."""
    if os.path.islink(path):  # noqa: PTH114  (never raises)
        return os.path.split(os.path.realpath(path))
    folder, name = os.path.split(path)
    if folder not in folders:
        folders[folder] = os.path.realpath(folder)
    return folders[folder], name
