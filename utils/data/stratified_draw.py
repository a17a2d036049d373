"""Drawing a part of the images in which every class has its share."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from utils.data.records import ImageRecord

NO_OBJECTS = 0  # images without objects are a class of their own, under background's label
ALL_IMAGES = -1  # and all images are one too, to count them in the same way


class Unit(NamedTuple):
    """What stays on one side: an image, or the images of a group.

    ``images`` counts, for each label, in how many of its images there is an object of it; crowd
    regions, which are not trained on, are no objects.
    """

    names: tuple[str, ...]
    images: Counter[int]

    @classmethod
    def of(cls, names: Sequence[str], records: Sequence[ImageRecord]) -> Unit:
        """Count the classes of some images."""
        images: Counter[int] = Counter()
        for record in records:
            labels = {instance.label for instance in record.instances if not instance.iscrowd}
            images.update((labels or {NO_OBJECTS}) | {ALL_IMAGES})
        return cls(tuple(names), images)


def draw_part(
    units: Sequence[Unit], share: Fraction, *, least_rest: int = 1, even: bool = False
) -> tuple[list[Unit], list[Unit]]:
    """Divide units into a part, about ``share`` of the images of every class, and the rest.

    From the rarest class to the commonest, and in the order of the units: each undecided unit that
    holds the class joins the part if the share misses that many images of the class, or up to half
    as many more, else it stays in the rest. A class of two or more units is on both sides where
    that can be had; one of a single unit stays in the rest. Of groups, one more joins while that
    brings the part closer to its size. (A simple form of the stratification of Sechidis,
    Tsoumakas and Vlahavas 2011, which also begins with the rarest label.)

    Args:
        units: at least ``least_rest + 1``, shuffled.
        share: of the images, at most a half.
        least_rest: how many units must remain.
        even: for parts of equal size. The size is the rounded share of all images, and each class
            has its share rounded up or down; both as far as groups and shared images let them.

    Returns:
        The part and the rest, neither empty, both in the order of ``units``.
    """
    draw = _Draw(units, share, least_rest, even)
    for label in draw.rarest_first():
        draw.take_share(label)
        if draw.holders[label] > 1 and draw.wanted[label] and not draw.held[label]:
            draw.take_one(label)
    if even:
        draw.fill()
    elif any(unit.images[ALL_IMAGES] > 1 for unit in units):
        draw.approach_size()
    if not draw.part:
        draw.take_one(ALL_IMAGES)
    part = [unit for number, unit in enumerate(units) if number in draw.part]
    rest = [unit for number, unit in enumerate(units) if number not in draw.part]
    return part, rest


class _Draw:
    """A part while it is drawn; units are known by their number."""

    def __init__(self, units: Sequence[Unit], share: Fraction, least_rest: int, even: bool) -> None:
        self.units, self.share, self.least_rest, self.even = units, share, least_rest, even
        self.part: set[int] = set()
        self.decided: set[int] = set()
        self.having: dict[int, list[int]] = {}  # the units that hold a class
        self.total: Counter[int] = Counter()  # images of a class
        for number, unit in enumerate(units):
            self.total.update(unit.images)
            for label in unit.images:
                self.having.setdefault(label, []).append(number)
        self.holders = Counter({label: len(found) for label, found in self.having.items()})
        self.left = self.holders.copy()  # units of the rest that hold a class
        self.held: Counter[int] = Counter()  # images of a class in the part
        self.wanted = {
            label: self._count_wanted(label, count * share) for label, count in self.total.items()
        }

    def _count_wanted(self, label: int, exact: Fraction) -> int:
        if self.even and label != ALL_IMAGES:
            return math.floor(exact)  # the fractions are settled last, for all classes together
        return max(round(exact), int(self.holders[label] > 1))

    def rarest_first(self) -> list[int]:
        """The classes by how many images hold them, then images without objects."""
        labels = [label for label in self.total if label != ALL_IMAGES]
        return sorted(labels, key=lambda label: (label == NO_OBJECTS, self.total[label], label))

    def take_share(self, label: int) -> None:
        """Decide the units that hold a class."""
        for number in self.having[label]:
            if number in self.decided:
                continue
            self.decided.add(number)
            is_last = any(self.left[other] == 1 for other in self.units[number].images)
            if not is_last and self._is_wanted(number, label) and self._has_room(number):
                self._join(number)

    def take_one(self, label: int) -> None:
        """Take a unit of a class that the part would have none of: one with few classes that no
        other unit holds, and then the smallest. No other class may go with it from the rest."""
        candidates = [
            number
            for number in self.having[label]
            if number not in self.part
            and self._has_room(number)
            and all(self.left[c] > 1 or self.holders[c] == 1 for c in self.units[number].images)
        ]
        if candidates:
            self._join(min(candidates, key=self._loss))

    def fill(self) -> None:
        """Take units until the part has its size, always one whose classes miss most."""
        rest = (number for number in range(len(self.units)) if number not in self.part)
        queue = [(-self._missing(number), number) for number in rest]
        heapq.heapify(queue)
        while queue:
            was, number = heapq.heappop(queue)
            now = -self._missing(number)
            if now > was:  # another unit has filled in for it meanwhile
                heapq.heappush(queue, (now, number))
            elif self._has_room(number):
                self._join(number)

    def approach_size(self) -> None:
        """Take groups while one brings the part closer to its size, always the one that does most;
        the last one of a class stays."""
        while True:
            missing = self.wanted[ALL_IMAGES] - self.held[ALL_IMAGES]
            off_by = {
                number: abs(missing - unit.images[ALL_IMAGES])
                for number, unit in enumerate(self.units)
                if number not in self.part
                and self._has_room(number)
                and all(self.left[label] > 1 for label in unit.images)
            }
            nearest = min(off_by, key=lambda number: off_by[number], default=None)
            if nearest is None or off_by[nearest] >= abs(missing):
                return
            self._join(nearest)

    def _missing(self, number: int) -> Fraction:
        """How many images the least needed class of a unit is short of its share."""
        labels = self.units[number].images
        return min(self.share * self.total[label] - self.held[label] for label in labels)

    def _loss(self, number: int) -> tuple[int, int]:
        images = self.units[number].images
        lost = [label for label in images if label > NO_OBJECTS and self.holders[label] == 1]
        return len(lost), images[ALL_IMAGES]

    def _is_wanted(self, number: int, label: int) -> bool:
        missing = self.wanted[label] - self.held[label]
        return 2 * self.units[number].images[label] <= 3 * missing

    def _has_room(self, number: int) -> bool:
        """Whether enough units would remain and, where the size matters, the part has room."""
        enough_left = self.left[ALL_IMAGES] > self.least_rest
        return enough_left and (not self.even or self._is_wanted(number, ALL_IMAGES))

    def _join(self, number: int) -> None:
        self.part.add(number)
        self.decided.add(number)
        self.held.update(self.units[number].images)
        self.left.subtract(self.units[number].images.keys())
