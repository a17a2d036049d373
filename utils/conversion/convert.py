"""One data set into another format: what is written where, and what could not be kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from utils.config import ConfigError
from utils.conversion.coco_files import coco_files
from utils.conversion.converted_images import ConvertedImage, converted_images
from utils.conversion.id_mask_files import id_mask_files
from utils.conversion.label_png_files import label_png_files
from utils.conversion.labelme_files import labelme_files
from utils.conversion.not_kept import NotKept
from utils.conversion.output_files import OutputFile, check_names, other_files, write_files
from utils.conversion.pictures import Fit
from utils.conversion.yolo_files import yolo_files
from utils.data.formats.labelme import find_labelme
from utils.data.records import DataError, ImageRecord, RecordSet

LISTED = ("labelme", "id-masks", "label-png")  # with a list of classes, a line for each
FLAT = ("labelme", "label-png")  # without folders in folders

NO_VAL = (
    "the data is not divided, so data.yaml names no val; other YOLO programs want one, with "
    "pictures that are not in train"
)


def convert(
    data: RecordSet | Mapping[str, RecordSet],
    to: str,
    folder: Path,
    *,
    simplify: float = 0.0,
    size: tuple[int, int] | None = None,
    multiple_of: int = 1,
    by_kind: bool = False,
    overwrite: bool = False,
) -> list[str]:
    """Write a data set in another format. Without ``simplify`` and ``size``, outlines are exact:
    filled again, they are the same pixels.

    Args:
        data: the records, or several sets by the name of the part that each is (``train``,
            ``val``), which get folders of these names. A set that is divided by itself
            (``given_split``) stays so.
        to: one of ``utils.conversion.config.FORMATS``.
        folder: where to; made if it is not there. The data must not lie in it, nor it in the data.
        simplify: pixels that an outline traced from a mask may be off, to have fewer corners.
        size: width and height that pictures are shrunk to fit into.
        multiple_of: pad pictures at the right and bottom to multiples of this.
        by_kind: label-png in a folder per kind of file instead of one per picture.
        overwrite: replace files that are there.

    Returns:
        What could not be kept, and what else lies in the folder, for the person whose data it is.

    Raises:
        ConfigError: the folder is in the data or the data in it, or a file is there already.
        DataError: pictures that would have the same name, parts of different classes, a picture
            that cannot be read.
        OSError: the disk is full or not writable; all files that are there are whole.
    """
    whole = data if isinstance(data, Mapping) else {"": data}
    for part in whole.values():
        for place in _places_of(part):
            check_apart(place, folder)
    classes = next(iter(whole.values())).classes
    not_kept = NotKept()
    parts = {
        name: records
        for part, one in whole.items()
        for name, records in _divided(
            part, one.with_classes(classes).renamed(_spelled(classes, to)), not_kept
        ).items()
        if records
    }
    fit = Fit(size, multiple_of)
    images = {
        name: converted_images(records, fit, not_kept, flat=to in FLAT)
        for name, records in parts.items()
    }
    files = _files(to, _spelled(classes, to), images, simplify, by_kind)
    check_names(files, folder, overwrite)
    write_files(files, folder)
    notes = [NO_VAL] if to == "yolo" and "val" not in parts else []
    return [*notes, *not_kept.notes(), *other_files(files, folder)]


def _spelled(classes: tuple[str, ...], to: str) -> tuple[str, ...]:
    """The class names as the format can hold them: those in a list of lines lose outer spaces."""
    if to not in LISTED:
        return classes
    names = tuple(name.strip() for name in classes)
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"classes differ only by spaces around {name!r}; give them one name")
    return names


def check_apart(source: Path, folder: Path) -> None:
    """Raise ``ConfigError`` if the new folder lies in the data or the data, a folder or a file, in
    it."""
    old, new = source.resolve(), folder.resolve()
    if old.exists() and (new.is_relative_to(old) or old.is_relative_to(new)):
        raise ConfigError(
            f"{folder}: overlaps with the data in {source}, which is never written to; name a "
            "folder beside it"
        )


def _places_of(data: RecordSet) -> set[Path]:
    """The folders that a data set was read from."""
    # Pictures may be links; labelme may keep its files beside their folder.
    pictures = {record.path.resolve().parent for record in data.images}
    jsons = find_labelme(data.root) if data.format == "labelme" else None
    return {data.root, *pictures, *(path.parent for path in jsons or ())}


def _divided(part: str, data: RecordSet, not_kept: NotKept) -> dict[str, tuple[ImageRecord, ...]]:
    """The records by part; those of a set that its own files divide, if it is no part itself."""
    if part or data.given_split is None:
        return {part: data.images}
    train, val = (data.subset(names).images for names in data.given_split)
    rest = set(data.names()).difference(*data.given_split)
    not_kept.add("image(s) in no part of the data left out", min(rest, default=""), len(rest))
    return {"train": train, "val": val}


def _files(
    to: str,
    classes: tuple[str, ...],
    parts: Mapping[str, Sequence[ConvertedImage]],
    simplify: float,
    by_kind: bool,
) -> list[OutputFile]:
    """All files of all parts, in the order of writing."""
    if to == "yolo":
        return yolo_files(classes, parts, simplify)
    makers: dict[str, Callable[..., list[OutputFile]]] = {
        "coco": partial(coco_files, simplify=simplify),
        "labelme": partial(labelme_files, simplify=simplify),
        "id-masks": id_mask_files,
        "label-png": partial(label_png_files, by_kind=by_kind),
    }
    return [
        file._replace(name=f"{part}/{file.name}" if part else file.name)
        for part, images in parts.items()
        for file in makers[to](classes, images)
    ]
