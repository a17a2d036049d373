"""Which class an object of an id mask has: there is only one, or a table, the mask's folder or a
second mask with a class in every pixel says so.

Each way is a class of the same three methods: ``names`` gives the class of each object of a mask
or raises ``DataError``, ``classes`` puts the names that objects have in label order, and ``notes``
says what the user should know once everything is read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.data.formats.id_runs import value_counts
from utils.data.formats.mask_pairs import MaskedImage, load_mask
from utils.data.formats.mask_table import FILE_NAME, read_mask_table
from utils.data.label_map import (
    NOT_CLASSES,
    check_name,
    class_names,
    find_label_map,
    read_label_map,
)
from utils.data.records import DataError, first_ten

VOID = 255  # of pixels that belong to nothing, as around the objects of Pascal VOC
LEAST_AGREEMENT = 0.9  # share of an object's pixels in its class; below, it is pointed out
MIXED = (
    "object(s) with under 90 % of their pixels in one class of the class mask, the largest taken"
)
# In the order of their values in a class mask (Everingham et al., 2010).
VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip

Remarks = list[tuple[str, str]]  # what and where, for ``outlines.left_out_notes``


class IdMask(NamedTuple):
    """An id mask as read: ``ids`` is (H, W), ``numbers`` are those of its objects, sorted."""

    path: Path
    ids: np.ndarray
    numbers: list[int]
    owner: MaskedImage


class OneClass:
    """All objects are of one class."""

    def __init__(self, root: Path, name: str) -> None:
        self.root = root
        self.name = name

    def names(self, mask: IdMask, remarks: Remarks) -> list[str]:
        """The class, once for each object."""
        return [self.name] * len(mask.numbers)

    def classes(self, found: Collection[str]) -> tuple[str, ...]:
        """The class, also of a data set without objects."""
        return (self.name,)

    def notes(self, seen: Iterable[tuple[Path, int]]) -> list[str]:
        """A list of classes that nothing refers to is pointed out."""
        path = find_label_map(self.root)
        if path is None:
            return []
        return [
            f"{path.name} is not used: nothing says which object is of which class, so all are "
            f"{self.name!r} ({FILE_NAME} or a folder of masks for each class would tell; "
            "--classes gives another name)"
        ]


class TableClasses:
    """``mask_classes.csv`` gives the class of every number.

    Raises:
        DataError: as ``read_mask_table``.
    """

    def __init__(self, root: Path, mask_folder: Path, table: Path) -> None:
        self.root = root
        self.mask_folder = mask_folder
        self.table = read_mask_table(table)

    def names(self, mask: IdMask, remarks: Remarks) -> list[str]:
        """The classes by the table; every number must be in it."""
        keys = [self._key(mask.path, number) for number in mask.numbers]
        missing = [str(key[1]) for key in keys if key not in self.table.classes]
        if missing:
            raise DataError(
                f"{mask.path}: id {', '.join(first_ten(missing))} of this mask has no class in "
                f"{self.table.source}; add a row for it"
            )
        return [self.table.classes[key] for key in keys]

    def classes(self, found: Collection[str]) -> tuple[str, ...]:
        """Those of the class list, else sorted; a table for every mask declares all it names."""
        named = set() if self.table.is_for_each else set(self.table.classes.values())
        return class_names(
            dict.fromkeys({*found, *named} - {*NOT_CLASSES}, self.root), [self.root], self.root
        )

    def notes(self, seen: Iterable[tuple[Path, int]]) -> list[str]:
        """Rows without an object are counted."""
        unused = self.table.classes.keys() - {self._key(mask, number) for mask, number in seen}
        if not unused:
            return []
        mask, number = min(unused)
        return [
            f"{len(unused)} row(s) of {self.table.source.name} name masks or ids that do not "
            f"occur, first {f'{mask} ' if mask else ''}id {number}"
        ]

    def _key(self, mask: Path, number: int) -> tuple[str, int]:
        return self.table.key(mask.relative_to(self.mask_folder).as_posix(), number)


class FolderClasses:
    """Each class has a folder of masks, called like it.

    Raises:
        DataError: a folder's name cannot be a class name.
    """

    def __init__(self, root: Path, folders: list[Path]) -> None:
        self.root = root
        self.folders = folders
        for folder in folders:
            check_name(folder.name, f"{folder}: its name")

    def names(self, mask: IdMask, remarks: Remarks) -> list[str]:
        """The folder's name, once for each object."""
        folder = next(folder for folder in self.folders if mask.path.is_relative_to(folder))
        return [folder.name] * len(mask.numbers)

    def classes(self, found: Collection[str]) -> tuple[str, ...]:
        """Those of the class list, else all folders, sorted."""
        names = {folder.name for folder in self.folders} - {*NOT_CLASSES}
        return class_names(dict.fromkeys(names, self.root), [self.root], self.root)

    def notes(self, seen: Iterable[tuple[Path, int]]) -> list[str]:
        """None."""
        return []


class PixelClasses:
    """A class mask beside each id mask has the class of every pixel: value v is the v-th name of
    the class list. 0 and ``VOID`` are no class.

    Args:
        root: where the class list is looked for.
        unlisted: the names without one; if empty, they are ``class_<value>``.

    Raises:
        DataError: a wrong class list.
    """

    def __init__(self, root: Path, unlisted: tuple[str, ...] = ()) -> None:
        self.root = root
        self.path = find_label_map(root)
        self.listed = read_label_map(self.path) if self.path else unlisted
        if self.listed and self.listed[0].casefold() in NOT_CLASSES:
            self.listed = self.listed[1:]  # the name of value 0

    def names(self, mask: IdMask, remarks: Remarks) -> list[str]:
        """The class that most of an object's pixels have."""
        class_mask = mask.owner.class_mask
        assert class_mask is not None  # it was paired so
        values = load_mask(class_mask, mask.ids.shape[::-1], mask.owner.image)
        by_number = value_counts(mask.ids, values)
        names = []
        for number in mask.numbers:
            found, counts = by_number[number]
            found, counts = found[found != VOID], counts[found != VOID]
            votes = np.where(found != 0, counts, 0)
            if not votes.any():
                raise DataError(
                    f"{mask.path}: id {number} has no class, its pixels in {class_mask} are all 0 "
                    "or void; give them the value of a class"
                )
            names.append(self._name(int(found[votes.argmax()]), f"{class_mask}: id {number}"))
            if votes.max() < LEAST_AGREEMENT * counts.sum():
                remarks.append((MIXED, f"{mask.path.name} id {number}"))
        return names

    def classes(self, found: Collection[str]) -> tuple[str, ...]:
        """The class list, or ``class_<value>`` by value."""
        if self.listed:
            return self.listed
        by_value = sorted(found, key=lambda name: int(name.removeprefix("class_")))
        return tuple(by_value) or class_names({}, [], self.root)  # which says that there is none

    def notes(self, seen: Iterable[tuple[Path, int]]) -> list[str]:
        """None."""
        return []

    def _name(self, value: int, where: str) -> str:
        if not self.listed:
            return f"class_{value}"
        if not 0 < value <= len(self.listed):
            source = self.path or "Pascal VOC's list"
            raise DataError(
                f"{where} has the value {value}, and {source} has {len(self.listed)} classes; "
                "correct the mask or list the classes in label_names.txt, the first for value 1"
            )
        return self.listed[value - 1]


ClassSource = OneClass | TableClasses | FolderClasses | PixelClasses
