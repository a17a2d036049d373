"""The graph that ``torch.export`` takes down gives what the network itself gives."""

import pytest
import torch
from exportable_scene import (
    FEW,
    MANY,
    NONE,
    assert_same,
    found_by,
    found_by_torchvision,
    make_images,
    make_weights,
)

from utils.export.card import card_of
from utils.export.program import example_images, export_program, exportable
from utils.export.settings import ExportSettings


@pytest.fixture(scope="module")
def weights():
    return make_weights()


def card_with(weights, **settings):
    return card_of(weights, ExportSettings(**settings), "onnx")


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"size": (120, 90)},
        {"size": (120, 90), "batch": 1},
        {"size": (120, 90), "batch": 4, "max_detections": 7, "nms_threshold": 0.2},
    ],
    ids=str,
)
def test_images_of_a_set_size_or_number(weights, settings):
    images = make_images(*(MANY, NONE, FEW, MANY)[: settings.get("batch")])
    card = card_with(weights, **settings)

    found = export_program(card).module()(images)

    for one, wanted in zip(found, exportable(card)(images), strict=True):
        torch.testing.assert_close(one, wanted, rtol=0, atol=1e-4)


def test_the_settings_take_the_place_of_the_networks(weights):
    card = card_with(weights, score_threshold=0.2, nms_threshold=0.3, max_detections=9)
    model, images = weights.build(reference=True), make_images(MANY, NONE)
    heads = model.roi_heads
    heads.score_thresh, heads.nms_thresh, heads.detections_per_img = 0.2, 0.3, 9

    found = exportable(card)(images)

    assert found[0].shape == (2, 9, 4)
    assert_same(found_by(found), found_by_torchvision(model, images))
    assert (card.score_threshold, card.nms_threshold, card.detections) == (0.2, 0.3, 9)


def test_without_settings_a_card_holds_what_the_network_has(weights):
    card = card_with(weights)

    assert (card.score_threshold, card.nms_threshold, card.detections) == (0.05, 0.9, 100)
    assert card.input_size == (96, 160)


@pytest.mark.parametrize(("channels", "dtype"), [(3, torch.uint8), (4, torch.float32)])
def test_examples_are_what_a_file_takes(weights, channels, dtype):
    fitting = make_weights(channels=channels, background=0) if channels != 3 else weights

    images = example_images(card_with(fitting, size=(40, 50), batch=3))

    assert images.shape == (3, 40, 50, channels)
    assert images.dtype == dtype
    assert example_images(card_with(fitting)).shape[0] > 1
