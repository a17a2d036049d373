"""Reader for instance-id masks: in a mask 0 is background, every other number is an object.

This is the layout of the Penn-Fudan pedestrian set (``PNGImages/NAME.png`` with
``PedMasks/NAME_mask.png``); ``images/`` with ``masks/`` works the same. Several classes are told
apart by a table, a folder of masks for each class, or a class mask beside each id mask, as in
Pascal VOC (``utils/data/formats/mask_classes.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from utils.data.annotation_files import check_stays
from utils.data.formats.each_image import ReadImage, read_each
from utils.data.formats.id_runs import id_rles
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
from utils.data.label_map import NOT_CLASSES, labelled
from utils.data.outlines import left_out_notes
from utils.data.records import DataError, ImageRecord, Instance, RecordSet, settle


class MaskFolders(NamedTuple):
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
    MaskFolders("PNGImages", "PedMasks", "class_masks", "person"),
    MaskFolders("images", "masks", "class_masks", "object"),
    MaskFolders("JPEGImages", "SegmentationObject", "SegmentationClass", "object", is_voc=True),
)


@dataclass
class _ReadMasks(ReadImage):
    """``seen`` are mask and number of every object, those left out too."""

    seen: list[tuple[Path, int]] = field(default_factory=list)


def find_layout(root: Path) -> MaskFolders | None:
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
            than its image, an object whose class cannot be told, a file that is unreadable or
            behind a link that leads out of ``root``.
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
    void = VOID if layout.is_voc else 0
    results = read_each(partial(_read_image, source=source, void=void), pairs.images)
    found = dict(pairs.problems)
    for image, result in zip(pairs.images, results, strict=True):
        if isinstance(result, DataError):
            found[image.stem] = str(result)
    total = len(results) + len(pairs.problems)
    settle([found[stem] for stem in sorted(found)], total, problems)

    read = [result for result in results if isinstance(result, _ReadMasks)]
    classes = source.classes({name for one in read for name in one.names})
    notes = left_out_notes(remark for one in read for remark in one.left_out)
    if not found:  # what was not read cannot be missed
        notes += source.notes(pair for one in read for pair in one.seen)
    notes += _unlabelled(pairs.unlabelled)
    images = labelled([(one.record, one.names) for one in read], classes)
    return RecordSet(root, "id-masks", classes, images, tuple(notes))


def _class_source(root: Path, layout: MaskFolders) -> ClassSource:
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


def _read_image(image: MaskedImage, source: ClassSource, void: int) -> _ReadMasks:
    """Read the masks of an image; pixels of the number ``void`` belong to no object."""
    for path in (image.image, *image.masks, image.class_mask):
        if path:
            check_stays(path, source.root)
    size = upright_size(image.image)
    read = _ReadMasks(ImageRecord(0, image.image, *size))
    instances: list[Instance] = []
    for path in image.masks:
        ids = load_mask(path, size, image.image)
        rles = id_rles(ids, without=(0, void))
        read.seen += [(path, number) for number in rles]
        found = source.names(IdMask(path, ids, list(rles), image), read.left_out)
        for rle, name in zip(rles.values(), found, strict=True):
            if name in NOT_CLASSES:
                read.left_out.append((f"object(s) of class {name!r} left out", path.name))
            else:
                instances.append(Instance.from_rle(1, rle))
                read.names.append(name)
    read.record = replace(read.record, instances=tuple(instances))
    return read
