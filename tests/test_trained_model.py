"""A trained model in a file of either kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from eager_session import eager_session
from exportable_scene import make_weights

from nets.weights_file import WeightsError, save_weights
from utils.config import ConfigError
from utils.prediction import trained_model
from utils.prediction.predictor import Predictor
from utils.prediction.trained_model import TrainedModel, open_model

CLASSES = ("class_1", "class_2", "class_3")
POINT = {"rule": "f1", "thresholds": [0.9, 0.1, 0.4], "notes": [""] * 3,
         "costs": [{"found": 0, "false": 0, "missed": 0}] * 3}  # fmt: skip


@pytest.fixture(scope="module")
def weights():
    return make_weights()


def opened(monkeypatch, weights, classes=(), **settings) -> TrainedModel:
    """As if a file of these settings were opened."""
    session = eager_session(weights, **settings)
    monkeypatch.setattr(trained_model, "open_session", lambda path: session)
    return open_model(Path("model.onnx"), classes)


def test_a_weights_file_has_its_tensors_and_no_session(weights, tmp_path):
    save_weights(tmp_path / "best.pth", weights)
    model = open_model(tmp_path / "best.pth")
    assert model.session is None
    assert model.weights.model.keys() == weights.model.keys()
    device, precision = model.place("cpu", "fp32", True)
    assert model.about(device, precision).endswith(
        "best.pth (maskrcnn_resnet18_fpn_small), fp32 on cpu"
    )
    assert model.limits(1000) == []


def test_an_exported_file_tells_what_it_is(weights, monkeypatch):
    model = opened(monkeypatch, weights)
    assert model.session
    assert model.weights.thresholds == weights.thresholds
    assert model.about(*model.place()) == ("model.onnx (maskrcnn_resnet18_fpn_small), onnx on cpu")
    assert model.limits(100) == []


def test_classes_get_other_names_in_label_order(weights, monkeypatch):
    model = opened(monkeypatch, weights, ("a", "b", "c"))
    assert (model.weights.classes, model.session.card.weights.classes) == (("a", "b", "c"), CLASSES)
    with pytest.raises(WeightsError, match=r"holds 3 class\(es\)"):
        opened(monkeypatch, weights, ("a", "b"))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("cuda", "auto", False), "--device cuda: model.onnx is an exported file"),
        (("mps", "auto", False), "--device mps"),
        (("cpu", "bf16", False), "--precision bf16"),
        (("auto", "auto", True), "--reference: "),
    ],
)
def test_an_exported_file_runs_on_the_cpu_as_it_was_written(weights, monkeypatch, flags, words):
    model = opened(monkeypatch, weights)
    for possible in (("auto", "auto"), ("cpu", "fp32")):
        device, precision = model.place(*possible)
        assert (device.type, precision.dtype) == ("cpu", torch.float32)
    with pytest.raises(ConfigError, match=words):
        model.place(*flags)


def test_8_bits_are_no_fp32(weights, monkeypatch):
    model = opened(monkeypatch, weights)
    model.session.card = replace(model.session.card, format="onnx-int8")
    model.place("auto", "auto")
    with pytest.raises(ConfigError, match="--precision fp32"):
        model.place("auto", "fp32")


def test_thresholds_do_not_lie_below_what_the_file_gives(weights, monkeypatch):
    with_point = replace(weights, operating_point=POINT)
    model = opened(monkeypatch, with_point, score_threshold=0.3)
    assert model.weights.thresholds == (0.9, 0.3, 0.4)
    predictor = Predictor(model.weights, *model.place(), session=model.session)
    assert predictor.thresholds == (0.9, 0.3, 0.4)
    low = opened(monkeypatch, replace(weights, score_threshold=0.2), score_threshold=0.3)
    assert low.weights.thresholds == (0.3,) * 3
    (note,) = low.limits()
    assert "nothing with a score below 0.3" in note


def test_it_is_told_if_fewer_detections_are_given_than_count(weights, monkeypatch):
    model = opened(monkeypatch, weights, max_detections=10)
    (note,) = model.limits(100)
    assert note.startswith("model.onnx gives at most 10 detections of an image, where 100 count")
    assert model.limits(10) == []


def test_a_predictor_of_an_exported_file_by_name(weights, monkeypatch):
    opened(monkeypatch, weights)
    predictor = Predictor.from_file("model.onnx", max_detections=2, score_threshold=0.05)
    found = predictor(torch.rand(3, 60, 70, generator=torch.Generator().manual_seed(0)))
    assert (predictor.classes, predictor.channels, len(found["scores"])) == (CLASSES, 3, 2)
    with pytest.raises(ConfigError, match="--device cuda"):
        Predictor.from_file("model.onnx", device="cuda")
