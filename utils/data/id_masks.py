"""Reader for instance-id masks: one PNG per image, 0 is background, every other number an object.

This is the layout of the Penn-Fudan pedestrian set (``PNGImages/NAME.png`` with
``PedMasks/NAME_mask.png``); ``images/`` with ``masks/`` works the same.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from utils.data.images import IMAGE_SUFFIXES, list_images, load_ids, upright_size
from utils.data.records import DataError, ImageRecord, Instance, RecordSet, first_ten, refuse

# Folder pairs that are recognised, and the name their one class gets unless the user gives one.
LAYOUTS = (("PNGImages", "PedMasks", "person"), ("images", "masks", "object"))
MASK_SUFFIX = "_mask"
LOSSY_SUFFIXES = (".jpg", ".jpeg", ".jfif")


def find_layout(root: Path) -> tuple[Path, Path, str] | None:
    """The image folder, mask folder and class name under ``root``; None if there is no pair."""
    for images, masks, class_name in LAYOUTS:
        if (root / images).is_dir() and (root / masks).is_dir():
            return root / images, root / masks, class_name
    return None


def read_id_masks(root: Path | str) -> RecordSet:
    """Read a folder of images and id masks; the two are paired by file stem, below folders too.

    Ids may have gaps and may be 8-bit, 16-bit or palette indices. An image whose mask is all 0 is
    an image without objects. Image ids count from 1 in file-name order.

    Raises:
        DataError: no such folders, an image or mask without its partner, a mask of another size
            than its image, or an unreadable file.
    """
    root = Path(root)
    layout = find_layout(root)
    if layout is None:
        wanted = " or ".join(f"{images}/ + {masks}/" for images, masks, _ in LAYOUTS)
        raise DataError(f"{root}: no id-mask data set here, it needs the folders {wanted}")
    image_folder, mask_folder, class_name = layout
    pairs = _pair(image_folder, mask_folder)
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(_read_pair, pairs))
    refuse([str(result) for result in results if isinstance(result, DataError)], len(results))
    records = [result for result in results if isinstance(result, ImageRecord)]
    images = tuple(replace(r, image_id=n) for n, r in enumerate(records, start=1))
    return RecordSet(root, "id-masks", (class_name,), images)


def _pair(image_folder: Path, mask_folder: Path) -> list[tuple[Path, Path]]:
    """Every image with its mask, matched by stem."""
    images = _by_stem(image_folder)
    masks = _by_stem(mask_folder, MASK_SUFFIX)
    for mask in masks.values():
        if mask.suffix.lower() in LOSSY_SUFFIXES:
            raise DataError(f"{mask}: JPEG blurs the ids of a mask; save masks as PNG")
    if not images:
        raise DataError(f"{image_folder}: no images here")
    lonely = [f"{images[stem]} has no mask in {mask_folder}" for stem in images.keys() - masks]
    lonely += [f"{masks[stem]} has no image in {image_folder}" for stem in masks.keys() - images]
    if lonely:
        raise DataError(
            "images and masks must come in pairs of the same name: "
            + "; ".join(first_ten(sorted(lonely)))
            + ". Add the missing file; for an image without objects, an all-zero mask. Read are "
            + ", ".join(sorted(IMAGE_SUFFIXES))
        )
    return [(images[stem], masks[stem]) for stem in sorted(images)]


def _by_stem(folder: Path, suffix: str = "") -> dict[str, Path]:
    """The pictures in a folder and below, by their path in it without ending."""
    found: dict[str, Path] = {}
    for path in list_images(folder, recursive=True):
        stem = path.relative_to(folder).with_suffix("").as_posix().removesuffix(suffix)
        if stem in found:
            raise DataError(f"{path} and {found[stem]} have the same name; rename one")
        found[stem] = path
    return found


def _read_pair(pair: tuple[Path, Path]) -> ImageRecord | DataError:
    """The record of one image, or what is wrong with it, so that all problems are told at once."""
    try:
        return _read(*pair)
    except DataError as error:
        return error


def _read(image_path: Path, mask_path: Path) -> ImageRecord:
    width, height = upright_size(image_path)
    ids = load_ids(mask_path)
    if ids.shape != (height, width):
        raise DataError(
            f"{mask_path}: the mask is {ids.shape[1]}x{ids.shape[0]} pixels, its image "
            f"{image_path.name} is {width}x{height} (upright); they must be equal"
        )
    instances = tuple(Instance.from_mask(1, ids == i) for i in np.unique(ids) if i != 0)
    return ImageRecord(0, image_path, width, height, instances)
