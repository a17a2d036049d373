"""What the data doctor can put right by itself, as new records; nothing is written here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from utils.data.records import ImageRecord, Instance, RecordSet
from utils.doctor.examination import Looks, same_pictures
from utils.doctor.mask_checks import is_binary, separate_parts, stray_objects
from utils.doctor.object_checks import object_count, without_same_objects

Objects = tuple[Instance, ...]


def repaired(
    parts: Mapping[str, RecordSet], looks: Looks
) -> tuple[dict[str, RecordSet], list[str]]:
    """Records without what can be told to be wrong.

    Left out are pictures that cannot be read or have another size than their record, and all but
    one of pictures with the same pixels: the one in the last part stays, so that what is held out
    does not change; within a part the one with most objects. Stray numbers of blurred masks,
    objects without pixels and repeated objects go. Where every mask holds one number only, each
    separate part becomes an object.

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
        gone = {record.path for record in (*broken, *again)}
        images = tuple(record for record in data.images if record.path not in gone)
        _say(done, part, len(broken), "image(s) left out: unreadable or of another size", broken)
        _say(done, part, len(again), "image(s) left out: the same picture is there twice", again)
        result[part] = _with_sound_objects(part, replace(data, images=images), done)
    return result, done


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
        ("stray number(s) of blurred masks dropped", _without_stray),
        ("object(s) without pixels dropped", _with_pixels),
        ("repeated object(s) dropped", without_same_objects),
    ]
    for text, step in steps:
        data = _changed(part, data, step, text, done)
    if is_binary(data):
        text = "object(s) more: every separate part of the binary masks is one now"
        data = _changed(part, data, _parted, text, done)
    return data


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


def _without_stray(record: ImageRecord) -> Objects:
    stray = stray_objects(record)
    return tuple(one for number, one in enumerate(record.instances) if number not in stray)


def _with_pixels(record: ImageRecord) -> Objects:
    return tuple(one for one in record.instances if one.area)


def _parted(record: ImageRecord) -> Objects:
    return tuple(piece for one in record.instances for piece in separate_parts(one, record))


def _say(done: list[str], part: str, number: int, text: str, records: list[ImageRecord]) -> None:
    if number:
        done.append(f"{part}: {number} {text}, first {records[0].path}")
