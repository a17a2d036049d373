"""Outlines: curves against discs of pixels, clipping against pycocotools, refusals."""

import base64
import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask

from utils.data import outlines
from utils.data.records import DataError, to_rle

SIZE = (100, 80)  # width, height


def pixels(segmentation, size=SIZE):
    return coco_mask.decode(to_rle(segmentation, size[1], size[0])).astype(bool)


def filled(polygon, size=SIZE):
    """pycocotools alone, without any code of ours."""
    return coco_mask.decode(coco_mask.frPyObjects([polygon], size[1], size[0]))[:, :, 0] > 0


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def ellipse_pixels(x, y, rx, ry, theta=0.0, size=SIZE):
    rows, columns = np.mgrid[: size[1], : size[0]] + 0.5
    dx, dy = columns - x, rows - y
    along = dx * math.cos(theta) + dy * math.sin(theta)
    across = dy * math.cos(theta) - dx * math.sin(theta)
    return (along / rx) ** 2 + (across / ry) ** 2 <= 1


def edges(polygon):
    corners = [np.array(corner, float) for corner in zip(polygon[::2], polygon[1::2], strict=True)]
    return [(corners[i - 1], corner) for i, corner in enumerate(corners)]


def even_odd(polygon, size=SIZE):
    """The pixels whose centres lie inside, by counting edges to their right."""
    rows, columns = np.mgrid[: size[1], : size[0]] + 0.5
    inside = np.zeros(rows.shape, bool)
    for (x1, y1), (x2, y2) in edges(polygon):
        if y1 != y2:
            crosses = (y1 <= rows) != (y2 <= rows)
            inside ^= crosses & (columns < x1 + (rows - y1) * (x2 - x1) / (y2 - y1))
    return inside


def edge_distance(polygon, size=SIZE):
    """From every pixel's centre to the nearest edge."""
    centres = np.moveaxis(np.mgrid[: size[1], : size[0]] + 0.5, 0, -1)[..., ::-1]
    nearest = np.full(centres.shape[:2], np.inf)
    for start, end in edges(polygon):
        length = max(((end - start) ** 2).sum(), 1e-9)
        along = np.clip((centres - start) @ (end - start) / length, 0, 1)
        foot = start + along[..., None] * (end - start)
        nearest = np.minimum(nearest, np.linalg.norm(centres - foot, axis=-1))
    return nearest


def png(mask):
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_nothing_is_nothing():
    assert outlines.clip([], 10, 10) == []
    assert outlines.measure([], SIZE, "x") is None
    assert outlines.left_out_notes([]) == []
    assert outlines.numbers([], "x") == []


@pytest.mark.parametrize(("x", "y", "radius"), [(50, 40, 20), (50.5, 40.2, 33.3), (30, 40, 60)])
def test_circle_is_a_disc(x, y, radius):
    assert iou(filled(outlines.circle(x, y, radius)), ellipse_pixels(x, y, radius, radius)) >= 0.98


@pytest.mark.parametrize("theta", [0, 0.5, math.pi / 2, -1.2])
def test_ellipse_turns_from_x_towards_y(theta):
    expected = ellipse_pixels(50, 40, 35, 20, theta)
    assert iou(filled(outlines.ellipse(50, 40, 35, 20, theta)), expected) >= 0.98


@pytest.mark.parametrize("corners", [(2, 3, 8, 7), (8, 7, 2, 3), (2, 7, 8, 3), (8, 3, 2, 7)])
def test_rectangle_takes_corners_in_any_order(corners):
    expected = np.zeros((80, 100), bool)
    expected[3:7, 2:8] = True
    assert np.array_equal(filled(outlines.rectangle(*corners)), expected)


@pytest.mark.parametrize(
    ("polygon", "area"),
    [
        ([10, 10, 20, 10, 20, 20, 10, 20], 100),
        ([-10, -10, 10, -10, 10, 10, -10, 10], 100),
        ([90, 70, 200, 70, 200, 200, 90, 200], 100),
        ([-1e9, -1e9, 1e9, -1e9, 1e9, 1e9, -1e9, 1e9], 8000),
        ([200, 10, 220, 10, 220, 30], 0),
        ([-50, -50, -40, -50, -40, -40], 0),
        ([10, 10, 20, 10, 30, 10], 0),
        ([10.1, 10.1, 10.2, 10.1, 10.2, 10.2], 0),
    ],
)
def test_measure_counts_pixels_in_the_picture(polygon, area):
    instance = outlines.measure([polygon], SIZE, "x")
    if area == 0:
        assert instance is None
        return
    assert instance.area == area == pixels(instance.segmentation).sum()
    x, y, width, height = instance.bbox
    assert x >= 0
    assert y >= 0
    assert x + width <= 100
    assert y + height <= 80


def test_a_polygon_inside_stays_as_drawn():
    polygon = [10.25, 10.5, 30.0, 12.0, 20.0, 40.75]
    assert outlines.measure([polygon], SIZE, "x").segmentation == [polygon]


def test_a_comb_across_the_border_keeps_its_teeth_only():
    comb = [110, 0, 90, 0, 90, 10, 105, 10, 105, 20, 90, 20, 90, 30, 110, 30]
    expected = np.zeros((80, 100), bool)
    expected[0:10, 90:] = expected[20:30, 90:] = True
    assert np.array_equal(pixels([outlines.clip(comb, *SIZE)]), expected)


@pytest.mark.parametrize(
    ("parts", "is_out"),
    [
        ([], False),
        ([[-1, -1, 101, -1, 101, 81]], False),
        ([[-1.5, 0, 5, 0, 5, 5]], True),
        ([[0, -1.5, 5, 0, 5, 5]], True),
        ([[0, 0, 101.5, 0, 5, 5]], True),
        ([[0, 0, 5, 0, 5, 81.5]], True),
        ([[0, 0, 5, 0, 5, 5], [0, 0, 5, 0, 5, 10**400]], True),
        ([{"size": [80, 100], "counts": "0"}], False),
    ],
)
def test_what_reaches_out(parts, is_out):
    assert outlines.reaches_out(parts, SIZE) == is_out


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-150, 250), min_size=6, max_size=12).filter(lambda v: len(v) % 2 == 0))
def test_clipping_moves_no_pixel_off_the_outline(polygon):
    kept = outlines.clip([float(v) for v in polygon], *SIZE)
    found = pixels([kept]) if kept else np.zeros((80, 100), bool)
    assert (edge_distance(polygon)[found ^ even_odd(polygon)] <= 1).all()


def test_parts_are_united_and_masks_make_run_lengths():
    square, other = outlines.rectangle(10, 10, 20, 20), outlines.rectangle(15, 10, 30, 20)
    both = outlines.measure([square, other], SIZE, "x")
    assert (both.area, both.bbox) == (200, (10, 10, 20, 10))
    assert both.segmentation == [square, other]
    mask = outlines.png_mask(png(np.ones((5, 5), np.uint8)), [40, 40, 44, 44], SIZE, "x")
    mixed = outlines.measure([square, mask], SIZE, "x")
    assert mixed.area == 125
    assert isinstance(mixed.segmentation, dict)
    assert isinstance(mixed.segmentation["counts"], str)


def test_an_endless_outline_is_refused():
    with pytest.raises(DataError, match=r"a\.json: shapes\[1\].*pixels long"):
        outlines.measure([[0.0, 0.0, 100.0, 80.0] * 50_000], SIZE, "a.json: shapes[1]")


def test_mask_with_a_hole_comes_back():
    ring = np.ones((10, 12), np.uint8) * 255
    ring[3:6, 4:8] = 0
    for corners in ([20, 30, 31, 39], [31, 39, 20, 30], [20, 30, 32, 40]):
        rle = outlines.png_mask(png(ring), corners, SIZE, "x")
        expected = np.zeros((80, 100), bool)
        expected[30:40, 20:32] = ring > 0
        assert np.array_equal(coco_mask.decode(rle) > 0, expected)


@pytest.mark.parametrize(("x", "y"), [(-4, -3), (95, 75), (-20, 10), (10, 200), (5000, 5000)])
def test_mask_across_the_border_is_cut(x, y):
    rle = outlines.png_mask(png(np.ones((8, 8), np.uint8)), [x, y, x + 7, y + 7], SIZE, "x")
    expected = np.zeros((400, 400), bool)
    if x < 200:
        expected[100 + y : 108 + y, 100 + x : 108 + x] = True
    assert np.array_equal(coco_mask.decode(rle) > 0, expected[100:180, 100:200])


def bomb():
    buffer = io.BytesIO()
    Image.new("1", (20000, 20000)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "must be a PNG"),
        (5, "must be a PNG"),
        ("", "not a PNG"),
        ("not base64!", "not a PNG"),
        ("Zm9v", "not a PNG"),
        ("é", "not a PNG"),
        (png(np.ones((8, 8), np.uint8))[:60], "not a PNG"),
        (png(np.ones((8, 9), np.uint8)), "must be equal"),
        (png(np.ones((8, 8, 3), np.uint8)), "one channel"),
        (png(np.ones((200, 8), np.uint8)), "larger than the picture"),
        ("A" * 200_000, "too many"),
    ],
)
def test_wrong_masks_are_refused(text, message):
    with pytest.raises(DataError, match=rf"here\.mask.*{message}"):
        outlines.png_mask(text, [0, 0, 7, 7], SIZE, "here.mask")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bomb_is_refused_by_its_header():
    with pytest.raises(DataError, match="x: mask"):
        outlines.png_mask(bomb(), [0, 0, 19999, 19999], SIZE, "x: mask")


@pytest.mark.parametrize("value", [None, True, "1", [], {}, math.nan, math.inf, -math.inf])
def test_what_is_no_number(value):
    assert outlines.number(value) is None
    with pytest.raises(DataError, match=r"a\.json: xs\[1\] is .*finite number"):
        outlines.numbers([0, value], "a.json: xs")


def test_numbers_of_any_size_are_taken():
    assert outlines.number(10**400) == outlines.FAR
    assert outlines.number(-1e300) == -outlines.FAR
    assert outlines.numbers([1, 2.5], "x") == [1.0, 2.5]


def test_values_are_shown_short():
    assert outlines.shown({"a": 1}) == "an object of 1"
    assert outlines.shown("x" * 1000) == repr("x" * 60)
    assert len(outlines.shown(10**4000)) == 80


def test_notes_count_each_reason():
    notes = outlines.left_out_notes([("b", "2"), ("a", "1"), ("b", "3")])
    assert notes == ["1 a, first in 1", "2 b, first in 2"]
