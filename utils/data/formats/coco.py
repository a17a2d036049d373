"""Reader for COCO JSON: polygons of one or several parts, run lengths of both kinds, crowds.

Areas and boxes are measured from the pixels; what the file says of them is not looked at.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from utils.data.annotation_files import is_inside, path_inside, read_json
from utils.data.formats.coco_entries import (
    NOT_A_CLASS,
    Picture,
    listed,
    read_classes,
    read_objects,
    read_pictures,
)
from utils.data.formats.coco_outlines import NO_OUTLINE, LeftOut, draw_instances
from utils.data.formats.each_image import read_each, unlisted_pictures
from utils.data.images import upright_size
from utils.data.outlines import left_out_notes, shown
from utils.data.records import DataError, ImageRecord, RecordSet, settle

ROBOFLOW_NAME = "_annotations.coco.json"
KEYS = (rb'"images"\s*:\s*\[', rb'"annotations"\s*:\s*\[')
HEAD_BYTES = 65_536  # one of the keys stands in the first part of any COCO file
PROBES = 20  # listed images that are looked for to find the image folder
MOST_PIXELS = 2**29  # of an image; pycocotools reserves 30 bits for a compressed run length


class Located(NamedTuple):
    """A picture that is there, with its upright width and height."""

    path: Path
    size: tuple[int, int]


def find_coco(root: Path) -> list[Path]:
    """The COCO files that ``root`` is or holds, of which it should be one.

    Looked for are ``_annotations.coco.json``, then JSON files in ``root`` and its
    ``annotations/``. Files are searched for the keys, not parsed; nothing is raised.
    """
    root = Path(root)
    if _there(root):
        return [root] if _is_coco(root) else []
    if _there(root / ROBOFLOW_NAME):
        return [root / ROBOFLOW_NAME]
    candidates = []
    for folder in (root, root / "annotations"):
        try:
            candidates += sorted(p for p in folder.iterdir() if p.suffix.lower() == ".json")
        except (OSError, ValueError):
            continue  # not there, or not ours to read
    return [path for path in candidates if _is_coco(path)]


def read_coco(
    root: Path | str, images: Path | str | None = None, problems: list[str] | None = None
) -> RecordSet:
    """Read a COCO data set.

    Category ids are mapped to labels 1..K in id order, unused ones too; categories of one name
    are one class. Image ids are kept if all are positive integers, else counted from 1.

    Args:
        root: the JSON file, or a folder that holds it (see ``find_coco``).
        images: the folder that the file names are relative to. Without it, the JSON's folder,
            ``images/`` or a folder named like the JSON (``train2017`` for
            ``instances_train2017.json``) beside it or one level up, whichever holds the images;
            nothing outside of ``root`` if that is a folder.
        problems: as in ``records.settle``.

    Raises:
        DataError: no COCO file, wrong entries, images that are missing or of another size; the
            message names the file, the entry and the field.
    """
    root = Path(root)
    source = _source(root)
    content = read_json(source)
    pictures, wrong_pictures = read_pictures(content, source)
    label_of, classes, notes = read_classes(content, source)
    objects, faults = read_objects(content, source, [p.identity for p in pictures], label_of)
    spoilt = {identity for identity, _ in faults}
    found = [*wrong_pictures, *(text for _, text in faults)]
    folder = Path(images) if images is not None else _image_folder(root, source, pictures)
    located = read_each(partial(_locate, folder=folder, source=source), pictures)
    _check_unshared(pictures, located, source)

    keep_ids = all(isinstance(p.identity, int) and 0 < p.identity < 2**63 for p in pictures)
    left_out: LeftOut = []
    records = []
    for number, (picture, place) in enumerate(zip(pictures, located, strict=True), 1):
        if isinstance(place, DataError):
            found.append(str(place))
            continue
        path, size = place
        before = len(found)
        instances = draw_instances(objects[picture.identity], *size, source, left_out, found)
        if picture.identity not in spoilt and len(found) == before:
            image_id = int(picture.identity) if keep_ids else number
            records.append(ImageRecord(image_id, path, *size, instances))
    settle(found, len(pictures), problems)
    every = sum(one.label != NOT_A_CLASS for image in objects.values() for one in image)
    without = sum(reason == NO_OUTLINE for reason, _ in left_out)
    if every and without == every:
        raise DataError(
            f"{source}: none of the {every} annotations has a usable 'segmentation'; "
            "boxes alone cannot train masks, export polygons or run lengths"
        )
    notes += left_out_notes(left_out)
    if not found:  # pictures with problems are listed too
        notes += _unlisted(records, source)
    return RecordSet(folder, "coco", classes, tuple(records), tuple(notes))


def _is_coco(path: Path) -> bool:
    """True if the file looks like a JSON object with lists of images and of annotations."""
    try:
        if not _there(path):
            return False  # opening a pipe would wait for ever
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
            if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] != b"{":
                return False
            if not any(re.search(key, head) for key in KEYS):
                return False
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
                return all(re.search(key, whole) for key in KEYS)
    except (OSError, ValueError):
        return False


def _there(path: Path) -> bool:
    """``Path.is_file``, also for names too long to look up and folders that cannot be read."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _source(root: Path) -> Path:
    if _there(root):
        return root
    found = find_coco(root)
    if len(found) == 1:
        return found[0]
    if found:
        names = listed(path.relative_to(root).as_posix() for path in found)
        raise DataError(f"{root}: holds several COCO files ({names}); name the one to read")
    raise DataError(
        f"{root}: no COCO file here; it needs {ROBOFLOW_NAME}, or a JSON file with the lists "
        "'images', 'annotations' and 'categories' in it or in its annotations/"
    )


def _image_folder(root: Path, source: Path, pictures: list[Picture]) -> Path:
    folder = source.parent
    above = Path(os.path.normpath(folder / ".."))
    name = source.stem.removeprefix("instances_")
    candidates = [folder, folder / "images", folder / name, above / "images", above / name]
    candidates += [above / "images" / name, above]
    if root != source:
        candidates = [path for path in candidates if is_inside(path, root)]
    for picture in pictures[:PROBES]:
        for candidate in candidates:
            if _holds(candidate, picture, source):
                return candidate
    return candidates[0]


def _holds(folder: Path, picture: Picture, source: Path) -> bool:
    try:
        return _there(path_inside(folder, picture.file_name, source))
    except DataError:
        return False


def _check_unshared(
    pictures: list[Picture], located: Sequence[Located | DataError], source: Path
) -> None:
    """No two entries are of the same file."""
    owner: dict[str, Picture] = {}
    twice = []
    for picture, place in zip(pictures, located, strict=True):
        if isinstance(place, DataError):
            continue
        first = owner.setdefault(os.path.normpath(place.path), picture)
        if first is not picture:
            twice.append(f"{picture.file_name!r}: ids {first[0]!r} and {picture[0]!r}")
    if twice:
        raise DataError(
            f"{source}: {len(twice)} 'file_name'(s) given twice ({listed(twice)}); list every "
            "image once, with all of its annotations"
        )


def _unlisted(records: list[ImageRecord], source: Path) -> list[str]:
    """A note on pictures that lie beside the listed ones and are not in the file."""
    rest = unlisted_pictures(record.path for record in records)
    if not rest:
        return []
    return [f"{len(rest)} image(s) that {source.name} does not list left out, first in {rest[0]}"]


def _locate(picture: Picture, folder: Path, source: Path) -> Located:
    """The picture, and its size upright, which the file must agree with."""
    path = path_inside(folder, picture.file_name, source)
    if not _there(path):
        raise DataError(
            f"{source}: image {shown(picture.file_name)} is not in {path.parent}; restore it, or "
            "name the folder of the images with --images"
        )
    width, height = upright_size(path)
    if not 0 < width * height < MOST_PIXELS:
        raise DataError(f"{path}: {width}x{height} pixels are none or too many; resize the image")
    said = (picture.width or width, picture.height or height)
    if said == (width, height):
        return Located(path, said)
    swapped = ""
    if said == (height, width):
        swapped = " (swapped: the size before EXIF rotation, or a mistake)"
    raise DataError(
        f"{path}: is {width}x{height} pixels upright, {source.name} says {said[0]}x{said[1]}"
        f"{swapped}; outlines must be drawn on, and sizes be those of, the picture after EXIF "
        "rotation"
    )
