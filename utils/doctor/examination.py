"""Finding what is wrong with a data set before a night of training is spent on it.

    findings = examine({"train": data, "val": held_out}, problems, NetworkView(800, 1333))

Errors stop a run, warnings and notes do not. ``python -m tools.check DATA`` shows all of it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from utils.data.channels import RGB
from utils.data.images import READ_SUFFIXES, check_resizable
from utils.data.records import DataError, ImageRecord, RecordSet, refuse
from utils.data_parts import TEST, VAL
from utils.doctor.findings import Finding, Kind, report, worst_first
from utils.doctor.mask_checks import check_masks
from utils.doctor.network_view import NetworkView
from utils.doctor.object_checks import check_anchors, check_classes, check_notes, check_objects
from utils.doctor.picture_cache import Look, look, look_at

Looks = Mapping[Path, Look]
SIZE = re.compile(r"\b(\d+)x(\d+)\b")


def examine(
    parts: Mapping[str, RecordSet],
    problems: Sequence[str],
    view: NetworkView,
    looks: Looks | None = None,
) -> list[Finding]:
    """All that can be found wrong with a data set, worst first.

    Args:
        parts: the record sets by name; the first is trained on, unless it is called ``val``.
        problems: what a tolerant reader (``read_data(..., problems=...)``) could not use.
        view: what the network will see.
        looks: every picture as decoded; decoded here if it is not given.
    """
    looks = look_at_all(parts, view.channels) if looks is None else looks
    findings = [_reader_problem(problem, view.channels) for problem in problems]
    for part, data in parts.items():
        for record in data.images:
            findings += _check_picture(record, looks[record.path], view)
        findings += _check_empty(part, data)
        findings += check_objects(data, view)
        findings += check_anchors(part, data, view)
    findings += check_masks(parts)
    if not problems:  # else what is missing may be what cannot be used
        findings += _check_enough(parts)
    findings += _check_duplicates(parts, looks)
    findings += check_classes(parts)
    findings += check_notes(parts.values())
    return worst_first(set(findings))


def check_data(
    parts: Mapping[str, RecordSet], problems: Sequence[str], view: NetworkView
) -> list[Finding]:
    """What is to be said of data that a run can use, worst first; arguments as of ``examine``.

    Raises:
        DataError: it cannot; the message names the first ten places of every kind of error, and
            ``problems`` are all.
    """
    findings = examine(parts, problems, view)
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        raise DataError(
            f"{len(errors)} error(s) in the data:\n{report(errors)}", [str(e) for e in errors]
        )
    return findings


def check_sizes(images: Sequence[ImageRecord], min_size: int, max_size: int) -> None:
    """Raise ``DataError`` naming images too thin to be resized; no file is read."""
    view = NetworkView(min_size, max_size)
    thin = [str(finding) for record in images for finding in _check_thin(record, view)]
    refuse(thin, f"{len(images)} image(s)")


def look_at_all(parts: Mapping[str, RecordSet], channels: int = RGB) -> dict[Path, Look]:
    """Decode the pictures of all parts, or take what is known of them from the cache."""
    paths: dict[Path, list[Path]] = defaultdict(list)
    for data in parts.values():
        paths[data.root] += [record.path for record in data.images]
    looks = [look_at(of_root, root, channels) for root, of_root in paths.items()]
    return {path: one for of_root in looks for path, one in of_root.items()}


def same_pictures(parts: Mapping[str, RecordSet], looks: Looks) -> list[list[tuple[str, Path]]]:
    """Groups of pictures with the same pixels, as pairs of part and path, sorted by path."""
    groups = defaultdict(list)
    for part, data in parts.items():
        for record in data.images:
            if looks[record.path].digest:
                groups[looks[record.path].digest].append((part, record.path))
    several = [sorted(set(group), key=lambda place: place[1]) for group in groups.values()]
    return [group for group in several if len(group) > 1]


def _check_picture(record: ImageRecord, seen: Look, view: NetworkView) -> Iterator[Finding]:
    size, said = (seen.width, seen.height), (record.width, record.height)
    if seen.problem:
        yield Kind.UNREADABLE.at(*_split_problem(seen.problem))
        return
    if size != said:
        kind = Kind.SWAPPED if size == said[::-1] else Kind.SIZE
        yield kind.at(
            record.path, f"is {size[0]}x{size[1]} pixels (upright), its annotation says "
            f"{said[0]}x{said[1]}",
        )  # fmt: skip
    yield from _check_thin(record, view)


def _check_thin(record: ImageRecord, view: NetworkView) -> Iterator[Finding]:
    try:
        check_resizable(record.height, record.width, view.min_size, view.max_size)
    except DataError as error:
        yield Kind.TOO_THIN.at(record.path, str(error))


def _check_enough(parts: Mapping[str, RecordSet]) -> Iterator[Finding]:
    """There is something to learn, and an image to spare."""
    part, data = next(iter(parts.items()), ("", None))
    if data is None or part in (VAL, TEST):
        return
    if all(one.iscrowd for record in data.images for one in record.instances):
        yield Kind.NOTHING.at(data.root, f"none of the {len(data.images)} images holds an object")
    elif len(parts) == 1 and len(data.images) == 1:
        yield Kind.NOTHING.at(data.root, "1 image; one more is needed, to be held out")


def _check_empty(part: str, data: RecordSet) -> Iterator[Finding]:
    empty = [record for record in data.images if not record.instances]
    if empty:
        of = f"{len(empty)} of {len(data.images)} images have no object"
        yield Kind.EMPTY.at(f"{data.root} ({part})", f"{of}, first {data.name_of(empty[0])}")


def _check_duplicates(parts: Mapping[str, RecordSet], looks: Looks) -> Iterator[Finding]:
    for group in same_pictures(parts, looks):
        (first_part, first), *others = group
        for part, path in others:
            if part == first_part:
                yield Kind.DUPLICATE_IMAGE.at(path, f"has the pixels of {first}")
            else:
                what = f"({part}) has the pixels of {first} ({first_part})"
                yield Kind.LEAK.at(path, what)


def _reader_problem(problem: str, channels: int) -> Finding:
    """A reader's message as a finding; what other checks would have said has their kind."""
    where, what = _split_problem(problem)
    sizes = [(int(width), int(height)) for width, height in SIZE.findall(what)]
    if "upright" in what and len(sizes) == 2:  # said of the picture and of its labels
        kind = Kind.SWAPPED if sizes[0] == sizes[1][::-1] else Kind.SIZE
    elif Path(where).suffix.lower() in READ_SUFFIXES and look(Path(where), channels).problem:
        kind = Kind.UNREADABLE
    else:
        kind = Kind.ANNOTATION
    return kind.at(where, what)


def _split_problem(problem: str) -> tuple[str, str]:
    """A reader's message as place and text; it begins with the file."""
    where, _, what = problem.partition(": ")
    return (where, what) if what else ("data", where)
