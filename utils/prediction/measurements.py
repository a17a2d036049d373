"""Measurements of each object: sizes, place, form, intensity.

Numbers are defined as in scikit-image's ``regionprops``. The centre of a pixel has whole numbers
for coordinates, (0, 0) is that of the first pixel, y goes down; a box begins with its first pixel.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.data.channels import RGB
from utils.data.mask_crops import Crop
from utils.folders import whole_text
from utils.prediction.contact_map import REGION_COLUMNS, ContactMap, parse_contact_map, regions
from utils.prediction.found_picture import FoundPicture
from utils.prediction.journal import Record
from utils.prediction.pixel_size import PixelSize, parse_pixel_size
from utils.prediction.pixels import Pixels

Measured = Mapping[str, float | None]  # None: it has no such number
SHAPE = (
    "area_px", "equivalent_diameter_px", "box_x_px", "box_y_px", "box_width_px", "box_height_px",
    "centroid_x_px", "centroid_y_px", "perimeter_px", "major_axis_px", "minor_axis_px",
    "orientation_deg", "eccentricity",
)  # fmt: skip
OBJECT = ("image", "video", "frame", "seconds", "object", "track", "class", "score")
NOTHING: Measured = dict.fromkeys((*SHAPE, "mean_intensity"))
AREA = "area_px"
BAND = 1 << 20  # pixels of an object that are looked at together
ROOT = math.sqrt(2)
# How much of the perimeter lies in a border pixel: by how many of its four direct (rows) and four
# diagonal (columns) neighbours are border pixels. Benkrid and Crookes, "Design and FPGA
# implementation of a perimeter estimator"; as skimage.measure.perimeter has it.
LENGTHS = np.array(
    [
        [0, 0, ROOT, 0, 0],
        [0, (1 + ROOT) / 2, (1 + ROOT) / 2, ROOT, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 0, 0],
        [0, 0, 0, 0, 0],
    ]
)
ITU_R_601 = np.array([0.299, 0.587, 0.114])  # of red, green and blue in grey


def measure(found: FoundPicture) -> list[Measured]:
    """What is measured of each object, in pixels; in the order of the prediction.

    ``perimeter_px`` is the length of a line through the centres of border pixels. The axes are
    those of the ellipse with the same second moments. ``orientation_deg`` is of the major axis: 0
    is upright, and it grows counter-clockwise up to 90, which lies flat; what is as long in all
    directions has none. ``mean_intensity`` is of grey (ITU-R 601, 0 to 255) in pictures of three
    channels, else of each channel as the network is given it (0 to 1). What has no pixel has no
    number.
    """
    if not found.crops:
        return []
    pixels = found.picture.pixels
    channels = pixels.window(0, 0, 1, 1).shape[2]
    names = (*SHAPE, *_intensity_names(channels))
    return [
        dict(zip(names, _numbers(crop, pixels, channels), strict=True))
        if crop
        else dict.fromkeys(names)
        for crop in found.crops
    ]


def _intensity_names(channels: int) -> list[str]:
    if channels in (1, RGB):
        return ["mean_intensity"]
    return [f"mean_intensity_{channel}" for channel in range(1, channels + 1)]


def _numbers(crop: Crop, pixels: Pixels, channels: int) -> list[float | None]:
    """All measurements of an object, in bands of rows: it may be as large as the picture."""
    height, width = crop.mask.shape
    sums = _Sums(0, 0, 0, 0, 0, 0)
    perimeter, intensity = 0.0, np.zeros(channels)
    rows = max(1, BAND // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        band = crop.mask[top:bottom].astype(np.float64)
        sums = _Sums(*(a + b for a, b in zip(sums, _sums(band, top), strict=True)))
        perimeter += _perimeter(crop.mask, top, bottom)
        window = pixels.window(crop.x, crop.y + top, width, bottom - top)
        intensity += np.tensordot(band, window.astype(np.float64), 2)
    n = sums.n
    means = intensity / n
    return [
        n, 2 * math.sqrt(n / math.pi), crop.x, crop.y, width, height,
        crop.x + sums.x / n, crop.y + sums.y / n, perimeter, *_ellipse(sums),
        *([float(means @ ITU_R_601)] if channels == RGB else means.tolist()),
    ]  # fmt: skip


class _Sums(NamedTuple):
    """Of the pixels of an object: how many, and sums of their coordinates; exact."""

    n: int
    x: int
    y: int
    xx: int
    xy: int
    yy: int


def _sums(band: np.ndarray, top: int) -> _Sums:
    """Of some rows of a mask, float64 0/1; ``top`` is the y of the first."""
    height, width = band.shape
    x, y = np.arange(width, dtype=np.float64), np.arange(top, top + height)
    of_rows = band @ np.stack([np.ones(width), x, x * x], axis=1)  # whole numbers below 2**53
    n, sum_x, sum_xx = of_rows.astype(np.int64).T
    sums = (n.sum(), sum_x.sum(), y @ n, sum_xx.sum(), y @ sum_x, (y * y) @ n)
    return _Sums(*map(int, sums))


def _ellipse(sums: _Sums) -> tuple[float, float, float | None, float]:
    """Major axis, minor axis, orientation in degrees and eccentricity of the ellipse that has the
    same second moments. In whole numbers as long as can be: a disc is none by rounding."""
    n, x, y, xx, xy, yy = sums
    var_x, var_y, covariance = n * xx - x * x, n * yy - y * y, n * xy - x * y  # times n squared
    difference = math.hypot(var_x - var_y, 2 * covariance)  # of the two eigenvalues
    large = (var_x + var_y + difference) / 2
    if not large:
        return 0.0, 0.0, None, 0.0  # one pixel
    small = (var_x * var_y - covariance * covariance) / large
    angle = math.degrees(math.atan2(2 * covariance, var_y - var_x) / 2) if difference else None
    return 4 * math.sqrt(large) / n, 4 * math.sqrt(small) / n, angle, math.sqrt(difference / large)


def _perimeter(mask: np.ndarray, top: int, bottom: int) -> float:
    """The perimeter that lies in some rows of a mask. A border pixel has one beside, above or below
    it that is not of the object."""
    first, last = max(top - 2, 0), min(bottom + 2, len(mask))
    width = mask.shape[1] + 2
    near = np.zeros((bottom - top + 4, width), np.bool_)
    near[first - top + 2 : last - top + 2, 1:-1] = mask[first:last]
    border = near[1:-1].copy()  # the rows and one more at each side
    inside = near[:-2] & near[2:]
    inside[:, 1:-1] &= near[1:-1, :-2] & near[1:-1, 2:]
    border &= ~inside
    flat = border.view(np.uint8).ravel()
    at = np.flatnonzero(flat[width:-width]) + width
    direct = flat[at - 1] + flat[at + 1] + flat[at - width] + flat[at + width]
    diagonal = sum(flat[at + step] for step in (-width - 1, 1 - width, width - 1, width + 1))
    return float(LENGTHS[direct, diagonal].sum())


def write_measurements(
    path: Path,
    classes: Sequence[str],
    records: Iterable[Record],
    pixel_size: str = "",
    bin_size: str = "",
    origin: str = "",
) -> None:
    """``measurements.csv``: a row per object, numbered as in the id masks; what it does not have
    is left empty.

    With a pixel size, all that is in pixels follows in its unit (``area_um2``); with a bin size,
    the object's regions in the genome. Never more than one record is in memory.

    Raises:
        OSError: the disk is full; names the file, which is as it was before.
        ValueError: pixel size, bin size or origin cannot be understood.
    """
    size = parse_pixel_size(pixel_size) if pixel_size else None
    contact_map = parse_contact_map(bin_size, origin) if bin_size else None
    rows = _rows(classes, records, size, contact_map)
    first = next(rows, None)
    genome = REGION_COLUMNS if contact_map else ()
    header = [*first] if first else [*OBJECT, *_in_unit(NOTHING, size), *genome]
    with whole_text(path) as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for row in chain([first] if first else [], rows):
            writer.writerow([_text(row.get(name)) for name in header])


def _rows(
    classes: Sequence[str],
    records: Iterable[Record],
    size: PixelSize | None,
    contact_map: ContactMap | None,
) -> Iterator[dict[str, Any]]:
    for record in records:
        objects = record["objects"]
        all_measured: Sequence[Measured] = record.get("measurements") or [NOTHING] * len(objects)
        places = regions(objects, contact_map) if contact_map else [None] * len(objects)
        in_video = (record.get("video"), record.get("frame"), record.get("seconds"))
        for number, (found, measured, place) in enumerate(
            zip(objects, all_measured, places, strict=True), start=1
        ):
            name = classes[found["category_id"] - 1]
            which = (record["name"], *in_video, number, found.get("track_id"), name, found["score"])
            row = {**dict(zip(OBJECT, which, strict=True)), **_in_unit(measured, size)}
            if contact_map:
                row |= zip(REGION_COLUMNS, place or [None] * len(REGION_COLUMNS), strict=True)
            yield row


def _in_unit(measured: Measured, size: PixelSize | None) -> Measured:
    """What is measured, and once more in the unit of the pixel size."""
    result = dict(measured)
    if size is None:
        return result
    for name, value in measured.items():
        if name.endswith("_px"):
            factor, unit = (size.side**2, f"{size.unit}2") if name == AREA else size
            result[name.removesuffix("px") + unit] = None if value is None else value * factor
    return result


def _text(value: Any) -> str:
    """A cell: ten digits are more than was measured."""
    if isinstance(value, float):
        return f"{value:.10g}"
    return "" if value is None else str(value)
