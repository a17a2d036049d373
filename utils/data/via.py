"""Reader for the VGG Image Annotator (VIA), versions 1 and 2: one JSON for a folder of images.

Both what VIA exports (``via_region_data.json``) and its project files are read. Regions are a dict
in version 1 and a list in version 2. Pictures are taken upright, as browsers show them.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from utils.data import outlines
from utils.data.annotation_files import path_inside, read_json
from utils.data.images import list_images, upright_size
from utils.data.label_map import NOT_CLASSES, check_name, class_names, labelled, similar_names
from utils.data.outlines import shown
from utils.data.records import DataError, ImageRecord, RecordSet, first_ten

FILE_NAME = "via_region_data.json"
PROJECT_KEY = "_via_img_metadata"
IMAGE_FOLDERS = (".", "images", "pic")  # relative to the JSON, tried in this order
CLASS_ATTRIBUTES = ("class", "label", "name", "type", "category")  # the first that is there counts
NAMELESS = "object"  # the class where regions have no attributes
LOOKED_INTO = 10  # JSON files of a folder that are opened to recognise it
MOST_PEEK_BYTES = 256_000_000  # larger files are not opened for that
WITHOUT_AREA = ("point", "polyline", "line")
WITH_AREA = ("polygon", "rect", "circle", "ellipse")


@dataclass
class _Entry:
    """One image of the file: where its entry is, its picture and its regions with their places."""

    where: str
    picture: Path
    regions: list[tuple[str, dict[str, Any]]]
    left_out: list[tuple[str, str]] = field(default_factory=list)


def find_via(root: Path) -> Path | None:
    """The VIA file of a folder; None if there is none. Opens only a few JSON files."""
    return next(_via_files(Path(root)), None)


def read_via(root: Path | str) -> RecordSet:
    """Read a VIA file and the pictures it names, which lie beside it or in ``images/``.

    The class is a region's only attribute, or the one called class, label, name, type or
    category. Image ids count from 1 in the order of paths.

    Raises:
        DataError: no VIA file, a field of another type than VIA writes, pictures that are missing
            or lead outside ``root``, a region without a class among others that have one.
    """
    root = Path(root)
    files = _via_files(root)
    source = next(files, None)
    if source is None:
        raise DataError(f"{root}: no VIA data set here, it needs {FILE_NAME} or a VIA project file")
    entries = _entries(read_json(source), root, source)
    attribute = _class_attribute(entries, source)
    with ThreadPoolExecutor() as pool:
        sizes = list(pool.map(lambda entry: upright_size(entry.picture), entries))
    read = [_read_entry(entry, size, attribute) for entry, size in zip(entries, sizes, strict=True)]
    classes = class_names({name for _, names in read for name in names}, [root], source)
    notes = outlines.left_out_notes(pair for entry in entries for pair in entry.left_out)
    notes += _further_notes(root, source, entries, next(files, None))
    if attribute is None and any(names for _, names in read):
        notes.append(f"regions have no attributes, so all are of class {NAMELESS!r}")
    notes += similar_names(classes)
    return RecordSet(root, "via", classes, labelled(read, classes), tuple(notes))


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
    try:
        content = read_json(path) if path.stat().st_size <= MOST_PEEK_BYTES else None
    except (OSError, DataError):
        return False
    if not isinstance(content, dict) or not content:
        return False
    if PROJECT_KEY in content:
        return True
    return all(
        isinstance(v, dict) and v.keys() >= {"filename", "regions"} for v in content.values()
    )


def _entries(content: Any, root: Path, source: Path) -> list[_Entry]:
    """The images that a VIA file names, in the order of their paths, all of them present."""
    if isinstance(content, dict) and PROJECT_KEY in content:
        content = content[PROJECT_KEY]
    if not isinstance(content, dict):
        raise DataError(f"{source}: holds {shown(content)}, must be an object of VIA's images")
    entries: dict[Path, _Entry] = {}
    missing = []
    for key, value in content.items():
        where = f"{source}: image {shown(key)}"
        if not isinstance(value, dict):
            raise DataError(f"{where} is {shown(value)}, must be an object; export from VIA again")
        name = value.get("filename")
        if not isinstance(name, str):
            raise DataError(f"{where}: filename is {shown(name)}, must be a file name")
        picture = _picture(root, name, source)
        if picture is None:
            missing.append(name)
            continue
        if picture in entries:
            raise DataError(f"{where}: {shown(name)} is listed twice; remove one of the entries")
        entries[picture] = _Entry(where, picture, list(_regions(value.get("regions"), where)))
    if missing:
        names = ", ".join(first_ten(map(shown, sorted(missing))))
        raise DataError(
            f"{source}: names {len(missing)} image(s) that are not in {root}: {names}; add "
            "them or remove their entries"
        )
    if not entries:
        raise DataError(f"{source}: names no images; add some in VIA and export again")
    return [entries[picture] for picture in sorted(entries)]


def _picture(root: Path, name: str, source: Path) -> Path | None:
    """The picture of that name beside the file or in an image folder."""
    for folder in IMAGE_FOLDERS:
        if folder == "." or (root / folder).is_dir():
            path = path_inside(root / folder, name, source)
            if path.is_file():
                return path
    return None


def _regions(regions: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every region with its place; version 1 numbers them by the keys of a dict."""
    if not isinstance(regions, list | dict):
        raise DataError(f"{where}: regions is {shown(regions)}, must be a list; export it again")
    numbered = regions.items() if isinstance(regions, dict) else enumerate(regions)
    for i, region in numbered:
        place = f"{where}: regions[{shown(i)}]"
        if not isinstance(region, dict):
            raise DataError(f"{place} is {shown(region)}, must be an object; export it again")
        for key in ("shape_attributes", "region_attributes"):
            value = region.get(key, None if key.startswith("shape") else {})
            if not isinstance(value, dict):
                raise DataError(f"{place}.{key} is {shown(value)}, must be an object")
        yield place, region


def _class_attribute(entries: list[_Entry], source: Path) -> str | None:
    """The attribute that names the class; None if regions have no attributes at all."""
    keys = {
        key
        for entry in entries
        for _, region in entry.regions
        for key in region.get("region_attributes", {})
    }
    if len(keys) <= 1:
        return next(iter(keys), None)
    for wanted in CLASS_ATTRIBUTES:
        for key in sorted(keys):
            if key.strip().casefold() == wanted:
                return key
    raise DataError(
        f"{source}: regions have the attributes {', '.join(map(shown, sorted(keys)[:20]))}; rename "
        f"the one that is the class to {CLASS_ATTRIBUTES[0]!r} in VIA"
    )


def _read_entry(
    entry: _Entry, size: tuple[int, int], attribute: str | None
) -> tuple[ImageRecord, list[str]]:
    """The record of one image and the class of each of its objects."""
    instances, names = [], []
    for where, region in entry.regions:
        shape = region["shape_attributes"]
        kind = shape.get("name")
        if isinstance(kind, str) and kind in WITHOUT_AREA:
            what = f"{kind} region(s) left out, they have no area"
            entry.left_out.append((what, entry.picture.name))
            continue
        name = _class_of(region.get("region_attributes", {}), attribute, where)
        polygon = _polygon(shape, kind, f"{where}.shape_attributes")
        instance = outlines.measure([polygon], size, where) if len(polygon) >= 6 else None
        if name in NOT_CLASSES:
            entry.left_out.append((f"region(s) of class {name!r} left out", entry.picture.name))
        elif instance is None:
            why = outlines.TOO_FEW_POINTS if len(polygon) < 6 else outlines.NO_PIXELS
            entry.left_out.append((why, entry.picture.name))
        else:
            instances.append(instance)
            names.append(name)
    record = ImageRecord(0, entry.picture, *size)
    return replace(record, instances=tuple(instances)), names


def _class_of(attributes: dict[str, Any], attribute: str | None, where: str) -> str:
    """The class that a region's attribute names; of check boxes, the one that is ticked."""
    if attribute is None:
        return NAMELESS
    field_name = f"{where}.region_attributes[{shown(attribute)}]"
    value = attributes.get(attribute)
    if isinstance(value, dict):
        ticked = [name for name, on in value.items() if on is True]
        if len(ticked) != 1:
            raise DataError(
                f"{field_name} has {len(ticked)} boxes ticked "
                f"({', '.join(map(shown, ticked[:10]))}), must be one; tick the object's class"
            )
        value = ticked[0]
    if isinstance(value, int) and not isinstance(value, bool):
        value = shown(value)
    if value is None or value == "":
        raise DataError(f"{field_name} is missing or empty; give the region a class in VIA")
    if not isinstance(value, str):
        raise DataError(f"{field_name} is {shown(value)}, must be a class name")
    check_name(value, field_name)
    return value


def _polygon(shape: dict[str, Any], kind: Any, where: str) -> list[float]:
    """A region's outline as a polygon."""
    if not isinstance(kind, str) or kind not in WITH_AREA:
        raise DataError(
            f"{where}.name is {shown(kind)}, must be one of {', '.join(WITH_AREA + WITHOUT_AREA)}"
        )
    if kind == "polygon":
        xs = outlines.numbers(shape.get("all_points_x"), f"{where}.all_points_x")
        ys = outlines.numbers(shape.get("all_points_y"), f"{where}.all_points_y")
        if len(xs) != len(ys):
            raise DataError(
                f"{where}: all_points_x has {len(xs)} numbers and all_points_y {len(ys)}; "
                "they must be as many, draw the region again"
            )
        return [coordinate for point in zip(xs, ys, strict=True) for coordinate in point]
    if kind == "rect":
        x, y, width, height = _fields(shape, ("x", "y", "width", "height"), where)
        return outlines.rectangle(x, y, x + width, y + height)
    if kind == "circle":
        return outlines.circle(*_fields(shape, ("cx", "cy", "r"), where))
    theta = _fields(shape, ("theta",), where)[0] if shape.get("theta") is not None else 0.0
    x, y, rx, ry = _fields(shape, ("cx", "cy", "rx", "ry"), where)
    return outlines.ellipse(x, y, rx, ry, theta)


def _fields(shape: dict[str, Any], keys: tuple[str, ...], where: str) -> list[float]:
    """Numbers by name; lengths must not be negative."""
    found = []
    for key in keys:
        value = outlines.number(shape.get(key))
        if value is None or (value < 0 and key in ("width", "height", "r", "rx", "ry")):
            must = "a number" if key in ("x", "y", "cx", "cy", "theta") else "a number, 0 or more"
            raise DataError(
                f"{where}.{key} is {shown(shape.get(key))}, must be {must}; draw the region again"
            )
        found.append(value)
    return found


def _further_notes(
    root: Path, source: Path, entries: list[_Entry], other: Path | None
) -> list[str]:
    """Notes on files in the folder that were not used."""
    notes = []
    if other is not None:
        notes.append(f"{source.name} was read; {other.name}, also a VIA file, was not")
    known = {entry.picture for entry in entries}
    folders = sorted({picture.parent for picture in known})
    rest = [path for folder in folders for path in list_images(folder) if path not in known]
    if rest:
        notes.append(
            f"{len(rest)} image(s) that {source.name} does not list left out as unlabelled, "
            f"first {rest[0].name}"
        )
    return notes
