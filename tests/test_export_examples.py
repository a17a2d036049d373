"""The examples in docs/examples run without PyTorch and without this project, and find what
torchvision's own network finds."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from shutil import copy
from typing import NamedTuple

import numpy as np
import onnx
import pytest
import torch
from inspected import make_subject
from PIL import Image

from nets.weights_file import WeightsFile
from utils.export.card import KEY, card_of
from utils.export.formats import FORMATS, ONNX, OPENVINO
from utils.export.settings import ExportSettings
from utils.export.write import write
from utils.export.writers import openvino_writer

EXAMPLES = Path(__file__).resolve().parent.parent / "docs" / "examples"
NAMES = {ONNX: "onnxruntime_example.py", OPENVINO: "openvino_example.py"}
# Runs an example as python does, where neither PyTorch nor this project can be imported.
RUNNER = """
import runpy, sys
for name in ("torch", "torchvision", "nets", "utils"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
LINE = re.compile(r"(\w+) (\d\.\d{4}) box (-?\d+\.\d) (-?\d+\.\d) (\d+\.\d) (\d+\.\d) pixels (\d+)")
MEAN_COLOUR = (124, 116, 104)  # of ImageNet
UNSURE = 1e-3  # so near to 0.5, rounding decides whether a pixel belongs to an object


class Scene(NamedTuple):
    """A network, a picture, and what torchvision finds in it, by score."""

    weights: WeightsFile
    pixels: np.ndarray
    labels: list
    scores: list
    boxes: list
    masks: torch.Tensor


@pytest.fixture(scope="module")
def scene():
    subject = make_subject(0)
    pixels = np.asarray(Image.fromarray(subject.pixels).resize((161, 97)))
    return scene_of(subject.weights, pixels)


def scene_of(weights, pixels):
    pixels = pixels.clip(0, 240)  # each then changes where it is marked
    with torch.no_grad():
        image = torch.from_numpy(pixels).permute(2, 0, 1) / 255
        (found,) = weights.build(reference=True)([image])
    thresholds = [threshold(found, label) for label in (1, 2, 3)]
    weights = replace(weights, operating_point={"thresholds": thresholds})
    shown = found["scores"] >= torch.tensor([0.0, *thresholds])[found["labels"]]
    assert 2 <= shown.sum() < len(shown)
    values = (found[name][shown].tolist() for name in ("labels", "scores", "boxes"))
    return Scene(weights, pixels, *values, found["masks"][shown, 0])


def threshold(found, label):
    """Between those scores of the class that are farthest apart."""
    scores = found["scores"][found["labels"] == label].tolist()
    _, middle = max(((a - b, (a + b) / 2) for a, b in pairwise(scores)), default=(0, 0.5))
    return middle


def export(scene, folder, format, **settings):
    path = folder / f"model{FORMATS[format].suffixes[0]}"
    write(card_of(scene.weights, ExportSettings(**settings), format), path)
    return path


@pytest.fixture(scope="module")
def onnx_file(scene, tmp_path_factory):
    return export(scene, tmp_path_factory.mktemp("files"), ONNX)


@pytest.fixture(scope="module")
def openvino_file(scene, onnx_file, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:  # it is made of an ONNX file, which is there
        patch.setattr(openvino_writer, "write_onnx", lambda card, path: copy(onnx_file, path))
        return export(scene, tmp_path_factory.mktemp("files"), OPENVINO)


def look(folder, path, pixels):
    """The lines that an example prints of a picture, and the picture that it writes."""
    Image.fromarray(pixels).save(folder / "photo.png")
    example = EXAMPLES / NAMES[ONNX if path.suffix == ".onnx" else OPENVINO]
    result = subprocess.run(
        [sys.executable, "-c", RUNNER, example, path, "photo.png"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines(), np.asarray(Image.open(folder / "found.png"))


def check_lines(lines, scene):
    """Each tells of another of the scene's objects; those of nearly equal scores in any order."""
    told = [LINE.fullmatch(line).groups() for line in lines]
    assert len(told) == len(scene.scores)
    for label, true_score, box, mask in zip(
        scene.labels, scene.scores, scene.boxes, scene.masks, strict=True
    ):
        most, least = ((mask >= 0.5 + way * UNSURE).sum() for way in (-1, 1))
        same = [
            line for line in told
            if line[0] == scene.weights.classes[label - 1]
            and float(line[1]) == pytest.approx(true_score, abs=2e-4)
            and [float(number) for number in line[2:6]] == pytest.approx(box, abs=0.06)
            and least <= int(line[6]) <= most
        ]  # fmt: skip
        assert same, (label, true_score, box, told)
        told.remove(same[0])


def check_marks(picture, scene):
    """They are the pixels of the scene's objects."""
    marked = (picture != scene.pixels).any(-1)
    chances = scene.masks.amax(0).numpy()
    assert marked[chances >= 0.5 + UNSURE].all()
    assert not marked[chances < 0.5 - UNSURE].any()


@pytest.mark.parametrize("file", ["onnx_file", "openvino_file"])
def test_an_example_finds_what_torchvision_finds(scene, request, tmp_path, file):
    lines, picture = look(tmp_path, request.getfixturevalue(file), scene.pixels)

    check_lines(lines, scene)
    check_marks(picture, scene)


def test_a_picture_in_which_no_score_reaches_the_one_threshold_stays(scene, onnx_file, tmp_path):
    model = onnx.load(onnx_file)
    (entry,) = (entry for entry in model.metadata_props if entry.key == KEY)
    card = json.loads(entry.value)
    card["weights"] |= {"operating_point": {}, "score_threshold": 1.0}
    entry.value = json.dumps(card)
    onnx.save(model, tmp_path / "changed.onnx")

    lines, picture = look(tmp_path, tmp_path / "changed.onnx", scene.pixels)

    assert lines == []
    assert np.array_equal(picture, scene.pixels)


@pytest.mark.slow
def test_a_file_of_one_size_and_batch_is_given_a_padded_picture(scene, tmp_path):
    height, width = 128, scene.pixels.shape[1]
    padded = np.full((height, width, 3), MEAN_COLOUR, np.uint8)
    padded[: len(scene.pixels)] = scene.pixels
    fitted = scene_of(scene.weights, padded)
    path = export(fitted, tmp_path, ONNX, size=(height, width), batch=2)

    lines, picture = look(tmp_path, path, scene.pixels)

    check_lines(lines, fitted)
    check_marks(picture, fitted)
