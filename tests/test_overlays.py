"""Overlays: what was found, over the picture as it is shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from found_scene import found_picture, noise, random_masks

from utils.data.channels import rgb_view
from utils.drawing import DrawnObject, draw_objects, instance_colour, predicted_objects
from utils.prediction import overlays
from utils.prediction.overlays import overlay

SIZES = [(1, 1), (2, 100), (100, 2), (60, 80)]


@pytest.mark.parametrize("channels", [3, 1, 2, 5])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_nothing_found_leaves_the_picture_as_it_is_shown(height, width, channels):
    image = noise(height, width, channels)
    picture = overlay(found_picture(image, []))
    assert picture.mode == "RGB"
    assert np.array_equal(np.asarray(picture), rgb_view(image))


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_objects_are_drawn_at_the_pictures_own_size(height, width):
    found = found_picture(noise(height, width), random_masks(height, width, 4), [1, 2, 1, 2])
    before = found.picture.pixels.array.copy()
    picture = overlay(found)
    assert picture.size == (width, height)
    wanted = draw_objects(before, predicted_objects(found.prediction, found.classes))
    assert np.array_equal(np.asarray(picture), np.asarray(wanted))
    assert not np.array_equal(np.asarray(picture), before)
    assert np.array_equal(found.picture.pixels.array, before)


def test_a_huge_picture_is_shown_smaller_with_its_objects_in_place(monkeypatch):
    monkeypatch.setattr(overlays, "MOST_SHOWN", 500 * 200)
    mask = np.zeros((800, 2000), bool)
    mask[400:800, 600:1200] = True
    found = found_picture(np.zeros((800, 2000, 3), np.uint8), [mask])
    result = np.asarray(overlay(found))
    assert result.shape == (200, 500, 3)
    coloured = result.any(axis=2)
    coloured[:100] = False  # where the label is
    wanted = np.zeros((200, 500), bool)
    wanted[100:, 150:300] = True
    assert np.array_equal(coloured, wanted)


def test_tracks_are_written_and_give_the_colour(monkeypatch):
    drawn: list[DrawnObject] = []
    monkeypatch.setattr(
        overlays, "draw_objects", lambda image, objects: drawn.extend(objects) or image
    )
    found = found_picture(noise(9, 9), [np.ones((9, 9)), np.ones((9, 9))], [2, 1])
    overlay(replace(found, tracks=(7, 3)))
    assert [(item.text, item.colour) for item in drawn] == [("7: dog 0.98", 7), ("3: cat 0.97", 3)]
    monkeypatch.undo()
    pixels = np.asarray(overlay(replace(found, tracks=(7, 3))))
    assert (pixels[8, 0] == instance_colour(7)).all()
