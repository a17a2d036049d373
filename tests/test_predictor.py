"""A trained model looking at pictures: the same as evaluation sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms.v2.functional import to_image

from nets.contract import Prediction
from nets.mask_rcnn import build_model
from nets.weights_file import WeightsFile
from utils.data.transforms import eval_transforms
from utils.device import Precision
from utils.evaluation.judge import judge
from utils.prediction.predictor import Predictor, above

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
    assert Predictor(weights, torch.device("cpu"), FP32).score_threshold == 0.3


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
    ("threshold", "kept"), [(1.0, 0), (0.75, 1), (0.76, 0), (0.25, 2), (0.0, 3)]
)
def test_above_keeps_from_the_threshold_on(threshold, kept):
    prediction = Prediction(
        boxes=torch.arange(12.0).view(3, 4), labels=torch.tensor([2, 1, 1]),
        scores=torch.tensor([0.75, 0.25, 0.125]), masks=[{"n": 0}, {"n": 1}, {"n": 2}],
    )  # fmt: skip
    found = above(prediction, threshold)
    assert found["scores"].tolist() == [0.75, 0.25, 0.125][:kept]
    assert found["labels"].tolist() == [2, 1, 1][:kept]
    assert found["boxes"].shape == (kept, 4)
    assert found["masks"] == [{"n": 0}, {"n": 1}, {"n": 2}][:kept]
