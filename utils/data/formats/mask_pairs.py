"""Which masks belong to which image: they have the same path in their folders, without ending."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.data.images import JPEG_SUFFIXES, list_images, load_ids
from utils.data.records import DataError

MASK_SUFFIX = "_mask"


class MaskedImage(NamedTuple):
    """One image with its id masks, several if each class has its own, and its class mask."""

    stem: str  # path in the image folder without ending, with forward slashes
    image: Path
    masks: tuple[Path, ...]
    class_mask: Path | None


class Pairs(NamedTuple):
    """The images of a data set in the order of their stems, and what is wrong with others."""

    images: list[MaskedImage]
    problems: dict[str, str]  # by stem
    unlabelled: list[Path]  # images that may lack a mask and do


def pair(
    image_folder: Path,
    mask_folders: Sequence[Path],
    class_mask_folder: Path | None = None,
    all_labelled: bool = True,
) -> Pairs:
    """Pair images with their masks, in their folders and below.

    Args:
        image_folder: where the images lie.
        mask_folders: where id masks lie; an image needs one in at least one of them.
        class_mask_folder: where every image with an id mask needs a class mask.
        all_labelled: whether an image without any mask is a problem.

    Raises:
        DataError: there are no images, or no masks although not every image needs one.
    """
    problems: dict[str, str] = {}
    pictures = _by_stem(image_folder, "", problems)
    if not pictures:
        raise DataError(f"{image_folder}: no images here")
    masks = [_masks_by_stem(folder, problems) for folder in mask_folders]
    seconds = _masks_by_stem(class_mask_folder, problems) if class_mask_folder else {}
    with_mask = {stem for folder in masks for stem in folder}
    where = " or ".join(map(str, mask_folders))
    without_mask = sorted(pictures.keys() - with_mask)
    if not all_labelled and not with_mask:
        raise DataError(f"{where}: no masks here")
    for stem in without_mask if all_labelled else ():
        problems.setdefault(
            stem,
            f"{pictures[stem]}: has no mask in {where}; add {Path(stem).name}.png, all zero if the "
            "image holds no object",
        )
    for folder in (*masks, seconds if all_labelled else {}):
        for stem in folder.keys() - pictures:
            problems.setdefault(
                stem, f"{folder[stem]}: has no image in {image_folder}; add it or remove the mask"
            )
    for stem in (with_mask & pictures.keys()) - seconds.keys() if class_mask_folder else ():
        problems.setdefault(
            stem,
            f"{pictures[stem]} has an id mask but no class mask in {class_mask_folder}; add it",
        )
    images = [
        MaskedImage(
            stem, pictures[stem], tuple(folder[stem] for folder in masks if stem in folder),
            seconds.get(stem),
        )
        for stem in sorted((with_mask & pictures.keys()) - problems.keys())
    ]  # fmt: skip
    unlabelled = [] if all_labelled else [pictures[stem] for stem in without_mask]
    return Pairs(images, problems, unlabelled)


def load_mask(path: Path, size: tuple[int, int], image: Path) -> np.ndarray:
    """The numbers of a mask, int64 (H, W), which must be of its image's upright size.

    Raises:
        DataError: another size, or as ``load_ids``.
    """
    ids = load_ids(path)
    if ids.shape != size[::-1]:
        raise DataError(
            f"{path}: the mask is {ids.shape[1]}x{ids.shape[0]} pixels, its image {image.name} is "
            f"{size[0]}x{size[1]} (upright); they must be equal"
        )
    return ids


def _masks_by_stem(folder: Path, problems: dict[str, str]) -> dict[str, Path]:
    masks = _by_stem(folder, MASK_SUFFIX, problems)
    for stem, mask in masks.items():
        if mask.suffix.lower() in JPEG_SUFFIXES:
            problems.setdefault(stem, f"{mask}: JPEG blurs the ids of a mask; save masks as PNG")
    return masks


def _by_stem(folder: Path, suffix: str, problems: dict[str, str]) -> dict[str, Path]:
    """The pictures in a folder and below, by their path in it without ending."""
    found: dict[str, Path] = {}
    for path in list_images(folder, recursive=True):
        stem = path.relative_to(folder).with_suffix("").as_posix().removesuffix(suffix)
        if stem in found:
            text = f"{path} and {found[stem]} have the same name; rename one"
            problems.setdefault(stem, text)
        else:
            found[stem] = path
    return found
