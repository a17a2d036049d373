"""The pixels that outputs are made of: parts, and the whole made smaller."""

from __future__ import annotations

import numpy as np
import pytest

from utils.data.channels import rgb_view
from utils.prediction.pixels import PixelArray, view_size


@pytest.mark.parametrize("kind", ["rgb", "five channels"])
def test_a_window_is_that_part(kind):
    draw = np.random.default_rng(0)
    array = draw.integers(0, 256, (7, 9, 3), np.uint8)
    if kind != "rgb":
        array = draw.random((7, 9, 5), np.float32)
    pixels = PixelArray(array)
    assert (pixels.height, pixels.width) == (7, 9)
    window = pixels.window(2, 1, 4, 3)
    assert window.dtype == array.dtype
    for y in range(3):
        for x in range(4):
            assert (window[y, x] == array[1 + y, 2 + x]).all()
    np.testing.assert_array_equal(pixels.window(0, 0, 9, 7), array)


@pytest.mark.parametrize("most", [63, 64, 10**9])
def test_a_picture_that_is_small_enough_is_shown_as_it_is(most):
    array = np.random.default_rng(1).integers(0, 256, (7, 9, 3), np.uint8)
    np.testing.assert_array_equal(PixelArray(array).view(most), array)


def test_a_large_picture_is_shown_smaller_each_pixel_a_mean():
    array = np.random.default_rng(2).integers(0, 256, (8, 12, 3), np.uint8)
    shown = PixelArray(array).view(24)
    assert shown.shape == (4, 6, 3)
    for y in range(4):
        for x in range(6):
            mean = array[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean(axis=(0, 1))
            assert np.abs(shown[y, x] - mean).max() <= 1


def test_other_channels_are_shown_as_rgb():
    array = np.random.default_rng(3).random((6, 5, 4), np.float32)
    shown = PixelArray(array).view(100)
    assert (shown.dtype, shown.shape) == (np.uint8, (6, 5, 3))
    np.testing.assert_array_equal(shown, rgb_view(array))


@pytest.mark.parametrize(
    ("width", "height", "most", "wanted"),
    [
        (1, 1, 1, (1, 1)),
        (100, 100, 10_000, (100, 100)),
        (100, 100, 2_500, (50, 50)),
        (400, 100, 10_000, (200, 50)),
        (5000, 1, 50, (500, 1)),  # never thinner than a pixel
        (1, 5000, 50, (1, 500)),
        (20_000, 20_000, 50_000_000, (7071, 7071)),
    ],
)
def test_sizes_to_look_at(width, height, most, wanted):
    assert view_size(width, height, most) == wanted
