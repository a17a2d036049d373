"""The entries of a COCO file: its images, categories and annotations, each field checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from utils.data.label_map import NOT_CLASSES, check_name
from utils.data.outlines import shown
from utils.data.records import DataError, first_ten

Identity = int | str
NOT_A_CLASS = 0  # the label of categories that stand for the background
NOT_LISTED = "which is not listed in the file; list it, or remove the annotation"


class Picture(NamedTuple):
    """One entry of "images"; a size of 0 was not given."""

    identity: Identity
    file_name: str
    width: int
    height: int


class ObjectEntry(NamedTuple):
    """One entry of "annotations" with its label; the outline is unchecked."""

    where: str
    label: int
    segmentation: Any
    iscrowd: int


def _entries(content: Any, key: str, source: Path) -> list[dict[str, Any]]:
    """One of the lists of objects that a COCO file is made of."""
    entries = content.get(key) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise DataError(
            f"{source}: has no list {key!r}, found {shown(entries)}; a COCO file is an "
            "object with the lists 'images', 'annotations' and 'categories'"
        )
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise wrong(source, f"{key}[{number}]", "entry", entry, "must be an object")
    return entries


def read_pictures(content: Any, source: Path) -> tuple[list[Picture], list[str]]:
    """The listed images, and what is wrong with other entries."""
    pictures: list[Picture] = []
    faults: list[str] = []
    seen: dict[Identity, str] = {}
    twice = []
    entries = _entries(content, "images", source)
    for number, entry in enumerate(entries):
        try:
            picture = _picture(entry, number, source)
        except DataError as error:
            faults.append(str(error))
            continue
        if picture.identity in seen:
            first = seen[picture.identity]
            twice.append(f"id {shown(picture.identity)}: {first!r} and {picture.file_name!r}")
        seen[picture.identity] = picture.file_name
        pictures.append(picture)
    if not entries:
        raise DataError(f"{source}: 'images' is empty; list the images of the data set there")
    if twice:
        raise DataError(
            f"{source}: {len(twice)} image id(s) given twice ({listed(twice)}); give every "
            "image an id of its own"
        )
    return pictures, faults


def _picture(entry: dict[str, Any], number: int, source: Path) -> Picture:
    where = _where("images", number, entry)
    name = entry.get("file_name")
    if not isinstance(name, str):
        raise wrong(source, where, "file_name", name, "must be the name of an image file")
    identity = _identity(entry, "id", where, source)
    width, height = (_side(entry, side, where, source) for side in ("width", "height"))
    return Picture(identity, name, width, height)


def read_classes(content: Any, source: Path) -> tuple[dict[int, int], tuple[str, ...], list[str]]:
    """The label of every category id, ``NOT_A_CLASS`` for those of the background; the class names
    in label order; and notes."""
    names: dict[int, str] = {}
    for number, entry in enumerate(_entries(content, "categories", source)):
        where = _where("categories", number, entry)
        identity, name = _identity(entry, "id", where, source), entry.get("name")
        if not isinstance(identity, int):
            raise wrong(source, where, "id", identity, "must be a whole number")
        if not isinstance(name, str):
            raise wrong(source, where, "name", name, "must be the name of a class")
        check_name(name, f"{source}: {where}: 'name'")
        if identity in names:
            raise wrong(
                source, where, "id", identity, f"which {names[identity]!r} has too; change one"
            )
        names[identity] = name
    if not names:
        raise DataError(f"{source}: 'categories' is empty; list the classes of the data set there")
    counts = Counter(names[i] for i in sorted(names) if names[i] not in NOT_CLASSES)
    if not counts:
        raise DataError(
            f"{source}: 'categories' lists no class but the background; list the classes there"
        )
    classes = tuple(counts)
    merged = [name for name, count in counts.items() if count > 1]
    notes = [f"categories of the same name are one class: {listed(merged)}"] if merged else []
    label = {name: number for number, name in enumerate(classes, start=1)}
    return {i: label.get(name, NOT_A_CLASS) for i, name in names.items()}, classes, notes


def read_objects(
    content: Any, source: Path, images: list[Identity], label_of: dict[int, int]
) -> tuple[dict[Identity, list[ObjectEntry]], list[tuple[Identity | None, str]]]:
    """The annotations of every image; and what is wrong with others, with the image it spoils."""
    objects: dict[Identity, list[ObjectEntry]] = {identity: [] for identity in images}
    faults: list[tuple[Identity | None, str]] = []
    for number, entry in enumerate(_entries(content, "annotations", source)):
        where = _where("annotations", number, entry)
        image = entry.get("image_id")
        try:
            image = _identity(entry, "image_id", where, source)
            if image not in objects:
                raise wrong(source, where, "image_id", image, NOT_LISTED)
            objects[image].append(_object(entry, where, label_of, source))
        except DataError as error:
            known = isinstance(image, Identity) and image in objects
            faults.append((image if known else None, str(error)))
    return objects, faults


def _object(
    entry: dict[str, Any], where: str, label_of: dict[int, int], source: Path
) -> ObjectEntry:
    category = _identity(entry, "category_id", where, source)
    if not isinstance(category, int) or category not in label_of:
        raise wrong(source, where, "category_id", category, NOT_LISTED)
    iscrowd = entry.get("iscrowd")
    if iscrowd not in (None, 0, 1):
        raise wrong(source, where, "iscrowd", iscrowd, "must be 0 or 1")
    return ObjectEntry(where, label_of[category], entry.get("segmentation"), int(iscrowd or 0))


def _identity(entry: dict[str, Any], field: str, where: str, source: Path) -> Identity:
    value = entry.get(field)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, Identity) or isinstance(value, bool):
        raise wrong(source, where, field, value, "must be a whole number or text")
    return value


def _side(entry: dict[str, Any], field: str, where: str, source: Path) -> int:
    """Width or height of an image as the file says it; 0 if it does not."""
    value = entry.get(field)
    if value is None:
        return 0
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if not whole or isinstance(value, bool) or value < 1:
        raise wrong(source, where, field, value, "must be a whole number of pixels")
    return int(value)


def _where(key: str, number: int, entry: dict[str, Any]) -> str:
    """The name of an entry in messages: its id where it has one, else its place."""
    identity = entry.get("id")
    known = isinstance(identity, Identity) and not isinstance(identity, bool)
    return f"{key} id {shown(identity)}" if known else f"{key}[{number}]"


def wrong(source: Path, where: str, field: str, value: Any, must: str) -> DataError:
    return DataError(f"{source}: {where}: {field!r} is {shown(value)}, {must}")


def listed(names: Iterable[str]) -> str:
    return ", ".join(first_ten(names))
