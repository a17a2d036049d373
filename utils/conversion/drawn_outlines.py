"""Outlines of objects as polygons, for formats and people that draw."""

from __future__ import annotations

import numpy as np

from utils.data.contours import Region, joined, simplify, trace
from utils.data.mask_crops import crop_mask
from utils.data.outlines import clip
from utils.data.records import ImageRecord, Instance, Polygons, to_rle

DIGITS = 7  # of a share of the picture's side; a pixel edge stays one in pictures of 500,000 pixels
STEP = 0.5  # pixels; how far an outline through the middles of steps passes by their corners


def polygons_of(instance: Instance, record: ImageRecord, tolerance: float) -> Polygons | None:
    """The parts of an object as polygons.

    Polygons stay as they are. Run lengths are traced along pixel edges, which is exact, and then
    simplified: every corner lies within ``tolerance`` pixels of the new outline.

    Returns:
        None if the object has a hole, which polygons cannot have.
    """
    if not isinstance(instance.segmentation, dict):
        return instance.segmentation
    regions = _traced(instance, record, tolerance)
    return None if any(region.holes for region in regions) else [r.outer for r in regions]


def one_polygon(instance: Instance, record: ImageRecord, tolerance: float) -> list[float]:
    """An object as one polygon within the picture, in shares of its width and height.

    Parts and holes are reached by seams of no width. Run lengths are traced as by ``polygons_of``.
    Polygons keep their points if these fill the same pixels as before, else (parts that overlap, an
    outline that crosses itself at a seam) they are traced too.
    """
    width, height = record.width, record.height
    if not isinstance(instance.segmentation, dict):
        wanted = to_rle(instance.segmentation, height, width)
        parts = [clip(part, width, height) for part in instance.segmentation]
        polygon = joined([Region(part, []) for part in parts if part])
        for digits in (DIGITS, 17):
            shares = _shares(polygon, width, height, digits)
            again = [share * (height if i % 2 else width) for i, share in enumerate(shares)]
            if to_rle([again], height, width) == wanted:
                return shares
        tolerance = 0
    return _shares(joined(_traced(instance, record, tolerance)), width, height, DIGITS)


def _shares(polygon: list[float], width: int, height: int, digits: int) -> list[float]:
    return [round(v / (height if i % 2 else width), digits) for i, v in enumerate(polygon)]


def _traced(instance: Instance, record: ImageRecord, tolerance: float) -> list[Region]:
    """The regions of an object, simplified."""
    crop = crop_mask(instance, record.height, record.width)
    regions: list[Region] = []
    if crop is not None:
        for region in trace(crop.mask):
            outer, *holes = [
                _simplified(_moved(polygon, crop.x, crop.y), tolerance)
                for polygon in (region.outer, *region.holes)
            ]
            regions.append(Region(outer, holes))
    return regions


def _simplified(polygon: list[float], tolerance: float) -> list[float]:
    """Fewer points. A slanted side is drawn through the middles of its steps first, else what is
    left of it would keep to their tips or to their notches."""
    if tolerance < STEP:
        return simplify(polygon, tolerance)
    return simplify(_through_steps(polygon), tolerance - STEP)


def _through_steps(polygon: list[float]) -> list[float]:
    """An outline along pixel edges, with the middles of one-pixel steps instead of their ends.

    A side goes on if the sides before and after it have one direction. Others are tips, or the
    bottoms of notches, and keep their corners.
    """
    corners = np.reshape(polygon, (-1, 2))
    sides = np.roll(corners, -1, axis=0) - corners
    goes_on = (np.roll(sides, 1, axis=0) * np.roll(sides, -1, axis=0)).sum(axis=1) > 0
    step = goes_on & (np.abs(sides).sum(axis=1) == 1)
    stays = ~((step | np.roll(step, 1)) & goes_on & np.roll(goes_on, 1))
    points = np.stack([corners, corners + sides / 2], axis=1)
    found: list[float] = points[np.stack([stays, step], axis=1)].ravel().tolist()
    return found


def _moved(polygon: list[float], x: int, y: int) -> list[float]:
    return [value + (y if i % 2 else x) for i, value in enumerate(polygon)]
