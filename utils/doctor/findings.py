"""What the data doctor says: one ``Finding`` per place, grouped by kind, the worst kind first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from utils.data.records import first_ten

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")  # only errors stop a run


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or worth knowing.

    ``where`` names the file and the object, ``what`` the value, ``fix`` what to do about it.
    """

    severity: Severity
    kind: str
    where: str
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class Kind(Enum):
    """All kinds of findings, the worst first: severity, title, and what to do."""

    ANNOTATION = "error", "annotations that cannot be used", "correct them, or remove the image"
    UNREADABLE = "error", "pictures that cannot be read", "replace or remove them"
    SWAPPED = (
        "error", "width and height swapped",
        "the outlines were drawn without the photo's EXIF rotation; turn the picture's pixels "
        "upright and label it again",
    )  # fmt: skip
    SIZE = (
        "error", "annotations of another size than their picture",
        "use the picture that was labelled",
    )  # fmt: skip
    TOO_THIN = "error", "pictures too thin for the network", "cut or pad them, or remove them"
    BLURRED = (
        "error", "blurred id masks",
        "export the masks again as PNG without anti-aliasing and never as JPEG; --fix-to leaves "
        "these images out",
    )  # fmt: skip
    NOTHING = "error", "nothing to learn", "label some objects, or name the folder that has labels"
    LEAK = (
        "warning", "same picture on both sides of the split",
        "remove one, the model is judged on what it was trained on; --fix-to keeps the held-out "
        "one",
    )  # fmt: skip
    BINARY = (
        "warning", "parts that share a number",
        "give every object its own number. Of binary masks, --fix-to makes each part an object; "
        "objects that touch stay one, part them by hand",
    )  # fmt: skip
    CROWD = (
        "warning", "mostly crowd",
        "crowds are not trained on, and CVAT marks every run-length outline so; set iscrowd to 0 "
        "for single objects",
    )  # fmt: skip
    DUPLICATE_IMAGE = (
        "warning", "same picture twice",
        "remove one, a random split may train on one and judge on the other; --fix-to does",
    )  # fmt: skip
    DUPLICATE_OBJECT = "warning", "same object twice", "remove one; --fix-to does"
    READER = (
        "warning",
        "left out or filled in while reading",
        "correct the labels if it is not meant",
    )
    NO_PIXELS = "warning", "objects without a pixel", "draw them again; they are not trained on"
    SUBPIXEL = (
        "warning", "objects under one pixel in the network's input",
        "they cannot be found; a larger --min-size and --max-size helps if they are real",
    )  # fmt: skip
    THIN = "warning", "objects one pixel wide or high", "look whether they are slips of the hand"
    OUTSIDE = "warning", "outlines that leave the image", "the part outside is cut off; check them"
    NO_OBJECTS_OF_CLASS = (
        "warning", "classes without an object",
        "label some or drop the class; without any it is not learned, and has no AP",
    )  # fmt: skip
    RARE_CLASS = "warning", "classes of under 10 objects", "label more, few are learned badly"
    SIMILAR = "warning", "similar class names", "if they mean the same, give them one name"
    SMALL = (
        "warning", "objects smaller than the smallest anchor",
        "they are hard to find; a larger --min-size and --max-size helps",
    )  # fmt: skip
    LARGE = (
        "warning", "objects larger than the largest anchor",
        "they are hard to frame; a smaller --min-size and --max-size helps",
    )  # fmt: skip
    PARTS = "note", "objects in separate parts", "right for what is partly hidden; else split them"
    EMPTY = "note", "images without objects", "they are kept and teach what not to find"
    MASK_MODE = "note", "16-bit and palette masks", "nothing to do, the numbers are read as stored"

    def __init__(self, severity: Severity, title: str, fix: str) -> None:
        self.severity = severity
        self.title = title
        self.fix = fix

    def at(self, where: object, what: str, severity: Severity | None = None) -> Finding:
        """A finding of this kind; control characters of file and class names are replaced."""
        where, what = printable(str(where)), printable(what)
        return Finding(severity or self.severity, self.title, where, what, self.fix)


ORDER = {kind.title: number for number, kind in enumerate(Kind)}


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Errors, then warnings, then notes; kinds in their order, places sorted."""
    return sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), ORDER[f.kind], f.where))


def grouped(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """The findings of each kind, the worst kind first."""
    groups: dict[str, list[Finding]] = {}
    for finding in worst_first(findings):
        groups.setdefault(finding.kind, []).append(finding)
    return groups


def report(findings: Iterable[Finding]) -> str:
    """The findings as text: per kind a heading, at most ten places, and what to do."""
    lines = []
    for kind, group in grouped(findings).items():
        lines.append(f"{group[0].severity}: {kind} ({len(group)})")
        lines += [f"  {text}" for text in first_ten(map(str, group))]
        lines.append(f"  -> {group[0].fix}")
    return "\n".join(lines)


def counts(findings: Iterable[Finding]) -> str:
    """How many of each severity, in words."""
    found = Counter(finding.severity for finding in findings)
    texts = [f"{found[s]} {s}{'s' * (found[s] != 1)}" for s in SEVERITIES if found[s]]
    return ", ".join(texts) or "nothing found"


def headline(findings: Iterable[Finding]) -> str:
    """The warnings in one line; empty if there are none."""
    warnings = [finding for finding in findings if finding.severity == "warning"]
    return f"{counts(warnings)} ({'; '.join(grouped(warnings))})" if warnings else ""


def printable(text: str) -> str:
    """Text that is safe on a terminal: line breaks become spaces, other control characters ``?``.

    Names of files and classes come from strangers and may hold escape sequences.
    """
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
