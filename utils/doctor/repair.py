"""What the data doctor can put right by itself, as new records; nothing is written here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path

from utils.data.records import ImageRecord, Instance, RecordSet
from utils.doctor.examination import Looks, same_pictures
from utils.doctor.mask_checks import FORMAT, Pieces, are_binary, separate_objects
from utils.doctor.object_checks import object_count, without_same_objects
from utils.doctor.stray_numbers import stray_objects

Objects = tuple[Instance, ...]


def repaired(
    parts: Mapping[str, RecordSet], looks: Looks
) -> tuple[dict[str, RecordSet], list[str]]:
    """Records without what can be told to be wrong.

    Left out are pictures that cannot be read or have another size than their record or a blurred id
    mask, and all but one of pictures with the same pixels: the one in the last part stays, so that
    what is held out does not change; within a part the one with most objects. Objects without
    pixels and repeated objects go. Of binary masks, each separate part becomes an object.

    Args:
        parts: the record sets by name, the training part first.
        looks: every picture as decoded.

    Returns:
        The new record sets, and what was done, with counts, one text each.
    """
    unreadable = {
        record.path
        for data in parts.values()
        for record in data.images
        if (looks[record.path].width, looks[record.path].height) != (record.width, record.height)
    }
    repeated = _repeated(parts, looks)
    done: list[str] = []
    result = {}
    for part, data in parts.items():
        broken = [r for r in data.images if r.path in unreadable]
        again = [r for r in data.images if (part, r.path) in repeated and r.path not in unreadable]
        blurred = [r for r in data.images if data.format == FORMAT and stray_objects(r)]
        gone = {record.path for record in (*broken, *again, *blurred)}
        images = tuple(record for record in data.images if record.path not in gone)
        _say(done, part, len(broken), "image(s) left out: unreadable or of another size", broken)
        _say(done, part, len(blurred), "image(s) left out: their id masks are blurred", blurred)
        _say(done, part, len(again), "image(s) left out: the same picture is there twice", again)
        result[part] = _with_sound_objects(part, replace(data, images=images), done)
    return _with_parts_split(result, done), done


def _repeated(parts: Mapping[str, RecordSet], looks: Looks) -> set[tuple[str, Path]]:
    """All pictures but one of each group with the same pixels, by part and path."""
    order = {part: number for number, part in enumerate(parts)}
    objects = {
        (part, record.path): len(record.instances)
        for part, data in parts.items()
        for record in data.images
    }
    repeated: set[tuple[str, Path]] = set()
    for group in same_pictures(parts, looks):
        kept = min(group, key=lambda at: (-order[at[0]], -objects[at], at[1]))
        repeated.update(place for place in group if place != kept)
    return repeated


def _with_sound_objects(part: str, data: RecordSet, done: list[str]) -> RecordSet:
    """One part with its objects put right, one kind of mistake after the other."""
    steps: list[tuple[str, Callable[[ImageRecord], Objects]]] = [
        ("object(s) without pixels dropped", _with_pixels),
        ("repeated object(s) dropped", without_same_objects),
    ]
    for text, step in steps:
        data = _changed(part, data, step, text, done)
    return data


def _with_parts_split(parts: Mapping[str, RecordSet], done: list[str]) -> dict[str, RecordSet]:
    """Parts of a data set in which the objects of binary masks are split, or as they are."""
    pieces: dict[str, list[Pieces]] = {
        part: [separate_objects(record) for record in data.images]
        for part, data in parts.items()
        if data.format == FORMAT
    }
    if not are_binary([of_image for of_part in pieces.values() for of_image in of_part]):
        return dict(parts)
    result = dict(parts)
    for part, of_part in pieces.items():
        images = []
        for record, of_image in zip(parts[part].images, of_part, strict=True):
            images.append(replace(record, instances=tuple(chain.from_iterable(of_image))))
        result[part] = replace(parts[part], images=tuple(images))
        split = [new for new in images if len(new.instances) > 1]
        count = sum(len(record.instances) for record in split)
        text = f"object(s) of binary masks split into {count}, every separate part is one now"
        _say(done, part, len(split), text, split)
    return result


def _changed(
    part: str,
    data: RecordSet,
    step: Callable[[ImageRecord], Objects],
    text: str,
    done: list[str],
) -> RecordSet:
    images = tuple(replace(record, instances=step(record)) for record in data.images)
    changed = [
        new for old, new in zip(data.images, images, strict=True)
        if len(old.instances) != len(new.instances)
    ]  # fmt: skip
    after = replace(data, images=images)
    _say(done, part, abs(object_count(after) - object_count(data)), text, changed)
    return after


def _with_pixels(record: ImageRecord) -> Objects:
    return tuple(one for one in record.instances if one.area)


def _say(done: list[str], part: str, number: int, text: str, records: list[ImageRecord]) -> None:
    if number:
        done.append(f"{part}: {number} {text}, first {records[0].path}")
