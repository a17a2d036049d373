"""Data sets that come in parts: which folder or file is trained on, which is held out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from my_dataset import READERS, read_data
from utils.data.read_options import ReadOptions
from utils.data.records import DataError, RecordSet

TRAIN, VAL, TEST = "train", "val", "test"
SPELLINGS = {TRAIN: (TRAIN,), VAL: (VAL, "valid", "validation"), TEST: (TEST,)}
WHOLE = ""  # the only part of a set that is not in parts


def places_of(source: Path, val_data: Path | None = None, format: str = "auto") -> dict[str, Path]:
    """What to read for each part: ``train``, ``val`` and perhaps ``test``, or one ``WHOLE``.

    Raises:
        DataError: ``val_data`` is the training data.
    """
    if val_data is None:
        return find_parts(source, format) or {WHOLE: source}
    if val_data.resolve() == source.resolve():
        raise DataError(f"{val_data}: is the training data; leave --val-data out to split it")
    return {TRAIN: source, VAL: val_data}


def read_parts(
    places: Mapping[str, Path],
    format: str = "auto",
    classes: Sequence[str] = (),
    options: ReadOptions = ReadOptions(),
    problems: list[str] | None = None,
) -> dict[str, RecordSet]:
    """Read all parts of a data set; their labels are counted in the classes of the first.

    Args:
        places: as of ``places_of``.
        format, classes, options, problems: as for ``my_dataset.read_data``. Where the images lie is
            said of the first part; the others have theirs beside them. With ``problems``, a part
            that cannot be read at all is left out, and what is wrong with it is appended.

    Raises:
        DataError: a part cannot be read, or has a class that the first has not.
    """
    parts: dict[str, RecordSet] = {}
    for part, place in places.items():
        try:
            data = read_data(place, format, classes, options, problems)
            first = next(iter(parts.values()), data)
            # The one class of id masks is called after their folders, which says nothing.
            is_nameless = "id-masks" in (data.format, first.format)
            parts[part] = data.with_classes(first.classes, only_one=is_nameless)
        except DataError as error:
            if problems is None:
                raise
            problems += error.problems
        options = replace(options, images=None)
    return parts


def find_parts(root: Path, format: str = "auto") -> dict[str, Path]:
    """The parts of a data set by name, ``train`` and ``val`` at least; empty if it has none.

    ``train/`` beside ``val/``, ``valid/`` or ``test/``; or COCO files in ``annotations/`` with
    these words in their names, ``instances_...`` before others. A ``test`` part is ``val`` where
    there is no other. A set that a file in its folder divides, as YOLO's ``data.yaml``, is whole.
    """
    readers = list(READERS.values()) if format == "auto" else [READERS[format]]
    if any(reader.divides and reader.divides(root) for reader in readers):
        return {}
    for places in (_folders(root), _annotation_files(root)):
        parts = {
            part: place
            for part, place in places.items()
            if any(reader.recognises(place) for reader in readers)
        }
        if VAL not in parts and TEST in parts:
            parts[VAL] = parts.pop(TEST)
        if TRAIN in parts and VAL in parts:
            return parts
    return {}


def _folders(root: Path) -> dict[str, Path]:
    folders = {path.name.lower(): path for path in root.glob("*/")}
    return {
        part: folders[name]
        for part, names in SPELLINGS.items()
        for name in reversed(names)  # the first that is there counts
        if name in folders
    }


def _annotation_files(root: Path) -> dict[str, Path]:
    """The file in ``annotations/`` of each part that has but one, instances before others."""
    files = sorted(root.glob("annotations/*.json"))
    files = [path for path in files if path.name.startswith("instances")] or files
    found: dict[str, list[Path]] = {part: [] for part in SPELLINGS}
    for path in files:
        words = set(re.findall(r"[a-z]+", path.stem.lower()))
        part = next((part for part, names in SPELLINGS.items() if words.intersection(names)), None)
        if part:  # "train_val" is trained on
            found[part].append(path)
    return {part: paths[0] for part, paths in found.items() if len(paths) == 1}
