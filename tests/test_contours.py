"""Outlines of masks: filled again by pycocotools, they are the masks."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from utils.data import contours
from utils.data.contours import Region, joined, simplify, trace, with_seams

masks = arrays.arrays(
    np.uint8,
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    elements=st.sampled_from([0, 1]),
    fill=st.nothing(),
)


def filled(polygons, shape):
    """The pixels that any of the polygons fills."""
    if not polygons:
        return np.zeros(shape, bool)
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, *shape))) > 0


def refilled(regions, shape):
    mask = np.zeros(shape, bool)
    for region in regions:  # one by one, since an island lies in a hole of another
        mask |= filled([region.outer], shape) & ~filled(region.holes, shape)
    return mask


def components(mask):
    """4-connected regions by flood, the slow and obvious way."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    found = []
    while left:
        stack, pixels = [left.pop()], set()
        while stack:
            y, x = stack.pop()
            pixels.add((y, x))
            around = {(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)} & left
            left -= around
            stack += around
        found.append(frozenset(pixels))
    return set(found)


def pixels_of(mask):
    return frozenset((int(y), int(x)) for y, x in np.argwhere(mask))


def corners(polygon):
    return list(zip(polygon[::2], polygon[1::2], strict=True))


def drawn(size):
    """A large ragged object with holes, an island in one of them, and specks around."""
    rng = np.random.default_rng(size)
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    radius = size * (0.4 + 0.08 * rng.random(200))
    points = np.stack([size / 2 + radius * np.cos(angles), size / 2 + radius * np.sin(angles)], 1)
    picture = Image.new("L", (size, size))
    draw = ImageDraw.Draw(picture)
    draw.polygon([tuple(point) for point in points], fill=1)
    draw.ellipse((size * 0.3, size * 0.3, size * 0.5, size * 0.6), fill=0)
    draw.ellipse((size * 0.35, size * 0.4, size * 0.4, size * 0.5), fill=1)
    draw.rectangle((size * 0.6, size * 0.6, size * 0.62, size * 0.8), fill=0)
    return np.asarray(picture)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5)])
def test_an_empty_mask_has_no_region(shape):
    assert trace(np.zeros(shape, np.uint8)) == []


@pytest.mark.parametrize(
    ("mask", "regions"),
    [
        ([[1]], [Region([0, 1, 0, 0, 1, 0, 1, 1], [])]),
        ([[0, 7, 7]], [Region([1, 1, 1, 0, 3, 0, 3, 1], [])]),
        (
            [[1, 1, 1], [1, 0, 1], [1, 1, 1]],
            [Region([0, 3, 0, 0, 3, 0, 3, 3], [[1, 1, 1, 2, 2, 2, 2, 1]])],
        ),
        (
            [[1, 0], [0, 1]],
            [Region([0, 1, 0, 0, 1, 0, 1, 1], []), Region([1, 2, 1, 1, 2, 1, 2, 2], [])],
        ),
    ],
)
def test_small_masks_by_hand(mask, regions):
    assert trace(np.array(mask)) == regions


@settings(max_examples=400, deadline=None)
@given(masks)
def test_outlines_filled_are_the_mask(mask):
    regions = trace(mask)

    assert np.array_equal(refilled(regions, mask.shape), mask > 0)
    assert np.array_equal(filled([with_seams(r) for r in regions], mask.shape), mask > 0)
    assert not regions or np.array_equal(filled([joined(regions)], mask.shape), mask > 0)


@settings(max_examples=200, deadline=None)
@given(masks)
def test_every_region_is_4_connected_and_owns_its_holes(mask):
    found = [pixels_of(refilled([region], mask.shape)) for region in trace(mask)]

    assert len(found) == len(set(found))
    assert set(found) == components(mask)


@settings(max_examples=200, deadline=None)
@given(masks)
def test_corners_are_whole_and_none_is_on_the_way(mask):
    for region in trace(mask):
        for polygon in (region.outer, *region.holes):
            assert all(value == int(value) for value in polygon)
            points = corners(polygon)
            for i, (x, y) in enumerate(points):
                (before_x, before_y), after_x = points[i - 1], points[i - len(points) + 1][0]
                assert (x == before_x) != (y == before_y)
                assert (x == before_x) != (x == after_x)


@pytest.mark.parametrize("size", [50, 333])
def test_a_large_object_with_holes_and_an_island(size):
    mask = drawn(size)
    regions = trace(mask)

    largest = max(regions, key=lambda region: len(region.outer))
    assert len(largest.holes) == 2
    assert sum(len(region.holes) for region in regions) == 2
    assert len(regions) == len(components(mask))
    assert np.array_equal(refilled(regions, mask.shape), mask > 0)
    assert np.array_equal(filled([joined(regions)], mask.shape), mask > 0)


def test_a_large_object_is_traced_fast():
    mask = drawn(1000)
    trace(mask)
    start = time.perf_counter()
    trace(mask)

    assert time.perf_counter() - start < 1  # about 0.03 s on a free core


def test_noise_is_traced_in_time():
    mask = np.random.default_rng(0).random((300, 300)) < 0.6
    start = time.perf_counter()
    regions = trace(mask)

    assert np.array_equal(filled([joined(regions)], mask.shape), mask)
    assert time.perf_counter() - start < 20


def test_tens_of_thousands_of_parts_are_joined_in_time():
    mask = np.random.default_rng(0).random((600, 600)) < 0.35
    regions = trace(mask)
    start = time.perf_counter()
    polygon = joined(regions)

    assert time.perf_counter() - start < 30  # 2 s on a free core; it was minutes
    assert len(regions) > 40_000
    assert np.array_equal(filled([polygon], mask.shape), mask)


@settings(max_examples=200, deadline=None)
@given(masks, st.integers(1, 20))
def test_seams_that_are_not_the_shortest_fill_nothing_either(mask, reach):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contours, "REACH", reach)
        polygons = [joined(trace(mask))] if mask.any() else []

    assert np.array_equal(filled(polygons, mask.shape), mask > 0)


def test_holes_side_by_side_belong_to_the_object_around_them():
    mask = np.zeros((7, 16), np.uint8)
    mask[2, 0] = 1
    mask[:, 2:] = 1
    mask[2:5, 3:15:2] = 0
    dot, comb = trace(mask)

    assert dot.holes == []
    assert len(comb.holes) == 6


def distance(point, start, end):
    """From a point to a segment, by the book."""
    point, start, end = map(np.array, (point, start, end))
    along = end - start
    share = np.clip((point - start) @ along / max(along @ along, 1e-12), 0, 1)
    return float(np.linalg.norm(point - start - share * along))


@settings(max_examples=100, deadline=None)
@given(masks, st.floats(0.1, 4))
def test_simplified_outlines_stay_near(mask, tolerance):
    for region in trace(mask):
        polygon = simplify(region.outer, tolerance)
        points, kept = corners(region.outer), corners(polygon)

        assert len(kept) >= 3
        places = iter(points)
        assert all(point in places for point in kept)  # some of the points, in order
        sides = list(zip(kept, kept[1:] + kept[:1], strict=True))
        for point in points:
            assert min(distance(point, *side) for side in sides) <= tolerance + 1e-9


def test_simplifying_leaves_out_most_corners_of_a_large_object():
    picture = Image.new("L", (333, 333))
    ImageDraw.Draw(picture).ellipse((20, 40, 300, 290), fill=1)
    mask = np.asarray(picture)
    (region,) = trace(mask)
    polygon = simplify(region.outer, 1.0)
    again = filled([polygon], mask.shape)

    assert len(polygon) < 0.2 * len(region.outer)
    assert (again & (mask > 0)).sum() / (again | (mask > 0)).sum() > 0.98
    assert simplify(region.outer, 0) == region.outer
    assert simplify([0, 0, 5, 0, 0, 5], 100) == [0, 0, 5, 0, 0, 5]
    assert simplify([0, 0, 1, 0, 1, 1, 0, 1], 100) == [0, 0, 1, 0, 1, 1, 0, 1]
