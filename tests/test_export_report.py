"""The report beside an exported file, and that a file which changed is told from it."""

import hashlib
import json

import pytest
import torch
from test_export_verification import make_card

from nets.weights_file import WeightsError
from utils.export.formats import ONNX
from utils.export.open_session import open_session
from utils.export.report import check_unchanged, report_path, write_report
from utils.export.settings import ExportSettings
from utils.export.verification.verify import Verification, VerifiedCase

CASE = VerifiedCase("wide", (97, 211), 1, (0, 3), 1, 0.001, 1e-6, 1e-5)


@pytest.fixture
def file(tmp_path):
    """A file of two parts, with its report."""
    path = tmp_path / "best.onnx"
    path.write_bytes(b"a graph")
    path.with_suffix(".bin").write_bytes(b"its numbers")
    settings = ExportSettings(size=(97, 211), batch=1, score_threshold=0.3)
    write_report(path, make_card(settings), Verification((CASE,), None, ("a note",), ()))
    return path


def test_the_report_says_what_was_written_and_how_it_compared(file):
    content = json.loads(report_path(file).read_text(encoding="utf-8"))

    assert report_path(file).name == "best.onnx.json"
    assert (content["file"], content["format"]) == ("best.onnx", ONNX)
    assert content["settings"]["size"] == [97, 211]
    assert (content["score_threshold"], content["max_detections"]) == (0.3, 100)
    assert content["versions"].keys() >= {"python", "torch", "torchvision", "onnxruntime"}
    assert content["versions"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert content["sha256"] == {
        "best.bin": hashlib.sha256(b"its numbers").hexdigest(),
        "best.onnx": hashlib.sha256(b"a graph").hexdigest(),
    }
    verification = content["verification"]
    assert verification["cases"][0]["detections"] == [0, 3]
    assert verification["notes"] == ["a note"]
    assert set(verification["tolerances"]) == {"boxes, of the longer side", "scores", "masks"}


def test_a_file_as_it_was_is_fine(file):
    check_unchanged(file)

    report_path(file).unlink()
    file.write_bytes(b"another graph")
    check_unchanged(file)


@pytest.mark.parametrize("part", ["best.onnx", "best.bin"])
@pytest.mark.parametrize("change", ["other bytes", "missing"])
def test_a_part_that_changed_is_named(file, part, change):
    changed = file.with_name(part)
    changed.write_bytes(b"A graph") if change == "other bytes" else changed.unlink()

    with pytest.raises(WeightsError, match=rf"{part}: changed since best.onnx was verified"):
        check_unchanged(file)


def test_files_under_other_names_are_the_same(file):
    for suffix in (".onnx", ".bin", ".onnx.json"):
        file.with_name(f"best{suffix}").rename(file.with_name(f"other{suffix}"))
    other = file.with_name("other.onnx")

    check_unchanged(other)
    other.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"other.bin: changed"):
        check_unchanged(other)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"sha256": 3}', '{"sha256": {"": 1}}', "\xff"]
)
def test_a_report_that_cannot_be_read_is_named(file, text):
    report_path(file).write_text(text, encoding="latin-1")

    with pytest.raises(WeightsError, match=r"best.*or delete best.onnx.json"):
        check_unchanged(file)


def test_a_changed_file_is_not_opened(file):
    file.write_bytes(b"A graph")

    with pytest.raises(WeightsError, match=r"best.onnx: changed since"):
        open_session(file)
