"""Boxes, masks and points land on the pixels they mean."""

import numpy as np
import pytest

from utils.drawing import png
from utils.inspection.canvas import NEGATIVE, OBJECT, PALE, POSITIVE, Canvas
from utils.inspection.heat_map import NOT_FINITE, STOPS, colour_scale, coloured, heat_map

BLACK = np.zeros((20, 40, 3), np.uint8)


def drawn(canvas):
    return np.asarray(canvas.picture())


def is_colour(pixels, colour):
    return (pixels == np.array(colour, np.uint8)).all(axis=-1)


def extent(found):
    rows, columns = np.nonzero(found)
    return [int(v) for v in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]


@pytest.mark.parametrize("style", ["solid", "dashed", "dotted"])
def test_a_box_is_enlarged_with_its_image(style):
    canvas = Canvas(BLACK, side=400)
    canvas.box((5, 2, 15, 12), POSITIVE, style)
    found = is_colour(drawn(canvas), POSITIVE)

    assert extent(found) == [50, 20, 150, 120]
    assert not found[30:110, 60:140].any()


def test_styles_differ_in_how_much_is_drawn():
    counts = []
    for style in ("solid", "dashed", "dotted"):
        canvas = Canvas(BLACK, side=400)
        canvas.box((5, 2, 35, 18), POSITIVE, style)
        counts.append(is_colour(drawn(canvas), POSITIVE).sum())

    assert counts[0] > counts[1] > counts[2] > 0


def test_a_box_without_an_extent_is_a_dot():
    canvas = Canvas(BLACK, side=400)
    canvas.box((5, 5, 5, 5), POSITIVE, "dashed")

    assert is_colour(drawn(canvas), POSITIVE).any()


def test_a_mask_tints_its_pixels():
    mask = np.zeros((20, 40), bool)
    mask[3:6, 10:20] = True
    canvas = Canvas(BLACK, side=400)
    canvas.mask(mask, OBJECT, opacity=1.0)

    assert extent(is_colour(drawn(canvas), OBJECT)) == [100, 30, 200, 60]
    assert is_colour(drawn(canvas), OBJECT).sum() == 30 * 100


def test_a_region_is_shown_alone():
    canvas = Canvas(BLACK, side=200, region=(10, 0, 30, 20))
    canvas.box((15, 5, 25, 10), POSITIVE)
    mask = np.zeros((20, 40), bool)
    mask[15:18, 12:14] = True
    canvas.mask(mask, OBJECT, opacity=1.0)

    assert canvas.size == (200, 200)
    assert extent(is_colour(drawn(canvas), POSITIVE)) == [50, 50, 150, 100]
    assert extent(is_colour(drawn(canvas), OBJECT)) == [20, 150, 40, 180]


def test_outside_of_the_image_is_white():
    pixels = drawn(Canvas(BLACK, side=200, region=(-10, 0, 10, 20)))

    assert (pixels[:, :95] == 255).all()
    assert (pixels[:, 105:] == 0).all()


def test_a_faded_image():
    assert drawn(Canvas(BLACK + 200, dim=0.5)).max() == 100


def test_labels_keep_off_each_other():
    canvas = Canvas(BLACK, side=400)
    canvas.box((5, 8, 20, 18), NEGATIVE, text="one")
    canvas.box((5, 8, 20, 18), POSITIVE, text="two")
    pixels = drawn(canvas)

    assert is_colour(pixels, NEGATIVE).sum() > 100  # its label: the boxes are the same
    assert is_colour(pixels, POSITIVE).sum() > 100
    assert (drawn(canvas) == pixels).all()  # drawn as often as one likes


def test_points_and_arrows():
    canvas = Canvas(BLACK, side=400)
    canvas.points([(10, 10)], PALE, radius=4)
    canvas.arrow((20, 10), (30, 10), POSITIVE)
    pixels = drawn(canvas)

    assert extent(is_colour(pixels, PALE)) == [96, 96, 105, 105]
    assert extent(is_colour(pixels, POSITIVE))[:1] == [200]


def test_low_is_dark_and_high_is_light():
    picture = coloured(np.array([[0.0, 5, 10, 20, -3]]), 0, 10)

    assert tuple(picture[0, 0]) == tuple(picture[0, 4]) == STOPS[0]
    assert tuple(picture[0, 2]) == tuple(picture[0, 3]) == STOPS[-1]
    lightness = coloured(np.linspace(0, 1, 50)[None], 0, 1)[0] @ (0.299, 0.587, 0.114)
    assert (np.diff(lightness) > 0).all()


def test_infinite_numbers_and_nan_have_a_colour_of_their_own():
    assert tuple(coloured(np.array([[np.nan, 1.0]]), 0, 1)[0, 0]) == NOT_FINITE
    assert heat_map(np.full((2, 2), np.inf), (4, 4)).getpixel((0, 0)) == NOT_FINITE


def test_a_flat_map_is_drawn():
    assert heat_map(np.ones((3, 4)), (40, 30)).size == (40, 30)


def test_a_map_keeps_its_places():
    values = np.zeros((2, 4))
    values[1, 2] = 1
    light = is_colour(np.asarray(heat_map(values, (40, 20))), STOPS[-1])

    assert extent(light) == [20, 10, 30, 20]


def test_the_scale_says_its_ends():
    bare, told = colour_scale(300, "", ""), colour_scale(300, "0", "0.93")

    assert bare.size == told.size
    assert png(bare) != png(told)
