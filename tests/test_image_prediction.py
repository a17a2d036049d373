"""What a predictor gives for one image can be looked at."""

from __future__ import annotations

import io
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nets.contract import Prediction
from nets.mask_rcnn import build_model
from nets.weights_file import WeightsFile, save_weights
from utils.data.records import encode_mask
from utils.prediction.image_prediction import ImagePrediction

ROOT = Path(__file__).resolve().parent.parent
CLASSES = ("cat", "dog")


def prediction(count) -> ImagePrediction:
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 20:50] = 1
    found = Prediction(
        boxes=torch.tensor([[20.0, 10.0, 50.0, 30.0]] * count).reshape(-1, 4),
        labels=torch.tensor([2, 1][:count], dtype=torch.int64),
        scores=torch.tensor([0.9, 0.8][:count]),
        masks=[encode_mask(mask)] * count,
    )
    return ImagePrediction(found, np.full((40, 60, 3), 9, np.uint8), CLASSES)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_it_has_the_fields_and_the_names(count):
    found = prediction(count)
    assert set(found) == Prediction.__required_keys__
    assert found.names == ["dog", "cat"][:count]


def test_nothing_found_is_the_picture_itself():
    assert (np.asarray(prediction(0).draw()) == 9).all()


def test_what_is_found_is_drawn_at_the_pictures_size():
    drawn = np.asarray(prediction(1).draw())
    assert drawn.shape == (40, 60, 3)
    assert (drawn[25, 40] != 9).any()
    assert (drawn[35:, :10] == 9).all()


def test_a_notebook_shows_a_png():
    found = prediction(2)
    shown = Image.open(io.BytesIO(found._repr_png_()))
    assert shown.format == "PNG"
    assert np.array_equal(np.asarray(shown), np.asarray(found.draw()))


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_any_number_of_channels_is_drawn(channels):
    image = np.random.default_rng(0).random((40, 60, channels), np.float32)
    assert ImagePrediction(prediction(2), image, CLASSES).draw().size == (60, 40)


def test_it_survives_being_sent_to_another_process():
    found = pickle.loads(pickle.dumps(prediction(2)))
    assert found.names == ["dog", "cat"]
    assert found.draw().size == (60, 40)


def test_the_documented_example_runs(tmp_path, monkeypatch):
    text = (ROOT / "docs" / "prediction.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    torch.manual_seed(0)
    arch, options = "maskrcnn_resnet18_fpn_small", {"min_size": 64, "max_size": 64}
    model = build_model(arch, 2, **options).state_dict()
    save_weights(tmp_path / "best.pth", WeightsFile(arch, 2, ("cat",), model, options))
    Image.new("RGB", (70, 50), "red").save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)

    exec(example, {})

    with Image.open("found.png") as found:
        assert found.size == (70, 50)
