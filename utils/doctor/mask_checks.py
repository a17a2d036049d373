"""What the data doctor looks for in id masks, whose numbers can be wrong in ways of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from utils.data.images import list_images, open_picture
from utils.data.records import DataError, ImageRecord, Instance, RecordSet, encode_mask, to_rle
from utils.doctor.findings import Finding, Kind
from utils.doctor.mask_parts import label_parts
from utils.doctor.object_checks import object_name

FORMAT = "id-masks"
STRAY_PIXELS, STRAY_FILL = 4, 0.1  # a stray number has few pixels, or they fill little of its box
MOST_STRAY = 20  # stray numbers in a mask, if they are also half of all: real objects may be tiny
LEAST_PART = 10  # pixels of a part that counts as one
SIXTEEN_BITS, PALETTE = ("I", "I;16", "I;16B", "I;16L"), "P"


def check_masks(part: str, data: RecordSet) -> Iterator[Finding]:
    """Masks that were blurred, numbers shared by several parts, and unusual picture modes."""
    if data.format != FORMAT:
        return
    blurred = set()
    for record in data.images:
        stray = stray_objects(record)
        if stray:
            blurred.add(record.path)
            what = f"{len(stray)} of the {len(record.instances)} numbers in its mask are stray"
            yield Kind.BLURRED.at(record.path, f"{what}, of few pixels scattered along outlines")
    clean = tuple(record for record in data.images if record.path not in blurred)
    yield from _check_parts(part, replace(data, images=clean))
    yield from _check_modes(data.root)


def stray_objects(record: ImageRecord) -> set[int]:
    """Which objects of an image (from 0) are debris of a blurred mask; none if it is not."""
    stray = set()
    for number, one in enumerate(record.instances):
        box = one.bbox[2] * one.bbox[3]
        if one.area <= STRAY_PIXELS or one.area < STRAY_FILL * box:
            stray.add(number)
    is_blurred = len(stray) >= MOST_STRAY and 2 * len(stray) >= len(record.instances)
    return stray if is_blurred else set()


def is_binary(data: RecordSet) -> bool:
    """Whether every mask holds one number at most, and one of them several separate parts."""
    if data.format != FORMAT or any(len(record.instances) > 1 for record in data.images):
        return False
    return any(
        len(separate_parts(one, record)) > 1 for record in data.images for one in record.instances
    )


def separate_parts(instance: Instance, record: ImageRecord) -> list[Instance]:
    """The parts of an object that do not touch, the smallest crumbs left out if there are others.

    One part comes back as the object itself.
    """
    mask = coco_mask.decode(to_rle(instance.segmentation, record.height, record.width))
    x, y, width, height = (int(value) for value in instance.bbox)
    window = np.s_[y : y + height, x : x + width]
    labels = label_parts(mask[window])
    sizes = np.bincount(labels.ravel())[1:]
    large = np.flatnonzero(sizes >= LEAST_PART) + 1
    if len(large) < 2:
        return [instance]
    parts = []
    for label in large:
        whole = np.zeros_like(mask)
        whole[window] = labels == label
        part = Instance.from_rle(instance.label, encode_mask(whole), instance.iscrowd)
        parts.append(part)
    return parts


def _check_parts(part: str, data: RecordSet) -> Iterator[Finding]:
    split = [
        (record, number, count)
        for record in data.images
        for number, one in enumerate(record.instances)
        if (count := len(separate_parts(one, record))) > 1
    ]
    objects = sum(len(record.instances) for record in data.images)
    one_number = all(len(record.instances) <= 1 for record in data.images)
    if split and (one_number or 2 * len(split) > objects):
        record, _, count = split[0]
        masks = "masks of classes rather than objects?"
        if one_number:
            masks = "every mask holds one number only (as 0/1 and 0/255 masks do), and"
        what = f"{masks} {len(split)} of {objects} objects fall into parts that do not touch"
        yield Kind.BINARY.at(
            f"{data.root} ({part})", f"{what}, first that of {record.path.name} into {count}"
        )
        return
    for record, number, count in split:
        where = object_name(record, number, data.classes)
        yield Kind.PARTS.at(where, f"is in {count} parts that do not touch")


def _check_modes(root: Path) -> Iterator[Finding]:
    """A note on masks that are not 8-bit grey; their headers alone are read."""
    modes: dict[str, list[Path]] = {}
    for folder in sorted(root.glob("*/")):
        if "mask" in folder.name.lower():
            for path in list_images(folder, recursive=True):
                modes.setdefault(_mode(path), []).append(path)
    for name, wanted in (("16-bit", SIXTEEN_BITS), ("palette", (PALETTE,))):
        paths = [path for mode in wanted for path in modes.get(mode, ())]
        if paths:
            yield Kind.MASK_MODE.at(root, f"{len(paths)} {name} mask(s), first {paths[0]}")


def _mode(path: Path) -> str:
    try:
        with open_picture(path) as picture:
            return picture.mode
    except DataError:
        return ""  # named by the reader
