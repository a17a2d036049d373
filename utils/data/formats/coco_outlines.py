"""The outlines of a COCO file, checked and measured.

The C code of pycocotools trusts its input (broken run lengths and endless outlines corrupt or
exhaust memory), so everything is checked here before it gets there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from utils.data.formats.coco_entries import NOT_A_CLASS, ObjectEntry, wrong
from utils.data.label_map import NOT_CLASSES
from utils.data.outlines import CUT, MOST_STEPS, NO_PIXELS, clip, numbers, reaches_out
from utils.data.records import DataError, Instance, Rle
from utils.data.run_lengths import run_lengths

FAR = 10_000  # pixels; a polygon that leaves its image by more is cut at the border
BAD_PART = "polygon part(s) with under 3 points or an odd number of coordinates left out"
BACKGROUND = f"object(s) of class {' or '.join(map(repr, NOT_CLASSES))} left out"
NO_OUTLINE = "object(s) without an outline (segmentation) left out"

Outline = Rle | list[np.ndarray]  # arrays, as pycocotools takes those faster than lists
MOST_AREAS = 255  # measured by pycocotools at once
LeftOut = list[tuple[str, str]]  # reason and place


def draw_instances(
    objects: list[ObjectEntry],
    width: int,
    height: int,
    source: Path,
    left_out: LeftOut,
    faults: list[str],
) -> tuple[Instance, ...]:
    """The objects of one image, measured; those without a pixel are left out and counted.

    ``faults`` takes what is wrong with outlines.
    """
    drawn: list[tuple[ObjectEntry, Outline]] = []
    for one in objects:
        if one.label == NOT_A_CLASS:
            left_out.append((BACKGROUND, one.where))
            continue
        try:
            outline = _checked(one, width, height, source, left_out)
        except DataError as error:
            faults.append(str(error))
            continue
        if outline:
            drawn.append((one, outline))
        elif outline is not None:
            left_out.append((NO_PIXELS, one.where))
    instances = []
    measures = _measured([outline for _, outline in drawn], width, height)
    for (one, outline), (area, (x, y, w, h)) in zip(drawn, measures, strict=True):
        if area:
            if isinstance(outline, list) and reaches_out(_drawn(one), (width, height)):
                left_out.append((CUT, one.where))  # asked of the file, as far ones are clipped
            shape = outline if isinstance(outline, dict) else [part.tolist() for part in outline]
            instances.append(Instance(one.label, shape, (x, y, w, h), float(area), one.iscrowd))
        else:
            left_out.append((NO_PIXELS, one.where))
    return tuple(instances)


def _checked(
    one: ObjectEntry, width: int, height: int, source: Path, left_out: LeftOut
) -> Outline | None:
    """The outline, fit for pycocotools; empty if it lies far outside, None if there is none."""
    outline = one.segmentation
    if isinstance(outline, dict):
        return _checked_rle(outline, width, height, one.where, source)
    if isinstance(outline, list) or outline is None:
        return _checked_polygons(one, width, height, source, left_out)
    must = "must be a list of polygons or an object with run lengths"
    raise wrong(source, one.where, "segmentation", outline, must)


def _measured(
    outlines: list[Outline], width: int, height: int
) -> Iterable[tuple[int, list[float]]]:
    """Areas and boxes as of ``Instance.from_rle``, all at once, which is faster."""
    if not outlines:
        return []
    polygons = [part for outline in outlines if isinstance(outline, list) for part in outline]
    parts = iter(coco_mask.frPyObjects(polygons, height, width) if polygons else [])
    rles = []
    for outline in outlines:
        if isinstance(outline, dict):
            rles.append(outline)
        else:
            own = list(islice(parts, len(outline)))
            rles.append(own[0] if len(own) == 1 else coco_mask.merge(own))
    # pycocotools holds the length of the list in 8 bits, which NumPy 2 refuses from 256 on.
    slices = [rles[i : i + MOST_AREAS] for i in range(0, len(rles), MOST_AREAS)]
    areas = [area for part in slices for area in coco_mask.area(part).tolist()]
    return zip(areas, coco_mask.toBbox(rles).tolist(), strict=True)


def _parts(outline: list[Any] | None) -> list[Any]:
    """The parts of an outline; one polygon that was not wrapped in a list is one too."""
    if outline and all(isinstance(value, int | float) for value in outline):
        return [outline]
    return outline or []


def _is_drawn(points: Sized) -> bool:
    return len(points) >= 6 and len(points) % 2 == 0


def _drawn(one: ObjectEntry) -> Iterator[list[float]]:
    """The polygons of a checked outline as the file has them, without those left out."""
    return filter(_is_drawn, _parts(one.segmentation))


def _checked_polygons(
    one: ObjectEntry, width: int, height: int, source: Path, left_out: LeftOut
) -> list[np.ndarray] | None:
    """The parts that can be rasterised, none if all lie far outside; None without an outline."""
    where = one.where
    polygons: list[np.ndarray] = []
    usable = 0
    for number, part in enumerate(_parts(one.segmentation)):
        field = f"segmentation[{number}]"
        points = _numbers(part)
        if points is None or points.dtype.kind not in "iuf":  # rare; names the wrong number
            points = np.array(numbers(part, f"{source}: {where}: {field!r}"))
        if not _is_drawn(points):
            left_out.append((BAD_PART, where))
            continue
        usable += 1
        if points.min() < -FAR or points.max() > min(width, height) + FAR:
            points = np.array(
                clip(points.astype(np.float64).clip(-1e9, 1e9).tolist(), width, height)
            )
        if len(points) * (2 * FAR + width + height) > MOST_STEPS:
            steps = np.abs(points[2:] - points[:-2]).sum()
            if steps > MOST_STEPS:
                must = f"an outline of {steps:.0f} pixels, more than {MOST_STEPS}; redraw it"
                raise wrong(source, where, field, part, must)
        if len(points):
            polygons.append(points.astype(np.float64, copy=False))
    if not usable:
        left_out.append((NO_OUTLINE, where))
        return None
    return polygons


def _checked_rle(rle: dict[str, Any], width: int, height: int, where: str, source: Path) -> Rle:
    """Run lengths that fit the image, compressed."""
    size, counts = rle.get("size"), rle.get("counts")
    if size != [height, width]:
        must = f"must be [height, width] of the image, [{height}, {width}]"
        raise wrong(source, where, "segmentation.size", size, must)
    runs = run_lengths(counts) if isinstance(counts, str) else _numbers(counts)
    if (
        runs is None
        or runs.dtype.kind not in "iu"
        or runs.min() < 0
        or runs.max() > height * width
        or runs.sum() != height * width
    ):
        must = f"must be run lengths with the sum {height * width}, the pixels of the image"
        raise wrong(source, where, "segmentation.counts", counts, must)
    if not isinstance(counts, str):
        plain = {"size": [height, width], "counts": runs.tolist()}
        counts = coco_mask.frPyObjects(plain, height, width)["counts"].decode("ascii")
    return {"size": [height, width], "counts": counts}


def _numbers(values: Any) -> np.ndarray | None:
    """A flat list as an array; None if it is anything else."""
    try:
        array = np.array(values) if isinstance(values, list) else None
    except (ValueError, OverflowError):
        return None
    return array if array is not None and array.ndim == 1 and array.dtype != object else None
