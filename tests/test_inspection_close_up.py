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


def test_a_region_is_cut_to_whole_pixels_of_the_image():
    close_up = CloseUp(PIXELS, (9.5, -3, 14.2, 2.5), 100)

    assert close_up.region == (9, 0, 15, 3)
    assert_array_equal(shown(close_up)[0, 0], PIXELS[0, 9])


@pytest.mark.parametrize(
    ("boxes", "wanted"),
    [
        ([(20, 10, 30, 20)], (18, 8, 32, 22)),
        ([(20, 10, 25, 20), (22, 12, 30, 18)], (18, 8, 32, 22)),  # around both
        ([(0, 0, 10, 10)], (0, 0, 14, 14)),  # moved into the image
        ([(50, 30, 60, 40)], (46, 26, 60, 40)),
        ([(10, 18, 60, 22)], (0, -10, 60, 50)),  # never more than the longer side
        ([(0, 5, 50, 6)], (0, -10, 60, 50)),
    ],
)
def test_what_is_around_boxes_is_a_square(boxes, wanted):
    assert around(boxes, (60, 40), margin=0.2) == pytest.approx(wanted)


def test_tiny_boxes_have_room():
    assert around([(30, 20, 30, 20)], (60, 40), least=8) == (26, 16, 34, 24)
    assert around([(30, 20, 30, 20)], (6, 4), least=32) == (0, -1, 6, 5)
