"""The ``data.yaml`` of a YOLO data set: class names, and where its parts lie.

The file comes from strangers and may hold a ``download:`` script. It is read as text, lists and
mappings only; keys that are not known here are not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from utils.data.annotation_files import read_text
from utils.data.label_map import check_name
from utils.data.outlines import shown
from utils.data.records import DataError

FILE_NAMES = ("data.yaml", "data.yml")
SUFFIXES = (".yaml", ".yml")
PARTS = {"train": ("train",), "val": ("val", "valid"), "test": ("test",)}  # and their spellings
NOTHING = ("", "~", "null", "Null", "NULL")
LOOKED_INTO = 10  # YAML files of a folder that are opened to find the one
MOST_BYTES = 300_000  # 10,000 class names; PyYAML takes seconds for more
DEEPEST = 8  # levels of nesting; a data.yaml has three


@dataclass(frozen=True)
class YoloYaml:
    """What a ``data.yaml`` says: ``names`` by class id; ``parts``, as the file writes their paths,
    under "train", "val" and "test"; ``path``, which they are relative to, often empty."""

    source: Path
    names: dict[int, str]
    parts: dict[str, tuple[str, ...]]
    path: str = ""


def find_yaml(folder: Path) -> list[Path]:
    """``data.yaml``, else every YAML file of the folder that has ``names`` and ``train``."""
    try:
        for name in FILE_NAMES:
            if (folder / name).is_file():
                return [folder / name]  # a damaged one is for the reader to report
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    except OSError:
        return []
    return [path for path in files[:LOOKED_INTO] if is_data_yaml(path)]


def is_data_yaml(path: Path) -> bool:
    """True if the file can be read and has ``names`` and ``train``."""
    try:
        text = read_text(path, MOST_BYTES)
        if "names" not in text or "train" not in text:
            return False  # spares the parsing
        content = _plain_values(text, path)
    except DataError:
        return False
    return isinstance(content, dict) and content.keys() >= {"names", "train"}


def read_yaml(path: Path) -> YoloYaml:
    """Read a ``data.yaml``.

    Raises:
        DataError: unreadable, not YAML, more than plain values, or a key that is missing or wrong;
            the message names the file and the key.
    """
    content = _plain_values(read_text(path, MOST_BYTES), path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds {shown(content)}, must hold the keys train, val and names")
    names = _names(content.get("names"), path)
    _check_count(content.get("nc"), names, path)
    parts = {}
    for part, spellings in PARTS.items():
        for key in spellings:
            if part not in parts and (paths := _paths(content.get(key), f"{path}: {key}")):
                parts[part] = paths
    if "train" not in parts:
        raise DataError(
            f"{path}: has no key 'train'; name the folder of the training images, as in "
            "train: images/train"
        )
    base = content.get("path", "")
    if not isinstance(base, str):
        raise DataError(f"{path}: path is {shown(base)}, must be a folder")
    return YoloYaml(path, names, parts, "" if base in NOTHING else base)


class _PlainLoader(yaml.BaseLoader):
    """Builds text, lists and mappings; whatever else YAML can say is refused before it is built.

    ``BaseLoader`` leaves numbers and dates as the text they are, so a class may be called ``no``.
    """

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        self.depth += 1
        problem = ""
        if getattr(event, "anchor", None) is not None:
            problem = "anchors and aliases (& and *) are not read, only plain values"
        elif getattr(event, "tag", None) is not None:
            problem = "tags (!) are not read, only plain values"
        elif self.depth > DEEPEST:
            problem = "is nested too deep for a data.yaml"
        if problem:
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := _first_twice(keys):
            problem = f"gives {shown(twice)} twice, remove one"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep)


def _plain_values(text: str, path: Path) -> Any:
    """The text, lists and mappings of a YAML file; ``path`` is for the message."""
    try:
        return yaml.load(text, Loader=_PlainLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        reason = ", ".join(text for text in (error.context, error.problem) if text)
        raise DataError(f"{path}: {line}{reason}; correct it") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the latter for "\UFFFFFFFF"
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: cannot be read as YAML ({reason})") from error


def _names(value: Any, path: Path) -> dict[int, str]:
    """The class names by id, in the order of ids."""
    if not isinstance(value, list | dict) or not value:
        raise DataError(
            f"{path}: names is {shown(value)}, must be a list of class names, or one name for "
            "each id, as in names: {0: cat, 1: dog}"
        )
    if isinstance(value, list):
        value = {str(i): name for i, name in enumerate(value)}
    names = {}
    for key, name in value.items():
        if not isinstance(key, str) or not re.fullmatch("[0-9]{1,9}", key):
            raise DataError(f"{path}: names has the id {shown(key)}, must be a number from 0 on")
        if int(key) in names:
            raise DataError(f"{path}: names gives the id {int(key)} twice; remove one")
        if not isinstance(name, str):
            raise DataError(f"{path}: names[{key}] is {shown(name)}, must be a class name")
        check_name(name, f"{path}: names[{key}]")
        names[int(key)] = name
    if twice := _first_twice(names.values()):
        raise DataError(f"{path}: names gives {shown(twice)} twice; names must differ")
    return dict(sorted(names.items()))


def _first_twice(texts: Iterable[str]) -> str:
    """The first text that comes a second time; empty if none does."""
    seen: set[str] = set()
    for text in texts:
        if text in seen:
            return text
        seen.add(text)
    return ""


def _check_count(value: Any, names: dict[int, str], path: Path) -> None:
    """Hold ``nc``, where it is given, against the names; ids with gaps may be counted or not."""
    if value is None or value in NOTHING:
        return
    if value not in (str(len(names)), str(max(names) + 1)):
        raise DataError(
            f"{path}: nc is {shown(value)}, names has {len(names)} class(es); correct one of them"
        )


def _paths(value: Any, where: str) -> tuple[str, ...]:
    """The folders or list files of a part; empty if there are none."""
    if value is None or value in NOTHING or value == []:
        return ()
    paths = value if isinstance(value, list) else [value]
    for path in paths:
        if not isinstance(path, str) or path in NOTHING:
            raise DataError(f"{where} is {shown(path)}, must be a folder of images or a .txt list")
    return tuple(paths)
