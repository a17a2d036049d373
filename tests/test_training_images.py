"""Training images of the weights' own data set: never held-out ones, and what if there are none."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from exportable_scene import make_weights

from nets.weights_file import WeightsFile
from utils.data import shapes
from utils.data.images import load_image
from utils.data.records import DataError
from utils.data.shapes import draw_scene
from utils.export.training_images import training_images
from utils.open_data import open_training_data


@pytest.fixture
def data(drawn_pennfudan):
    return open_training_data(str(drawn_pennfudan), seed=2)


def weights_of(data, **options):
    classes = data.train.data.classes
    return WeightsFile(
        "maskrcnn_resnet18_fpn_small", len(classes) + 1, classes, {}, options,
        data=data.description(),
    )  # fmt: skip


def names(images):
    return [images.dataset.data.names()[number] for number in images.numbers]


def test_the_training_split(data):
    images = training_images(weights_of(data), "", 64)

    assert names(images) == list(data.train.data.names())
    assert not set(names(images)) & set(data.val.data.names())
    for image, record in zip(images, data.train.data.images, strict=True):
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, load_image(record.path))


@pytest.mark.parametrize(
    ("count", "chosen"), [(1, [0]), (2, [0, 2]), (3, [0, 1, 3]), (5, [0, 1, 2, 3, 4])]
)
def test_they_are_spread_evenly(data, count, chosen):
    images = training_images(weights_of(data), "", count)

    everything = data.train.data.names()
    assert names(images) == [everything[number] for number in chosen]
    assert names(images[::2]) == names(images)[::2]
    assert len(images[:2]) == min(2, count)


def test_pictures_are_read_when_they_are_asked_for(data):
    images = training_images(weights_of(data), "", 64)
    data.train.data.images[1].path.unlink()

    assert images[0].shape[2] == 3
    with pytest.raises(DataError, match=str(data.train.data.images[1].path.name)):
        images[1]


def test_data_that_moved(data, drawn_pennfudan, tmp_path):
    place = tmp_path / "elsewhere"
    shutil.move(drawn_pennfudan, place)
    with pytest.raises(DataError, match=r"integers need training images: .*--data"):
        training_images(weights_of(data), "", 64)
    images = training_images(weights_of(data), str(place), 64)

    assert set(names(images)) == set(data.train.data.names())
    assert all(image.shape[2] == 3 for image in images)


def test_where_there_is_a_way_without_them(data, drawn_pennfudan, capsys):
    shutil.rmtree(drawn_pennfudan)
    images = training_images(weights_of(data), "", 64, are_needed=False)

    assert len(images) == 0
    assert "note: no training images are looked at" in capsys.readouterr().out


def test_data_that_changed_since(data):
    data.train.data.images[0].path.unlink()
    with pytest.raises(DataError, match="need training images: "):
        training_images(weights_of(data), "", 64)


def test_weights_that_tell_of_no_data(drawn_pennfudan):
    with pytest.raises(DataError, match="names no data set"):
        training_images(make_weights(), "", 64)
    images = training_images(make_weights(), str(drawn_pennfudan), 64)

    assert len(images) == 6


@pytest.mark.parametrize("given", ["", "shapes"])
def test_shapes_are_training_scenes(given):
    weights = replace(make_weights(), classes=shapes.CLASSES)
    if not given:
        weights = weights_of(open_training_data("shapes", epoch_scenes=3))
    images = training_images(weights, given, 4)

    assert len(images) == 4
    for number, image in enumerate(images):
        np.testing.assert_array_equal(image, draw_scene(number).image)


def test_other_channels(data):
    images = training_images(weights_of(data, channels=1), "", 2)

    assert images[0].dtype == np.float32
    assert images[0].shape[2] == 1
    assert 0 <= images[0].min() <= images[0].max() <= 1
