"""Two models on the same images: how large the difference is, and whether it can be told."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from utils.evaluation.coco_parameters import MOST_DETECTIONS
from utils.evaluation.intervals import RESAMPLES, ROUNDING, ap_resampled, interval_of
from utils.evaluation.matches import Matches

CANNOT_TELL = "cannot tell"
MOST_IMAGES = 1_000_000  # nobody labels more, so a hint beyond it is none


@dataclass(frozen=True)
class Difference:
    """A number of the second model less that of the first, with its 95 % interval."""

    name: str  # of the number, as in metrics.json
    value: float
    low: float
    high: float
    images: int
    is_same: bool = False  # in every resample

    @property
    def verdict(self) -> str:
        """What the second model is: ``better``, ``worse``, or ``cannot tell``."""
        if self.low > ROUNDING:
            return "better"
        return "worse" if self.high < -ROUNDING else CANNOT_TELL

    @property
    def images_needed(self) -> int | None:
        """About how many images would tell a difference of this size, four times in five.

        The interval shrinks with the square root of the images. Where that brings its end to 0, a
        true difference of this size is told every second time; with ((1.96 + 0.84) / 1.96)^2 = 2
        times as many images, four times in five. None where it is told already, or is as good as 0.
        """
        if self.verdict != CANNOT_TELL or self.value == 0:
            return None
        reach = self.value - self.low if self.value > 0 else self.high - self.value
        needed = 2 * self.images * (reach / self.value) ** 2
        if needed > MOST_IMAGES:
            return None
        digits = 1 - math.floor(math.log10(needed))  # two that count
        return max(int(round(needed, digits)), self.images + 1)

    def sentence(self, first: str = "A", second: str = "B") -> str:
        """The difference in words, for a reader who knows the models by these names."""
        if self.is_same:
            return f"{first} and {second} are equal in {self.name} on all {self.images} images"
        if self.verdict == CANNOT_TELL:
            needed = self.images_needed
            hint = f"; a difference of this size takes about {needed} images" if needed else ""
            return (
                f"cannot tell with {self.images} images whether {second} is better than {first} in "
                f"{self.name}: the difference is {_shown(self.value, self.low, self.high)}{hint}"
            )
        size = sorted(map(abs, (self.low, self.high)))
        return (
            f"{second} is {self.verdict} than {first} in {self.name} by "
            f"{_shown(abs(self.value), *size)} on {self.images} images"
        )


def compare(
    first: Mapping[str, Matches],
    second: Mapping[str, Matches],
    classes: Sequence[str],
    max_dets: int = MOST_DETECTIONS,
    *,
    count: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Difference]:
    """The difference in every number of ``ap_intervals`` that has an interval.

    Both models are judged by the same resamples, so that what makes an image hard for both cancels
    out. Of equal models nothing could be told in 94 % of simulated sets, of 20 and of 50 images. Of
    many numbers some differ by chance alone: settle which one decides before looking.

    Raises:
        ValueError: the two were not judged by the same images and labels.
    """
    _check_same_images(first, second)
    of_first, of_second = (
        ap_resampled(matches, classes, max_dets, count=count, seed=seed)
        for matches in (first, second)
    )
    images = next((matches.objects.shape[1] for matches in first.values()), 0)
    differences = {}
    for name, (values, bearing) in of_first.items():
        drawn = of_second[name].values - values
        found = interval_of(drawn, bearing, lowest=-1.0, is_difference=True)
        if found:
            is_same = not np.nan_to_num(drawn).any()
            differences[name] = Difference(name, *found, images, is_same)
    return differences


def _check_same_images(first: Mapping[str, Matches], second: Mapping[str, Matches]) -> None:
    same = first.keys() == second.keys() and all(
        np.array_equal(first[kind].objects, second[kind].objects) for kind in first
    )
    if not same:
        raise ValueError(
            "the two models were not judged by the same images: the objects differ in number or "
            "place; judge both with the same data, split and classes"
        )


def _shown(value: float, low: float, high: float) -> str:
    return f"{value:.3f} ({low:.3f} to {high:.3f})"
