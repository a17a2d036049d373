"""Class lists: ``labelmap.pbtxt``, ``label_names.txt`` and their kin, and names matched to them."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from utils.data.annotation_files import read_text
from utils.data.records import DataError, ImageRecord, first_ten

FILE_NAMES = ("labelmap.pbtxt", "label_map.pbtxt", "label_names.txt", "labels.txt", "classes.txt")
NOT_CLASSES = ("background", "_background_", "__ignore__")  # label 0 and what labelme leaves out
MOST_BYTES = 10_000_000

# The few tokens of a label map in protobuf's text format.
TOKEN = re.compile(
    r"""\s+ | \#[^\n]* | (?P<word>[A-Za-z_]\w*) | (?P<number>-?\d+) | (?P<mark>[{}:,;<>])
    | (?P<text>"(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*')""",
    re.VERBOSE,
)


def find_label_map(root: Path) -> Path | None:
    """The class list in a folder, by its file name; None if there is none."""
    for name in FILE_NAMES:
        path = root / name
        if path.is_file():
            return path
    return None


def read_label_map(path: Path | str) -> tuple[str, ...]:
    """The class names of a list, in label order: the first has label 1.

    ``*.pbtxt`` holds ``item { id: 1 name: 'person' }`` in any order, with ids 1 to K. Any other
    file holds one name per line; ``_background_`` and ``__ignore__`` at its head are dropped.

    Raises:
        DataError: unreadable, not UTF-8, no names, a name twice, or ids with gaps; the message
            names the file and the line or id.
    """
    path = Path(path)
    text = read_text(path, MOST_BYTES)
    names = _pbtxt_names(text, path) if path.suffix.lower() == ".pbtxt" else _lines(text)
    if not names:
        raise DataError(f"{path}: names no class; write one name per line")
    seen: set[str] = set()
    for n, name in enumerate(names, start=1):
        check_name(name, f"{path}: class {n}")
        if name in seen:
            raise DataError(f"{path}: names {name!r} twice; remove one, names must differ")
        seen.add(name)
    return tuple(names)


def check_name(name: str, where: str) -> None:
    """Raise ``DataError`` for a class name that is empty or that a terminal cannot show."""
    plain = all(c.isprintable() or unicodedata.category(c) == "Zs" for c in name)
    if not name.strip() or not plain:
        raise DataError(
            f"{where} is {name[:60]!r}, which is no class name; "
            "give it a name without control characters"
        )


def class_names(
    found: Mapping[str, object], folders: Sequence[Path], source: Path
) -> tuple[str, ...]:
    """The classes of a data set: its class list's if one of ``folders`` has one, else sorted.

    Args:
        found: the names that objects have, each with a place where it was seen.
        folders: where a class list is looked for, in this order.
        source: the data set, for the message.

    Raises:
        DataError: no class at all, names that the class list lacks, or a wrong class list.
    """
    for folder in folders:
        path = find_label_map(folder)
        if path is None:
            continue
        names = tuple(name for name in read_label_map(path) if name not in NOT_CLASSES)
        if not names:
            raise DataError(f"{path}: names no class but the background; write one name per line")
        if unknown := sorted(found.keys() - set(names)):
            problems = [_unlisted(name, found[name], names, path) for name in unknown]
            raise DataError("\n".join(first_ten(problems)), problems)
        return names
    if not found:
        raise DataError(
            f"{source}: no object in any annotation file, so there is nothing to learn; label "
            f"some, or list the classes in {FILE_NAMES[2]}"
        )
    return tuple(sorted(found))


def _unlisted(name: str, place: object, names: Sequence[str], path: Path) -> str:
    near = difflib.get_close_matches(name, names, 1, 0.0)
    return (
        f"{place}: an object is of class {name!r}, which is not in {path} (nearest: {near[0]!r}); "
        "correct the label or add the class to the list"
    )


def labelled(
    images: Iterable[tuple[ImageRecord, Sequence[str]]], classes: Sequence[str]
) -> tuple[ImageRecord, ...]:
    """Records with labels and image ids (from 1) set, from records and their objects' classes."""
    label = {name: n for n, name in enumerate(classes, start=1)}
    records = []
    for image_id, (record, names) in enumerate(images, start=1):
        instances = tuple(
            replace(instance, label=label[name])
            for instance, name in zip(record.instances, names, strict=True)
        )
        records.append(replace(record, image_id=image_id, instances=instances))
    return tuple(records)


def similar_names(names: Collection[str]) -> list[str]:
    """A note for each group of names that differ only by case, spaces or a plural ending."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_essence(name), []).append(name)
    return [
        f"classes {', '.join(map(repr, group))} look like one; if they are, give them one name"
        for group in groups.values()
        if len(group) > 1
    ]


def _essence(name: str) -> str:
    """A name without case, separators and plural ending."""
    word = re.sub(r"[\s_-]+", "", unicodedata.normalize("NFKC", name).casefold())
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("xes", "ches", "shes", "sses", "zes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _lines(text: str) -> list[str]:
    names = [line.strip() for line in text.splitlines()]
    names = [name for name in names if name]
    while names and names[0] in ("_background_", "__ignore__"):
        names.pop(0)
    return names


def _pbtxt_names(text: str, path: Path) -> list[str]:
    """The names of ``item`` blocks, by id."""
    by_id: dict[int, str] = {}
    for fields, line in _items(_tokens(text, path), path):
        where = f"{path}: the item that ends in line {line}"
        if "id" not in fields or "name" not in fields:
            raise DataError(f"{where} needs id and name, as in item {{ id: 1 name: 'person' }}")
        number, name = fields["id"], fields["name"]
        if not re.fullmatch(r"-?\d{1,9}", number):
            raise DataError(f"{where} has the id {number[:60]!r}, must be a number from 1 on")
        if name[:1] not in "'\"":
            raise DataError(f"{where} has the name {name[:60]!r}, which must be in quotes")
        if int(number) in by_id:
            raise DataError(f"{where} has the id {number}, which is taken; number from 1 on")
        by_id[int(number)] = re.sub(r"\\(.)", r"\1", name[1:-1])
    if by_id.get(0) in NOT_CLASSES:
        del by_id[0]
    expected = list(range(1, len(by_id) + 1))
    if sorted(by_id) != expected:
        wrong = sorted(set(by_id) ^ set(expected))[0]
        raise DataError(
            f"{path}: ids must be 1 to {len(by_id)} for {len(by_id)} items, id {wrong} is "
            f"{'missing' if wrong in expected else 'too much'}; number them without gaps"
        )
    return [by_id[n] for n in expected]


def _tokens(text: str, path: Path) -> list[tuple[str, int]]:
    """The tokens of a text-format file and the lines they are in."""
    tokens, place, line = [], 0, 1
    while place < len(text):
        match = TOKEN.match(text, place)
        if match is None:
            raise DataError(f"{path}: line {line} holds {text[place : place + 20]!r}, which has "
                            "no place in a label map")  # fmt: skip
        if match.lastgroup:
            tokens.append((match[0], line))
        line += match[0].count("\n")
        place = match.end()
    return tokens


def _items(tokens: list[tuple[str, int]], path: Path) -> list[tuple[dict[str, str], int]]:
    """The fields of every ``item { ... }`` block and the line it ends in."""
    items: list[tuple[dict[str, str], int]] = []
    fields: dict[str, str] | None = None  # None between the blocks
    tokens = [token for token in tokens if token[0] not in (",", ";")]
    i = 0
    while i < len(tokens):
        (word, line), ahead = tokens[i], [token for token, _ in tokens[i + 1 : i + 3]]
        if fields is None and word == "item" and ahead[:1] == ["{"]:
            fields, i = {}, i + 2
        elif fields is None and word == "item" and ahead == [":", "{"]:
            fields, i = {}, i + 3
        elif fields is not None and word == "}":
            items.append((fields, line))
            fields, i = None, i + 1
        elif fields is not None and len(ahead) == 2 and ahead[0] == ":" and ahead[1] not in "{}:<>":
            if word in fields:
                raise DataError(f"{path}: line {line} gives {word} twice in one item; remove one")
            fields[word] = ahead[1]
            i += 3
        else:
            raise DataError(f"{path}: line {line}, {word[:60]!r} is not expected here; a label map "
                            "holds item { id: 1 name: 'person' } blocks")  # fmt: skip
    if fields is not None:
        raise DataError(f"{path}: the last item is not closed; add a }}")
    return items


def coco_categories(classes: Sequence[str]) -> list[dict[str, int | str]]:
    """COCO's category list for class names in label order."""
    return [{"id": label, "name": name} for label, name in enumerate(classes, start=1)]
