"""tools.export from end to end: a file with its report, or one message and nothing written."""

import json
import signal
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from conftest import REPOSITORY
from exportable_scene import make_weights
from exported_once import write_onnx

import tools.export
from nets.weights_file import save_weights
from tools.export import beside, main
from utils.command_line import parse
from utils.exit_codes import run
from utils.export.card import KEY, read_card
from utils.export.config import ExportConfig
from utils.export.formats import FORMATS
from utils.export.open_session import open_session
from utils.export.verification.images import drawn
from utils.export.verification.reference import Reference
from utils.export.writers import onnx_writer

CLASSES = ("square", "circle", "triangle")
WEIGHTS = replace(make_weights(), classes=CLASSES)


@pytest.fixture(autouse=True)
def without_training_images(monkeypatch):
    """Their reading has tests of its own."""
    monkeypatch.setattr(tools.export, "training_images", lambda *_, **__: [])


def export(*arguments):
    return run(main, parse(ExportConfig, [*map(str, arguments)], None))


def save(path, **options):
    save_weights(path, replace(WEIGHTS, options={**WEIGHTS.options, **options}))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder with weights and the file that was made of them, and what the tool said."""
    folder = tmp_path_factory.mktemp("exported")
    save_weights(folder / "best.pth", replace(WEIGHTS, data={"format": "shapes"}))
    with pytest.MonkeyPatch.context() as patch:  # one export is enough for all tests
        patch.setattr(onnx_writer, "write_onnx", write_onnx)
        code = export("--weights", folder / "best.pth", "--format", "onnx", "--paste")
    return folder, code


def test_a_file_and_its_report_lie_beside_the_weights(exported):
    folder, code = exported
    report = json.loads((folder / "best.onnx.json").read_text(encoding="utf-8"))

    assert code == 0
    assert names(folder) == ["best.onnx", "best.onnx.json", "best.pth"]
    assert report["sha256"].keys() == {"best.onnx"}
    cases = report["verification"]["cases"]
    assert {case["batch"] for case in cases} == {1, 4}
    assert len({tuple(case["size"]) for case in cases}) >= 3
    assert [case["name"] for case in cases][-2:] == ["image 1 of the data", "image 2 of the data"]
    assert max(count for case in cases for count in case["detections"]) > 10
    assert report["verification"]["faults"] == []


def test_the_file_finds_what_torchvision_finds(exported):
    folder, _ = exported
    session = open_session(folder / "best.onnx")
    image = drawn((113, 77), 7, 3)

    found = session.run(np.stack([image, image]))
    wanted = Reference(replace(session.card, weights=WEIGHTS)).detections(image)

    assert found.counts.tolist() == [len(wanted.scores)] * 2
    np.testing.assert_allclose(found.boxes[1, : len(wanted.scores)], wanted.boxes, atol=0.02)
    metadata = onnxruntime.InferenceSession(folder / "best.onnx").get_modelmeta()
    card = read_card(folder, metadata.custom_metadata_map[KEY])
    assert card.weights.classes == CLASSES


def test_a_file_that_differs_is_not_written(tmp_path, monkeypatch, capsys, exported):
    """The file that comes out is one of other weights."""
    save(tmp_path / "best.pth", rpn_post_nms_top_n_test=10)
    (tmp_path / "best.onnx").write_bytes(b"an earlier one")
    whole = (exported[0] / "best.onnx").read_bytes()
    monkeypatch.setattr(tools.export, "write", lambda card, path, _: path.write_bytes(whole))

    assert export("--weights", tmp_path / "best.pth", "--format", "onnx") == 4

    told = capsys.readouterr().err
    assert "differs from the network and is not kept" in told
    assert "128x128 pixels, 1 at once, detection" in told
    assert names(tmp_path) == ["best.onnx", "best.pth"]
    assert (tmp_path / "best.onnx").read_bytes() == b"an earlier one"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_write_that_is_stopped_leaves_nothing(tmp_path, monkeypatch, capsys, number, code):
    def stopped(card, path, _):
        path.write_bytes(b"half")
        signal.raise_signal(number)

    save(tmp_path / "best.pth")
    monkeypatch.setattr(tools.export, "write", stopped)

    assert export("--weights", tmp_path / "best.pth", "--format", "onnx") == code
    assert "stopped by SIG" in capsys.readouterr().err
    assert names(tmp_path) == ["best.pth"]


def test_a_truncated_file_is_found_by_opening_it(tmp_path, monkeypatch, capsys, exported):
    half = (exported[0] / "best.onnx").read_bytes()[:1_000_000]
    save(tmp_path / "best.pth")
    monkeypatch.setattr(tools.export, "write", lambda card, path, _: path.write_bytes(half))

    assert export("--weights", tmp_path / "best.pth", "--format", "onnx") == 4
    assert "is no ONNX file that can be run" in capsys.readouterr().err
    assert names(tmp_path) == ["best.pth"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty (0 bytes)"),
        (b"epochs: 100\nimgsz: 640\n", "is not a PyTorch file"),
        ({"model": {"a.weight": torch.zeros(3)}}, "Mask R-CNN"),
        ({"conv1.weight": torch.zeros(64, 3, 7, 7), "fc.weight": torch.zeros(9, 512)}, "Mask"),
        (torch.nn.Linear(2, 2), "refused, it holds Python objects"),
    ],
    ids=["empty", "text", "dict", "resnet", "pickle"],
)
def test_weights_of_another_tool_are_refused(tmp_path, capsys, content, told):
    path = tmp_path / "best.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)

    assert export("--weights", path, "--format", "onnx") == 4

    error = capsys.readouterr().err
    assert told in error
    assert str(path) in error
    assert "Traceback" not in error
    assert names(tmp_path) == ["best.pth"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--weights", "no.pth"], 4, "no.pth: no such weights file"),
        (["--size", "1x400"], 2, "--size 1x400 is too thin"),
        (["--size", "400x1"], 2, "at most 160 pixels, which leaves none across"),
        (["--format", "torchscript", "--output", "best.pt"], 2, "would overwrite"),
        (["--classes", "a", "b"], 4, "--classes names 2"),
        (["--weights", "other.onnx"], 2, "is an exported file already"),
    ],
    ids=str,
)
def test_what_cannot_be_exported(tmp_path, monkeypatch, capsys, arguments, code, told):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "best.pt")
    (tmp_path / "other.onnx").write_bytes(b"graph")
    before = names(tmp_path)

    assert export("--weights", "best.pt", "--format", "onnx", *arguments) == code

    assert told in capsys.readouterr().err
    assert names(tmp_path) == before


def test_weights_are_not_overwritten_by_a_part_of_a_file(tmp_path, capsys):
    """OpenVINO's numbers lie beside its graph, in a file of another name."""
    save(tmp_path / "best.bin")
    before = (tmp_path / "best.bin").read_bytes()

    assert export("--weights", tmp_path / "best.bin", "--format", "openvino") == 2

    assert f"best.xml would overwrite {tmp_path / 'best.bin'}" in capsys.readouterr().err
    assert (tmp_path / "best.bin").read_bytes() == before


def test_a_package_that_is_missing_is_named_before_anything_is_computed(
    tmp_path, monkeypatch, capsys
):
    save(tmp_path / "best.pth")
    monkeypatch.setattr("utils.export.formats.find_spec", lambda name: None)

    assert export("--weights", tmp_path / "best.pth", "--format", "onnx") == 2
    assert "not installed here: pip install -r requirements-export.txt" in capsys.readouterr().err
    assert names(tmp_path) == ["best.pth"]


def test_no_format_takes_the_name_of_another(tmp_path):
    names = {format: beside(tmp_path / "best.pth", format).name for format in FORMATS}

    assert len(set(names.values())) == len(FORMATS)
    assert names["onnx"] == "best.onnx"
    assert names["onnx-int8"] == "best-int8.onnx"
    assert (names["torch-export"], names["aoti"]) == ("best.pt2", "best-aoti.pt2")
    assert names["torchscript"] == "best.ts"
    for format, name in names.items():
        assert ExportConfig(format=format, output=REPOSITORY / name).output.name == name
