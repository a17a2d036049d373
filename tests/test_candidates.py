"""Formats that are written and opened: their figures, and what is said of those that fail."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from inspected import ARCH, OPTIONS, make_model

from nets.weights_file import WeightsError, WeightsFile
from utils.config import ConfigError
from utils.export import formats
from utils.export.formats import (
    AOTI,
    FORMATS,
    ONNX,
    ONNX_INT8,
    OPENVINO,
    OPENVINO_INT8,
    TORCH_EXPORT,
    TORCHSCRIPT,
)
from utils.export.settings import ExportSettings
from utils.recommendation import candidates as module
from utils.recommendation.candidates import candidates, tell_failure

SETTINGS = ExportSettings(max_detections=5)
IMAGES = ["an image"]


@pytest.fixture(scope="module")
def weights():
    options = {**OPTIONS, "frozen_norm": True}
    return WeightsFile(ARCH, 4, ("a", "b", "c"), make_model().state_dict(), options)


@pytest.fixture
def script(monkeypatch):
    """Writing takes 3 seconds, opening 2; a file has 1 MB and another part of 2 MB."""
    script = SimpleNamespace(now=0.0, fails={}, opens={}, given=[], paths=[])

    def write(card, path, calibration):
        script.given.append((card.format, card.settings, calibration))
        script.now += 3
        if error := script.fails.get(card.format):
            raise error
        path.write_bytes(bytes(1_000_000))
        path.with_suffix(".part").write_bytes(bytes(2_000_000))

    def open_session(path):
        script.paths.append(path)
        script.now += 2
        if error := script.opens.get(path.parent.name):
            raise error
        return f"session of {path.name}"

    monkeypatch.setattr(module, "write", write)
    monkeypatch.setattr(module, "open_session", open_session)
    monkeypatch.setattr(module.time, "perf_counter", lambda: script.now)
    return script


@pytest.fixture
def without(monkeypatch):
    """Packages that are not installed; all others are."""
    absent = set()
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name in absent else name)
    return absent


def made(weights, folder):
    return {one.card.format: one for one in candidates(weights, SETTINGS, IMAGES, folder)}


def test_every_format_is_written_and_opened(weights, script, without, tmp_path, capsys):
    found = made(weights, tmp_path)
    assert list(found) == list(FORMATS)
    assert script.given == [(name, SETTINGS, IMAGES) for name in FORMATS]
    assert len(set(script.paths)) == len(FORMATS)
    for path, (name, one) in zip(script.paths, found.items(), strict=True):
        assert path.suffix == FORMATS[name].suffixes[0]
        assert one[1:] == (f"session of {path.name}", 3.0, 3, 2)
        assert one.card.detections == 5
    told = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in told] == list(FORMATS)
    (long,) = [line for line in told if "minutes" in line]
    assert long.startswith(AOTI)


def test_what_is_done_is_told_before_it_is_done(weights, script, without, tmp_path, capsys):
    next(candidates(weights, SETTINGS, IMAGES, tmp_path))
    assert capsys.readouterr().out == "onnx: is written\n"


def test_packages_that_lack_are_told_in_one_line(weights, script, without, tmp_path, capsys):
    without |= {"onnxscript", "openvino"}
    assert list(made(weights, tmp_path)) == [TORCH_EXPORT, AOTI, TORCHSCRIPT]
    assert capsys.readouterr().out.splitlines()[0] == (
        "left out: onnx, onnx-int8, openvino, openvino-int8; onnxscript, openvino not installed "
        "here: pip install -r requirements-export.txt"
    )


def test_one_package_leaves_the_others(weights, script, without, tmp_path):
    without.add("openvino")
    assert set(FORMATS) - set(made(weights, tmp_path)) == {OPENVINO, OPENVINO_INT8}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConfigError("there is no C++ compiler\nand more"), "there is no C++ compiler"),
        (RuntimeError(), "RuntimeError"),
        (MemoryError(), "MemoryError"),
        (KeyError("x"), "'x'"),
    ],
)
def test_what_fails_is_told_and_the_others_go_on(
    weights, script, without, tmp_path, capsys, error, said
):
    script.fails[AOTI] = error
    script.opens[TORCHSCRIPT] = WeightsError("is no file")
    assert set(FORMATS) - set(made(weights, tmp_path)) == {AOTI, TORCHSCRIPT}
    told = capsys.readouterr().out.splitlines()
    assert f"aoti: left out: {said}" in told
    assert "torchscript: left out: is no file" in told


def test_8_bits_are_left_out_without_images(weights, script, without, tmp_path, capsys):
    found = {one.card.format for one in candidates(weights, SETTINGS, (), tmp_path)}
    assert set(FORMATS) - found == {ONNX_INT8, OPENVINO_INT8}
    told = [line for line in capsys.readouterr().out.splitlines() if "--data" in line]
    assert [line.split(":")[0] for line in told] == [ONNX_INT8, OPENVINO_INT8]


def test_who_stops_it_stops_it(weights, script, without, tmp_path):
    script.fails[ONNX] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        made(weights, tmp_path)


def test_an_error_that_starts_with_an_empty_line_is_named(capsys):
    tell_failure("aoti", RuntimeError("\nsomething"))
    assert capsys.readouterr().out == "aoti: left out: RuntimeError\n"
