"""The recommendation: what is measured, what the table says, and which format is advised."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from inspected import ARCH, OPTIONS, make_model

from nets.weights_file import WeightsFile
from utils.device import choose_precision
from utils.export.card import card_of
from utils.export.config import ExportConfig
from utils.export.formats import FORMATS, ONNX, ONNX_INT8, OPENVINO, OPENVINO_INT8
from utils.export.verification.agreement import Agreement
from utils.export.verification.verify import Verification
from utils.recommendation import candidates as candidates_module
from utils.recommendation import recommendation as module
from utils.recommendation.candidates import Candidate
from utils.recommendation.recommendation import (
    DRAWN,
    IMAGES,
    ROUNDS,
    STOCK,
    Result,
    advice,
    recommend,
    table,
)
from utils.recommendation.timing import CPU

OURS = "predict.py, bf16"
CONFIG = ExportConfig(recommend=True)


@pytest.fixture(scope="module")
def weights():
    options = {**OPTIONS, "frozen_norm": True}
    return WeightsFile(ARCH, 4, ("a", "b", "c"), make_model().state_dict(), options)


def verification(agreement=None, faults=()):
    return Verification((), agreement, (), tuple(faults))


EQUAL = verification()
NEAR = verification(Agreement(sure=50, found=49, mask_iou=0.953))


def result(seconds, verification=EQUAL, megabytes=70.4, write_s=30.6, open_s=0.75):
    return Result(seconds, Candidate(None, None, megabytes, write_s, open_s), verification)


def results(**others):
    return {STOCK: Result(3.0), OURS: Result(1.0), **others}


def test_the_table_has_the_fastest_first():
    shown = table(results(**{"onnx": result(1.5), "openvino-int8": result(0.5, NEAR, 9, 120, 2)}))
    assert shown.splitlines() == [
        "                   s/image    speed       MB  write s   open s  like the network",
        "openvino-int8        0.500    6.00x        9      120      2.0  "
        "49 of 50 sure objects found again, mask IoU 0.95",
        "predict.py, bf16     1.000    3.00x        -        -        -",
        "onnx                 1.500    2.00x       70       31      0.8  equal",
        "torchvision, fp32    3.000    1.00x        -        -        -",
    ]


def test_the_fastest_that_is_equal_is_advised():
    lines = advice(results(onnx=result(0.7), openvino=result(0.5), aoti=result(0.6)), OURS, CONFIG)
    assert lines == [
        "Use openvino: of the files that find what the network finds it is the fastest here, 6.0 "
        "times as fast as torchvision.",
        "    python -m tools.export --format openvino",
    ]


def test_one_that_is_faster_and_not_equal_is_told_with_what_it_costs():
    known = results(**{ONNX: result(0.9), ONNX_INT8: result(0.6, NEAR), "aoti": result(0.8)})
    use, write, fastest, write_fastest = advice(known, OURS, CONFIG)
    assert use.startswith("Use aoti:")
    assert write.endswith("--format aoti")
    assert fastest == (
        "Fastest of all files is onnx-int8, 5.0 times as fast, but not equal: 49 of 50 sure "
        "objects found again, mask IoU 0.95. test.py tells what AP it costs."
    )
    assert write_fastest.endswith("--format onnx-int8")


@pytest.mark.parametrize(("seconds", "is_told"), [(0.99, False), (1.5, True)])
def test_weights_that_are_faster_than_the_equal_file_are_told(seconds, is_told):
    """Whatever a format does that is not equal."""
    known = results(**{ONNX: result(seconds), OPENVINO_INT8: result(0.1, NEAR)})
    said = [line for line in advice(known, OURS, CONFIG) if "PyTorch" in line]
    wanted = ("Where PyTorch can be used, predict.py, bf16 with the weights themselves is faster "
              "than onnx: 3.0 times.")  # fmt: skip
    assert said == [wanted] * is_told


def test_without_an_equal_file_the_fastest_is_told():
    first, _, last = advice(results(**{ONNX_INT8: result(2.0, NEAR)}), OURS, CONFIG)
    assert first.startswith("Fastest of all files is onnx-int8, 1.5 times")
    assert "than onnx-int8" in last


def test_without_a_file_the_weights_are_kept():
    assert advice(results(), OURS, CONFIG) == [
        "No format could be written and verified here: keep the weights file."
    ]


def test_the_command_has_all_that_was_asked_for():
    config = ExportConfig(
        recommend=True, weights="my runs/best.pth", size="480x640", batch="4", max_detections=9
    )
    _, line = advice(results(onnx=result(0.5)), OURS, config)
    assert line == (
        "    python -m tools.export --weights 'my runs/best.pth' --format onnx --size 480x640 "
        "--batch 4 --max-detections 9"
    )


@pytest.fixture
def scripted(monkeypatch):
    """Formats, and how long a batch takes each; the images are numbered."""
    script = SimpleNamespace(
        seconds={ONNX: 1.0, OPENVINO: 2.0}, verified={}, calibration=[], batches=None, rounds=None
    )
    images = [np.full((5, 6, 3), number, np.uint8) for number in range(9)]
    script.images = images

    def candidates(weights, settings, calibration, folder):
        assert folder.is_dir()
        script.folder, script.calibration = folder, calibration
        for name in script.seconds:
            yield Candidate(card_of(weights, settings, name), f"session of {name}", 1, 2, 3)

    def training_images(weights, data, count, *, are_needed):
        assert not are_needed
        script.asked = data, count
        return images

    def seconds_by_turns(ways, batches, rounds):
        assert script.folder.is_dir()
        script.ways, script.batches, script.rounds = ways, batches, rounds
        known = {STOCK: 6.0, OURS: 3.0, "predict.py, fp32": 3.0, **script.seconds}
        return {name: known[name] for name in ways}

    def verify(card, session, given):
        assert session == f"session of {card.format}"
        assert given is images
        return script.verified.get(card.format, EQUAL)

    monkeypatch.setattr(module, "candidates", candidates)
    monkeypatch.setattr(module, "training_images", training_images)
    monkeypatch.setattr(module, "seconds_by_turns", seconds_by_turns)
    monkeypatch.setattr(module, "verify", verify)
    monkeypatch.setattr(module, "exported_way", lambda session: session)
    monkeypatch.setattr(module, "network_of", lambda card: card)
    monkeypatch.setattr(module, "stock_way", lambda network: network)
    monkeypatch.setattr(module, "own_way", lambda card, precision: (card, precision.name))
    return script


def test_every_way_is_timed_with_the_same_thresholds(weights, scripted):
    config = ExportConfig(
        recommend=True, score_threshold=0.3, max_detections=9, data="there", calibration_images=7,
    )  # fmt: skip
    said = recommend(weights, config)
    assert list(scripted.ways) == [STOCK, OURS, ONNX, OPENVINO]
    card, (same, number_format) = scripted.ways[STOCK], scripted.ways[OURS]
    assert card is same
    assert (card.score_threshold, card.detections) == (0.3, 9)
    assert number_format == choose_precision("auto", CPU, weights.precision).name
    assert scripted.ways[OPENVINO] == "session of openvino"
    assert scripted.asked == ("there", 7)
    assert scripted.calibration is scripted.images
    assert "of score 0.3 or more" in said
    assert "Use onnx:" in said
    assert not scripted.folder.exists()


def test_images_are_taken_evenly(weights, scripted):
    recommend(weights, CONFIG)
    assert [len(batch) for batch in scripted.batches] == [1] * IMAGES
    assert [batch[0].max() for batch in scripted.batches] == [0, 2, 4, 6]
    assert scripted.rounds == ROUNDS


def test_a_fixed_size_and_number_are_measured(weights, scripted):
    recommend(weights, ExportConfig(recommend=True, size="7x9", batch="3"))
    assert {image.shape for batch in scripted.batches for image in batch} == {(7, 9, 3)}
    assert [len(batch) for batch in scripted.batches] == [3] * IMAGES


def test_few_images_are_all_taken(weights, scripted):
    del scripted.images[2:]
    recommend(weights, CONFIG)
    assert [batch[0].max() for batch in scripted.batches] == [0, 1]


@pytest.mark.parametrize(("size", "wanted"), [("", DRAWN), ("7x9", (7, 9))])
def test_without_the_data_drawn_images_are_timed(weights, scripted, size, wanted):
    scripted.images.clear()
    recommend(weights, ExportConfig(recommend=True, size=size))
    images = [image for (image,) in scripted.batches]
    assert [image.shape for image in images] == [(*wanted, 3)] * IMAGES
    assert all((image != images[0]).any() for image in images[1:])


def test_a_file_that_differs_is_left_out_and_told(weights, scripted, capsys):
    scripted.verified[ONNX] = verification(faults=["image 1 of the data: a score"])
    said = recommend(weights, CONFIG)
    assert list(scripted.ways)[2:] == [OPENVINO]
    assert "onnx" not in said
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "left out" in line]
    assert line.startswith("onnx: left out: ")
    assert "image 1 of the data: a score" in line


def test_what_is_no_fault_of_a_format_ends_it(weights, scripted, monkeypatch):
    def fails(*_):
        raise MemoryError

    monkeypatch.setattr(module, "verify", fails)
    with pytest.raises(MemoryError):
        recommend(weights, CONFIG)


@pytest.mark.slow
def test_onnx_from_end_to_end(weights, monkeypatch, capsys):
    """With nothing in place of anything, but one format and the images."""
    images = [np.random.default_rng(n).integers(0, 256, (60, 90, 3), np.uint8) for n in range(2)]
    monkeypatch.setattr(candidates_module, "FORMATS", {ONNX: FORMATS[ONNX]})
    monkeypatch.setattr(module, "training_images", lambda *_, **__: images)
    said = recommend(weights, ExportConfig(recommend=True, size="60x90", max_detections=5))
    said = said.splitlines()
    rows = {line.split("  ")[0]: line for line in said[2:5]}
    assert rows[ONNX].endswith("  equal")
    assert set(rows) == {STOCK, ONNX, *(name for name in rows if name.startswith("predict.py"))}
    assert "1.00x" in rows[STOCK]
    assert "    python -m tools.export --format onnx --size 60x90 --max-detections 5" in said
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "onnx: is written"
    assert told[1].startswith("timed by turns: torchvision, fp32, predict.py")
