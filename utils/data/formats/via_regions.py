"""The regions of a VIA file: where their class is and what outline they have."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from utils.data import outlines
from utils.data.label_map import check_name
from utils.data.outlines import shown
from utils.data.records import DataError

CLASS_ATTRIBUTES = ("class", "label", "name", "type", "category")  # the first that is there counts
NAMELESS = "object"  # the class where regions have no attributes
WITHOUT_AREA = ("point", "polyline", "line")
WITH_AREA = ("polygon", "rect", "circle", "ellipse")


def find_class_attribute(
    regions: Iterable[dict[str, Any]], source: Path, chosen: str = ""
) -> str | None:
    """The attribute that names the class; None if regions have no attributes at all.

    Args:
        regions: all regions of the file.
        source: the file, for the message.
        chosen: the attribute that the user named, if any.

    Raises:
        DataError: no region has the chosen one, or none was chosen and several are there.
    """
    keys = {key for region in regions for key in region.get("region_attributes", {})}
    there = ", ".join(map(shown, sorted(keys)[:20])) or "no attributes"
    if chosen and chosen not in keys:
        raise DataError(
            f"{source}: no region has the attribute {shown(chosen)} of --class-attribute; they "
            f"have {there}"
        )
    if chosen or len(keys) <= 1:
        return chosen or next(iter(keys), None)
    for wanted in CLASS_ATTRIBUTES:
        for key in sorted(keys):
            if key.strip().casefold() == wanted:
                return key
    raise DataError(
        f"{source}: regions have the attributes {there}; name the one that is the class with "
        f"--class-attribute, or rename it to {CLASS_ATTRIBUTES[0]!r} in VIA"
    )


def class_of(attributes: dict[str, Any], attribute: str | None, where: str) -> str:
    """The class that a region's attribute names; of check boxes, the one that is ticked.

    Raises:
        DataError: missing, empty, no name, or not one box ticked.
    """
    if attribute is None:
        return NAMELESS
    field_name = f"{where}.region_attributes[{shown(attribute)}]"
    value = attributes.get(attribute)
    if isinstance(value, dict):
        ticked = [name for name, on in value.items() if on is True]
        if len(ticked) != 1:
            raise DataError(
                f"{field_name} has {len(ticked)} boxes ticked "
                f"({', '.join(map(shown, ticked[:10]))}), must be one; tick the object's class"
            )
        value = ticked[0]
    if isinstance(value, int) and not isinstance(value, bool):
        value = shown(value)
    if value is None or value == "":
        raise DataError(f"{field_name} is missing or empty; give the region a class in VIA")
    if not isinstance(value, str):
        raise DataError(f"{field_name} is {shown(value)}, must be a class name")
    check_name(value, field_name)
    return value


def polygon(shape: dict[str, Any], kind: Any, where: str) -> list[float]:
    """A region's outline as a polygon, ``[x1, y1, x2, y2, ...]`` in pixels.

    Args:
        shape: the region's ``shape_attributes``.
        kind: their ``name``.
        where: file and field, for the message.

    Raises:
        DataError: a kind that is unknown, or a field that is missing or of another type.
    """
    if not isinstance(kind, str) or kind not in WITH_AREA:
        raise DataError(
            f"{where}.name is {shown(kind)}, must be one of {', '.join(WITH_AREA + WITHOUT_AREA)}"
        )
    if kind == "polygon":
        xs = outlines.numbers(shape.get("all_points_x"), f"{where}.all_points_x")
        ys = outlines.numbers(shape.get("all_points_y"), f"{where}.all_points_y")
        if len(xs) != len(ys):
            raise DataError(
                f"{where}: all_points_x has {len(xs)} numbers and all_points_y {len(ys)}; "
                "they must be as many, draw the region again"
            )
        return [coordinate for point in zip(xs, ys, strict=True) for coordinate in point]
    if kind == "rect":
        x, y, width, height = _fields(shape, ("x", "y", "width", "height"), where)
        return outlines.rectangle(x, y, x + width, y + height)
    if kind == "circle":
        return outlines.circle(*_fields(shape, ("cx", "cy", "r"), where))
    theta = _fields(shape, ("theta",), where)[0] if shape.get("theta") is not None else 0.0
    x, y, rx, ry = _fields(shape, ("cx", "cy", "rx", "ry"), where)
    return outlines.ellipse(x, y, rx, ry, theta)


def _fields(shape: dict[str, Any], keys: tuple[str, ...], where: str) -> list[float]:
    """Numbers by name; lengths must not be negative."""
    found = []
    for key in keys:
        value = outlines.number(shape.get(key))
        if value is None or (value < 0 and key in ("width", "height", "r", "rx", "ry")):
            must = "a number" if key in ("x", "y", "cx", "cy", "theta") else "a number, 0 or more"
            raise DataError(
                f"{where}.{key} is {shown(shape.get(key))}, must be {must}; draw the region again"
            )
        found.append(value)
    return found
