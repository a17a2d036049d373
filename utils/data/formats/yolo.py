"""Reader for YOLO segmentation labels: one text file per image, one object per row.

A row is ``class x1 y1 x2 y2 ...``: the class id, then the outline's points as shares of the upright
picture's width and height. Outlines of several parts are one outline in this format; its parts are
joined by seams that fill no pixel. A row of four values is a box, which has no outline.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

from utils.data import outlines
from utils.data.annotation_files import check_stays, read_text
from utils.data.formats.each_image import problems_of, read_each
from utils.data.formats.yolo_folders import SPELLINGS, YoloParts, open_layout
from utils.data.formats.yolo_label_files import LABELS, MOST_BYTES, LabelFiles
from utils.data.formats.yolo_rows import parse_rows
from utils.data.images import upright_size
from utils.data.label_map import NOT_CLASSES, find_label_map, read_label_map
from utils.data.records import DataError, ImageRecord, Instance, RecordSet, settle

BOXES = "box(es) without an outline left out, so what they hold counts as background"
REPEATED = "row(s) that repeat another one left out"


@dataclass
class _LabelledPicture:
    """One image as read: its record, labels still class ids, and what was left out and why."""

    record: ImageRecord
    ids: list[int] = field(default_factory=list)
    drawn: int = 0  # rows that have an outline
    left_out: list[tuple[str, str]] = field(default_factory=list)


def read_yolo(root: Path | str, problems: list[str] | None = None) -> RecordSet:
    """Read YOLO segmentation labels.

    An image without a label file, or with an empty one, is an image without objects. Labels are
    1..K in the order of class ids. Image ids count from 1 in the order of paths. The images of the
    set's own train and val parts are ``given_split``.

    Args:
        root: the ``data.yaml``, the folder that holds it, the folder of one part, or a list of
            images. Without a YAML file, class names come from a class list, else from the ids.
        problems: takes what is wrong with single images, which are left out then.

    Raises:
        DataError: no such data set, a wrong ``data.yaml``, a part that is not there or has no
            label files, boxes without outlines throughout, or, unless ``problems`` takes them,
            rows that are wrong.
    """
    root = Path(root)
    try:
        layout = open_layout(root)
        labels = LabelFiles(layout.home)
        for part, pictures in layout.parts.items():
            _check_labelled(labels, pictures, f"{root}: {part}" if part else str(root))
    except OSError as error:
        raise DataError(f"{root}: cannot be read ({error})") from error
    pictures = sorted({path for part in layout.parts.values() for path in part})
    names, notes = _listed_names(layout, root)
    results = read_each(partial(_read_picture, labels=labels, names=names), pictures)
    files = [one for one in results if isinstance(one, _LabelledPicture)]
    _check_outlines(files, root)
    found = layout.problems + problems_of(results)
    settle(found, len(pictures) + len(layout.problems), problems)

    if names is None:
        names, notes = _found_names(files, root)
    names = {number: name for number, name in names.items() if name not in NOT_CLASSES}
    if not names:
        raise DataError(f"{root}: names no class but the background; name what the rows hold")
    label = {number: i for i, number in enumerate(names, start=1)}
    images = tuple(_labelled(one, n, label) for n, one in enumerate(files, start=1))
    classes = tuple(names.values())
    notes += [*layout.notes, *_notes(files, pictures, labels)]
    data = RecordSet(layout.home, "yolo", classes, images, tuple(notes))
    return replace(data, given_split=_given_split(data, layout))


def _labelled(one: _LabelledPicture, image_id: int, label: dict[int, int]) -> ImageRecord:
    instances = tuple(
        replace(instance, label=label[number])
        for instance, number in zip(one.record.instances, one.ids, strict=True)
    )
    return replace(one.record, image_id=image_id, instances=instances)


def _given_split(
    data: RecordSet, layout: YoloParts
) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The names of the images of both parts, where the data set has both."""
    if "val" not in layout.parts:
        return None
    val = set(layout.parts["val"])
    held_out = {data.name_of(record) for record in data.images if record.path in val}
    names = data.names()
    return tuple(n for n in names if n not in held_out), tuple(n for n in names if n in held_out)


def _check_labelled(labels: LabelFiles, pictures: list[Path], where: str) -> None:
    """At least one label file is there, and none belongs to two pictures."""
    found = [(path, picture) for picture in pictures if (path := labels.find(picture))]
    if pictures and not found:
        raise DataError(
            f"{where}: none of the {len(pictures)} image(s) has a label file; that of "
            f"{pictures[0]} would be {labels.expected(pictures[0])}"
        )
    for (path, one), (other_path, other) in pairwise(sorted(found)):
        if path == other_path:
            raise DataError(f"{path}: may belong to {one} or to {other.name}; rename one of them")


def _listed_names(layout: YoloParts, root: Path) -> tuple[dict[int, str] | None, list[str]]:
    """The class names by id, from the ``data.yaml`` or a class list of the data set."""
    if layout.data_yaml:
        return layout.data_yaml.names, []
    home, folder = layout.home.absolute(), root.absolute()
    highest = home.parent if home.name.lower() in SPELLINGS else home  # a part's list lies above it
    for place in (folder, *folder.parents):
        if not place.is_relative_to(highest):
            break
        if path := find_label_map(place) or find_label_map(place / LABELS):
            return dict(enumerate(read_label_map(path))), [f"class names are those of {path}"]
    return None, []


def _found_names(files: list[_LabelledPicture], root: Path) -> tuple[dict[int, str], list[str]]:
    """Made-up class names for the ids that rows have."""
    numbers = sorted({number for one in files for number in one.ids})
    if not numbers:
        raise DataError(
            f"{root}: no object in any label file, so there is nothing to learn; label some, or "
            "list the classes in a data.yaml"
        )
    note = "no data.yaml or class list names the classes; give names with --classes"
    return {number: f"class_{number}" for number in numbers}, [note]


def _check_outlines(files: list[_LabelledPicture], root: Path) -> None:
    boxes = sum(reason == BOXES for one in files for reason, _ in one.left_out)
    if boxes and not any(one.drawn for one in files):
        raise DataError(
            f"{root}: all {boxes} rows are boxes (class x y width height); boxes alone cannot "
            "train masks, export outlines (YOLO segmentation)"
        )


def _notes(files: list[_LabelledPicture], pictures: list[Path], labels: LabelFiles) -> list[str]:
    """What was left out or filled in, with counts."""
    notes = outlines.left_out_notes(pair for one in files for pair in one.left_out)
    if without := [path for path in pictures if labels.find(path) is None]:
        notes.append(
            f"{len(without)} image(s) without a label file taken as images without objects, first "
            f"{without[0]}"
        )
    if lonely := labels.lonely():
        notes.append(f"{len(lonely)} label file(s) without an image left out, first {lonely[0]}")
    return notes


def _read_picture(
    picture: Path, labels: LabelFiles, names: dict[int, str] | None
) -> _LabelledPicture:
    """The record of one image; ``names`` are those of all class ids, if a list says so."""
    source = labels.find(picture)
    check_stays(picture, labels.home)
    size = upright_size(picture)
    result = _LabelledPicture(ImageRecord(0, picture, *size))
    if source is None:
        return result
    check_stays(source, labels.home)
    rows, wrong = parse_rows(read_text(source, MOST_BYTES), names)
    if wrong:
        raise DataError(f"{source}: {wrong[0]}", [f"{source}: {text}" for text in wrong])
    instances: list[Instance] = []
    seen: set[tuple[object, ...]] = set()
    for row in rows:
        place = f"{source.name} line {row.line}"
        if row[1:] in seen:
            result.left_out.append((REPEATED, place))
            continue
        seen.add(row[1:])
        if names and names[row.number] in NOT_CLASSES:
            name = names[row.number]
            result.left_out.append((f"row(s) of class {name!r} left out", place))
            continue
        if row.is_box:
            result.left_out.append((BOXES, place))
            continue
        result.drawn += 1
        outline = row.polygon(*size)
        instance = outlines.measure([outline], size, f"{source}: line {row.line}")
        if instance is None:
            result.left_out.append((outlines.NO_PIXELS, place))
            continue
        instances.append(instance)
        result.ids.append(row.number)
        if outlines.reaches_out([outline], size):
            result.left_out.append((outlines.CUT, place))
    result.record = replace(result.record, instances=tuple(instances))
    return result
