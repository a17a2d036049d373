"""The benchmark of exported files: which ways take turns on which images, and its rows."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from benchmarked import save_noise, save_small_weights

from tools import export_benchmark as module
from tools.export_benchmark import REFERENCE, compare
from tools.prediction_benchmark import DRAWN, SCORE
from utils.export.card import card_of
from utils.export.formats import ONNX, OPENVINO
from utils.recommendation.candidates import Candidate


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_small_weights(tmp_path_factory.mktemp("weights") / "small.pth")


@pytest.fixture
def folder(tmp_path):
    return save_noise(tmp_path)


@pytest.fixture(autouse=True)
def missing(monkeypatch, tmp_path):
    monkeypatch.setenv("PENNFUDAN_ROOT", str(tmp_path / "missing"))


@pytest.fixture
def scripted(monkeypatch):
    """Two formats that nobody writes, and what each way takes."""
    script = SimpleNamespace(seconds={REFERENCE: 6.0, "our fp32": 2.0, ONNX: 3.0, OPENVINO: 1.5})

    def candidates(weights, settings, calibration, folder):
        script.settings, script.calibration = settings, calibration
        for number, name in enumerate((ONNX, OPENVINO)):
            card = card_of(weights, settings, name)
            yield Candidate(card, name, 10 + number, 20 + number, 30 + number)

    def seconds_by_turns(ways, batches, rounds):
        script.ways, script.batches, script.rounds = ways, batches, rounds
        return script.seconds

    monkeypatch.setattr(module, "candidates", candidates)
    monkeypatch.setattr(module, "seconds_by_turns", seconds_by_turns)
    monkeypatch.setattr(module, "exported_way", lambda session: session)
    return script


def test_rows_have_the_time_of_each_and_what_its_file_is_like(weights, folder, scripted):
    rows = list(compare(weights, folder, 2, 3, "fp32"))
    assert rows == [
        {"name": "export small.pth our fp32, 7 detections",
         "reference_s": 6.0, "ours_s": 2.0, "ratio": 3.0},
        {"name": "export small.pth onnx, 7 detections",
         "reference_s": 6.0, "ours_s": 3.0, "ratio": 2.0,
         "file_mb": 10, "write_s": 20, "open_s": 30},
        {"name": "export small.pth openvino, 7 detections",
         "reference_s": 6.0, "ours_s": 1.5, "ratio": 4.0,
         "file_mb": 11, "write_s": 21, "open_s": 31},
    ]  # fmt: skip
    json.dumps(rows)


def test_all_look_at_the_same_images_with_the_same_threshold(weights, folder, scripted):
    list(compare(weights, folder, 2, 3, "fp32"))
    assert [[image.shape for image in batch] for batch in scripted.batches] == [
        [(50, 70, 3)], [(51, 70, 3)],
    ]  # fmt: skip
    assert scripted.rounds == 3
    assert scripted.settings.score_threshold == SCORE
    assert scripted.calibration == [image for (image,) in scripted.batches]
    assert list(scripted.ways) == list(scripted.seconds)
    reference, ours = scripted.ways[REFERENCE], scripted.ways["our fp32"]
    assert [reference(batch) for batch in scripted.batches] == [7, 7]
    assert [ours(batch) for batch in scripted.batches] == [7, 7]


def test_detections_are_the_mean_of_all_images(weights, folder, scripted, monkeypatch):
    counts = iter([2, 9, 4])
    monkeypatch.setattr(module, "own_way", lambda card, precision: lambda images: next(counts))
    assert {row["name"].split(", ")[1] for row in compare(weights, folder, 3, 1, "fp32")} == {
        "5 detections"
    }


def test_without_weights_or_pictures_they_are_random(weights, scripted, monkeypatch):
    monkeypatch.setattr(module, "random_weights", lambda path: weights)
    row, *_ = compare(None, None, 1, 1, "fp32")
    assert row["name"] == "export random maskrcnn_resnet50_fpn our fp32, 7 detections"
    assert [image.shape for batch in scripted.batches for image in batch] == [DRAWN]
