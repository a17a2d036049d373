"""Which images train and which are held out: drawn once with a seed, written down, reused."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from utils.data.annotation_files import read_json
from utils.data.outlines import shown
from utils.data.records import DataError, RecordSet, first_ten
from utils.data.stratified_draw import Unit, draw_part

TUTORIAL_IMAGES, TUTORIAL_HELD_OUT = 170, 50  # PennFudan, as torchvision's tutorial splits it
HELD_OUT_SHARE = 0.2

Value = TypeVar("Value")


@dataclass(frozen=True)
class Split:
    """File names relative to the data root, and the data they were drawn from.

    ``group_by`` is the pattern that kept groups together, ``fold`` of ``folds`` the place in a
    cross-validation; empty and 0 where there is none.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    seed: int
    data_fingerprint: str
    group_by: str = ""
    fold: int = 0
    folds: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``split.json`` and the weights file hold them."""
        drawn_by = {name: getattr(self, name) for name in ("group_by", "fold", "folds")}
        return {
            "train": list(self.train),
            "val": list(self.val),
            "seed": self.seed,
            "data_fingerprint": self.data_fingerprint,
            **{name: value for name, value in drawn_by.items() if value},
        }

    @classmethod
    def from_dict(cls, values: Any) -> Split:
        """Read what ``to_dict`` wrote; raises ``DataError`` if a field is missing or wrong."""
        if not isinstance(values, dict):
            raise DataError(f"not a split: {shown(values)}, must be an object with train and val")
        split = cls(
            _side(values, "train"),
            _side(values, "val"),
            _typed(values, "seed", int),
            _typed(values, "data_fingerprint", str),
            _typed({"group_by": "", **values}, "group_by", str),
            _typed({"fold": 0, **values}, "fold", int),
            _typed({"folds": 0, **values}, "folds", int),
        )
        if problem := _pattern_problem(split.group_by):
            raise DataError(f"not a split: group_by {shown(split.group_by)} {problem}")
        return split

    def check_sides(self) -> None:
        """Raise ``DataError`` if an image of this one data set is on both sides."""
        both = sorted(set(self.train) & set(self.val))
        if both:
            raise DataError(f"not a split: {both[0]} is both trained on and held out")

    def summary(self) -> str:
        """How it was drawn, in one line; empty for a plain seeded draw."""
        parts = [f"fold {self.fold} of {self.folds} is held out"] if self.folds else []
        if self.group_by:
            train, val = (
                len({group_of(name, self.group_by) for name in side})
                for side in (self.train, self.val)
            )
            parts.append(
                f"{train + val} groups by --group-by {self.group_by}: {train} to train on, "
                f"{val} held out"
            )
        return "; ".join(parts)


def held_out_count(images: int) -> int:
    """How many images to hold out: 50 of PennFudan's 170, else 20 %, at least one."""
    if images == TUTORIAL_IMAGES:
        return TUTORIAL_HELD_OUT
    return max(1, round(images * HELD_OUT_SHARE))


def make_split(data: RecordSet, seed: int, group_by: str = "") -> Split:
    """Draw a split; the same data and seed give the same one on every machine.

    Every class keeps its share of images on both sides, as do images without objects. Where all
    images hold the one class there is, that is a plain seeded draw.

    Args:
        data: the images to divide.
        seed: of the draw.
        group_by: a regular expression; images in which it finds the same stay together.

    Raises:
        DataError: fewer than two images or groups, so nothing could be held out, or an image
            belongs to no group.
    """
    units = _shuffled_units(data, seed, group_by)
    count = len(data.images)
    part, rest = draw_part(units, Fraction(held_out_count(count), count))
    return Split(_names(rest), _names(part), seed, data.fingerprint(), group_by)


def make_folds(data: RecordSet, seed: int, folds: int, group_by: str = "") -> list[Split]:
    """Divide the data in ``folds`` parts and hold out each of them once.

    The parts are drawn one after the other as in ``make_split``: one in ``folds`` of all images,
    one in ``folds - 1`` of the rest... Without groups their sizes differ by at most one image.

    Raises:
        DataError: as ``make_split``, or fewer images or groups than folds.
    """
    rest = _shuffled_units(data, seed, group_by)
    if len(rest) < folds:
        what = f"groups by --group-by {group_by}" if group_by else "image(s)"
        raise DataError(
            f"{data.root}: {len(rest)} {what} are too few for --folds {folds}; every fold needs one"
        )
    parts: list[list[Unit]] = []
    for left in range(folds, 1, -1):
        part, rest = draw_part(rest, Fraction(1, left), least_rest=left - 1, even=True)
        parts.append(part)
    parts.append(rest)
    fingerprint = data.fingerprint()
    return [
        Split(
            _names(unit for other in parts if other is not part for unit in other),
            _names(part), seed, fingerprint, group_by, number, folds,
        )
        for number, part in enumerate(parts, start=1)
    ]  # fmt: skip


def own_split(data: RecordSet, seed: int) -> Split | None:
    """The division that the data set's own files make; None if they hold nothing out.

    Raises:
        DataError: an image is on both sides.
    """
    if data.given_split is None or not all(data.given_split):
        return None
    train, val = (tuple(sorted(set(names))) for names in data.given_split)
    split = Split(train, val, seed, data.fingerprint())
    try:
        split.check_sides()
    except DataError as error:
        raise DataError(
            f"{data.root}: its own files make {error}; correct them, or leave them out with "
            "--folds, --group-by, --split-file or --val-data"
        ) from error
    return split


def read_split(path: Path, data: RecordSet) -> Split:
    """Read a ``split.json`` for ``data``.

    Raises:
        DataError: the file cannot be read, or was drawn from other data.
    """
    try:
        split = Split.from_dict(read_json(path))
        split.check_sides()
    except DataError as error:
        what = str(error).removeprefix(f"{path}: ")
        raise DataError(f"{path}: not a readable split file ({what})") from error
    if not (split.train and split.val):
        raise DataError(
            f"{path}: {'val' if split.train else 'train'} names no image; both sides need one, so "
            "make a new split"
        )
    if split.data_fingerprint != data.fingerprint():
        raise DataError(
            f"{path}: was drawn from other data than {data.root} (images or labels differ); "
            "leave --split-file out to draw a new split"
        )
    return split


def draw_problems(group_by: str, folds: int | None, fold: int | None) -> list[str]:
    """What is wrong with the flags that say how to draw."""
    problems = []
    if problem := _pattern_problem(group_by):
        problems.append(f"--group-by {group_by} {problem}")
    if folds is None and fold is not None:
        problems.append(f"--fold {fold} goes with --folds, which says how many there are")
    elif folds is not None and folds < 2:
        problems.append(f"--folds is {folds}, must be at least 2")
    elif folds is not None and not 1 <= (fold or 0) <= folds:
        problems.append(
            f"--fold is {'not given' if fold is None else fold}, must be 1 to {folds}; python -m "
            "tools.cross_validate trains all folds"
        )
    return problems


def group_of(name: str, pattern: str) -> tuple[str, ...]:
    """Which group an image belongs to: what the pattern's brackets find in its name, or else what
    the whole pattern finds; empty if it finds nothing."""
    match = re.search(pattern, name)
    found = (match.groups(default="") or (match[0],)) if match else ()
    return found if any(found) else ()


def _pattern_problem(pattern: str) -> str:
    """Why a text is no pattern to group by; empty if it is one."""
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return f"is not a regular expression: {error}"
    return ""


def _typed(values: dict[str, Any], name: str, kind: type[Value]) -> Value:
    value = values.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        word = {int: "a whole number", str: "text", list: "a list of image names"}[kind]
        raise DataError(f"not a split: {name} is {shown(value)}, must be {word}")
    return value


def _side(values: dict[str, Any], name: str) -> tuple[str, ...]:
    """The image names of one side, which has none where images are drawn fresh."""
    names = _typed(values, name, list)
    wrong = [one for one in names if not isinstance(one, str)]
    if wrong:
        raise DataError(f"not a split: {name} holds {shown(wrong[0])}, must hold image names")
    if len(set(names)) < len(names):
        raise DataError(f"not a split: {name} names an image twice")
    return tuple(names)


def _shuffled_units(data: RecordSet, seed: int, group_by: str) -> list[Unit]:
    """The images, or groups of them, in the order in which they are asked to be held out."""
    if len(data.images) < 2:
        raise DataError(
            f"{data.root}: {len(data.images)} image(s); at least 2 are needed, one to train on and "
            "one held out"
        )
    records = {data.name_of(record): record for record in data.images}
    members: dict[tuple[str, ...], list[str]] = {}
    for name in sorted(records):
        members.setdefault(group_of(name, group_by) if group_by else (name,), []).append(name)
    if lost := members.get((), []):
        raise DataError(
            f"{data.root}: --group-by {group_by} finds no group in {len(lost)} of {len(records)} "
            "image names: " + "; ".join(first_ten(lost))
        )
    if len(members) < 2:
        raise DataError(
            f"{data.root}: --group-by {group_by} puts all {len(records)} images in one group, "
            f"{', '.join(next(iter(members)))!r}; at least 2 groups are needed, so that one can be "
            "held out"
        )
    units = [Unit.of(names, [records[name] for name in names]) for names in members.values()]
    return random.Random(seed).sample(units, len(units))


def _names(units: Iterable[Unit]) -> tuple[str, ...]:
    return tuple(sorted(name for unit in units for name in unit.names))
