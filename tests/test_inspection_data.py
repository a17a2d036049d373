"""The chapter on data: complete where there is much to show, and sensible where there is little."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from inspected import make_model, make_subject
from labelled_scene import disc, rectangle
from labelled_scene import make_scene as scene_of
from PIL import Image

from utils.inspection.chapter import Table
from utils.inspection.chapters.data import data_chapter

ALL = ["objects", "classes", "boxes", "input", "augmentation", "masks", "counts", "sizes"]
SIZE = (120, 160)


@cache
def shared_model():
    return make_model()


def make_scene(*arguments, model=None, **more):
    """With one model for all tests."""
    return scene_of(*arguments, model=model or shared_model(), **more)


def names(chapter):
    return [figure.name for figure in chapter.figures]


def table(chapter):
    return next(part for part in chapter.parts if isinstance(part, Table))


@pytest.fixture(scope="module")
def scene():
    return make_subject(1, shared_model(), images=20)


@pytest.fixture(scope="module")
def chapter(scene):
    return data_chapter(scene)


def test_all_is_shown_of_a_labelled_image(chapter):
    assert names(chapter) == ALL
    assert chapter.introduction.startswith("3 objects are labelled in this image. ")
    assert chapter.findings == ()
    for figure in chapter.figures:
        assert figure.picture.width <= 970
        assert figure.picture.convert("L").getextrema()[0] < 200


def test_the_table_holds_every_object():
    scene = make_scene(
        [disc(SIZE, 40, 40, 20), rectangle(SIZE, 100, 20, 130, 80), np.zeros(SIZE, np.uint8)],
        [1, 3, 2], crowds=[1],
    )  # fmt: skip
    chapter = data_chapter(scene)
    (first, *others) = table(chapter).rows

    assert first[:5] == ("1", "square", "41x41", f"{disc(SIZE, 40, 40, 20).sum():,}", "33x33")
    assert 0.9 < float(first[5]) <= 1
    assert [row[0] + row[5] for row in others] == ["2not taught", "3not taught"]
    assert "3 objects are labelled in this image; 2 of them, crowds" in chapter.introduction


def test_what_cannot_be_shown_is_left_out():
    empty = data_chapter(make_subject(0, shared_model(), without_objects=True))
    unlabelled = data_chapter(make_subject(0, shared_model(), with_labels=False))

    assert names(empty) == ["input", "augmentation", "counts", "sizes"]
    assert empty.introduction.startswith("No object is labelled in this image")
    assert names(unlabelled) == ["input"]
    assert unlabelled.introduction.startswith("The picture has no labels")
    assert unlabelled.findings == ()


def test_objects_that_teach_nothing_are_listed():
    nothing = data_chapter(make_scene([np.zeros(SIZE, np.uint8)]))
    crowd = data_chapter(make_scene([disc(SIZE, 40, 40, 20)], crowds=[0]))

    assert names(nothing) == ["input", "augmentation"]
    assert names(crowd) == ["objects", "classes", "input", "augmentation"]
    assert len(table(nothing).rows) == len(table(crowd).rows) == 1
    assert nothing.introduction.startswith("One object is labelled in this image; 1 of them")


def test_statistics_are_those_of_the_part(scene, chapter):
    counts, sizes = chapter.figures[-2:]
    data, scale = scene.dataset.data, 1
    objects = [one for record in data.images for one in record.instances]
    found = sorted((one.bbox[2] * one.bbox[3]) ** 0.5 * scale for one in objects)

    assert f"{len(objects)} objects in 20 images" in counts.text
    assert f"are {found[0]:.3g} to {found[-1]:.3g} pixels" in sizes.text
    assert "0 are below its smallest anchor (32), 0 above its largest (512)" in sizes.text


def test_this_image_is_marked_in_the_charts(scene, monkeypatch):
    given = []
    for name in ("bar_chart", "histogram"):

        def kept(*arguments, **more):
            given.append(arguments)
            return Image.new("RGB", (9, 9))

        monkeypatch.setattr(f"utils.inspection.chapters.data.{name}", kept)
    data_chapter(scene)
    images = scene.dataset.data.images
    (_, names, counts), (_, _, sizes) = given
    labels = [[one.label for one in record.instances] for record in images]
    every = sorted((one.bbox[2] * one.bbox[3]) ** 0.5 for r in images for one in r.instances)

    for place, name in enumerate(names):
        label, total = scene.classes.index(name) + 1, counts["other images"][place]
        assert counts["this image"][place] == labels[1].count(label)
        assert total == sum(some.count(label) for some in [labels[0], *labels[2:]])
    assert sorted(names) == sorted(scene.classes)
    assert len(sizes["this image"]) == len(labels[1])
    assert sorted([*sizes["this image"], *sizes["other images"]]) == pytest.approx(every)


def test_another_picture_is_shown_beside_its_data():
    subject = replace(make_subject(0, shared_model()), number=None, record=None)

    assert names(data_chapter(subject)) == ["input", "counts", "sizes"]


@pytest.mark.parametrize(
    "masks",
    [
        pytest.param(
            [disc(SIZE, 8 + 12 * (n % 12), 8 + 10 * (n // 12), 3) for n in range(110)],
            marks=pytest.mark.slow,
        ),
        [rectangle(SIZE, 159, 119, 160, 120)],  # one pixel in the corner
        [rectangle((20, 900), 0, 0, 900, 20), rectangle((20, 900), 880, 5, 884, 8)],
        [rectangle((400, 9), 1, 0, 2, 400)],
        [np.ones((1, 1), np.uint8)],
    ],
    ids=["many", "a pixel", "wide", "high", "image of a pixel"],
)
def test_odd_images_have_all_figures(masks):
    chapter = data_chapter(make_scene(masks))

    assert names(chapter) == ALL
    assert all(min(figure.picture.size) > 5 for figure in chapter.figures)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels_have_all_figures(channels):
    scene = make_scene(
        [disc(SIZE, 40, 40, 20)], model=make_model(channels=channels), channels=channels
    )

    assert names(data_chapter(scene)) == ALL


def test_other_networks_have_all_figures():
    mobile = make_model("maskrcnn_mobilenet_v3_large_fpn", classes=90)
    subject = make_subject(1, mobile)
    nameless = tuple(f"class_{number}" for number in range(1, 91))
    subject.dataset.data = replace(subject.dataset.data, classes=nameless)
    weights = replace(subject.weights, classes=nameless, num_classes=91)
    chapter = data_chapter(replace(subject, weights=weights))

    assert names(chapter) == ALL
    assert any("and 77 more in this part" in finding for finding in chapter.findings)
