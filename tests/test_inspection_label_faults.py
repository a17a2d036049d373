"""Faults of labels are told with the objects' numbers and a way out, and nothing else is."""

from functools import cache

import numpy as np
import pytest
from inspected import make_model, make_subject
from labelled_scene import comb, disc, rectangle
from labelled_scene import make_scene as scene_of

from utils.inspection.label_faults import label_faults
from utils.inspection.labelled_objects import labelled_objects

SIZE = (256, 256)  # of which the network sees half


@cache
def shared_model():
    return make_model()


def make_scene(*arguments, model=None, **more):
    """With one model for all tests."""
    return scene_of(*arguments, model=model or shared_model(), **more)


def faults(subject):
    return [one for one in label_faults(subject, labelled_objects(subject))
            if not one.startswith("No object of")]  # fmt: skip


def test_good_labels_have_no_fault():
    subject = make_subject(1, shared_model(), images=20)

    assert label_faults(subject, labelled_objects(subject)) == ()
    assert faults(make_scene([disc(SIZE, 100, 100, 40)])) == []
    assert label_faults(make_subject(0, shared_model(), with_labels=False), []) == ()


def test_eight_pixels_in_the_input_are_enough():
    wide_enough = rectangle(SIZE, 10, 10, 26, 200)
    too_thin, thinnest = rectangle(SIZE, 50, 10, 65, 200), rectangle(SIZE, 80, 80, 100, 84)
    told = faults(make_scene([wide_enough, too_thin, thinnest]))

    assert faults(make_scene([wide_enough])) == []
    assert told[0].startswith("Objects 2, 3: less than 8 pixels")
    assert "the smallest 10x2" in told[0]
    assert "--min-size 512 --max-size 512" in told[0]


def test_no_input_is_large_enough_for_a_pixel_in_a_large_image():
    (told, *_) = faults(make_scene([rectangle((1000, 1000), 3, 3, 4, 4)]))

    assert "cut the images into parts" in told
    assert "--min-size" not in told


def test_outlines_that_28_numbers_cannot_hold_are_told():
    told = faults(make_scene([disc(SIZE, 100, 100, 40), comb(SIZE)]))

    assert len(told) == 1
    assert told[0].startswith("Object 2: 28x28 numbers")


def test_an_object_without_a_pixel_is_told_once():
    told = faults(make_scene([disc(SIZE, 100, 100, 40), np.zeros(SIZE, np.uint8)]))

    assert [one.split(",")[0] for one in told] == ["Object 2: labelled without a single pixel"]


@pytest.mark.parametrize(("off", "is_told"), [(0, False), (7, False), (9, True)])
def test_own_boxes_that_are_far_off_are_told(off, is_told):
    own = {0: (60, 60 - off, 81, 81)}
    told = faults(make_scene([disc(SIZE, 100, 100, 40)], own_boxes=own))

    assert [one.startswith("Object 1: the label's own box") for one in told] == [True] * is_told


def test_crowds_have_no_faults():
    assert faults(make_scene([comb(SIZE)], own_boxes={0: (0, 0, 9, 9)}, crowds=[0])) == []


def test_classes_without_objects_are_told():
    (told,) = label_faults(make_scene([disc(SIZE, 100, 100, 40)], [2]), [])

    assert told.startswith("No object of square, triangle in this part of the data (1 images)")


def test_classes_that_nobody_labelled_are_not_missed():
    scene = make_scene([disc(SIZE, 100, 100, 40)], [2])
    object.__setattr__(scene.dataset.data, "unlabelled", frozenset({1, 3}))

    assert label_faults(scene, []) == ()


def test_many_objects_are_counted():
    specks = [rectangle(SIZE, 10 * n, 10, 10 * n + 4, 14) for n in range(13)]
    told = faults(make_scene(specks))[0]

    assert told.startswith("Objects 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, and 3 more: less than")
