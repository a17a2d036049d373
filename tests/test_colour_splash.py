"""Colour splash, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from found_scene import found_picture, noise, random_masks
from PIL import Image

from utils.data.channels import rgb_view
from utils.prediction import colour_splash
from utils.prediction.colour_splash import splash
from utils.prediction.picture_files import save_picture


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 100), (30, 41)])
def test_nothing_found_leaves_a_grey_picture(height, width):
    image = noise(height, width)
    before = image.copy()
    result = np.asarray(splash(found_picture(image, []))).astype(int)
    grey = image @ [0.299, 0.587, 0.114]  # ITU-R 601
    assert np.abs(result - grey[:, :, None]).max() <= 1
    assert (result == result[:, :, :1]).all()
    assert np.array_equal(image, before)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 100), (30, 41)])
@pytest.mark.parametrize("channels", [3, 1, 2, 5])
def test_all_objects_keep_their_colour_and_nothing_else(height, width, channels):
    masks = random_masks(height, width, 5)
    image = noise(height, width, channels)
    result = np.asarray(splash(found_picture(image, masks)))
    grey = np.asarray(splash(found_picture(image, [])))
    united = np.any(masks, axis=0)[:, :, None]
    assert np.array_equal(result, np.where(united, rgb_view(image), grey))
    assert np.array_equal(image, noise(height, width, channels))


def test_a_huge_picture_is_splashed_smaller(monkeypatch):
    monkeypatch.setattr(colour_splash, "MOST_SHOWN", 50 * 20)
    image = np.zeros((80, 200, 3), np.uint8)
    image[:, :, 0] = 200
    mask = np.zeros((80, 200), bool)
    mask[40:80, 60:120] = True
    picture = splash(found_picture(image, [mask]))
    assert picture.size == (50, 20)
    wanted = np.full((20, 50, 3), round(200 * 0.299), np.uint8)
    wanted[10:20, 15:30] = (200, 0, 0)
    assert np.array_equal(np.asarray(picture), wanted)


def test_grey_stays_grey_in_a_jpeg(tmp_path):
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 21:39] = 1
    save_picture(splash(found_picture(noise(40, 60), [mask])), tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as picture:
        pixels = np.asarray(picture).astype(int)
    outside = np.ones((40, 60), bool)
    outside[8:32, 16:40] = False  # the blocks of 8x8 with the object in them, which JPEG mixes
    assert np.ptp(pixels, axis=2)[outside].max() <= 2
