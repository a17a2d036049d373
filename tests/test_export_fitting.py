"""Pictures fitted into the one size that an exported file takes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from utils.export.fitting import fitted

MEAN = (0.485, 0.456, 0.406)


def smooth(height, width) -> np.ndarray:
    """A picture without edges, uint8 RGB."""
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / 9 + n) + np.cos(columns / 7 - n) for n in range(3)]
    return ((np.stack(waves, -1) + 2) * 60).astype(np.uint8)


@pytest.mark.parametrize(
    ("picture", "canvas", "inside"),
    [
        ((40, 60), (80, 120), (80, 120)),  # all of it
        ((40, 60), (80, 80), (53, 80)),
        ((60, 40), (80, 80), (80, 53)),
        ((200, 100), (50, 60), (50, 25)),
        ((1, 500), (32, 64), (1, 64)),  # never nothing
        ((333, 500), (96, 144), (96, 144)),
    ],
)
def test_a_picture_is_made_as_large_as_there_is_room(picture, canvas, inside):
    found = fitted(smooth(*picture), canvas, MEAN)
    assert found.canvas.shape == (*canvas, 3)
    assert found.canvas.dtype == np.uint8
    assert (found.height, found.width) == inside


@pytest.mark.parametrize("size", [(80, 120), (29, 41), (200, 300)])
def test_it_is_resized_as_pillow_does(size):
    pixels = smooth(80, 120)
    found = fitted(pixels, size, MEAN)
    wanted = Image.fromarray(pixels).resize((found.width, found.height), Image.Resampling.BILINEAR)
    inside = found.canvas[: found.height, : found.width].astype(int)
    assert np.abs(inside - np.asarray(wanted, int)).max() <= 1


def test_small_things_do_not_flicker_when_it_is_made_smaller():
    stripes = np.zeros((90, 90, 3), np.uint8)
    stripes[:, ::2] = 255
    inside = fitted(stripes, (30, 30), MEAN).canvas[:, 2:-2]
    assert abs(inside.astype(int) - 127).max() < 20


def test_the_rest_is_the_mean_colour_at_the_right_or_below():
    colour = [124, 116, 104]
    upright = fitted(smooth(80, 40), (80, 80), MEAN).canvas
    assert (upright[:, 40:] == colour).all()
    assert not (upright[:, :40] == colour).all(-1).any(0).all()
    wide = fitted(smooth(40, 80), (80, 80), MEAN).canvas
    assert (wide[40:] == colour).all()


def test_floats_of_any_number_of_channels_stay_floats():
    pixels = np.random.default_rng(0).random((30, 20, 5), np.float32)
    found = fitted(pixels, (30, 30), (0.1, 0.2, 0.3, 0.4, 0.5))
    assert found.canvas.dtype == np.float32
    np.testing.assert_array_equal(found.canvas[:, :20], pixels)
    np.testing.assert_array_equal(
        found.canvas[:, 20:], np.float32([[[0.1, 0.2, 0.3, 0.4, 0.5]]] * 30).repeat(10, 1)
    )


def test_the_picture_is_left_as_it_is():
    pixels = smooth(30, 20)
    pixels.flags.writeable = False
    view = pixels[::-1, :, ::-1]
    found = fitted(view, (60, 40), MEAN)
    np.testing.assert_array_equal(found.canvas, fitted(view.copy(), (60, 40), MEAN).canvas)
