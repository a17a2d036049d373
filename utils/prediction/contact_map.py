"""Objects of contact maps in the genome: bins of the map, and pairs of regions (BEDPE).

A pixel is a bin. Its column lies on the first chromosome (``chrom1``), its row on the second
(``chrom2``); on a map of one chromosome both are the same. The last bin of a chromosome ends where
the next would begin: how long chromosomes are is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from utils.folders import whole_text
from utils.prediction.journal import Record

REGION_COLUMNS = ("chrom1", "start1", "end1", "chrom2", "start2", "end2")
# Juicebox takes the first line for the header and the 11th column for a colour.
BEDPE_COLUMNS = (*REGION_COLUMNS, "name", "score", "strand1", "strand2", "color", "image")
STRANDS_AND_COLOUR = (".", ".", "0,0,0")
_BASES = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)\s*(bp|kb|mb|)", re.ASCII | re.IGNORECASE)
_FACTORS = {"": 1, "bp": 1, "kb": 1_000, "mb": 1_000_000}
_CHROMOSOME = re.compile(r"[^\s#:,][^\s:,]*")  # '#' would begin a comment


class Place(NamedTuple):
    """A place in the genome; bases count from 0."""

    chromosome: str
    position: int


class ContactMap(NamedTuple):
    """What the pixels of a map are in the genome."""

    bin_size: int  # bases per pixel
    x: Place  # where the first column begins
    y: Place  # where the first row begins


Regions = tuple[str, int, int, str, int, int]  # REGION_COLUMNS; from 0, ends excluded


def parse_contact_map(bin_size: str, origin: str) -> ContactMap:
    """What ``--bin-size 10kb --origin chr1:0`` say; one is nothing without the other.

    Args:
        bin_size: bases, as ``10kb``, ``5000``, ``5000bp`` or ``1Mb``.
        origin: where the first pixel begins: ``chr1:5000000``, ``chr1:5Mb``, or ``chr1`` for its
            beginning; two of them with a comma are of the columns (x) and of the rows (y).

    Raises:
        ValueError: they cannot be understood; the message says what is expected.
    """
    if not origin:
        raise ValueError("--bin-size needs a place: give --origin too, such as chr1:0")
    if not bin_size:
        raise ValueError("--origin needs the size of a pixel: give --bin-size too, such as 10kb")
    places = [_place(text) for text in origin.split(",")]
    if len(places) > 2:
        raise ValueError(f"--origin {origin!r} is more than two places, of columns and of rows")
    return ContactMap(_bases("--bin-size", bin_size, 1), places[0], places[-1])


def _place(text: str) -> Place:
    chromosome, colon, position = text.strip().partition(":")
    if not _CHROMOSOME.fullmatch(chromosome):
        raise ValueError(f"--origin: {text!r} is no place in the genome, such as chr1:0")
    return Place(chromosome, _bases(f"--origin {chromosome}:", position, 0) if colon else 0)


def _bases(flag: str, text: str, least: int) -> int:
    match = _BASES.fullmatch(text.strip())
    bases = Decimal(match[1]) * _FACTORS[match[2].lower()] if match else Decimal(-1)
    if bases < least or bases != int(bases):
        raise ValueError(
            f"{flag} {text!r} is no whole number of bases from {least} on, such as 5000 or 10kb"
        )
    return int(bases)


def regions(objects: Sequence[dict[str, Any]], contact_map: ContactMap) -> list[Regions | None]:
    """The regions that the box around each object's pixels covers; None if it has no pixel.

    Args:
        objects: of a record.
        contact_map: says what a pixel is.
    """
    size, x, y = contact_map
    boxes = coco_mask.toBbox([found["segmentation"] for found in objects]) if objects else ()
    result: list[Regions | None] = []
    for left, top, width, height in np.asarray(boxes, np.int64).tolist():
        x1, y1 = x.position + left * size, y.position + top * size
        place = (x.chromosome, x1, x1 + width * size, y.chromosome, y1, y1 + height * size)
        result.append(place if width else None)
    return result


def write_bedpe(
    path: Path, classes: Sequence[str], records: Iterable[Record], bin_size: str, origin: str
) -> None:
    """A line per object: the two regions of the genome that it brings together.

    The ten columns of bedtools' BEDPE (from 0, ends excluded; the name is the class, the score that
    of the detection), a colour, as Juicebox wants it, and the picture's name. White space in names
    is written as blanks. Regions are in the map's order, columns first. What has no pixel is left
    out.

    Raises:
        OSError: the disk is full; names the file, which is as it was before.
        ValueError: bin size or origin cannot be understood.
    """
    contact_map = parse_contact_map(bin_size, origin)
    with whole_text(path) as file:
        file.write("#" + "\t".join(BEDPE_COLUMNS) + "\n")
        for record in records:
            objects = record["objects"]
            for found, place in zip(objects, regions(objects, contact_map), strict=True):
                if place is None:
                    continue
                name = classes[found["category_id"] - 1]
                score = f"{found['score']:.10g}"
                row = (*place, name, score, *STRANDS_AND_COLOUR, record["name"])
                file.write("\t".join(re.sub(r"\s", " ", str(cell)) for cell in row) + "\n")
