"""Debris of blurred id masks: resizing and JPEG leave numbers along outlines that nobody drew.

A number between those of an object and of the background comes up wherever the blur passes it: in
many places, of few pixels each. Fibres, cracks and rings are thin as well, but of one piece.
"""

from __future__ import annotations

from utils.data.records import ImageRecord, Instance, to_rle
from utils.doctor.mask_parts import find_parts

FEW_PIXELS = 4  # of a number, or on average of its parts, are debris
THIN = 0.1  # a number that fills less of its box may be debris
MOST_STRAY = 20  # in a mask, if they are also half of its numbers: real objects may be tiny


def stray_objects(record: ImageRecord) -> set[int]:
    """Which objects of an image (from 0) are debris of a blurred mask; none if it is not."""
    thin = {n for n, one in enumerate(record.instances) if _is_tiny(one) or _is_thin(one)}
    if not _are_many(thin, record):
        return set()
    scattered = {n for n in thin if _is_scattered(record.instances[n], record)}
    return scattered if _are_many(scattered, record) else set()


def _are_many(stray: set[int], record: ImageRecord) -> bool:
    return len(stray) >= MOST_STRAY and 2 * len(stray) >= len(record.instances)


def _is_tiny(one: Instance) -> bool:
    return one.area <= FEW_PIXELS


def _is_thin(one: Instance) -> bool:
    return one.area < THIN * one.bbox[2] * one.bbox[3]


def _is_scattered(one: Instance, record: ImageRecord) -> bool:
    parts = find_parts(to_rle(one.segmentation, record.height, record.width))
    return one.area <= FEW_PIXELS * len(parts)
