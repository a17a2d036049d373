"""A trained model looking at pictures: the same as evaluation sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.transforms.v2.functional import to_image

from nets.contract import Prediction, above
from nets.mask_rcnn import build_model
from nets.weights_file import WeightsFile
from utils.data.transforms import eval_transforms
from utils.device import Precision
from utils.evaluation.judge import judge
from utils.evaluation.operating_point import Cost, OperatingPoint
from utils.prediction.predictor import MOST_NAMED, Predictor, thresholds_in_words

ARCH = "maskrcnn_resnet18_fpn_small"
FP32 = Precision("fp32", "cpu")
OPTIONS = {"min_size": 64, "max_size": 96, "box_score_thresh": 0.0, "box_detections_per_img": 5,
           "rpn_post_nms_top_n_test": 20}  # fmt: skip


@pytest.fixture(scope="module")
def weights() -> WeightsFile:
    """An untrained network that reports whatever it sees."""
    torch.manual_seed(0)
    model = build_model(ARCH, 3, **OPTIONS)
    return WeightsFile(ARCH, 3, ("cat", "dog"), model.state_dict(), OPTIONS, score_threshold=0.3)


@pytest.fixture(scope="module")
def predictor(weights) -> Predictor:
    return Predictor(weights, torch.device("cpu"), FP32, score_threshold=0.0)


def picture(height=70, width=90) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def test_it_knows_its_classes(predictor):
    assert predictor.classes == ("cat", "dog")
    assert not predictor.model.training


def test_the_threshold_is_the_files_unless_one_is_given(predictor, weights):
    scores = predictor(picture())["scores"]
    between = float(scores[1:3].mean())
    strict = Predictor(weights, torch.device("cpu"), FP32, score_threshold=between)
    assert torch.equal(strict(picture())["scores"], scores[scores >= between])
    assert strict.thresholds == (between, between)
    assert Predictor(weights, torch.device("cpu"), FP32).thresholds == (0.3, 0.3)


def stored(thresholds, rule="f1", notes=()) -> dict:
    """An operating point as a weights file holds it."""
    costs = dict.fromkeys(thresholds, Cost(0, 0, 0))
    return OperatingPoint(rule, thresholds, costs, dict.fromkeys(notes, "no")).to_dict()


@pytest.mark.parametrize("strict", ["cat", "dog"])
def test_each_class_has_its_own_threshold(predictor, weights, strict):
    everything = predictor(picture())
    low, high = sorted(everything["scores"].tolist())[0] / 2, 1.0
    thresholds = {name: high if name == strict else low for name in ("cat", "dog")}
    chosen = replace(weights, operating_point=stored(thresholds))
    by_class = Predictor(chosen, torch.device("cpu"), FP32)
    assert by_class.thresholds == tuple(thresholds.values())
    assert by_class.model.roi_heads.score_thresh == pytest.approx(low, rel=0.002)
    assert by_class.model.roi_heads.score_thresh < low
    kept = everything["labels"] == (2 if strict == "cat" else 1)
    found = by_class(picture())
    assert torch.equal(found["scores"], everything["scores"][kept])
    assert torch.equal(found["labels"], everything["labels"][kept])
    overridden = Predictor(chosen, torch.device("cpu"), FP32, score_threshold=0.0)
    assert torch.equal(overridden(picture())["scores"], everything["scores"])


@pytest.mark.parametrize(
    ("point", "given", "wanted"),
    [
        ({}, None, "score threshold 0.3 of the weights file"),
        ({}, 0.0, "score threshold 0 as given"),
        (stored({"cat": 0.617, "dog": 0.48}), 0.75, "score threshold 0.75 as given"),
        (stored({"cat": 0.617, "dog": 0.48}), None,
         "score thresholds of the weights file for best F1: cat 0.62, dog 0.48"),
        (stored({"cat": 0.5, "dog": 0.48}, "recall=0.95", ["cat"]), None,
         "score thresholds of the weights file for recall at least 0.95: cat 0.50, "
         "dog 0.48; not reached for cat"),
    ],
)  # fmt: skip
def test_it_is_told_which_thresholds_are_used_and_why(weights, point, given, wanted):
    assert thresholds_in_words(replace(weights, operating_point=point), given) == wanted


def test_many_classes_are_told_in_short():
    names = tuple(f"kind {n}" for n in range(80))
    thresholds = {name: 0.3 + (n * 7 % 80) / 250 for n, name in enumerate(names)}
    point = stored(thresholds, "precision=0.9", names[: MOST_NAMED + 1])
    weights = WeightsFile(ARCH, 81, names, {}, operating_point=point)
    assert thresholds_in_words(weights) == (
        "score thresholds of the weights file for precision at least 0.9: "
        "0.30 (kind 0) to 0.62 (kind 57) in 80 classes; not reached for 9 classes"
    )


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((3, 10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((1, 10, 10, 3), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        np.zeros((10, 10, 3), np.uint16),
    ],
)
def test_other_pixels_are_refused(predictor, image):
    with pytest.raises(ValueError, match=r"need uint8 \(H, W, 3\), got"):
        predictor(image)


@pytest.mark.parametrize("channels", [1, 5])
def test_a_network_for_other_channels_takes_those(channels):
    options = {**OPTIONS, "channels": channels}
    state = build_model(ARCH, 2, **options).state_dict()
    weights = WeightsFile(ARCH, 2, ("cell",), state, options)
    predictor = Predictor(weights, torch.device("cpu"), FP32, score_threshold=0.0)
    image = np.random.default_rng(0).random((40, 50, channels), np.float32)
    assert predictor.channels == channels
    assert len(predictor(image)["scores"]) == 5
    for wrong in (picture(), image.astype(np.float64), image[:, :, 0]):
        with pytest.raises(ValueError, match=rf"need float32 \(H, W, {channels}\), got"):
            predictor(wrong)


def test_prediction_keeps_the_contract(predictor):
    found = predictor(picture(70, 90))
    assert found["boxes"].shape == (5, 4)
    assert found["boxes"].dtype == found["scores"].dtype == torch.float32
    assert found["scores"].tolist() == sorted(found["scores"].tolist(), reverse=True)
    assert set(found["labels"].tolist()) <= {1, 2}
    assert found["boxes"].min() >= 0
    assert found["boxes"][:, 2].max() <= 90
    assert found["boxes"][:, 3].max() <= 70
    assert all(mask["size"] == [70, 90] for mask in found["masks"])


def test_prediction_is_what_evaluation_sees(predictor, weights):
    pixels = picture()
    image, target = eval_transforms()(to_image(pixels), {
        "boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64),
        "masks": torch.zeros(0, 70, 90, dtype=torch.uint8), "image_id": 7,
    })  # fmt: skip
    judged = judge(weights.build(), [([image], [target])], FP32, with_losses=False)
    seen = {one.image_id: one.prediction for one in judged}
    found = predictor(pixels)
    assert list(seen) == [7]
    assert found["masks"] == seen[7]["masks"]
    for name in ("boxes", "labels", "scores"):
        assert torch.allclose(found[name], seen[7][name], atol=1e-4), name


def test_a_view_of_a_picture_is_read_right(predictor):
    pixels = picture(90, 70).transpose(1, 0, 2)
    assert not pixels.flags["C_CONTIGUOUS"]
    view, copy = predictor(pixels), predictor(np.ascontiguousarray(pixels))
    assert torch.equal(view["boxes"], copy["boxes"])


@pytest.mark.parametrize(
    ("thresholds", "kept"),
    [
        ((1.0, 1.0), []),
        ((0.75, 0.75), [0]),
        ((0.76, 0.76), []),
        ((0.25, 0.25), [0, 1]),
        ((0.0, 0.0), [0, 1, 2]),
        ((0.25, 0.76), [1]),
        ((0.26, 0.75), [0]),
        ((0.0, 1.0), [1, 2]),
    ],
)
def test_above_keeps_from_the_threshold_of_the_class_on(thresholds, kept):
    prediction = Prediction(
        boxes=torch.arange(12.0).view(3, 4), labels=torch.tensor([2, 1, 1]),
        scores=torch.tensor([0.75, 0.25, 0.125]), masks=[{"n": 0}, {"n": 1}, {"n": 2}],
    )  # fmt: skip
    found = above(prediction, thresholds)
    assert found["scores"].tolist() == [[0.75, 0.25, 0.125][i] for i in kept]
    assert found["labels"].tolist() == [[2, 1, 1][i] for i in kept]
    assert found["boxes"].tolist() == prediction["boxes"][kept].tolist()
    assert found["masks"] == [{"n": i} for i in kept]


def test_above_of_nothing_is_nothing():
    nothing = Prediction(
        boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64),
        scores=torch.zeros(0), masks=[],
    )  # fmt: skip
    found = above(nothing, (0.5, 0.5))
    assert (found["boxes"].shape, found["masks"]) == ((0, 4), [])


def test_a_threshold_between_neighbouring_scores_parts_them():
    score = np.float32(0.7)
    scores = [score, np.nextafter(score, np.float32(0))]
    between = float(np.mean(np.array(scores, np.float64)))
    prediction = Prediction(
        boxes=torch.zeros(2, 4), labels=torch.tensor([1, 1]), scores=torch.tensor(scores),
        masks=[{}, {}],
    )  # fmt: skip
    assert above(prediction, (between,))["scores"].tolist() == [score]
