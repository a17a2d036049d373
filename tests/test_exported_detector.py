"""Exported files that find objects: what the network finds, and what only they have to care for."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from eager_session import FixedSession, eager_session
from exportable_scene import make_images
from exportable_scene import make_weights as nameless_weights
from pycocotools import mask as coco_mask

from nets.weights_file import WeightsError
from utils.config import ConfigError
from utils.data.records import DataError
from utils.device import Precision
from utils.export.session import Found
from utils.prediction.exported_detector import ExportedDetector
from utils.prediction.predictor import Predictor

CPU, FP32 = torch.device("cpu"), Precision("fp32", "cpu")
CLASSES = ("box", "oval", "star")
ALL = (0.05,) * len(CLASSES)
SIZES = [(120, 90), (64, 150), (2, 5)]
MEAN = np.array([124, 116, 104])


def make_weights(**options):
    return replace(nameless_weights(**options), classes=CLASSES)


@pytest.fixture(scope="module")
def weights():
    return make_weights()


@pytest.fixture(scope="module")
def session(weights):
    """Of any number of images of any size."""
    return eager_session(weights)


def predictor_of(weights, session=None, **options) -> Predictor:
    return Predictor(weights, CPU, FP32, session=session, **options)


def noise(size, strength=1.0) -> np.ndarray:
    return make_images(strength, size=size)[0].numpy()


def assert_alike(found, wanted, atol=0.02):
    assert found["labels"].tolist() == wanted["labels"].tolist()
    for name, tolerance in (("boxes", atol), ("scores", 2e-4)):
        assert found[name].dtype == wanted[name].dtype == torch.float32
        torch.testing.assert_close(found[name], wanted[name], rtol=0, atol=tolerance)
    assert [mask["size"] for mask in found["masks"]] == [mask["size"] for mask in wanted["masks"]]
    overlaps = [
        coco_mask.iou([one], [other], [0])[0, 0]
        for one, other in zip(found["masks"], wanted["masks"], strict=True)
        if coco_mask.area(one) + coco_mask.area(other)
    ]
    assert min(overlaps, default=1) > 0.97


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0])
def test_the_same_is_found_as_by_the_network(weights, session, size, strength):
    image = noise(size, strength)
    wanted = predictor_of(weights, score_threshold=0.05).predict([image])[0]
    found = predictor_of(session.card.weights, session, score_threshold=0.05).predict([image])[0]
    assert strength == 0 or size == (2, 5) or len(wanted["scores"]) > 2
    assert strength > 0 or len(wanted["scores"]) == 0
    assert_alike(found, wanted)


def test_thresholds_classes_and_most_detections_choose_among_all(weights, session):
    image = noise((120, 90))
    everything = predictor_of(weights, session, score_threshold=0.05)(image)
    between = float(everything["scores"].sort().values[[40, 41]].double().mean())
    chosen = predictor_of(
        weights, session, score_threshold=between, classes=["oval", "star"], max_detections=7
    )(image)
    kept = (everything["scores"].double() >= between) & (everything["labels"] > 1)
    assert kept.sum() > 7
    for name in ("boxes", "labels", "scores"):
        assert torch.equal(chosen[name], everything[name][kept][:7])
    wanted = [mask for mask, is_kept in zip(everything["masks"], kept, strict=True) if is_kept]
    assert chosen["masks"] == wanted[:7]


def test_each_class_has_its_own_threshold(weights):
    objects = [(1, 0.9, (0, 0, 9, 9)), (2, 0.8, (9, 0, 19, 9)), (1, 0.7, (0, 9, 9, 19))]
    detector = ExportedDetector(FixedSession(weights, drawn(*objects)), (0.75, 0.85, 0.05))
    (found,) = detector.detect([noise((20, 20))])
    assert found["boxes"].tolist() == [[0, 0, 9, 9]]
    assert found["labels"].tolist() == [1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"score_threshold": 0.01},
            r"nothing below 0.05; export it again with --score-threshold 0.01",
        ),
        ({"nms_threshold": 0.3}, r"nms_threshold is 0.3, that of model.onnx is 0.9"),
        ({"max_detections": 101}, r"gives at most 100; export it again with --max-detections 101"),
        ({"classes": ["hexagon"]}, r"know no class 'hexagon'"),
    ],
)
def test_what_the_file_cannot_give_is_refused(weights, session, options, words):
    with pytest.raises(ConfigError, match=words):
        predictor_of(weights, session, **options)


def test_what_the_file_has_anyhow_may_be_asked_for(weights, session):
    image = noise((120, 90))
    asked = predictor_of(
        weights, session, score_threshold=0.05, nms_threshold=0.9, max_detections=100
    )(image)
    assert torch.equal(
        asked["scores"], predictor_of(weights, session, score_threshold=0.05)(image)["scores"]
    )


@pytest.mark.parametrize(
    ("batch", "at_once", "wanted"),
    [(None, 1, [1] * 5), (None, 2, [2, 2, 1]), (None, 8, [5]), (2, 1, [2] * 3), (2, 8, [2] * 3)],
)
def test_images_go_in_the_numbers_that_the_file_takes(weights, batch, at_once, wanted):
    session = FixedSession(weights, drawn((1, 0.9, (8, 16, 40, 32))), batch=batch)
    predictor = predictor_of(weights, session)
    assert predictor.batch_size == (batch or 1)
    predictor.batch_size = at_once
    images = [np.full((60, 50, 3), n, np.uint8) for n in range(1, 6)]
    assert len(predictor.predict(images)) == 5
    assert [len(one) for one in session.seen] == wanted
    shown = [int(image.max()) for one in session.seen for image in one]
    assert shown == [1, 2, 3, 4, 5, *[0] * (len(shown) - 5)]


def test_each_image_has_what_is_found_in_it(weights):
    few = make_weights(box_detections_per_img=8)
    session = eager_session(few, batch=2)
    images = [np.roll(noise((60, 50)), 9 * n, axis=1) for n in range(3)]
    found = predictor_of(few, session, score_threshold=0.05).predict(images)
    wanted = predictor_of(few, score_threshold=0.05).predict(images)
    assert len({tuple(one["scores"].tolist()) for one in wanted}) == 3
    for one, other in zip(found, wanted, strict=True):
        assert_alike(one, other)


def drawn(*objects, places=3) -> Found:
    """What is found in an image: label, score and box of each object, all of its mask inside."""
    boxes = np.zeros((1, places, 4), np.float32)
    labels = np.zeros((1, places), np.int64)
    scores = np.zeros((1, places), np.float32)
    masks = np.zeros((1, places, 28, 28), np.float32)
    for n, (label, score, box) in enumerate(objects):
        boxes[0, n], labels[0, n], scores[0, n], masks[0, n] = box, label, score, 1
    return Found(boxes, labels, scores, masks, np.array([len(objects)]))


def test_an_image_of_another_size_is_fitted_and_what_is_found_brought_back(weights):
    """100 x 50 pixels on a canvas of 80 x 80: it fills 80 x 40, each pixel 1.25 of its own."""
    found = drawn(
        (1, 0.9, (8, 16, 40, 32)),
        (2, 0.8, (60, 30, 80, 60)),  # reaches below the picture
        (3, 0.7, (10, 50, 30, 70)),  # beside it
    )
    session = FixedSession(weights, found, size=(80, 80))
    detector = ExportedDetector(session, ALL)
    pixels = noise((50, 100))
    with pytest.warns(UserWarning, match=r"model\.onnx takes images of 80x80 pixels") as told:
        (one,), (_,) = detector.detect([pixels]), detector.detect([pixels])
    assert len(told) == 1
    (canvas,) = session.seen[0]
    assert canvas.shape == (80, 80, 3)
    assert (canvas[40:] == MEAN).all()
    assert not (canvas[:40] == MEAN).all()
    assert one["boxes"].tolist() == [[10, 20, 50, 40], [75, 37.5, 100, 50]]
    assert one["labels"].tolist() == [1, 2]
    assert [mask["size"] for mask in one["masks"]] == [[50, 100]] * 2
    mask = coco_mask.decode(one["masks"][0])
    assert mask[21:39, 11:49].all()
    assert mask.sum() <= 22 * 42


def test_the_mean_colour_is_the_networks_own(weights):
    own = replace(weights, options={**weights.options, "image_mean": [1.0, 0.0, 0.5]})
    session = FixedSession(own, drawn(), size=(80, 80))
    with pytest.warns(UserWarning, match="fitted"):
        ExportedDetector(session, ALL).detect([noise((40, 80))])
    assert (session.seen[0][0, 40:] == [255, 0, 128]).all()


def test_an_image_of_the_files_own_size_is_taken_as_it_is(weights):
    session = FixedSession(weights, drawn((1, 0.9, (8, 16, 40, 32))), size=(60, 80))
    pixels = noise((60, 80))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = ExportedDetector(session, ALL).detect([pixels])
    np.testing.assert_array_equal(session.seen[0], pixels[None])
    assert found["boxes"].tolist() == [[8, 16, 40, 32]]


def test_bytes_and_floats_are_the_same_pixels(weights):
    session = FixedSession(weights, drawn())
    detector = ExportedDetector(session, ALL)
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    detector.detect([pixels])
    detector.detect([pixels.astype(np.float32) / 255])
    nearly = (pixels.astype(np.float32) - 0.4) / 255
    detector.detect([nearly.clip(0)])
    for seen in session.seen:
        assert seen.dtype == np.uint8
        np.testing.assert_array_equal(seen[0], pixels)


def test_other_channels_are_floats():
    weights = make_weights(channels=2)
    session = FixedSession(weights, drawn())
    detector = ExportedDetector(session, ALL)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 20, 2), np.uint8)
    detector.detect([pixels])
    detector.detect([pixels.astype(np.float32) / 255])
    for seen in session.seen:
        assert seen.dtype == np.float32
        np.testing.assert_array_equal(seen[0], pixels / np.float32(255))


@pytest.mark.parametrize(
    ("size", "settings", "is_taken"),
    [
        ((2, 2), {}, True), ((1, 30), {}, False), ((30, 1), {}, False), ((2, 900), {}, False),
        ((1, 30), {"size": (64, 64)}, True), ((1, 900), {"size": (64, 64)}, False),
    ],
)  # fmt: skip
def test_too_thin_images_are_refused(weights, size, settings, is_taken):
    detector = ExportedDetector(FixedSession(weights, drawn(), **settings), ALL)
    if is_taken:
        detector.check_size(*size)
    else:
        with pytest.raises(DataError, match=f"{size[1]}x{size[0]} pixels is too thin"):
            detector.check_size(*size)


class Mapped(FixedSession):
    """Gives memory of its own, which others may only read."""

    def run(self, images):
        for values in self.found[:5]:
            values.flags.writeable = False
        return self.found


def test_what_is_found_is_kept_when_the_runtime_uses_its_memory_again(weights):
    session = Mapped(weights, drawn((1, 0.9, (8, 16, 40, 32))))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = ExportedDetector(session, ALL).detect([noise((60, 80))])
    for values in session.found[:4]:
        values.flags.writeable = True
        values[:] = 0
    assert found["boxes"].tolist() == [[8, 16, 40, 32]]
    assert found["scores"].tolist() == [pytest.approx(0.9)]


class Failing(FixedSession):
    """Cannot run."""

    error: Exception

    def run(self, images):
        raise self.error


@pytest.mark.parametrize(
    ("error", "raised", "words"),
    [
        (ValueError("bad node\nat line 3"), WeightsError,
         r"model.onnx: fails on images \(1, 9, 9, 3\) \(bad node\)"),
        (RuntimeError("std::bad_alloc"), RuntimeError, "bad_alloc"),
        (MemoryError("much"), MemoryError, "much"),
    ],
)  # fmt: skip
def test_a_file_that_fails_is_named_unless_memory_runs_out(weights, error, raised, words):
    session = Failing(weights, drawn())
    session.error = error
    with pytest.raises(raised, match=words):
        ExportedDetector(session, ALL).detect([noise((9, 9))])


def test_a_class_without_a_name_is_refused(weights):
    session = FixedSession(weights, drawn((4, 0.9, (0, 0, 5, 5))))
    with pytest.raises(WeightsError, match="finds class 4, its description names 3"):
        ExportedDetector(session, ALL).detect([noise((9, 9))])


def test_another_number_of_places_is_refused(weights):
    session = FixedSession(weights, drawn((1, 0.9, (0, 0, 5, 5))))
    session.card = replace(session.card, detections=session.card.detections + 1)
    with pytest.raises(WeightsError, match=r"has places for 3 detections, its .* says 4"):
        ExportedDetector(session, ALL).detect([noise((9, 9))])
