"""Which labelled image and class the ids in a file of detections mean."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

from utils.data.annotation_files import read_json
from utils.data.formats.coco import find_coco
from utils.data.formats.coco_entries import (
    NOT_A_CLASS,
    Identity,
    Picture,
    listed,
    read_classes,
    read_pictures,
)
from utils.data.outlines import shown
from utils.data.records import DataError, ImageRecord, RecordSet, refuse


class Ids(NamedTuple):
    """What the ids mean; those that mean nothing in the labels are missing."""

    images: dict[Identity, ImageRecord]
    labels: dict[int, int]
    names: dict[int, str]  # of the file's own classes; empty if it does not say
    notes: list[str]


def ids_of_data_set(content: dict[str, Any], path: Path, data: RecordSet) -> Ids:
    """The ids of a COCO data set, which lists its images and classes: matched by name.

    Args:
        content: what the file holds.
        path: the file, for messages.
        data: the labelled images. One is meant by a file name that ends like its path does in
            this data set, if no other does.

    Raises:
        DataError: wrong lists, no image or class in common, an image of another size.
    """
    pictures, faults = read_pictures(content, path)
    refuse(faults, str(path))
    label_of, classes, notes = read_classes(content, path)
    record_of = records_by_name([picture.file_name for picture in pictures], data, path)
    images = {p.identity: record_of[p.file_name] for p in pictures if p.file_name in record_of}
    _check_some(images, "images", [p.file_name for p in pictures], _names(data), path)
    refuse([text for p in pictures if (text := _other_size(p, images, path))], str(path))
    names = _class_names(label_of, classes)
    labels, only_one = _labels_by_name(names, data.classes)
    _check_some(labels, "classes", classes, data.classes, path)
    if missing := len(data.images) - len(images):
        notes += [f"{missing} of {len(data.images)} labelled images are not listed in {path}: "
                  "judged as if nothing was found in them"]  # fmt: skip
    return Ids(images, labels, names, [*notes, *only_one])


def ids_of_labels(
    path: Path,
    data: RecordSet,
    source: Path,
    images: Collection[Identity],
    categories: Collection[int],
) -> Ids:
    """The ids of a bare list, which are those of the labels.

    Args:
        path: the file, for messages.
        data: the labelled images.
        source: the folder or file that they were read from. If it is COCO's, its own ids count;
            else images are counted from 1 in their order, as classes are. Text means an image's
            name, with or without its suffix.
        images, categories: the ids to be explained.

    Raises:
        DataError: none of the images or categories is in the labels, or the labels cannot be told.
    """
    if not images:
        return Ids({}, {}, {}, [])
    if data.format == "coco":
        known, labels, notes = _ids_in_file(data, source)
    else:
        known, labels, notes = _counted(path, data, categories)
    texts = [image for image in images if isinstance(image, str) and image not in known]
    known = {**known, **records_by_name(texts, data, path)}
    named = {image: known[image] for image in images if image in known}
    _check_some(named, "images", map(str, images), map(str, known), path)
    fitting = labels.keys() & categories
    _check_some(fitting, "category ids", map(str, sorted(categories)), map(str, labels), path)
    return Ids(named, labels, {}, notes)


def records_by_name(
    names: Iterable[str], data: RecordSet, path: Path
) -> dict[Identity, ImageRecord]:
    """The labelled image that each name means; names that mean none are left out.

    Folders before or after the one that data and names share do not matter. The name that agrees
    with most folders of an image's path has it.

    Raises:
        DataError: two names mean the same image equally well.
    """
    by_ending = _endings(data)
    best: dict[int, tuple[int, str]] = {}
    twice: dict[int, str] = {}
    for name in dict.fromkeys(names):
        parts = PureWindowsPath(name).parts
        for start in range(len(parts)):
            record = by_ending.get("/".join(parts[start:]))
            if record is not None:
                break
        else:
            continue
        exact = "/".join(parts) == data.name_of(record)
        agreeing = 2 * (len(parts) - start) + exact
        most, other = best.get(record.image_id, (0, ""))
        if agreeing == most:
            twice[record.image_id] = f"{other!r} and {name!r}"
        elif agreeing > most:
            best[record.image_id] = agreeing, name
            twice.pop(record.image_id, None)
    if twice:
        raise DataError(
            f"{path}: {len(twice)} labelled image(s) have two names here "
            f"({listed(twice.values())}); leave the images that are not labelled out"
        )
    record_of = {record.image_id: record for record in data.images}
    return {name: record_of[image_id] for image_id, (_, name) in best.items()}


def _endings(data: RecordSet) -> dict[str, ImageRecord | None]:
    """The images by every ending of their paths, with and without suffix; None for several."""
    found: dict[str, ImageRecord | None] = {}
    for record in data.images:
        parts = PureWindowsPath(data.name_of(record)).parts
        for start in range(len(parts)):
            ending = "/".join(parts[start:])
            for key in {ending, ending.removesuffix(record.path.suffix)}:
                found[key] = None if key in found else record
    return {**found, **{data.name_of(record): record for record in data.images}}


def _ids_in_file(
    data: RecordSet, source: Path
) -> tuple[dict[Identity, ImageRecord], dict[int, int], list[str]]:
    """The ids that the labels' own COCO file gives its images and classes."""
    record_of = {data.name_of(record): record for record in data.images}
    places = [source, *sorted(source.glob("*/"))]  # the parts of a set may be in folders
    for path in (path for place in places for path in find_coco(place)):
        content = read_json(path)
        pictures, _ = read_pictures(content, path)
        name_of = {p.identity: PureWindowsPath(p.file_name).as_posix() for p in pictures}
        if not record_of.keys() <= set(name_of.values()):
            continue  # labels of another part of the data set
        known = {i: record_of[name] for i, name in name_of.items() if name in record_of}
        label_of, classes, _ = read_classes(content, path)
        return known, *_labels_by_name(_class_names(label_of, classes), data.classes)
    raise DataError(
        f"{source}: no COCO file here lists the labelled images, so the ids of a list of results "
        "cannot be told; name the labels' own JSON file with --data"
    )


def _counted(
    path: Path, data: RecordSet, categories: Collection[int]
) -> tuple[dict[Identity, ImageRecord], dict[int, int], list[str]]:
    """Ids for labels that have none of their own."""
    classes = listed(f"{label} {name}" for label, name in enumerate(data.classes, 1))
    if 0 in categories:
        raise DataError(
            f"{path}: its category ids count from 0, those of the labels from 1 ({classes}); add 1"
        )
    first = min(data.images, key=lambda record: record.image_id)
    note = (
        f"the labels ({data.format}) have no ids of their own: category ids are taken for "
        f"{classes}; image ids, where there is no 'file_name', for the place of an image in the "
        f"data set, {first.image_id} for {data.name_of(first)}"
    )
    labels = {label: label for label in range(1, len(data.classes) + 1)}
    return {record.image_id: record for record in data.images}, labels, [note]


def _class_names(label_of: dict[int, int], classes: tuple[str, ...]) -> dict[int, str]:
    """The class name of each category id."""
    return {i: classes[label - 1] for i, label in label_of.items() if label != NOT_A_CLASS}


def _labels_by_name(
    names: dict[int, str], wanted: tuple[str, ...]
) -> tuple[dict[int, int], list[str]]:
    """The label in ``wanted`` of each category id; one class is the other where there is but one
    on both sides."""
    own = set(names.values())
    if len(own) == len(wanted) == 1 and own != set(wanted):
        note = f"class {next(iter(own))!r} is taken for the labels' {wanted[0]!r}"
        return dict.fromkeys(names, 1), [note]
    return {i: wanted.index(name) + 1 for i, name in names.items() if name in wanted}, []


def _check_some(
    fitting: Collection[Any], what: str, here: Iterable[str], there: Iterable[str], path: Path
) -> None:
    """Raise ``DataError`` if nothing in the file is in the labels."""
    if not fitting:
        raise DataError(
            f"{path}: none of its {what} is in the labels. Here: {listed(here)}. In the labels: "
            f"{listed(there)}. Is it of other data?"
        )


def _other_size(picture: Picture, images: dict[Identity, ImageRecord], path: Path) -> str:
    """What is wrong if the file's detections were made on an image of another size."""
    record = images.get(picture.identity)
    said = (picture.width, picture.height)
    if record is None or said in ((record.width, record.height), (0, 0)):
        return ""
    return (
        f"{path}: image {shown(picture.file_name)} is {said[0]}x{said[1]} here and "
        f"{record.width}x{record.height} in the labels; boxes and masks must be at the size of the "
        "upright picture"
    )


def _names(data: RecordSet) -> list[str]:
    return [data.name_of(record) for record in data.images]
