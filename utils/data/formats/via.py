"""Reader for the VGG Image Annotator (VIA), versions 1 and 2: one JSON for a folder of images.

Both what VIA exports (``via_region_data.json``) and its project files are read. Regions are a dict
in version 1 and a list in version 2. Pictures are taken upright, as browsers show them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from utils.data import outlines
from utils.data.annotation_files import path_inside, peek_json, read_json
from utils.data.formats.each_image import (
    ReadImage,
    names_of,
    problems_of,
    read_each,
    unlisted_pictures,
)
from utils.data.formats.via_regions import (
    NAMELESS,
    WITHOUT_AREA,
    class_of,
    find_class_attribute,
    polygon,
)
from utils.data.images import upright_size
from utils.data.label_map import NOT_CLASSES, class_names, labelled
from utils.data.outlines import shown
from utils.data.records import DataError, ImageRecord, Instance, RecordSet, settle

FILE_NAME = "via_region_data.json"
PROJECT_KEY = "_via_img_metadata"
IMAGE_FOLDERS = (".", "images", "pic")  # relative to the JSON, tried in this order
KEYS = (b'"filename"', b'"regions"')
LOOKED_INTO = 10  # JSON files of a folder that are opened to recognise it
MOST_PEEK_BYTES = 256_000_000  # larger files are not opened for that


class _Entry(NamedTuple):
    """One image of the file: where its entry is, its picture and its regions with their places."""

    where: str
    picture: Path
    regions: list[tuple[str, dict[str, Any]]]


def find_via(root: Path) -> Path | None:
    """The VIA file of a folder; None if there is none. Opens only a few JSON files."""
    return next(_via_files(Path(root)), None)


def read_via(
    root: Path | str, class_attribute: str = "", problems: list[str] | None = None
) -> RecordSet:
    """Read a VIA file and the pictures it names, which lie beside it or in ``images/``.

    The class is a region's only attribute, or the one called class, label, name, type or
    category. Image ids count from 1 in the order of paths.

    Args:
        root: the folder.
        class_attribute: the attribute that is the class instead.
        problems: takes what is wrong with single images, which are left out then, instead of
            raising.

    Raises:
        DataError: no VIA file, a field of another type than VIA writes, pictures that are missing
            or lead outside ``root``, a region without a class among others that have one, no
            region with the ``class_attribute``.
    """
    root = Path(root)
    files = _via_files(root)
    source = next(files, None)
    if source is None:
        raise DataError(f"{root}: no VIA data set here, it needs {FILE_NAME} or a VIA project file")
    entries, found, total = _entries(read_json(source), root, source)
    regions = [region for entry in entries for _, region in entry.regions]
    # Where there is no region, none can lack the attribute.
    attribute = find_class_attribute(regions, source, class_attribute if regions else "")
    results = read_each(partial(_read_entry, attribute=attribute), entries)
    found += problems_of(results)
    settle(found, total, problems)
    read = [result for result in results if isinstance(result, ReadImage)]
    classes = class_names(names_of(read), [root], source)
    notes = outlines.left_out_notes(pair for one in read for pair in one.left_out)
    if (other := next(files, None)) is not None:
        notes.append(f"{source.name} was read; {other.name}, also a VIA file, was not")
    if not found:  # the pictures of entries with problems are listed too
        notes += _unlisted(source, entries)
    if attribute is None and any(one.names for one in read):
        notes.append(f"regions have no attributes, so all are of class {NAMELESS!r}")
    images = labelled([(one.record, one.names) for one in read], classes)
    return RecordSet(root, "via", classes, images, tuple(notes))


def _via_files(root: Path) -> Iterator[Path]:
    """The VIA files of a folder, the usual name first."""
    try:
        if not root.is_dir():
            return
        paths = sorted(p for p in root.iterdir() if p.suffix.lower() == ".json" and p.is_file())
    except OSError:
        return
    paths.sort(key=lambda path: path.name != FILE_NAME)
    yield from (path for path in paths[:LOOKED_INTO] if _is_via(path))


def _is_via(path: Path) -> bool:
    if path.name == FILE_NAME:
        return True  # a damaged one is for the reader to report
    content = peek_json(path, KEYS, MOST_PEEK_BYTES)
    if not isinstance(content, dict) or not content:
        return False
    if PROJECT_KEY in content:
        return True
    return all(
        isinstance(v, dict) and v.keys() >= {"filename", "regions"} for v in content.values()
    )


def _entries(content: Any, root: Path, source: Path) -> tuple[list[_Entry], list[str], int]:
    """The images that a VIA file names, in the order of their paths, what is wrong with others, and
    how many there are together."""
    if isinstance(content, dict) and PROJECT_KEY in content:
        content = content[PROJECT_KEY]
    if not isinstance(content, dict):
        raise DataError(f"{source}: holds {shown(content)}, must be an object of VIA's images")
    if not content:
        raise DataError(f"{source}: names no images; add some in VIA and export again")
    by_picture: dict[Path, list[_Entry]] = {}
    problems: list[str] = []
    for key, value in content.items():
        try:
            entry = _entry(value, f"{source}: image {shown(key)}", root, source)
        except DataError as error:
            problems += error.problems
        else:
            by_picture.setdefault(entry.picture, []).append(entry)
    entries = []
    for picture in sorted(by_picture):
        first, *others = by_picture[picture]
        if others:  # each may lack what the others hold, so none is used
            problems.append(
                f"{others[0].where}: {shown(picture.name)} is listed twice; remove one entry"
            )
        else:
            entries.append(first)
    return entries, problems, len(content)


def _entry(value: Any, where: str, root: Path, source: Path) -> _Entry:
    """One image of the file, which is there."""
    if not isinstance(value, dict):
        raise DataError(f"{where} is {shown(value)}, must be an object; export from VIA again")
    name = value.get("filename")
    if not isinstance(name, str):
        raise DataError(f"{where}: filename is {shown(name)}, must be a file name")
    picture = _picture(root, name, source)
    if picture is None:
        raise DataError(f"{where}: {shown(name)} is not in {root}; add it or remove the entry")
    return _Entry(where, picture, _regions(value.get("regions"), where))


def _picture(root: Path, name: str, source: Path) -> Path | None:
    """The picture of that name beside the file or in an image folder."""
    for folder in IMAGE_FOLDERS:
        if folder == "." or (root / folder).is_dir():
            # The folder may be a link; ".", tried first, has refused names that lead away.
            path = path_inside(root, name if folder == "." else f"{folder}/{name}", source)
            if path.is_file():
                return path
    return None


def _regions(regions: Any, where: str) -> list[tuple[str, dict[str, Any]]]:
    """Every region with its place; version 1 numbers them by the keys of a dict."""
    if not isinstance(regions, list | dict):
        raise DataError(f"{where}: regions is {shown(regions)}, must be a list; export it again")
    numbered = regions.items() if isinstance(regions, dict) else enumerate(regions)
    found = []
    problems = []
    for i, region in numbered:
        place = f"{where}: regions[{shown(i)}]"
        if not isinstance(region, dict):
            problems.append(f"{place} is {shown(region)}, must be an object; export it again")
            continue
        for key in ("shape_attributes", "region_attributes"):
            value = region.get(key, None if key.startswith("shape") else {})
            if not isinstance(value, dict):
                problems.append(f"{place}.{key} is {shown(value)}, must be an object")
        found.append((place, region))
    if problems:
        raise DataError(problems[0], problems)
    return found


def _read_entry(entry: _Entry, attribute: str | None) -> ReadImage:
    """The objects of one image."""
    size = upright_size(entry.picture)
    read = ReadImage(ImageRecord(0, entry.picture, *size))
    instances = []
    problems = []
    for where, region in entry.regions:
        try:
            found = _read_region(region, size, attribute, where)
        except DataError as error:
            problems.append(str(error))
            continue
        if isinstance(found, str):
            read.left_out.append((found, entry.picture.name))
            continue
        instance, name, is_cut = found
        instances.append(instance)
        read.names.append(name)
        if is_cut:
            read.left_out.append((outlines.CUT, entry.picture.name))
    if problems:
        raise DataError(problems[0], problems)
    read.record = replace(read.record, instances=tuple(instances))
    return read


def _read_region(
    region: dict[str, Any], size: tuple[int, int], attribute: str | None, where: str
) -> tuple[Instance, str, bool] | str:
    """An object, its class and whether it was cut at the border, or why it is left out."""
    shape = region["shape_attributes"]
    kind = shape.get("name")
    if isinstance(kind, str) and kind in WITHOUT_AREA:
        return f"{kind} region(s) left out, they have no area"
    name = class_of(region.get("region_attributes", {}), attribute, where)
    outline = polygon(shape, kind, f"{where}.shape_attributes")
    instance = outlines.measure([outline], size, where) if len(outline) >= 6 else None
    if name in NOT_CLASSES:
        return f"region(s) of class {name!r} left out"
    if instance is None:
        return outlines.TOO_FEW_POINTS if len(outline) < 6 else outlines.NO_PIXELS
    return instance, name, outlines.reaches_out([outline], size)


def _unlisted(source: Path, entries: list[_Entry]) -> list[str]:
    """A note on pictures beside those of the file that it does not list."""
    rest = unlisted_pictures(entry.picture for entry in entries)
    if not rest:
        return []
    return [
        f"{len(rest)} image(s) that {source.name} does not list left out as unlabelled, "
        f"first {rest[0].name}"
    ]
