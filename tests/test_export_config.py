"""The command line of tools.export: what is asked for, and what cannot be."""

from pathlib import Path

import pytest

from utils.command_line import parse
from utils.config import ConfigError
from utils.export.config import ExportConfig
from utils.export.formats import FORMATS
from utils.export.settings import ExportSettings


def config(**given):
    return ExportConfig(**{"format": "onnx", **given})


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, ExportSettings()),
        ({"dynamic": True, "batch": "dynamic"}, ExportSettings()),
        ({"size": "480x640"}, ExportSettings(size=(480, 640))),
        ({"size": "32X64", "batch": "4"}, ExportSettings(size=(32, 64), batch=4)),
        (
            {"paste": True, "score_threshold": 0.0, "nms_threshold": 1.0, "max_detections": 7},
            ExportSettings(None, None, True, 0.0, 1.0, 7),
        ),
    ],
)
def test_what_a_file_is_made_for(given, wanted):
    assert config(**given).settings == wanted


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"format": ""}, "--format is missing; there are onnx, onnx-int8, openvino"),
        ({"recommend": True}, "leave --format out"),
        ({"dynamic": True, "size": "480x640"}, "give one of them"),
        *(
            ({"size": size}, f"--size is {size}, must be HxW in pixels")
            for size in ("480", "axb", "0x10", "10x0", "x", "480x", "-1x5", "4.5x4", "1x2x3")
        ),
        ({"size": "20000x20000"}, "more pixels than --max-pixels 178956970"),
        ({"size": "20x20", "max_pixels": 399}, "more pixels than --max-pixels 399"),
        *(
            ({"batch": batch}, f"--batch is {batch}, must be a number or dynamic")
            for batch in ("0", "-1", "x", "1.5", "")
        ),
        ({"score_threshold": 1.1}, "--score-threshold is 1.1, must lie in 0..1"),
        ({"nms_threshold": float("nan")}, "--nms-threshold is nan, must lie"),
        ({"max_detections": 0}, "--max-detections is 0, must be at least 1"),
        ({"calibration_images": 0}, "--calibration-images is 0"),
        ({"output": Path("best.pth")}, "--output is best.pth; a file of onnx ends in .onnx"),
        ({"output": Path("best")}, "a file of onnx ends in .onnx"),
        ({"format": "torchscript", "output": Path("a.onnx")}, ".ts or .torchscript or .pt"),
        ({"output": Path("no/where/a.onnx")}, "there is no folder no/where"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be(given, told):
    with pytest.raises(ConfigError) as raised:
        config(**given)
    assert told in str(raised.value)


def test_all_problems_are_told_at_once():
    with pytest.raises(ConfigError, match=r"--max-detections.*--size.*--output"):
        config(max_detections=0, size="x", output=Path("a.b"))


def test_an_output_that_is_a_folder(tmp_path):
    (tmp_path / "a.onnx").mkdir()
    with pytest.raises(ConfigError, match=r"a.onnx, which is a folder"):
        config(output=tmp_path / "a.onnx")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_takes_files_of_its_suffixes(name):
    for suffix in FORMATS[name].suffixes:
        assert config(format=name, output=Path(f"a{suffix}")).output.suffix == suffix


def test_the_command_line(capsys):
    read = parse(ExportConfig, ["--format", "onnx", "--dynamic", "--batch", "2"], None)
    assert (read.settings, read.weights) == (ExportSettings(batch=2), "best.pth")
    assert parse(ExportConfig, ["--recommend"], None).recommend
    for wrong in (["--format", "tensorrt"], ["--format", "onnx", "--size"], []):
        with pytest.raises(SystemExit) as raised:
            parse(ExportConfig, wrong, None)
        assert raised.value.code == 2
    assert "openvino-int8" in capsys.readouterr().err
