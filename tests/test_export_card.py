"""What an exported file knows of itself comes back from its text, and nothing edited does."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from inspected import ARCH, OPTIONS, make_model

from nets.weights_file import WeightsError, WeightsFile
from utils.evaluation.operating_point import Cost, OperatingPoint
from utils.export.card import CARD_VERSION, card_of, read_card
from utils.export.settings import ExportSettings

PATH = Path("best.onnx")
THRESHOLDS = dict(zip(("square", "Kreis, groß", "三角"), (0.3, 0.5, 0.7), strict=True))
POINT = OperatingPoint("f1", THRESHOLDS, {name: Cost(3, 2, 1) for name in THRESHOLDS}, {}).to_dict()
WEIGHTS = WeightsFile(
    ARCH, 4, tuple(THRESHOLDS), make_model().state_dict(),
    options={**OPTIONS, "frozen_norm": True}, preprocessing={"rule": 1}, precision="bf16",
    score_threshold=0.4, operating_point=POINT,
    data={"name": "shapes", "split": {"train": ["a.png"], "val": []}},
    metrics={"segm/AP": 0.1 + 0.2}, epoch=3,
)  # fmt: skip


def make_card(settings=ExportSettings(), **known):  # noqa: B008  # frozen
    return card_of(replace(WEIGHTS, **known), settings, "onnx")


@pytest.mark.parametrize(
    "settings",
    [
        ExportSettings(),
        ExportSettings((97, 131), 4, True, 0.25, 0.6, 7),
        ExportSettings(size=(32, 64), score_threshold=0.0),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "known",
    [
        {},
        {"operating_point": {}, "metrics": {}, "epoch": None},
        {"operating_point": {}, "classes": ("N/A", "car", "N/A")},  # as COCO's names have it
    ],
    ids=str,
)
def test_all_but_the_tensors_comes_back(settings, known):
    card = make_card(settings, **known)

    read = read_card(PATH, card.to_json())

    assert read == replace(card, weights=replace(card.weights, model={}))
    assert read.to_json() == card.to_json()
    assert read.weights.thresholds == card.weights.thresholds


def test_a_network_that_cannot_be_is_told():
    with pytest.raises(WeightsError, match=f"there is no such {ARCH}: channels is 0"):
        make_card(options={"channels": 0})


def test_thresholds_are_those_of_the_settings_or_of_the_network():
    card = make_card()
    assert (card.input_size, card.score_threshold, card.nms_threshold) == ((128, 128), 0.05, 0.5)
    assert card.detections == 100
    card = make_card(ExportSettings(score_threshold=0.0, nms_threshold=1.0, max_detections=1))
    assert (card.score_threshold, card.nms_threshold, card.detections) == (0.0, 1.0, 1)


def test_other_programs_can_read_it():
    content = json.loads(make_card().to_json())

    assert content["weights"]["classes"] == list(WEIGHTS.classes)
    assert content["weights"]["operating_point"]["thresholds"] == [0.3, 0.5, 0.7]
    assert content["card_version"] == CARD_VERSION
    assert content["input"] == "images: (batch, height, width, channels), uint8 RGB"
    assert "model" not in content["weights"]
    assert content["versions"].keys() == {"torch", "torchvision"}


@pytest.mark.parametrize("text", [None, ""])
def test_a_file_without_a_card_is_none_of_ours(text):
    with pytest.raises(WeightsError, match=r"best.onnx: holds no description"):
        read_card(PATH, text)


@pytest.mark.parametrize("text", ["{", "[]", "3", '"a"', "null", "{}", '{"card_version": 1}'])
def test_a_card_that_is_none_is_told(text):
    with pytest.raises(WeightsError, match=r"best.onnx: its description cannot be read"):
        read_card(PATH, text)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (["weights", "classes"], ["square", "circle"]),
        (["weights", "classes"], 3),
        (["weights", "num_classes"], 3),
        (["weights", "num_classes"], "4"),
        (["weights", "operating_point", "thresholds"], [0.5]),
        (["weights", "operating_point", "thresholds"], ["a", "b", "c"]),
        (["weights", "operating_point"], "f1"),
        (["weights", "score_threshold"], "high"),
        (["weights", "preprocessing"], []),
        (["weights", "options"], None),
        (["weights", "data"], None),
        (["weights", "more"], 3),
        (["weights"], None),
        (["settings", "size"], 3),
        (["settings", "size"], [0, 3]),
        (["settings", "size"], [3]),
        (["settings", "batch"], -1),
        (["settings", "more"], 3),
        (["input_size"], [128]),
        (["input_size"], ["128", 128]),
        (["detections"], "100"),
        (["detections"], 0),
        (["score_threshold"], None),
        (["score_threshold"], "0.5"),
        (["nms_threshold"], -1),
        (["format"], "tensorrt"),
        (["format"], ["onnx"]),
        (["card_version"], "1"),
        (["card_version"], None),
    ],
    ids=str,
)
def test_an_edited_card_is_refused(keys, value):
    content = json.loads(make_card().to_json())
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value

    with pytest.raises(WeightsError, match=r"^best.onnx: its description .*was it edited\?"):
        read_card(PATH, json.dumps(content))


def test_a_card_of_a_newer_program_is_told():
    content = {**json.loads(make_card().to_json()), "card_version": CARD_VERSION + 1}

    with pytest.raises(WeightsError, match="has version 2, this program reads up to 1; update it"):
        read_card(PATH, json.dumps(content))


def test_images_of_other_channels_are_floats():
    card = make_card()
    channels = replace(card, weights=replace(WEIGHTS, options={**WEIGHTS.options, "channels": 4}))

    assert card.takes_bytes
    assert not channels.takes_bytes
    assert "float32 in 0..1" in channels.to_json()
