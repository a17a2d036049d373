"""``counts.csv``: how many objects of each class are in each picture."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from utils.folders import write_file
from utils.prediction.journal import Record


def count(record: Record, classes: Sequence[str]) -> Counter[str]:
    """The objects of a picture by class."""
    return Counter(classes[found["category_id"] - 1] for found in record["objects"])


def write_counts(path: Path, classes: Sequence[str], records: Iterable[Record]) -> Counter[str]:
    """A row per picture, a column per class, and totals, which are returned."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["image", *classes, "total"])
    total: Counter[str] = Counter()
    for record in records:
        counts = count(record, classes)
        total += counts
        writer.writerow([record["name"], *(counts[c] for c in classes), counts.total()])
    writer.writerow(["total", *(total[c] for c in classes), total.total()])
    write_file(path, text.getvalue().encode())
    return total
