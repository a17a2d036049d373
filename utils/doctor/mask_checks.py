"""What the data doctor looks for in id masks, whose numbers can be wrong in ways of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from utils.data.formats.id_masks import find_layout
from utils.data.formats.mask_pairs import MASK_SUFFIX
from utils.data.images import list_images, open_picture
from utils.data.records import DataError, ImageRecord, Instance, RecordSet, to_rle
from utils.doctor.findings import Finding, Kind
from utils.doctor.mask_parts import encode_parts, find_parts
from utils.doctor.object_checks import object_name
from utils.doctor.stray_numbers import stray_objects

FORMAT = "id-masks"
LEAST_PART = 10  # pixels of a part that counts as one
REAL_PART = 0.1  # share of an object's largest part that its second has in a mask of several
BINARY_MASKS = 1 / 3  # share of the masks with objects that hold several, if masks are binary
SIXTEEN_BITS, PALETTE = ("I", "I;16", "I;16B", "I;16L"), "P"

Pieces = list[list[Instance]]  # of one image: the separate parts of each object


def check_masks(parts: Mapping[str, RecordSet]) -> Iterator[Finding]:
    """Masks that were blurred, numbers shared by several parts, and unusual picture modes."""
    clean: dict[str, list[tuple[ImageRecord, Pieces]]] = {}
    for part, data in parts.items():
        if data.format != FORMAT:
            continue
        id_masks, class_masks = _mask_files(data.root)
        clean[part] = []
        for record in data.images:
            if stray := stray_objects(record):
                of = f"{len(stray)} of the {len(record.instances)} numbers in this mask"
                where = _mask_of(record, id_masks)
                yield Kind.BLURRED.at(where, f"{of} are stray, of few pixels along outlines")
            else:
                clean[part].append((record, separate_objects(record)))
        yield from _check_modes(data.root, id_masks + class_masks)
    binary = are_binary([pieces for found in clean.values() for _, pieces in found])
    for part, found in clean.items():
        yield from _check_parts(part, parts[part], found, binary)


def are_binary(images: Sequence[Pieces]) -> bool:
    """Whether masks tell objects from background only: each holds one number at most, and a third
    of those with objects hold several parts of a size, too many for objects that are partly hidden.
    """
    if any(len(pieces) > 1 for pieces in images):
        return False
    masks = [sorted(one.area for one in pieces[0]) for pieces in images if pieces]
    several = sum(len(areas) > 1 and areas[-2] >= REAL_PART * areas[-1] for areas in masks)
    return several > 0 and several >= BINARY_MASKS * len(masks)


def separate_objects(record: ImageRecord) -> Pieces:
    """The parts of every object that do not touch; an object of one part is that itself.

    A crumb belongs to the part whose box is nearest, so that no pixel is lost.
    """
    return [_separate(one, record.height, record.width) for one in record.instances]


def _separate(instance: Instance, height: int, width: int) -> list[Instance]:
    parts = find_parts(to_rle(instance.segmentation, height, width))
    large = [part for part in parts if part.area >= LEAST_PART]
    if len(large) < 2:
        return [instance]
    groups = [[part] for part in large]
    boxes = np.array([part.box for part in large])
    for crumb in parts[len(large) :]:
        x1, y1, x2, y2 = crumb.box
        gaps = np.stack([boxes[:, 0] - x2, x1 - boxes[:, 2], boxes[:, 1] - y2, y1 - boxes[:, 3]])
        across, down = np.maximum(gaps, 0).reshape(2, 2, -1).max(axis=1)
        groups[int(np.hypot(across, down).argmin())].append(crumb)
    rles = [encode_parts(group, height, width) for group in groups]
    return [Instance.from_rle(instance.label, rle, instance.iscrowd) for rle in rles]


def _check_parts(
    part: str, data: RecordSet, images: Sequence[tuple[ImageRecord, Pieces]], binary: bool
) -> Iterator[Finding]:
    split = [
        (record, number, len(pieces))
        for record, of_image in images
        for number, pieces in enumerate(of_image)
        if len(pieces) > 1
    ]
    objects = sum(len(of_image) for _, of_image in images)
    several_numbers = any(len(of_image) > 1 for _, of_image in images)
    if split and (binary or (several_numbers and 2 * len(split) > objects)):
        record, _, count = split[0]
        masks = "masks of classes rather than objects?"
        if binary:
            masks = "every mask holds one number only (as 0/1 and 0/255 masks do), and"
        what = f"{masks} {len(split)} of {objects} objects fall into parts that do not touch"
        yield Kind.BINARY.at(
            f"{data.root} ({part})", f"{what}, first that of {record.path.name} into {count}"
        )
        return
    for record, number, count in split:
        where = object_name(record, number, data.classes)
        yield Kind.PARTS.at(where, f"is in {count} parts that do not touch")


def _mask_files(root: Path) -> tuple[list[Path], list[Path]]:
    """The id masks and the class masks of a data set."""
    layout = find_layout(root)
    if layout is None:
        return [], []
    folders = root / layout.masks, root / layout.class_masks
    id_masks, class_masks = (
        list_images(folder, recursive=True) if folder.is_dir() else [] for folder in folders
    )
    return id_masks, class_masks


def _mask_of(record: ImageRecord, masks: Sequence[Path]) -> Path:
    """The mask of an image; the image itself where that cannot be told."""
    name = record.path.stem
    named = [path for path in masks if path.stem.removesuffix(MASK_SUFFIX) == name]
    return named[0] if len(named) == 1 else record.path


def _check_modes(root: Path, masks: Sequence[Path]) -> Iterator[Finding]:
    """A note on masks that are not 8-bit grey; their headers alone are read."""
    modes: dict[str, list[Path]] = {}
    for path in masks:
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
