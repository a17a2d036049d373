"""Reader for labelme: one JSON per image, versions 3 to 7, beside the images or in a folder apart.

Folders that are recognised: JSON files and images mixed; ``labelme_json/`` or ``json/`` beside
``pic/`` or ``images/``; ``train_json/`` beside ``train/``, where either ``train/`` or the folder
that holds the pair is named. Pictures are read from their files; one that is only embedded
(``imageData``) is used if that is asked for, and its record's path is then the JSON file.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from utils.data import outlines
from utils.data.annotation_files import read_json
from utils.data.formats.each_image import ReadImage, names_of, read_each, unlisted_pictures
from utils.data.formats.labelme_folders import PictureFinder, find_layouts, the_layout
from utils.data.images import upright_size
from utils.data.label_map import NOT_CLASSES, check_name, class_names, labelled
from utils.data.outlines import shown
from utils.data.records import DataError, ImageRecord, RecordSet, Rle, settle

# How many points each shape with an area has; fewer, and it is left out.
POINT_COUNTS: dict[str, range | tuple[int, ...]] = {
    "polygon": range(3, 1_000_000_000),
    "rectangle": (2, 4),
    "circle": (2,),
    "oriented_rectangle": (4,),
    "mask": (2,),
}
WITHOUT_AREA = ("point", "points", "line", "linestrip")

OTHER_JSON = "JSON file(s) of another kind left out"


def find_labelme(root: Path) -> list[Path] | None:
    """The JSON files of a labelme data set, sorted; None if it is none. Opens only a few."""
    try:
        layouts = find_layouts(Path(root))
    except OSError:
        return None
    return [path for layout in layouts for path in layout.jsons] or None


def read_labelme(
    root: Path | str, embedded_images: bool = False, problems: list[str] | None = None
) -> RecordSet:
    """Read labelme JSON files and find their pictures.

    Shapes of the same label and ``group_id`` are parts of one object. Images without a JSON are
    left out; a JSON without shapes is an image without objects. Image ids count from 1 in the
    order of paths. Classes come from a class list in the folder, else from the labels, sorted.

    Args:
        root: the folder.
        embedded_images: use ``imageData`` where no picture file is found.
        problems: takes what is wrong with single files, which are left out then, instead of
            raising.

    Raises:
        DataError: no labelme files, a field of another type than labelme writes, a picture that
            is missing, shared by two files or of another size, a class that the list lacks.
    """
    root = Path(root)
    layout = the_layout(root)
    finder = PictureFinder(root, layout.image_folders, embedded_images)
    results = read_each(partial(_read_file, finder=finder), layout.jsons)
    read = dict(zip(layout.jsons, results, strict=True))
    foreign = [path for path, one in read.items() if one is None]
    found = {path: one.problems for path, one in read.items() if isinstance(one, DataError)}
    files = _unshared(
        {path: one for path, one in read.items() if isinstance(one, ReadImage)}, found
    )
    settle(
        [text for path in sorted(found) for text in found[path]], len(read) - len(foreign), problems
    )
    left_out = [(OTHER_JSON, path.name) for path in foreign]
    left_out += [pair for one in files for pair in one.left_out]

    json_folder = layout.jsons[0].parent
    home = _home(root, [one.record for one in files])
    folders = [json_folder, root]
    if home != root or not json_folder.is_relative_to(root):
        folders.append(json_folder.resolve().parent)  # where both folders of a pair lie
    classes = class_names(names_of(files), folders, root)
    images = labelled([(one.record, one.names) for one in files], classes)
    notes = outlines.left_out_notes(left_out)
    if not found:  # the pictures of files with problems have a JSON too
        notes += _without_json(images)
    return RecordSet(home, "labelme", classes, images, tuple(notes))


def _unshared(
    files: dict[Path, ReadImage], problems: dict[Path, tuple[str, ...]]
) -> list[ReadImage]:
    """The files in the order of their pictures, without those that share one, which are named."""
    by_picture: dict[Path, list[Path]] = {}
    for source, one in files.items():
        by_picture.setdefault(one.record.path, []).append(source)
    for picture, (first, *others) in by_picture.items():
        if others:
            text = f"{first} and {others[0]} both belong to {picture.name} (imagePath); remove one"
            problems[first] = (text,)
    return [files[sources[0]] for _, sources in sorted(by_picture.items()) if len(sources) == 1]


def _home(root: Path, images: list[ImageRecord]) -> Path:
    """The folder that all pictures lie under: the data root, or where they are beside it."""
    parents = list(dict.fromkeys(record.path.parent for record in images))
    if all(parent.is_relative_to(root) for parent in parents):
        return root
    if len(parents) > 1:
        raise DataError(
            f"{root}: its pictures lie in {parents[0]} and in {parents[1]}; put them in one "
            "folder, or name the folder that holds both"
        )
    return parents[0]


def _without_json(images: tuple[ImageRecord, ...]) -> list[str]:
    """A note on pictures that lie beside the labelled ones and have no JSON file."""
    rest = unlisted_pictures(record.path for record in images)
    if not rest:
        return []
    return [f"{len(rest)} image(s) without a JSON file left out as unlabelled, first in {rest[0]}"]


def _read_file(path: Path, finder: PictureFinder) -> ReadImage | None:
    """Read one JSON file; None if it is not labelme's."""
    content = read_json(path)
    if not isinstance(content, dict) or not content.keys() & {"shapes", "imagePath"}:
        return None
    shapes, image_path = content.get("shapes"), content.get("imagePath")
    if not isinstance(shapes, list):
        raise DataError(f"{path}: shapes is {shown(shapes)}, must be a list; save it in labelme")
    if not isinstance(image_path, str):
        raise DataError(f"{path}: imagePath is {shown(image_path)}, must be a file name")
    picture, remark = finder.picture(path, image_path, bool(content.get("imageData")))
    size = upright_size(picture)
    _check_size(content, size, path, picture)
    labelled_file = _read_shapes(shapes, ImageRecord(0, picture, *size), path)
    if remark:
        labelled_file.left_out.append((remark, path.name))
    return labelled_file


def _check_size(content: dict[str, Any], size: tuple[int, int], path: Path, picture: Path) -> None:
    """Hold imageWidth and imageHeight, where the file has them, against the upright picture."""
    said = []
    for key, actual in zip(("imageWidth", "imageHeight"), size, strict=True):
        value = content.get(key)
        if value is not None and (outlines.number(value) is None or value != int(value)):
            raise DataError(f"{path}: {key} is {shown(value)}, must be a whole number of pixels")
        said.append(actual if value is None else int(value))
    if tuple(said) == size:
        return
    sizes = (
        f"{path}: imageWidth x imageHeight is {shown(said[0])}x{shown(said[1])}, the picture "
        f"{picture.name} is {size[0]}x{size[1]} (upright)"
    )
    if tuple(said) == size[::-1]:
        raise DataError(
            f"{sizes}: width and height are swapped, as when the outlines were drawn without the "
            "photo's EXIF rotation; turn the picture's pixels upright and label it again"
        )
    raise DataError(f"{sizes}; they must be equal, use the picture that was labelled")


def _read_shapes(shapes: list[Any], record: ImageRecord, path: Path) -> ReadImage:
    """The objects of one file; shapes of one label and group are parts of one object."""
    result = ReadImage(record)
    size = (record.width, record.height)
    objects: dict[object, tuple[str, list[list[float] | Rle], str]] = {}
    instances = []
    problems = []
    for i, shape in enumerate(shapes):
        where = f"{path}: shapes[{i}]"
        try:
            found = _read_shape(shape, size, where)
        except DataError as error:
            problems.append(str(error))
            continue
        if isinstance(found, str):
            result.left_out.append((found, f"{path.name} shapes[{i}]"))
        else:
            name, group, part = found
            key = i if group is None else (name, group)
            objects.setdefault(key, (name, [], where))[1].append(part)
    for name, parts, where in objects.values():
        try:
            instance = outlines.measure(parts, size, where)
        except DataError as error:
            problems.append(str(error))
            continue
        place = where.replace(f"{path}:", path.name)
        if instance is None:
            result.left_out.append((outlines.NO_PIXELS, place))
            continue
        instances.append(instance)
        result.names.append(name)
        if outlines.reaches_out(parts, size):
            result.left_out.append((outlines.CUT, place))
    if problems:
        raise DataError(problems[0], problems)
    result.record = replace(record, instances=tuple(instances))
    return result


def _read_shape(
    shape: Any, size: tuple[int, int], where: str
) -> tuple[str, int | str | None, list[float] | Rle] | str:
    """The label, group and area of a shape, or why it is left out."""
    if not isinstance(shape, dict):
        raise DataError(f"{where} is {shown(shape)}, must be an object; save it in labelme")
    name = shape.get("label")
    if not isinstance(name, str):
        raise DataError(f"{where}.label is {shown(name)}, must be a class name")
    check_name(name, f"{where}.label")
    kind = shape.get("shape_type") or "polygon"  # version 3 had nothing else
    part = _part(shape, kind, size, where)
    if name in NOT_CLASSES:
        return f"shape(s) labelled {name!r} left out"
    if part is None:
        what = f"{kind} shape(s) left out, they have no area"
        return what if kind in WITHOUT_AREA else outlines.TOO_FEW_POINTS
    return name, _group(shape, where), part


def _group(shape: dict[str, Any], where: str) -> int | str | None:
    group = shape.get("group_id")
    if group is not None and (isinstance(group, bool) or not isinstance(group, int | str)):
        raise DataError(f"{where}.group_id is {shown(group)}, must be a number or null")
    return group


def _part(
    shape: dict[str, Any], kind: Any, size: tuple[int, int], where: str
) -> list[float] | Rle | None:
    """The area of one shape, as a polygon or as run lengths; None if it has none."""
    if isinstance(kind, str) and kind in WITHOUT_AREA:
        return None
    if not isinstance(kind, str) or kind not in POINT_COUNTS:
        raise DataError(
            f"{where}.shape_type is {shown(kind)}, must be one of "
            f"{', '.join((*POINT_COUNTS, *WITHOUT_AREA))}"
        )
    flat = _points(shape.get("points"), f"{where}.points")
    count = len(flat) // 2
    if kind != "mask" and count < POINT_COUNTS[kind][0]:
        return None
    if count not in POINT_COUNTS[kind]:
        raise DataError(
            f"{where}.points holds {count} points, a {kind} has "
            f"{' or '.join(map(str, POINT_COUNTS[kind]))}; draw the shape again"
        )
    if kind == "mask":
        return outlines.png_mask(shape.get("mask"), flat, size, f"{where}.mask")
    if kind == "circle":
        x, y, rim_x, rim_y = flat
        return outlines.circle(x, y, math.hypot(rim_x - x, rim_y - y))
    if kind == "rectangle" and count == 2:
        return outlines.rectangle(*flat)
    return flat


def _points(value: Any, where: str) -> list[float]:
    """A list of [x, y] as a flat list."""
    if not isinstance(value, list):
        raise DataError(f"{where} is {shown(value)}, must be a list of [x, y]")
    flat: list[float] = []
    for i, pair in enumerate(value):
        if not isinstance(pair, list) or len(pair) != 2:
            raise DataError(f"{where}[{i}] is {shown(pair)}, must be [x, y]")
        x, y = outlines.number(pair[0]), outlines.number(pair[1])
        if x is None or y is None:
            outlines.numbers(pair, f"{where}[{i}]")  # names the wrong one
            continue
        flat += (x, y)
    return flat
