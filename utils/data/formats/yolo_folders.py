"""Where a YOLO data set and its parts keep their pictures, with or without a ``data.yaml``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from utils.data.formats.yolo_label_files import IMAGES, LABELS, LabelFiles
from utils.data.formats.yolo_paths import (
    LIST_SUFFIX,
    find_inside,
    folder_and_names,
    listed_pictures,
)
from utils.data.formats.yolo_yaml import (
    FILE_NAMES,
    PARTS,
    SUFFIXES,
    YoloYaml,
    find_yaml,
    is_data_yaml,
    read_yaml,
)
from utils.data.images import list_images
from utils.data.outlines import shown
from utils.data.records import DataError

PART_FOLDERS = (IMAGES + "/{}", "{}/" + IMAGES, "{}")  # of a set without a data.yaml
SPELLINGS = tuple(name for names in PARTS.values() for name in names)
PARENTS = 3  # folders above a part in which its data.yaml is looked for
LOOKED_INTO = 100  # label files of a folder that are opened to recognise it
MOST_PEEK_BYTES = 100_000  # of each
CLASS_ID, COORDINATE = re.compile(r"\d[\d.e+]*"), re.compile(r"[-+.\deE]+")


@dataclass
class YoloParts:
    """The pictures of each part: "train" and "val", or all of them as ""."""

    home: Path  # that all of them lie under
    parts: dict[str, list[Path]]
    data_yaml: YoloYaml | None = None
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # of pictures that a list names in vain


def find_yolo(root: Path) -> Path | None:
    """The ``data.yaml``, the list or the folder that makes ``root`` a YOLO data set, else None.

    Without a YAML file, what counts are rows of numbers in the first label files.
    """
    root = Path(root)
    try:
        if root.is_file():
            is_list = root.suffix.lower() == LIST_SUFFIX and _yaml_above(root) is not None
            is_yaml = root.suffix.lower() in SUFFIXES and is_data_yaml(root)
            return root if is_list or is_yaml else None
        if files := find_yaml(root):
            return files[0]
        names = [pattern.format(part) for pattern in PART_FOLDERS for part in SPELLINGS]
        folders = [root, root / IMAGES, *(root / name for name in names)]
        return next((f for f in folders if f.is_dir() and _is_labelled(f)), None)
    except (OSError, ValueError):
        return None


def open_layout(root: Path) -> YoloParts:
    """The pictures of a data set, of one of its parts, or of one of its lists.

    Raises:
        DataError: no pictures, a wrong ``data.yaml``, or a part of it that is not there.
    """
    if root.is_file() and root.suffix.lower() in SUFFIXES:
        return _from_yaml(root)
    if not root.exists():
        raise DataError(f"{root}: no such folder or file")
    if root.is_dir() and (files := find_yaml(root)):
        return _from_yaml(_only(files))
    source = _yaml_above(root)
    home = source.parent if source else home_of(root)
    layout = YoloParts(home, {}, read_yaml(source) if source else None)
    if home != root:
        root = home / _absolute(root).relative_to(_absolute(home))
    elif parts := _named_parts(root):
        _add_parts(layout, parts, [home], root)
        return layout
    if root.is_file():
        layout.parts[""], layout.problems = listed_pictures(root, [home])
    else:
        layout.parts[""] = list_images(root, recursive=True)
    if not layout.parts[""] and not layout.problems:
        raise DataError(
            f"{root}: no images here; a YOLO data set has a data.yaml, or {IMAGES}/ beside "
            f"{LABELS}/"
        )
    return layout


def home_of(root: Path) -> Path:
    """The folder that holds ``images/`` and ``labels/``, if ``root`` is or is below the former;
    else ``root`` or, if that is a file, its folder."""
    path = _absolute(root)
    for folder in islice((path, *path.parents), PARENTS):
        if folder.name == IMAGES and folder.with_name(LABELS).is_dir():
            return folder.parent
    return root if root.is_dir() else root.parent


def _from_yaml(source: Path) -> YoloParts:
    """The training and validation pictures that a ``data.yaml`` names."""
    data_yaml, home = read_yaml(source), source.parent
    base = find_inside(home, data_yaml.path, source) or home
    layout = YoloParts(home, {}, data_yaml)
    places = [base, home] if base.is_dir() and base != home else [home]
    _add_parts(layout, data_yaml.parts, places, source)
    return layout


def _named_parts(root: Path) -> dict[str, tuple[str, ...]]:
    """The parts of a folder without a ``data.yaml``, by their names; empty if it has none."""
    for pattern in PART_FOLDERS:
        parts: dict[str, tuple[str, ...]] = {}
        for part, spellings in PARTS.items():
            names = [pattern.format(name) for name in spellings]
            if name := next((name for name in names if (root / name).is_dir()), None):
                parts[part] = (name,)
        if "train" in parts and len(parts) > 1:
            return parts
    return {}


def _add_parts(
    layout: YoloParts, parts: Mapping[str, tuple[str, ...]], places: list[Path], source: Path
) -> None:
    """Put the pictures of "train" and of "val", else "test", into the layout."""
    for part, texts in parts.items():
        if part == "test" and "val" in parts:
            layout.notes += [
                f"the test images are not used here; judge on them with test.py --data {path}"
                for text in texts
                if (path := _find(text, places, source))
            ]
            continue
        if part == "test":
            layout.notes.append("there is no val, so the test images are the held-out ones")
        pictures = [p for text in texts for p in _pictures(layout, part, text, places, source)]
        layout.parts["val" if part == "test" else part] = sorted(set(pictures))
    both = sorted(set(layout.parts["train"]) & set(layout.parts.get("val", [])))
    if both:
        raise DataError(
            f"{source}: {len(both)} image(s) are in train and in val, first {both[0]}; a model "
            "cannot be judged on what it was trained on. Give each image to one of them, or remove "
            "val, and a part of train is held out"
        )


def _pictures(
    layout: YoloParts, part: str, text: str, places: list[Path], source: Path
) -> list[Path]:
    """The pictures of one folder or list of a part."""
    path = _find(text, places, source)
    if path is None or (path.is_file() and path.suffix.lower() != LIST_SUFFIX):
        raise DataError(
            f"{source}: {part} is {shown(text)}, and {layout.home} holds no such folder or .txt "
            f"list; {source.name} must lie in the folder that holds the images, and paths be "
            "relative to it"
        )
    found = path.relative_to(layout.home)
    if found.parts[-len(folder_and_names(text)) :] != folder_and_names(text):
        layout.notes.append(f"{source.name}: {part} is {shown(text)}, read is {found.as_posix()}")
    problems: list[str] = []
    if path.is_dir():
        pictures = list_images(path, recursive=True)
    else:
        pictures, problems = listed_pictures(path, places)
    if not pictures and not problems:
        raise DataError(f"{source}: {part} is {shown(text)}, which holds no images; add some")
    layout.problems += problems
    return pictures


def _find(text: str, places: list[Path], source: Path) -> Path | None:
    """What a path means in the first of ``places`` where it means something."""
    found = (find_inside(place, text, source) for place in places)
    return next((path for path in found if path), None)


def _only(files: list[Path]) -> Path:
    if len(files) > 1:
        names = ", ".join(path.name for path in files)
        raise DataError(f"{files[0].parent}: holds several data files ({names}); name one of them")
    return files[0]


def _yaml_above(root: Path) -> Path | None:
    """The data file of a part, in the folders above it.

    A ``data.yaml`` counts for all below it, a file of another name for the parts it names.
    """
    path = _absolute(root)
    for folder in islice(path.parents, PARENTS):
        files = find_yaml(folder)
        if files and (files[0].name in FILE_NAMES or (files := _that_name(files, path))):
            return _only(files)
    return None


def _that_name(files: list[Path], root: Path) -> list[Path]:
    """Those data files that name ``root`` as a part, or what it holds."""
    found = []
    for source in files:
        texts = [text for part in read_yaml(source).parts.values() for text in part]
        paths = [find_inside(source.parent, text, source) for text in texts]
        if any(path and path.is_relative_to(root) for path in paths):
            found.append(source)
    return found


def _absolute(path: Path) -> Path:
    """The path from the root of the file system, links kept, so that it still names the part."""
    return Path(os.path.normpath(path.absolute()))


def _is_labelled(folder: Path) -> bool:
    """True if one of the first label files that belong to pictures in ``folder`` has a row."""
    folder = _absolute(folder)
    labels = LabelFiles(home_of(folder))
    try:
        found = (labels.find(picture) for picture in list_images(folder))
        for path in islice((path for path in found if path), LOOKED_INTO):
            with open(path, "rb") as file:
                head = file.read(MOST_PEEK_BYTES).decode("utf-8-sig", "replace")
            if line := next((line for line in head.split("\n") if line.strip()), ""):
                return _is_row(line)
    except (DataError, OSError):
        pass
    return False


def _is_row(line: str) -> bool:
    """True for a class id and four numbers or more, whether or not the reader will take them."""
    number, *rest = line.split()
    is_class_id = CLASS_ID.fullmatch(number) is not None
    return is_class_id and len(rest) >= 4 and all(map(COORDINATE.fullmatch, rest))
