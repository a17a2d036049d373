"""A picture and what was found in it: what every output is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from nets.contract import Prediction
from utils.data.mask_crops import Crop, crop_rle
from utils.prediction.pixels import Pixels
from utils.prediction.source_names import as_text


@dataclass(frozen=True)
class Picture:
    """A picture to look at.

    Attributes:
        name: relative, with forward slashes, as in predictions.json. A frame of a video is called
            ``clip.mp4/000012.png``.
        stem: of its output files, like ``name`` without its suffix; no two pictures of a run have
            the same.
        pixels: of the picture.
        path: the file, None if it has none.
        stamp: what tells it from another picture of that name, for a run that goes on.
    """

    name: str
    stem: str
    pixels: Pixels
    path: Path | None = None
    stamp: list[Any] = field(default_factory=list)


def file_stamp(path: Path | None, name: str) -> list[Any]:
    """What tells whether a source is the one of an earlier run: path, size and time of its file; of
    one that is gone, nothing; of what is no file, its name."""
    if path is None:
        return [name]
    try:
        status = path.stat()
    except OSError:
        return []
    return [as_text(str(path.absolute())), status.st_size, status.st_mtime_ns]


class Unusable(NamedTuple):
    """A picture that cannot be used, and why."""

    name: str
    problem: str


@dataclass(frozen=True)
class FoundPicture:
    """What was found in a picture.

    Attributes:
        picture: which one.
        prediction: best first, above the thresholds, at the picture's own size.
        classes: all names in label order.
        tracks: in a video, the number of each object, the same from frame to frame; else empty.
    """

    picture: Picture
    prediction: Prediction
    classes: tuple[str, ...]
    tracks: tuple[int, ...] = ()

    @cached_property
    def crops(self) -> list[Crop | None]:
        """The mask of each object, cut to its pixels; None if it has none."""
        return [crop_rle(rle) for rle in self.prediction["masks"]]

    @property
    def names(self) -> list[str]:
        """The class of each object."""
        return [self.classes[label - 1] for label in self.prediction["labels"].tolist()]
