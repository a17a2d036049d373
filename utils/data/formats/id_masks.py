"""Reader for instance-id masks: in a mask 0 is background, every other number is an object.

This is the layout of the Penn-Fudan pedestrian set (``PNGImages/NAME.png`` with
``PedMasks/NAME_mask.png``); ``images/`` with ``masks/`` works the same. Several classes are told
apart by a table, a folder of masks for each class, or a class mask beside each id mask, as in
Pascal VOC (``utils/data/formats/mask_classes.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.data.formats.mask_classes import (
    VOC_CLASSES,
    VOID,
    ClassSource,
    FolderClasses,
    IdMask,
    OneClass,
    PixelClasses,
    TableClasses,
)
from utils.data.formats.mask_pairs import MaskedImage, load_mask, pair
from utils.data.formats.mask_table import FILE_NAME
from utils.data.images import list_images, upright_size
from utils.data.label_map import NOT_CLASSES, labelled, similar_names
from utils.data.outlines import left_out_notes
from utils.data.records import DataError, ImageRecord, Instance, RecordSet, settle


class Layout(NamedTuple):
    """Folders that belong together.

    ``class_name`` is that of all objects unless something tells classes apart. Pascal VOC labels
    a part of its images only, and marks void pixels in its masks.
    """

    images: str
    masks: str
    class_masks: str
    class_name: str
    is_voc: bool = False


LAYOUTS = (
    Layout("PNGImages", "PedMasks", "class_masks", "person"),
    Layout("images", "masks", "class_masks", "object"),
    Layout("JPEGImages", "SegmentationObject", "SegmentationClass", "object", is_voc=True),
)


class _Read(NamedTuple):
    """One image as read: its record, the class of each object and what to remark."""

    record: ImageRecord
    names: list[str]
    seen: list[tuple[Path, int]]  # mask and number of every object, those left out too
    remarks: list[tuple[str, str]]


def find_layout(root: Path) -> Layout | None:
    """The folders under ``root`` that hold images and id masks; None if there are none."""
    for layout in LAYOUTS:
        if (root / layout.images).is_dir() and (root / layout.masks).is_dir():
            return layout
    return None


def read_id_masks(root: Path | str, problems: list[str] | None = None) -> RecordSet:
    """Read a folder of images and id masks; the two are paired by file stem, below folders too.

    Ids may have gaps and may be 8-bit, 16-bit or palette indices. An image whose mask is all 0 is
    an image without objects. Image ids count from 1 in file-name order.

    Args:
        root: the folder.
        problems: takes what is wrong with single images, which are left out then, instead of
            raising.

    Raises:
        DataError: no such folders, an image or mask without its partner, a mask of another size
            than its image, an object whose class cannot be told, or an unreadable file.
    """
    root = Path(root)
    layout = find_layout(root)
    if layout is None:
        wanted = " or ".join(f"{one.images}/ + {one.masks}/" for one in LAYOUTS)
        raise DataError(f"{root}: no id-mask data set here, it needs the folders {wanted}")
    source = _class_source(root, layout)
    mask_folders = source.folders if isinstance(source, FolderClasses) else [root / layout.masks]
    class_masks = root / layout.class_masks if isinstance(source, PixelClasses) else None
    pairs = pair(root / layout.images, mask_folders, class_masks, not layout.is_voc)
    read_one = partial(_read_image, source=source, void=VOID if layout.is_voc else 0)
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(read_one, pairs.images))
    found = dict(pairs.problems)
    for image, result in zip(pairs.images, results, strict=True):
        if isinstance(result, DataError):
            found[image.stem] = str(result)
    total = len(results) + len(pairs.problems)
    settle([found[stem] for stem in sorted(found)], total, problems)

    read = [result for result in results if isinstance(result, _Read)]
    classes = source.classes({name for one in read for name in one.names})
    notes = left_out_notes(remark for one in read for remark in one.remarks)
    if not found:  # what was not read cannot be missed
        notes += source.notes(pair for one in read for pair in one.seen)
    notes += [*_unlabelled(pairs.unlabelled), *similar_names(classes)]
    images = labelled([(one.record, one.names) for one in read], classes)
    return RecordSet(root, "id-masks", classes, images, tuple(notes))


def _class_source(root: Path, layout: Layout) -> ClassSource:
    """What tells the classes of this data set."""
    masks = root / layout.masks
    for table in (root / FILE_NAME, masks / FILE_NAME):
        if table.is_file():
            return TableClasses(root, masks, table)
    if (root / layout.class_masks).is_dir():
        return PixelClasses(root, VOC_CLASSES if layout.is_voc else ())
    folders = _folders(masks)
    mirrored = {path.name for path in folders} & {
        path.name for path in _folders(root / layout.images)
    }
    if folders and not mirrored and not list_images(masks):
        return FolderClasses(root, folders)
    return OneClass(root, layout.class_name)


def _folders(folder: Path) -> list[Path]:
    paths = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in paths if path.is_dir())


def _unlabelled(images: Sequence[Path]) -> list[str]:
    if not images:
        return []
    return [f"{len(images)} image(s) without a mask left out as unlabelled, first {images[0].name}"]


def _read_image(image: MaskedImage, source: ClassSource, void: int) -> _Read | DataError:
    """One image, or what is wrong with it, so that all problems are told at once."""
    try:
        return _read(image, source, void)
    except DataError as error:
        return error


def _read(image: MaskedImage, source: ClassSource, void: int) -> _Read:
    """Read the masks of an image; pixels of the number ``void`` belong to no object."""
    size = upright_size(image.image)
    instances: list[Instance] = []
    names: list[str] = []
    seen: list[tuple[Path, int]] = []
    remarks: list[tuple[str, str]] = []
    for path in image.masks:
        ids = load_mask(path, size, image.image)
        numbers = [int(number) for number in np.unique(ids) if number not in (0, void)]
        seen += [(path, number) for number in numbers]
        found = source.names(IdMask(path, ids, numbers, image), remarks)
        for number, name in zip(numbers, found, strict=True):
            if name in NOT_CLASSES:
                remarks.append((f"object(s) of class {name!r} left out", path.name))
            else:
                instances.append(Instance.from_mask(1, ids == number))
                names.append(name)
    record = ImageRecord(0, image.image, *size, tuple(instances))
    return _Read(record, names, seen, remarks)
