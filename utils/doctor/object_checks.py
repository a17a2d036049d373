"""What the data doctor looks for in objects and classes; outlines stay run lengths and polygons."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from statistics import median

from utils.data.label_map import similar_names
from utils.data.outlines import CUT
from utils.data.records import ImageRecord, Instance, RecordSet, to_rle
from utils.data_parts import TEST, VAL
from utils.doctor.findings import Finding, Kind
from utils.doctor.network_view import NetworkView

FEW = 10  # objects of a class
RARELY = 0.1  # of a class's objects out of the anchors' range are worth no more than a note


def object_name(record: ImageRecord, number: int, classes: tuple[str, ...]) -> str:
    """What messages call the ``number``-th object of an image, from 0."""
    return f"{record.path}: object {number + 1} ({classes[record.instances[number].label - 1]})"


def check_objects(data: RecordSet, view: NetworkView) -> Iterator[Finding]:
    """Objects that are empty, thin, or there twice."""
    for record in data.images:
        same = _same_objects(record)
        for number, instance in enumerate(record.instances):
            where = object_name(record, number, data.classes)
            if number in same:
                yield Kind.DUPLICATE_OBJECT.at(where, f"is the same as object {same[number] + 1}")
            if not instance.iscrowd:
                yield from _check_size(instance, record, where, view)


def _check_size(
    instance: Instance, record: ImageRecord, where: str, view: NetworkView
) -> Iterator[Finding]:
    width, height = instance.bbox[2:]
    seen = min(width, height) * view.scale(record.width, record.height)
    if instance.area == 0:
        yield Kind.NO_PIXELS.at(where, "covers no pixel")
    elif seen < 1:
        yield Kind.SUBPIXEL.at(where, f"{width:g}x{height:g} pixels, {seen:.2g} to the network")
    elif min(width, height) <= 1:
        yield Kind.THIN.at(where, f"{width:g}x{height:g} pixels")


def _same_objects(record: ImageRecord) -> dict[int, int]:
    """Objects that equal an earlier one of their image in class and pixels, with that one."""
    alike = defaultdict(list)  # pixels are only compared where class, box and area agree
    for number, one in enumerate(record.instances):
        alike[one.label, one.iscrowd, one.bbox, one.area].append(number)
    same: dict[int, int] = {}
    for numbers in alike.values():
        seen: dict[str, int] = {}
        for number in numbers if len(numbers) > 1 else ():
            pixels = to_rle(record.instances[number].segmentation, record.height, record.width)
            first = seen.setdefault(str(pixels["counts"]), number)
            if first != number:
                same[number] = first
    return same


def without_same_objects(record: ImageRecord) -> tuple[Instance, ...]:
    """The objects of an image, each once."""
    same = _same_objects(record)
    return tuple(one for n, one in enumerate(record.instances) if n not in same)


def check_classes(parts: Mapping[str, RecordSet]) -> Iterator[Finding]:
    """Classes with few objects or none, names that look alike, and too much crowd."""
    # The classes with objects in the training part; where it could not be read, none are judged.
    learned: set[str] | None = set() if next(iter(parts), "") in (VAL, TEST) else None
    for part, data in parts.items():
        count = class_counts(data)
        for name in data.classes:
            where = f"{data.root}: class {name!r} ({part})"
            if count[name] == 0 and (learned is None or name in learned):
                yield Kind.NO_OBJECTS_OF_CLASS.at(where, "has no object")
            elif count[name] < FEW and learned is None:
                yield Kind.RARE_CLASS.at(where, f"has {_objects(count[name])}")
        learned = set(count) if learned is None else learned
        yield from _check_crowd(part, data)
    for names, root in {data.classes: data.root for data in parts.values()}.items():
        for text in similar_names(names):
            yield Kind.SIMILAR.at(root, text.partition(";")[0])


def class_counts(data: RecordSet) -> Counter[str]:
    """Objects per class name, crowds not counted."""
    found = [one for record in data.images for one in record.instances]
    return Counter(data.classes[one.label - 1] for one in found if not one.iscrowd)


def object_count(data: RecordSet) -> int:
    """All objects of a data set, crowds too."""
    return sum(len(record.instances) for record in data.images)


def _check_crowd(part: str, data: RecordSet) -> Iterator[Finding]:
    flags = [one.iscrowd for record in data.images for one in record.instances]
    if 2 * sum(flags) > len(flags):
        yield Kind.CROWD.at(
            f"{data.root} ({part})", f"{sum(flags)} of {len(flags)} objects are marked iscrowd"
        )


def check_anchors(part: str, data: RecordSet, view: NetworkView) -> Iterator[Finding]:
    """Classes with objects out of the anchors' range, counted."""
    smallest, largest = min(view.anchors), max(view.anchors)
    for name, sizes in network_sizes(data, view).items():
        where = f"{data.root}: class {name!r} ({part})"
        small = [size for size in sizes if size < smallest]
        large = [size for size in sizes if size > largest]
        for kind, found, limit in (
            (Kind.SMALL, small, f"under {smallest:g}"),
            (Kind.LARGE, large, f"above {largest:g}"),
        ):
            what = (
                f"{len(found)} of {_objects(len(sizes))} {limit} network pixels, the median of "
                f"all is {median(sizes):.0f}"
            )
            if found:
                is_rare = len(found) < RARELY * len(sizes)
                yield kind.at(where, what, "note" if is_rare else None)


def network_sizes(data: RecordSet, view: NetworkView) -> dict[str, list[float]]:
    """Per class, the sizes of its objects to the network: the square root of the box's area, in
    pixels of its input. Boxes are what anchors are compared with."""
    sizes: dict[str, list[float]] = defaultdict(list)
    for record in data.images:
        scale = view.scale(record.width, record.height)
        for one in record.instances:
            if not one.iscrowd and one.area:
                size = (one.bbox[2] * one.bbox[3]) ** 0.5 * scale
                sizes[data.classes[one.label - 1]].append(size)
    return dict(sizes)


def _objects(number: int) -> str:
    return f"{number} object{'s' * (number != 1)}"


def check_notes(parts: Iterable[RecordSet]) -> Iterator[Finding]:
    """What the readers left out or filled in, each once."""
    for root, note in dict.fromkeys((data.root, note) for data in parts for note in data.notes):
        yield (Kind.OUTSIDE if CUT in note else Kind.READER).at(root, note)
