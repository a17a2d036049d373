"""Pictures and outlines at another size: fitted into a box, padded to a multiple."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from utils.conversion.not_kept import NotKept
from utils.data.images import JPEG_SUFFIXES, READ_SUFFIXES, load_image
from utils.data.records import ImageRecord, Instance, encode_mask, to_rle

JPEG_QUALITY = 95
PNG_LEVEL = 3  # photos are as small as at zlib's 6, in half the time
VANISHED = "object(s) without a pixel in the smaller picture left out"


class Fit(NamedTuple):
    """The size that pictures get: shrunk to fit into ``box`` (width, height) with their shape kept,
    then padded at the right and at the bottom until both sides are multiples of ``multiple_of``."""

    box: tuple[int, int] | None = None
    multiple_of: int = 1

    def inner(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the picture itself; never larger than it was."""
        if self.box is None:
            return width, height
        scale = min(1.0, self.box[0] / width, self.box[1] / height)
        return max(1, round(width * scale)), max(1, round(height * scale))

    def outer(self, width: int, height: int) -> tuple[int, int]:
        """Width and height with the padding."""
        inner = self.inner(width, height)
        return (
            -(-inner[0] // self.multiple_of) * self.multiple_of,
            -(-inner[1] // self.multiple_of) * self.multiple_of,
        )


def new_name(name: str, is_resized: bool) -> str:
    """The file name of a picture: its own, or PNG if it is saved anew and was no JPEG, or if it has
    no picture's ending, as one that is embedded in a JSON file."""
    suffix = PurePosixPath(name).suffix.lower()
    keeps = suffix in (JPEG_SUFFIXES if is_resized else READ_SUFFIXES)
    return name if keeps else PurePosixPath(name).with_suffix(".png").as_posix()


def picture_bytes(path: Path, name: str, size: tuple[int, int], fit: Fit) -> bytes:
    """The picture file for ``name``: a copy of ``path`` byte for byte where it can be.

    Args:
        path: the picture, of width and height ``size`` when upright.
        name: as ``new_name`` gives it.
        fit: the size that it gets.

    Raises:
        DataError: it cannot be read.
    """
    is_resized = fit.outer(*size) != size
    if not is_resized and path.suffix.lower() in READ_SUFFIXES:
        return path.read_bytes()
    is_jpeg = PurePosixPath(name).suffix.lower() in JPEG_SUFFIXES
    return encoded(fitted_pixels(load_image(path), fit), "JPEG" if is_jpeg else "PNG")


def encoded(pixels: np.ndarray | Image.Image, format: str = "PNG") -> bytes:
    """A picture as the bytes of a file."""
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = BytesIO()
    picture.save(file, format, quality=JPEG_QUALITY, compress_level=PNG_LEVEL)
    return file.getvalue()


def fitted_pixels(pixels: np.ndarray, fit: Fit) -> np.ndarray:
    """uint8 RGB (H, W, 3) at its new size; the padding is black."""
    height, width = pixels.shape[:2]
    inner, outer = fit.inner(width, height), fit.outer(width, height)
    if inner != (width, height):
        resized = Image.fromarray(pixels).resize(inner, Image.Resampling.LANCZOS)
        pixels = np.asarray(resized)
    padding = ((0, outer[1] - inner[1]), (0, outer[0] - inner[0]), (0, 0))
    return np.pad(pixels, padding) if outer != inner else pixels


def fitted_record(record: ImageRecord, fit: Fit, not_kept: NotKept, place: str) -> ImageRecord:
    """The record of the picture at its new size.

    Polygons are scaled by numbers, run lengths to the nearest pixel. Areas and boxes are measured
    anew; objects that have no pixel left are left out and counted.
    """
    size = (record.width, record.height)
    inner, outer = fit.inner(*size), fit.outer(*size)
    if outer == size:
        return record
    instances = [_fitted(instance, size, inner, outer) for instance in record.instances]
    kept = tuple(instance for instance in instances if instance.area)
    not_kept.add(VANISHED, place, len(instances) - len(kept))
    return replace(record, width=outer[0], height=outer[1], instances=kept)


def _fitted(
    instance: Instance, size: tuple[int, int], inner: tuple[int, int], outer: tuple[int, int]
) -> Instance:
    if isinstance(instance.segmentation, dict):
        mask = Image.fromarray(coco_mask.decode(instance.segmentation))
        canvas = np.zeros(outer[::-1], np.uint8)
        resized = mask.resize(inner, Image.Resampling.NEAREST)
        canvas[: inner[1], : inner[0]] = np.asarray(resized)
        return Instance.from_rle(instance.label, encode_mask(canvas), instance.iscrowd)
    scale = [inner[0] / size[0], inner[1] / size[1]]
    polygons = [
        (np.reshape(polygon, (-1, 2)) * scale).ravel().tolist() for polygon in instance.segmentation
    ]
    rle = to_rle(polygons, outer[1], outer[0])
    measured = Instance.from_rle(instance.label, rle, instance.iscrowd)
    return replace(measured, segmentation=polygons)
