"""The rows of a YOLO label file: ``class x1 y1 x2 y2 ...``, one object each.

Coordinates are shares of the upright picture's width and height. Four of them are a box: centre,
width and height, and no outline.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import NamedTuple

from utils.data.outlines import shown
from utils.data.records import DataError

NEAREST, FARTHEST = -1.0, 2.0  # what lies beyond is no share of a picture, but pixels of it
MOST_ID = 1_000_000_000


class Row(NamedTuple):
    """One object: the line it is in, from 1, its class id, and its flat outline or box."""

    line: int
    number: int
    values: tuple[float, ...]

    @property
    def is_box(self) -> bool:
        return len(self.values) == 4

    def polygon(self, width: int, height: int) -> list[float]:
        """The outline in pixels."""
        flat = list(self.values)
        flat[::2] = [x * width for x in self.values[::2]]
        flat[1::2] = [y * height for y in self.values[1::2]]
        return flat


def parse_rows(text: str, known: Collection[int] | None) -> tuple[list[Row], list[str]]:
    """The rows of a label file and, for each line that is none, what is wrong with it.

    Args:
        text: the content of the file; empty lines are skipped.
        known: the class ids that there are, or None if any will do.
    """
    rows, wrong = [], []
    for line, row in enumerate(text.split("\n"), start=1):
        if fields := row.split():
            try:
                rows.append(Row(line, _class_id(fields[0], known), _values(fields[1:])))
            except DataError as error:
                wrong.append(f"line {line} {error}")
    return rows, wrong


def _class_id(text: str, known: Collection[int] | None) -> int:
    """Exporters write whole numbers, or those with decimals that are 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (number.is_integer() and 0 <= number < MOST_ID):
        raise DataError(f"has the class id {shown(text)}, must be a whole number from 0 on")
    if known is not None and int(number) not in known:
        raise DataError(
            f"has the class id {int(number)}, names are given for {len(known)} class(es), ids "
            f"{min(known)} to {max(known)}; correct the id or add the class"
        )
    return int(number)


def _values(texts: list[str]) -> tuple[float, ...]:
    if len(texts) % 2 or len(texts) < 4:
        raise DataError(
            f"holds {len(texts)} number(s) after the class id, must hold x and y of 3 points or "
            "more; export segmentation labels, without scores"
        )
    try:
        values = tuple(map(float, texts))
    except ValueError:
        values = (math.nan,)
    if not math.isfinite(sum(values)):
        wrong = next((text for text in texts if not _is_finite(text)), texts[0])
        raise DataError(f"holds {shown(wrong)}, must be a finite number; correct it")
    if min(values) < NEAREST or max(values) > FARTHEST:
        wrong = texts[values.index(min(values) if min(values) < NEAREST else max(values))]
        raise DataError(
            f"holds {shown(wrong)}, coordinates are shares of the picture, 0 to 1; if these are "
            "pixels, divide x by its width and y by its height"
        )
    return values


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
