"""ONNX files, in ONNX Runtime, find what torchvision's network finds: any batch, size and count."""

from dataclasses import replace

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
from exported_once import SETTINGS, exported

from utils.export.card import card_of
from utils.export.sessions.onnx_session import OnnxSession
from utils.export.settings import ExportSettings
from utils.export.writers.onnx_writer import write_onnx

SIZES = ((120, 90), (64, 200), (97, 131))
OF_ONE_SIZE = ExportSettings(size=SIZES[0], batch=2)  # which is exported four times as quickly
ODD_SIZES = ((1, 1), (1, 60), (2, 2), (10, 200), (400, 300))


@pytest.fixture(scope="module")
def weights():
    return make_weights()


@pytest.fixture(scope="module")
def session():
    """For any images; with pasted masks."""
    return OnnxSession(exported())


def opened(weights, settings, folder):
    path = folder / "model.onnx"
    write_onnx(card_of(weights, settings, "onnx"), path)
    return OnnxSession(path)


def check(weights, session, *strengths, size):
    """Returns how many objects there are in each image."""
    images = make_images(*strengths, size=size)
    wanted = found_by_torchvision(weights.build(reference=True), images)
    found = session.run(images.numpy())
    assert [value.dtype.name for value in found if value is not None][:5] == [
        "float32", "int64", "float32", "float32", "int64",
    ]  # fmt: skip
    assert_same(found_by(value for value in found if value is not None), wanted)
    return [len(one["boxes"]) for one in wanted]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("strength", [NONE, FEW, MANY])
def test_any_size_number_and_count(weights, session, strength, batch, size):
    counts = check(weights, session, *[strength] * batch, size=size)

    assert all(counts) == any(counts) == (strength != NONE)
    assert max(counts) == 100 if strength == MANY else max(counts) < 100


def test_nothing_few_and_many_in_one_batch(weights, session):
    counts = check(weights, session, NONE, MANY, FEW, NONE, size=SIZES[0])

    assert counts[0] == counts[3] == 0
    assert counts[1] == 100
    assert 0 < counts[2] < 100


@pytest.mark.parametrize("size", ODD_SIZES, ids=str)
def test_tiny_thin_and_large_images(weights, session, size):
    check(weights, session, MANY, size=size)


def test_the_file_knows_what_it_is(weights, session):
    card = session.card

    assert card.weights.classes == weights.classes
    assert card.settings == SETTINGS
    assert card.detections == 100


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "size"), [*zip((None, 1, 4), SIZES, strict=True)], ids=str)
def test_a_set_size_or_number(weights, batch, size, tmp_path):
    session = opened(weights, ExportSettings(size=size, batch=batch), tmp_path)
    for strengths in ((NONE,) * 4, (FEW,) * 4, (MANY,) * 4, (MANY, NONE, FEW, MANY)):
        check(weights, session, *strengths[: batch or 3], size=size)


@pytest.mark.slow
def test_a_set_number_of_any_size(weights, tmp_path):
    session = opened(weights, ExportSettings(batch=4), tmp_path)
    for size in SIZES:
        check(weights, session, MANY, NONE, FEW, MANY, size=size)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"channels": 4, "classes": 1, "background": 0},
        {"classes": 90, "box_score_thresh": 0.02},
        {"frozen_norm": False, "rpn_post_nms_top_n_test": 50, "box_detections_per_img": 200},
        {"arch": "maskrcnn_mobilenet_v3_large_fpn", "background": 0},
    ],
    ids=str,
)
def test_other_networks(options, tmp_path):
    weights = make_weights(**options)
    images = make_images(MANY, FEW, channels=weights.channels)
    session = opened(weights, OF_ONE_SIZE, tmp_path)

    wanted = found_by_torchvision(weights.build(reference=True), images)

    assert len(wanted[0]["boxes"]) > 0
    assert_same(found_by(list(session.run(images.numpy()))[:5]), wanted)


@pytest.mark.slow
def test_of_equal_scores_the_same_ones_are_found(weights, tmp_path):
    """Which box stays depends on the order alone, which all operators of the file must keep."""
    model = {**weights.model}
    model["roi_heads.box_predictor.cls_score.weight"] = (
        1000 * model["roi_heads.box_predictor.cls_score.weight"]
    )
    weights = replace(weights, model=model)
    session = opened(weights, OF_ONE_SIZE, tmp_path)
    images = make_images(MANY, NONE)

    wanted = found_by_torchvision(weights.build(reference=True), images)
    found = found_by(list(session.run(images.numpy()))[:5])

    assert (wanted[0]["scores"] == 1).sum() > 50
    torch.testing.assert_close(found[0]["boxes"], wanted[0]["boxes"], rtol=0, atol=0.02)
