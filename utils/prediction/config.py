"""Every setting of predict.py, with its default and help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.config import BEST, CommonConfig, ConfigError, to_dict
from utils.options import option
from utils.prediction.contact_map import parse_contact_map
from utils.prediction.pixel_size import parse_pixel_size

ALL_IMAGES = -1
SMALLEST_TILE = 64  # pixels; an image of ordinary size would be very many smaller ones
MOST_TILED = 2**29 - 1  # pixels of an image looked at in tiles: run lengths are of 30 bits


@dataclass(frozen=True, kw_only=True)
class PredictConfig(CommonConfig):
    """Settings of predict.py."""

    weights: str = option(BEST, "weights file: a path, or a name in weights/")
    source: tuple[str, ...] = option(
        (), "images, folders, globs, lists of paths (.txt, - is the standard input), videos, "
        "cameras (0); the held-out images of the weights' data by default"
    )  # fmt: skip
    data: str = option("", "where the weights' data set lies now, if it has moved")
    classes: tuple[str, ...] = option(
        (), "look for these classes only; for weights without names, the names of all of them"
    )
    score_threshold: float | None = option(
        None, "least score shown; by default the weights' own, per class"
    )
    nms_threshold: float | None = option(
        None, "of two boxes of a class with a higher IoU the surer one stays; by default the "
        "weights' own"
    )  # fmt: skip
    max_detections: int | None = option(
        None, "the surest objects of an image that are shown; by default the weights' own"
    )
    tile: int = option(0, "look at huge images in tiles with sides of so many pixels; 0 never")
    overlap: float = option(0.2, "share of a tile that its neighbour shows too")
    every: int = option(1, "look at every so many frames of a video")
    track: bool = option(False, "number the objects of a video, the same from frame to frame")
    overlays: bool = option(True, "overlay pictures; of a video, an MP4")
    id_masks: bool = option(False, "16-bit PNGs in which each object has a number")
    class_masks: bool = option(False, "PNGs in which each class has a number")
    labelme: str = option(
        "", "labelme JSON to be corrected by hand, in the output folder or beside the images",
        choices=("mirrored", "beside"), bare="mirrored",
    )  # fmt: skip
    least_sure_first: int = option(
        0, "a folder to correct in labelme: the so many least sure images, numbered in this order; "
        "alone, all of them", bare=ALL_IMAGES,
    )  # fmt: skip
    crops: bool = option(False, "each object's box as a picture")
    cutouts: bool = option(False, "each object on nothing, as a PNG with alpha")
    splash: bool = option(False, "pictures with the objects in colour and all else grey")
    measurements: bool = option(False, "measurements.csv: size, place, form, intensity of objects")
    pixel_size: str = option("", "a pixel's side, such as 0.65um: measurements in this unit too")
    bin_size: str = option("", "of contact maps, such as 10kb: measurements in the genome, BEDPE")
    origin: str = option("", "of contact maps: where the first pixel lies, such as chr1:0")
    output: Path | None = option(None, "folder for all of it; runs/predict/<name> by default")
    overwrite: bool = option(False, "look again at images that were done in an earlier run")
    strict: bool = option(False, "stop at the first image that cannot be used")

    def __post_init__(self) -> None:
        problems = []
        for name in ("score_threshold", "nms_threshold"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                problems.append(f"--{name.replace('_', '-')} is {value}, must lie in 0..1")
        for name, least in (("max_detections", 1), ("every", 1), ("least_sure_first", ALL_IMAGES)):
            value = getattr(self, name)
            if value is not None and value < least:
                problems.append(f"--{name.replace('_', '-')} is {value}, must be at least {least}")
        if self.tile and self.tile < SMALLEST_TILE:
            problems.append(f"--tile is {self.tile}, must be at least {SMALLEST_TILE}")
        if not 0 <= self.overlap < 0.5:
            problems.append(f"--overlap is {self.overlap}, must lie in 0..0.5 (0.5 excluded)")
        if self.source and self.data:
            problems.append("--source and --data both say what to look at; give one")
        problems += self._unit_problems()
        if problems:
            raise ConfigError("; ".join(problems))

    def _unit_problems(self) -> list[str]:
        """What is wrong with the sizes of pixels."""
        problems = []
        if self.pixel_size:
            try:
                parse_pixel_size(self.pixel_size)
            except ValueError as error:
                problems.append(f"--pixel-size: {error}")
            if not self.measurements:
                problems.append("--pixel-size is for --measurements; give it too")
        if self.bin_size or self.origin:
            try:
                parse_contact_map(self.bin_size, self.origin)
            except ValueError as error:
                problems.append(str(error))
        return problems

    @property
    def most_pixels(self) -> int:
        """Of an image; tiles are for huge ones."""
        default = type(self).max_pixels
        return MOST_TILED if self.tile and self.max_pixels == default else self.max_pixels

    @property
    def settings(self) -> dict[str, Any]:
        """What has an effect on the outputs."""
        return {k: v for k, v in to_dict(self).items() if k not in _WITHOUT_EFFECT}


_WITHOUT_EFFECT = ("output", "output_root", "overwrite", "strict", "debug", "device", "max_pixels")
