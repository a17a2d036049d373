"""What a data set holds, as tables: images and objects per part, objects per class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from unicodedata import east_asian_width

from utils.data.records import RecordSet
from utils.doctor.findings import printable
from utils.doctor.network_view import NetworkView
from utils.doctor.object_checks import class_counts, network_sizes

Table = list[list[str]]  # the first row holds the headings
MOST_CLASSES = 30  # rows on a terminal


def part_table(parts: Mapping[str, RecordSet], view: NetworkView) -> Table:
    """One row per part. Object sizes are the square roots of box areas in the network's input."""
    table = [
        ["part", "images", "without objects", "objects", "crowd", "image sizes",
         "object sizes to the network"],
    ]  # fmt: skip
    for part, data in parts.items():
        objects = [one for record in data.images for one in record.instances]
        crowd = sum(one.iscrowd for one in objects)
        empty = sum(not record.instances for record in data.images)
        images = sorted((r.width * r.height, f"{r.width}x{r.height}") for r in data.images)
        sizes = [size for of_class in network_sizes(data, view).values() for size in of_class]
        shown = "-"
        if sizes:
            shown = f"{min(sizes):.0f} to {max(sizes):.0f} px, median {median(sizes):.0f}"
        numbers = [len(data.images), empty, len(objects) - crowd, crowd]
        table.append([part, *map(str, numbers), _range([text for _, text in images]), shown])
    return table


def class_table(parts: Mapping[str, RecordSet]) -> Table:
    """Objects per class and part, crowds not counted; the most frequent class first."""
    counts = {part: class_counts(data) for part, data in parts.items()}
    names = list(dict.fromkeys(name for data in parts.values() for name in data.classes))
    names.sort(key=lambda name: -sum(count[name] for count in counts.values()))
    rows = [[printable(name), *(str(counts[part][name]) for part in parts)] for name in names]
    return [["class", *parts], *rows]


def text_table(table: Sequence[Sequence[str]], most: int = MOST_CLASSES) -> str:
    """A table for a terminal: the first column to the left, the others to the right."""
    shown = table[: most + 1]
    widths = [max(map(_width, column)) for column in zip(*shown, strict=True)]
    lines = []
    for row in shown:
        pads = [" " * (width - _width(text)) for text, width in zip(row, widths, strict=True)]
        rest = [pad + text for pad, text in zip(pads[1:], row[1:], strict=True)]
        lines.append("  ".join([row[0] + pads[0], *rest]))
    if len(table) > len(shown):
        lines.append(f"and {len(table) - len(shown)} more")
    return "\n".join(lines)


def _width(text: str) -> int:
    """The columns of a terminal that a text takes; East Asian letters take two."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def _range(texts: Sequence[str]) -> str:
    """The first and the last text, if they differ."""
    if not texts:
        return "-"
    return texts[0] if texts[0] == texts[-1] else f"{texts[0]} to {texts[-1]}"
