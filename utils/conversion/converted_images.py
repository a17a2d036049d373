"""The pictures of a data set on their way into another: new names, sizes and outlines."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np

from utils.conversion.not_kept import NotKept
from utils.conversion.pictures import Fit, fitted_pixels, fitted_record, new_name, picture_bytes
from utils.data.images import load_image
from utils.data.records import ImageRecord, Instance

CROWDS = "crowd region(s) left out, the format has none"


class ConvertedImage:
    """One picture with its objects; pixels are read when they are asked for.

    ``name`` is the file name of the picture in the new data set, with slashes; ``not_kept`` takes
    what cannot be kept.
    """

    def __init__(self, source: ImageRecord, name: str, fit: Fit, not_kept: NotKept) -> None:
        size = (source.width, source.height)
        self.source = source
        self.fit = fit
        self.not_kept = not_kept
        self.name = new_name(name, fit.outer(*size) != size)

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return PurePosixPath(self.name).with_suffix("").as_posix()

    @cached_property
    def record(self) -> ImageRecord:
        """Size and objects in the new data set."""
        return fitted_record(self.source, self.fit, self.not_kept, self.name)

    @cached_property
    def objects(self) -> tuple[Instance, ...]:
        """The objects without crowd regions, which are counted as lost."""
        kept = tuple(one for one in self.record.instances if not one.iscrowd)
        self.not_kept.add(CROWDS, self.name, len(self.record.instances) - len(kept))
        return kept

    def picture(self) -> bytes:
        """The picture file."""
        size = (self.source.width, self.source.height)
        return picture_bytes(self.source.path, self.name, size, self.fit)

    def pixels(self) -> np.ndarray:
        """uint8 RGB (H, W, 3), upright, at the new size."""
        return fitted_pixels(load_image(self.source.path), self.fit)


def converted_images(
    records: Sequence[ImageRecord], fit: Fit, not_kept: NotKept, *, flat: bool = False
) -> list[ConvertedImage]:
    """An image for each record.

    Names are relative to the folder that all pictures lie in or below; ``flat`` makes ``a_b.png``
    of ``a/b.png``.
    """
    # A path may hold "..", which must not lead out of the new folder.
    paths = [Path(os.path.normpath(record.path.absolute())) for record in records]
    home = Path(os.path.commonpath([path.parent for path in paths])) if paths else Path()
    between = "_" if flat else "/"
    return [
        ConvertedImage(record, between.join(path.relative_to(home).parts), fit, not_kept)
        for record, path in zip(records, paths, strict=True)
    ]
