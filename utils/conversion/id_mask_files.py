"""Writer for instance-id masks: ``images/``, ``masks/`` and the class of every number."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import partial
from io import StringIO

import numpy as np

from utils.conversion.output_files import OutputFile, label_names
from utils.conversion.pictures import encoded
from utils.conversion.scenes import Scene
from utils.data.formats.mask_pairs import MASK_SUFFIX
from utils.data.formats.mask_table import FILE_NAME
from utils.data.mask_crops import crop_mask
from utils.data.records import DataError

MOST_OBJECTS = 65_535  # a mask has 16 bits
COVERED = "pixel(s) of objects that later ones cover, as a mask holds one object per pixel"
VANISHED = "object(s) left out that later ones cover entirely"


def id_mask_files(classes: tuple[str, ...], scenes: Sequence[Scene]) -> list[OutputFile]:
    """Masks are 8-bit, or 16-bit in pictures of more than 255 objects. Where objects overlap, the
    later one has the pixels. Crowd regions are left out."""
    rows: list[tuple[str, int, str]] = []
    files = []
    for scene in scenes:
        files.append(OutputFile(f"images/{scene.name}", scene.picture))
        content = partial(_mask, classes, scene, rows)
        files.append(OutputFile(f"masks/{_mask_name(scene)}", content))
    files.append(OutputFile("label_names.txt", partial(label_names, classes)))
    if any(not one.iscrowd for scene in scenes for one in scene.source.instances):
        files.append(OutputFile(FILE_NAME, partial(_table, rows)))
    return files


def paint_objects(scene: Scene, values: Sequence[int]) -> tuple[np.ndarray, int]:
    """One value per object over zeros, uint16 (H, W), and how many pixels of one value were covered
    by another, of a later object."""
    canvas = np.zeros((scene.record.height, scene.record.width), np.uint16)
    covered = 0
    for instance, value in zip(scene.objects, values, strict=True):
        crop = crop_mask(instance, *canvas.shape)
        if crop is None:
            continue
        height, width = crop.mask.shape
        window = canvas[crop.y : crop.y + height, crop.x : crop.x + width]
        inside = crop.mask != 0
        covered += int(np.count_nonzero((window[inside] != 0) & (window[inside] != value)))
        window[inside] = value
    return canvas, covered


def _mask(classes: tuple[str, ...], scene: Scene, rows: list[tuple[str, int, str]]) -> bytes:
    """The mask of one picture; ``rows`` takes the class of each of its numbers."""
    count = len(scene.objects)
    if count > MOST_OBJECTS:
        raise DataError(f"{scene.source.path}: has {count} objects, a mask holds {MOST_OBJECTS}")
    ids, covered = paint_objects(scene, range(1, count + 1))
    scene.losses.add(COVERED, scene.name, covered)
    there = [int(number) for number in np.unique(ids) if number]
    scene.losses.add(VANISHED, scene.name, count - len(there))
    name = _mask_name(scene)
    rows += [(name, number, classes[scene.objects[number - 1].label - 1]) for number in there]
    return encoded(ids if count > 255 else ids.astype(np.uint8))


def _mask_name(scene: Scene) -> str:
    # The reader takes the suffix off masks, so a picture's own needs a second one.
    return f"{scene.stem}{MASK_SUFFIX if scene.stem.endswith(MASK_SUFFIX) else ''}.png"


def _table(rows: Sequence[tuple[str, int, str]]) -> bytes:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("mask", "id", "class"))
    writer.writerows(rows)
    return text.getvalue().encode()
