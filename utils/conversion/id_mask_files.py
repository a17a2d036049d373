"""Writer for instance-id masks: ``images/``, ``masks/`` and the class of every number."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import partial
from io import StringIO

import numpy as np

from utils.conversion.converted_images import ConvertedImage
from utils.conversion.output_files import OutputFile, label_names
from utils.conversion.pictures import encoded
from utils.data.formats.mask_pairs import MASK_SUFFIX
from utils.data.formats.mask_table import FILE_NAME
from utils.data.mask_crops import crop_mask
from utils.data.records import DataError

MOST_OBJECTS = 65_535  # a mask has 16 bits
COVERED = "pixel(s) of objects that later ones cover, as a mask holds one object per pixel"
VANISHED = "object(s) left out that later ones cover entirely"


def id_mask_files(classes: tuple[str, ...], images: Sequence[ConvertedImage]) -> list[OutputFile]:
    """Masks are 8-bit, or 16-bit in pictures of more than 255 objects. Where objects overlap, the
    later one has the pixels. Crowd regions are left out."""
    rows: list[tuple[str, int, str]] = []
    files = []
    for image in images:
        files.append(OutputFile(f"images/{image.name}", image.picture))
        content = partial(_mask, classes, image, rows)
        files.append(OutputFile(f"masks/{_mask_name(image)}", content))
    files.append(OutputFile("label_names.txt", partial(label_names, classes)))
    if any(not one.iscrowd for image in images for one in image.source.instances):
        files.append(OutputFile(FILE_NAME, partial(_table, rows)))
    return files


def paint_objects(image: ConvertedImage, values: Sequence[int]) -> tuple[np.ndarray, int]:
    """One value per object over zeros, uint16 (H, W), and how many pixels of one value were covered
    by another, of a later object."""
    canvas = np.zeros((image.record.height, image.record.width), np.uint16)
    covered = 0
    for instance, value in zip(image.objects, values, strict=True):
        crop = crop_mask(instance, *canvas.shape)
        if crop is None:
            continue
        height, width = crop.mask.shape
        window = canvas[crop.y : crop.y + height, crop.x : crop.x + width]
        inside = crop.mask != 0
        covered += int(np.count_nonzero((window[inside] != 0) & (window[inside] != value)))
        window[inside] = value
    return canvas, covered


def _mask(
    classes: tuple[str, ...], image: ConvertedImage, rows: list[tuple[str, int, str]]
) -> bytes:
    """The mask of one picture; ``rows`` takes the class of each of its numbers."""
    count = len(image.objects)
    if count > MOST_OBJECTS:
        raise DataError(f"{image.source.path}: has {count} objects, a mask holds {MOST_OBJECTS}")
    ids, covered = paint_objects(image, range(1, count + 1))
    image.not_kept.add(COVERED, image.name, covered)
    there = [int(number) for number in np.unique(ids) if number]
    image.not_kept.add(VANISHED, image.name, count - len(there))
    name = _mask_name(image)
    rows += [(name, number, classes[image.objects[number - 1].label - 1]) for number in there]
    return encoded(ids if count > 255 else ids.astype(np.uint8))


def _mask_name(image: ConvertedImage) -> str:
    # The reader takes the suffix off masks, so a picture's own needs a second one.
    return f"{image.stem}{MASK_SUFFIX if image.stem.endswith(MASK_SUFFIX) else ''}.png"


def _table(rows: Sequence[tuple[str, int, str]]) -> bytes:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("mask", "id", "class"))
    writer.writerows(rows)
    return text.getvalue().encode()
