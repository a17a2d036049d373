"""Finding a weights file by the name a person gives."""

from __future__ import annotations

import os

import pytest

from nets.weights_file import WeightsError
from utils.weights_lookup import find_weights, run_name


def make_run(root, name, files, age):
    """A run whose files were written ``age`` seconds ago."""
    (root / "weights" / name).mkdir(parents=True)
    for file in files:
        path = root / "weights" / name / file
        path.write_bytes(b"x")
        os.utime(path, (1_000_000 - age,) * 2)


def test_a_path_is_taken_as_given(tmp_path):
    make_run(tmp_path, "new", ["best.pth"], age=0)
    (tmp_path / "best.pth").write_bytes(b"x")
    given = str(tmp_path / "best.pth")
    assert find_weights(given, tmp_path) == tmp_path / "best.pth"


def test_weights_folder_comes_before_the_newest_run(tmp_path):
    make_run(tmp_path, "new", ["best.pth"], age=0)
    assert find_weights("best.pth", tmp_path) == tmp_path / "weights" / "new" / "best.pth"
    (tmp_path / "weights" / "best.pth").write_bytes(b"x")
    assert find_weights("best.pth", tmp_path) == tmp_path / "weights" / "best.pth"


def test_the_newest_run_is_meant_not_the_last_by_name(tmp_path):
    make_run(tmp_path, "z", ["best.pth", "MaskRCNN_9.pth"], age=100)
    make_run(tmp_path, "a", ["best.pth"], age=0)
    assert find_weights("best.pth", tmp_path) == tmp_path / "weights" / "a" / "best.pth"
    assert find_weights("z/best.pth", tmp_path) == tmp_path / "weights" / "z" / "best.pth"


def test_a_file_of_an_older_run_is_never_taken_silently(tmp_path):
    make_run(tmp_path, "old", ["MaskRCNN_9.pth"], age=100)
    make_run(tmp_path, "new", ["MaskRCNN_1.pth"], age=0)
    with pytest.raises(WeightsError) as error:
        find_weights("MaskRCNN_9.pth", tmp_path)
    text = str(error.value)
    assert text.startswith("MaskRCNN_9.pth: no such weights file")
    assert str(tmp_path / "weights" / "old" / "MaskRCNN_9.pth") in text
    assert str(tmp_path / "weights" / "new" / "MaskRCNN_1.pth") in text


@pytest.mark.parametrize("name", ["best.pth", "", "."])
def test_a_miss_without_any_run_says_how_to_get_one(tmp_path, name):
    with pytest.raises(WeightsError, match=r"none yet; run python train\.py first"):
        find_weights(name, tmp_path)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("MaskRCNN_9.pth", "MaskRCNN_9"),
        ("weights/mine.pth", "mine"),
        ("weights/shapes-2/best.pth", "shapes-2"),
        ("downloads/best.pth", "best"),
    ],
)
def test_outputs_are_called_after_the_run_or_the_file(tmp_path, path, name):
    assert run_name(tmp_path / path) == name


def test_exported_files_are_found_by_name_too(tmp_path):
    make_run(tmp_path, "old", ["best.pth", "old.onnx"], age=100)
    make_run(tmp_path, "new", ["best.pth", "best.xml"], age=50)
    (tmp_path / "weights" / "mine.pt2").write_bytes(b"x")
    for name, wanted in (("mine.pt2", "mine.pt2"), ("best.xml", "new/best.xml")):
        assert find_weights(name, tmp_path) == tmp_path / "weights" / wanted
    with pytest.raises(WeightsError, match=r"new/best\.pth.*old/best\.pth.*new/best\.xml"):
        find_weights("old.onnx", tmp_path)


def test_an_export_does_not_make_its_run_the_newest(tmp_path):
    make_run(tmp_path, "new", ["best.pth"], age=50)
    make_run(tmp_path, "old", ["best.pth"], age=100)
    (tmp_path / "weights" / "old" / "best.onnx").write_bytes(b"x")
    assert find_weights("best.pth", tmp_path) == tmp_path / "weights" / "new" / "best.pth"


def test_exported_files_may_have_come_alone(tmp_path):
    make_run(tmp_path, "old", ["best.onnx"], age=100)
    make_run(tmp_path, "new", ["best.onnx"], age=0)
    assert find_weights("best.onnx", tmp_path) == tmp_path / "weights" / "new" / "best.onnx"
