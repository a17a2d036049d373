"""Outlines of objects as polygons, for formats and people that draw."""

from __future__ import annotations

from utils.data.contours import Region, joined, simplify, trace
from utils.data.mask_crops import crop_mask
from utils.data.outlines import clip
from utils.data.records import ImageRecord, Instance, Polygons, to_rle

DIGITS = 7  # of a share of the picture's side; a pixel edge stays one in pictures of 500,000 pixels


def polygons_of(instance: Instance, record: ImageRecord, tolerance: float) -> Polygons | None:
    """The parts of an object as polygons.

    Polygons stay as they are. Run lengths are traced along pixel edges, which is exact, and corners
    within ``tolerance`` pixels of the new outline are left out.

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
                simplify(_moved(polygon, crop.x, crop.y), tolerance)
                for polygon in (region.outer, *region.holes)
            ]
            regions.append(Region(outer, holes))
    return regions


def _moved(polygon: list[float], x: int, y: int) -> list[float]:
    return [value + (y if i % 2 else x) for i, value in enumerate(polygon)]
