"""Figures of labelled objects: the objects they choose, and what they say of them."""

import numpy as np
import pytest
from labelled_scene import comb, disc, make_scene, rectangle
from numpy.testing import assert_array_equal
from PIL import Image

from utils.inspection.canvas import NEGATIVE, NEUTRAL, OBJECT
from utils.inspection.chapters.label_figures import (
    boxes_figure,
    bytes_text,
    classes_figure,
    masks_figure,
    objects_figure,
    row_of,
    size_text,
    worst_place,
)
from utils.inspection.labelled_objects import labelled_objects

SIZE = (120, 160)
MASKS = [disc(SIZE, 40, 40, 25), rectangle(SIZE, 90, 20, 94, 24), comb(SIZE),
         disc(SIZE, 120, 90, 20)]  # fmt: skip


@pytest.fixture(scope="module")
def scene():
    return make_scene(MASKS, [1, 2, 2, 2], {3: (100, 65, 41, 46)})


@pytest.fixture(scope="module")
def objects(scene):
    return labelled_objects(scene)


def texts(monkeypatch, figure, *arguments):
    """The figure, and the captions of its pictures."""
    captions = []

    def kept(pictures, given, columns):
        captions.extend(given)
        return Image.new("RGB", (9, 9))

    monkeypatch.setattr("utils.inspection.chapters.label_figures.panel", kept)
    return figure(*arguments), captions


def test_the_first_figure_counts_the_classes(scene, objects):
    figure = objects_figure(scene.pixels, objects)

    assert figure.picture.size == (960, 720)
    assert "Labelled: 3 circle, 1 square." in figure.text


def test_classes_have_a_panel_each(scene, objects, monkeypatch):
    _, captions = texts(monkeypatch, classes_figure, scene.pixels, objects)
    covered = np.maximum.reduce(MASKS[1:]).mean()

    assert captions == [
        f"circle: 3, {covered:.2%} of the image", f"square: 1, {MASKS[0].mean():.2%} of the image",
    ]  # fmt: skip


def test_a_class_shows_its_masks_alone(scene, objects):
    black = np.zeros_like(scene.pixels)
    picture = np.asarray(classes_figure(black, objects).picture)
    assert picture.shape[1] == 2 * (474 + 6) + 6
    cells = picture[27:-6, 6:480], picture[27:-6, 486:960]
    shown = [
        np.asarray(Image.fromarray(cell).resize(SIZE[::-1], Image.Resampling.BOX)).any(axis=2)
        for cell in cells
    ]

    assert not shown[1][:, 80:].any()  # the square is on the left
    assert shown[1][MASKS[0] > 0].all()
    assert shown[0][MASKS[3] > 0].all()


def test_boxes_show_the_wrong_the_smallest_and_the_largest(scene, objects, monkeypatch):
    figure, captions = texts(monkeypatch, boxes_figure, scene.pixels, objects)

    assert captions == [
        "object 4: 41x41 px", "object 2: 4x4 px", "object 3: 160x120 px",
        "last pixel at x = 140, box ends at 141", "last pixel at x = 93, box ends at 94",
        "last pixel at x = 159, box ends at 160",
    ]  # fmt: skip
    assert "differ for 1 of 4 objects, the most for object 4, by 5 px" in figure.text
    assert "One more is not shown." in figure.text
    assert {key.colour for key in figure.keys} == {OBJECT, NEUTRAL}


def test_a_legend_without_what_is_not_drawn(scene, objects):
    figure = boxes_figure(scene.pixels, objects[:3])

    assert {key.colour for key in figure.keys} == {OBJECT}
    assert "own boxes are the same" in figure.text
    assert "not shown" not in figure.text


def test_masks_are_those_that_lose_most(scene, objects, monkeypatch):
    figure, captions = texts(monkeypatch, masks_figure, scene.pixels, objects)
    ious = sorted(one.best_iou for one in objects)

    assert [caption.split()[-1] for caption in captions[:3]] == [f"{iou:.3f}" for iou in ious[:3]]
    lost, more = objects[2].differing()
    assert captions[0].startswith("object 3 (circle)")
    assert captions[3] == f"in all, {lost.sum():,} px lost, {more.sum():,} px too many"
    kept = 51 * 51 + 4 * 4 + 160 * 120 + 41 * 41
    assert f"{kept / 1e3:.1f} kB instead of {4 * 120 * 160 / 1e3:.1f} kB" in figure.text


def test_lost_pixels_are_red(scene, objects):
    comb_alone = objects[2:3]
    red = np.array(NEGATIVE)
    picture = np.asarray(masks_figure(np.zeros_like(scene.pixels), comb_alone).picture)
    is_red = np.abs(picture - 0.85 * red).max(axis=2) < 3

    assert is_red.mean() > 0.05
    assert not is_red[:20].any()


def test_the_worst_place_is_found(objects):
    lost, more = objects[0].differing()
    differs = lost | more
    left, top, right, bottom = worst_place(objects[0])
    side = right - left
    counts = [
        differs[y : y + side, x : x + side].sum()
        for y in range(SIZE[0] - side + 1) for x in range(SIZE[1] - side + 1)
    ]  # fmt: skip

    assert side == bottom - top == 13  # a quarter of 51
    assert differs[top:bottom, left:right].sum() == max(counts) > 0


def test_the_place_of_an_object_that_loses_nothing_lies_in_it(objects, monkeypatch):
    nothing = np.zeros(SIZE, bool)
    monkeypatch.setattr(type(objects[0]), "differing", lambda self: (nothing, nothing))
    left, top, right, bottom = worst_place(objects[3])

    assert MASKS[3][top:bottom, left:right].all()


def test_wide_images_stand_below_each_other():
    assert row_of(3, np.zeros((100, 200, 3))) == (3, 314)
    assert row_of(3, np.zeros((100, 201, 3))) == (1, 954)
    assert row_of(4, np.zeros((100, 900, 3))) == (2, 474)
    assert row_of(2, np.zeros((900, 100, 3))) == (2, 474)


def test_numbers_are_told_shortly():
    assert size_text((9.96, 10.4)) == "10x10"
    assert size_text((0.356, 120.0)) == "0.36x120"
    assert [bytes_text(n) for n in (3, 1500, 2_500_000)] == ["0.1 kB", "1.5 kB", "2.5 MB"]


def test_drawing_leaves_the_image_as_it_was(scene, objects):
    before = scene.pixels.copy()
    for figure in (objects_figure, classes_figure, boxes_figure, masks_figure):
        figure(scene.pixels, objects)

    assert_array_equal(scene.pixels, before)
