"""``counts.csv``: how many objects of each class are in each picture."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from utils.folders import whole_text
from utils.prediction.journal import Record


def count(record: Record, classes: Sequence[str]) -> Counter[str]:
    """The objects of a picture by class, in label order."""
    labels = Counter(found["category_id"] for found in record["objects"])
    return Counter({classes[label - 1]: labels[label] for label in sorted(labels)})


def write_counts(path: Path, classes: Sequence[str], records: Iterable[Record]) -> Counter[str]:
    """A row per picture, a column per class, and totals, which are returned.

    Names are written as they are: one that begins with ``=`` is a formula to some spreadsheets.

    Raises:
        OSError: the disk is full; names the file, which is as it was before.
    """
    total: Counter[str] = Counter()
    with whole_text(path) as file:
        writer = csv.writer(file)
        writer.writerow(["image", *classes, "total"])
        for record in records:
            counts = count(record, classes)
            total += counts
            writer.writerow([record["name"], *(counts[c] for c in classes), counts.total()])
        writer.writerow(["total", *(total[c] for c in classes), total.total()])
    return Counter({name: total[name] for name in classes if total[name]})


def counts_in_words(counts: dict[str, int]) -> str:
    """``3 person, 1 dog`` or ``nothing``."""
    return ", ".join(f"{number} {name}" for name, number in counts.items()) or "nothing"
