"""From drawn outlines to objects: circles, ellipses and rectangles as polygons, cut at the border.

Coordinates are those of COCO: pixel ``i`` covers ``i`` to ``i + 1``, a polygon is a flat list
``[x1, y1, x2, y2, ...]``. Area and box are measured from the pixels that pycocotools fills.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from utils.data.images import DAMAGE
from utils.data.records import DataError, Instance, Rle, encode_mask, to_rle

SAGITTA = 0.05  # a polygon stays this close (pixels) to the circle it stands for
MOST_CORNERS = 720
FAR = 1e9  # coordinates beyond are moved here, where float64 still tells a millionth of a pixel
BEYOND = 1.0  # pixels that an outline may reach out of its picture without a word
MOST_STEPS = 5_000_000  # pixels along one outline; pycocotools takes 40 bytes and more for each

TOO_FEW_POINTS = "outline(s) with too few points left out"
NO_PIXELS = "object(s) without a pixel in their picture left out (outside it, or too thin)"
CUT = "outline(s) that reach outside their picture cut at the border"


def circle(x: float, y: float, radius: float) -> list[float]:
    """A circle as a polygon, centre and radius in pixels."""
    return ellipse(x, y, radius, radius)


def ellipse(x: float, y: float, rx: float, ry: float, theta: float = 0.0) -> list[float]:
    """An ellipse as a polygon; its ``rx`` axis is turned from x towards y by ``theta`` radians."""
    longest = max(rx, ry, 1.0)
    corners = min(max(12, math.ceil(math.pi / math.acos(1 - SAGITTA / longest))), MOST_CORNERS)
    cos, sin = math.cos(theta), math.sin(theta)
    points: list[float] = []
    for n in range(corners):
        angle = 2 * math.pi * n / corners
        along, across = rx * math.cos(angle), ry * math.sin(angle)
        points += [x + along * cos - across * sin, y + along * sin + across * cos]
    return points


def rectangle(x1: float, y1: float, x2: float, y2: float) -> list[float]:
    """An upright rectangle as a polygon, from two opposite corners in any order."""
    left, right, top, bottom = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
    return [left, top, right, top, right, bottom, left, bottom]


def clip(polygon: Sequence[float], width: int, height: int) -> list[float]:
    """The part of a polygon that lies in a picture, after Sutherland and Hodgman (1974).

    Empty if nothing of it does. A polygon inside comes back as it is; one that leaves the picture
    in several places keeps one outline, joined by seams along the border that fill no pixel.
    """
    xs, ys = polygon[::2], polygon[1::2]
    if polygon and min(xs) >= 0 and max(xs) <= width and min(ys) >= 0 and max(ys) <= height:
        return list(polygon) if len(polygon) >= 6 else []
    points = list(zip(xs, ys, strict=True))
    for axis, sign, bound in ((0, 1, 0), (0, -1, -width), (1, 1, 0), (1, -1, -height)):
        distances = [sign * point[axis] - bound for point in points]
        if all(distance >= 0 for distance in distances):
            continue
        kept: list[tuple[float, float]] = []
        for i, (point, distance) in enumerate(zip(points, distances, strict=True)):
            before, distance_before = points[i - 1], distances[i - 1]
            if (distance >= 0) != (distance_before >= 0):
                t = distance_before / (distance_before - distance)
                crossing = [a + t * (b - a) for a, b in zip(before, point, strict=True)]
                crossing[axis] = float(sign * bound)
                kept.append((crossing[0], crossing[1]))
            if distance >= 0:
                kept.append(point)
        points = kept
    if len(points) < 3:
        return []
    return [coordinate for point in points for coordinate in point]


def reaches_out(parts: Iterable[Sequence[float] | Rle], size: tuple[int, int]) -> bool:
    """Whether one of the polygons among ``parts`` leaves a picture of width and height ``size`` by
    more than ``BEYOND``; run lengths cannot."""
    return any(
        min(part[axis::2]) < -BEYOND or max(part[axis::2]) > side + BEYOND
        for part in parts
        if not isinstance(part, dict)
        for axis, side in enumerate(size)
    )


def measure(
    parts: Sequence[list[float] | Rle], size: tuple[int, int], where: str
) -> Instance | None:
    """One object from its parts, polygons or run lengths, which are united.

    Polygons alone stay polygons, cut at the border. The label is 1, for the reader to replace.

    Args:
        parts: polygons of three points and more, run lengths of the picture's size.
        size: width and height of the picture.
        where: file and field, for the message.

    Returns:
        None if no pixel of the picture is covered.

    Raises:
        DataError: an outline so long that filling it would exhaust the memory.
    """
    width, height = size
    drawn = [part for part in parts if isinstance(part, list)]
    polygons = [inside for part in drawn if (inside := clip(part, width, height))]
    most = sum(map(len, polygons)) * max(width, height)
    if most > MOST_STEPS and sum(map(_steps, polygons)) > MOST_STEPS:
        raise DataError(
            f"{where}: the outline is more than {MOST_STEPS} pixels long; draw the object again"
        )
    rles = [part for part in parts if isinstance(part, dict)]
    only_polygons = not rles
    if polygons:
        rles.append(to_rle(polygons, height, width))
    if not rles:
        return None
    instance = Instance.from_rle(1, rles[0] if len(rles) == 1 else _united(rles))
    if instance.area == 0:
        return None
    return replace(instance, segmentation=polygons) if only_polygons else instance


def png_mask(text: Any, corners: Sequence[float], size: tuple[int, int], where: str) -> Rle:
    """A mask that is stored as a PNG of its box, base64, anything nonzero being object.

    Args:
        text: the base64 text.
        corners: x and y of the box's first and last pixel, flat, in any order. A box that counts
            the last pixel as outside is understood too.
        size: width and height of the picture; what reaches beyond is cut off.
        where: file and field, for the message.

    Raises:
        DataError: not text, not base64, not a one-channel PNG, of another size than the box, or
            larger than the picture; pixels are decoded only after that is checked.
    """
    width, height = size
    if not isinstance(text, str):
        raise DataError(f"{where} is {shown(text)}, must be a PNG as base64 text; draw it again")
    if len(text) > 8 * width * height + 100_000:
        raise DataError(
            f"{where} holds {len(text)} characters, too many for a mask in a picture of "
            f"{width}x{height}; draw it again"
        )
    left, right = sorted(corners[::2])
    top, bottom = sorted(corners[1::2])
    try:
        data = base64.b64decode(text, validate=True)
        with Image.open(BytesIO(data), formats=("PNG",)) as picture:
            _check_crop(picture, right - left, bottom - top, size, where)
            crop = np.asarray(picture) != 0
    except DataError:
        raise
    except DAMAGE as error:
        raise DataError(f"{where} is not a PNG as base64 text ({error}); draw it again") from error
    mask = np.zeros((height, width), np.uint8)
    x, y = math.floor(left), math.floor(top)
    inside = crop[max(0, -y) : max(0, height - y), max(0, -x) : max(0, width - x)]
    y, x = max(0, y), max(0, x)
    mask[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return encode_mask(mask)


def number(value: Any) -> float | None:
    """A coordinate from JSON, moved to within ``FAR``; None if it is not a finite number."""
    if type(value) in (int, float) and -FAR <= value <= FAR:  # the usual case, in one step
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return float(max(-FAR, min(FAR, value)))


def numbers(values: Any, where: str) -> list[float]:
    """A list of coordinates from JSON.

    Raises:
        DataError: not a list, or something in it is not a finite number.
    """
    if not isinstance(values, list):
        raise DataError(f"{where} is {shown(values)}, must be a list of numbers")
    found: list[float] = []
    for i, value in enumerate(values):
        coordinate = number(value)
        if coordinate is None:
            raise DataError(f"{where}[{i}] is {shown(value)}, must be a finite number; correct it")
        found.append(coordinate)
    return found


def shown(value: Any) -> str:
    """A value from JSON for a message: short, and safe for any size and depth."""
    if isinstance(value, dict | list):
        kind = "an object" if isinstance(value, dict) else "a list"
        return f"{kind} of {len(value)}"
    text = repr(value[:60] if isinstance(value, str) else value)
    return text if len(text) <= 80 else text[:77] + "..."


def left_out_notes(left_out: Iterable[tuple[str, str]]) -> list[str]:
    """One note per reason, counted, from pairs of reason and place."""
    places: dict[str, list[str]] = {}
    for reason, place in left_out:
        places.setdefault(reason, []).append(place)
    return [f"{len(at)} {reason}, first in {at[0]}" for reason, at in sorted(places.items())]


def _check_crop(
    picture: Image.Image, across: float, down: float, size: tuple[int, int], where: str
) -> None:
    """Check a crop's kind and size by its header alone."""
    if picture.width > size[0] or picture.height > size[1]:
        raise DataError(
            f"{where} is a PNG of {picture.width}x{picture.height}, larger than the picture of "
            f"{size[0]}x{size[1]}; draw it again"
        )
    if picture.mode not in ("1", "L", "P", "I;16", "I"):
        raise DataError(f"{where} is a {picture.mode} PNG, must have one channel; draw it again")
    for side, length in ((picture.width, across), (picture.height, down)):
        if min(abs(length + 1 - side), abs(length - side)) > 0.5:
            raise DataError(
                f"{where} is a PNG of {picture.width}x{picture.height}, points span "
                f"{across + 1:g}x{down + 1:g} pixels; they must be equal, draw it again"
            )


def _steps(polygon: Sequence[float]) -> float:
    """Pixels that pycocotools visits along the outline, before it refines them."""
    xs, ys = polygon[::2], polygon[1::2]
    return sum(max(abs(xs[i] - xs[i - 1]), abs(ys[i] - ys[i - 1])) for i in range(len(xs)))


def _united(rles: list[Rle]) -> Rle:
    rle = coco_mask.merge(rles)
    return {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")}
