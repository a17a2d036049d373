"""The class of each number in id masks, from ``mask_classes.csv``."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from utils.data.annotation_files import read_text
from utils.data.label_map import check_name
from utils.data.outlines import shown
from utils.data.records import DataError

FILE_NAME = "mask_classes.csv"
EVERY_MASK = ""  # stands for the mask's name where the table has no such column
HEADERS = ({"mask", "id", "class"}, {"id", "class"})
MOST_BYTES = 200_000_000


@dataclass(frozen=True)
class MaskTable:
    """Class names by mask and number; ``is_for_each`` tells whether the masks are told apart."""

    source: Path
    classes: dict[tuple[str, int], str]
    is_for_each: bool

    def key(self, mask: str, number: int) -> tuple[str, int]:
        """The row for an object: ``mask`` is the file name in the mask folder, with slashes."""
        return (_normal(mask) if self.is_for_each else EVERY_MASK), number


def read_mask_table(path: Path) -> MaskTable:
    """Read a table with the header ``mask,id,class`` or ``id,class``, comma or semicolon.

    Raises:
        DataError: unreadable, not UTF-8, another header, an id that is not a whole number from 1
            on, a name that is none, a row twice; the message names the line.
    """
    rows = _rows(read_text(path, MOST_BYTES), path)
    header = [name.strip().casefold() for name in next(rows, (0, []))[1]]
    if set(header) not in HEADERS or len(set(header)) != len(header):
        raise DataError(
            f"{path}: the first line is {shown(','.join(header))}, must be mask,id,class or "
            "id,class for numbers that mean the same in every mask"
        )
    classes: dict[tuple[str, int], str] = {}
    for line, row in rows:
        where = f"{path}: line {line}"
        if len(row) != len(header):
            raise DataError(
                f"{where} has {len(row)} fields, the header {len(header)}; a name with a "
                "delimiter in it must be in quotes"
            )
        values = dict(zip(header, (value.strip() for value in row), strict=True))
        if not re.fullmatch(r"[0-9]{1,10}", values["id"]) or int(values["id"]) == 0:
            raise DataError(
                f"{where}: id is {shown(values['id'])}, must be a whole number from 1 on (0 is "
                "background)"
            )
        check_name(values["class"], f"{where}: class")
        mask = _normal(values.get("mask", EVERY_MASK))
        if "mask" in header and not mask:
            raise DataError(f"{where}: mask is empty, must be the file name of a mask")
        key = mask, int(values["id"])
        if key in classes:
            raise DataError(f"{where}: gives id {key[1]} {_of(mask)} a second class; remove one")
        classes[key] = values["class"]
    if not classes:
        raise DataError(f"{path}: has no rows; add one for each number in the masks")
    return MaskTable(path, classes, "mask" in header)


def _of(mask: str) -> str:
    return f"of {shown(mask)}" if mask else "of every mask"


def _normal(name: str) -> str:
    """One spelling for a path, whichever system wrote it."""
    return unicodedata.normalize("NFC", name).replace("\\", "/").removeprefix("./")


def _rows(text: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, with the number of the line they end in."""
    first = text.partition("\n")[0]
    delimiter = ";" if ";" in first and "," not in first else ","
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if any(value.strip() for value in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num} is not CSV ({error})") from error
