"""Close-ups: a pixel of the image is a square of the picture, where the region says."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from utils.inspection.close_up import CloseUp, around

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
GREEN = (0, 255, 0)


def shown(close_up):
    return np.asarray(close_up.picture())


def test_pixels_are_squares():
    picture = shown(CloseUp(PIXELS, (10, 20, 14, 22), 80))

    assert picture.shape == (40, 80, 3)
    assert_array_equal(picture, PIXELS[20:22, 10:14].repeat(20, 0).repeat(20, 1))


def test_a_region_larger_than_the_picture_is_made_smaller():
    assert shown(CloseUp(PIXELS, (0, 0, 60, 40), 30)).shape == (20, 30, 3)
    assert shown(CloseUp(PIXELS, (0, 0, 60, 40), 70)).shape == (47, 70, 3)


def test_drawing_takes_the_images_coordinates():
    close_up = CloseUp(PIXELS, (10, 20, 14, 24), 80)
    mask = np.zeros((40, 60), bool)
    mask[21, 12] = True
    close_up.mask(mask, GREEN, 1)
    green = (shown(close_up) == GREEN).all(axis=2)

    assert close_up.place(12, 21) == (40, 20)
    assert green[20:40, 40:60].all()
    assert green.sum() == 400


def test_an_outline_runs_along_the_inside():
    close_up = CloseUp(PIXELS, (10, 20, 14, 24), 80)
    mask = np.zeros((40, 60), bool)
    mask[21:23, 11:13] = True
    close_up.outline(mask, GREEN, 3)
    green = (shown(close_up) == GREEN).all(axis=2)
    wanted = np.zeros((80, 80), bool)
    wanted[20:60, 20:60] = True
    wanted[23:57, 23:57] = False

    assert_array_equal(green, wanted)


def test_the_outline_of_no_pixel_is_none():
    close_up = CloseUp(PIXELS, (10, 20, 14, 24), 80)
    before = shown(close_up)
    close_up.outline(np.zeros((40, 60), bool), GREEN, 3)

    assert_array_equal(shown(close_up), before)


@pytest.mark.parametrize(
    ("box", "wanted"),
    [
        ((20, 10, 30, 20), (18, 8, 32, 22)),  # at least two pixels around
        ((0, 0, 1, 1), (0, 0, 5, 5)),  # moved into the image
        ((59, 39, 60, 40), (55, 35, 60, 40)),
        ((10, 5, 60, 6), (0, 0, 60, 40)),  # higher than the image
    ],
)
def test_what_is_around_a_box_lies_in_the_image(box, wanted):
    assert around(box, (60, 40)) == wanted


def test_a_large_object_has_a_margin_of_its_own_size():
    left, top, right, bottom = around((100, 100, 200, 150), (1000, 1000))

    assert right - left == bottom - top == 124
    assert (left, top) == (88, 63)
