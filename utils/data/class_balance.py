"""Images with rare classes shown more often."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from utils.data.records import ImageRecord, RecordSet

MOST_REPEATS = 10.0  # an image seen more often than this would be learned by heart
MOST_NAMED = 3


def repeat_factors(records: Sequence[ImageRecord]) -> list[float]:
    """How often each image is due in an epoch, 1 to 10, for ``EpochBatches``.

    Gupta et al., "LVIS" (2019), repeat an image by the rarest of its classes, max(1, sqrt(t / f))
    for a class in the share f of the images. Their t of 0.001 is for a thousand classes; here it is
    the share of the median class, so that a single class, or classes all alike, change nothing.
    Crowds do not count.
    """
    shares = _shares(records, [1.0] * len(records))
    if not shares:
        return [1.0] * len(records)
    middle = median(shares.values())
    of_class = {
        label: min(max(1.0, math.sqrt(middle / share)), MOST_REPEATS)
        for label, share in shares.items()
    }
    return [max((of_class[label] for label in _labels(r)), default=1.0) for r in records]


def describe_balance(data: RecordSet, repeats: Sequence[float]) -> str:
    """How much longer an epoch is with ``repeats``, and how often the rarest classes are seen."""
    if max(repeats, default=1.0) == 1.0:
        return "class balance: no class is much rarer than the others, every image is shown once"
    before = _shares(data.images, [1.0] * len(repeats))
    after = _shares(data.images, repeats)
    rarest = sorted(before, key=lambda label: before[label])[:MOST_NAMED]
    seen = ", ".join(
        f"{data.classes[label - 1]} in {after[label]:.1%} of them (without balance "
        f"{before[label]:.1%})"
        for label in rarest
    )
    longer = f"{int(sum(repeats))} images instead of {len(repeats)}"
    return f"class balance: an epoch shows {longer}; {seen}"


def _labels(record: ImageRecord) -> set[int]:
    return {instance.label for instance in record.instances if not instance.iscrowd}


def _shares(records: Sequence[ImageRecord], times: Sequence[float]) -> dict[int, float]:
    """By class, the share of images shown that have it, with each image shown so many times."""
    shown: defaultdict[int, float] = defaultdict(float)
    for record, often in zip(records, times, strict=True):
        for label in _labels(record):
            shown[label] += often
    total = sum(times)
    return {label: often / total for label, often in shown.items()}
