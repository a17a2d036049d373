"""Where runs write: never over an earlier one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.folders import new_folder, safe_name, write_json
from utils.training.run_folder import RunFolder, environment


def test_a_run_has_three_places(tmp_path):
    folder = RunFolder.create(tmp_path / "new" / "root", "people")
    root = tmp_path / "new" / "root"
    assert folder.name == "people"
    assert folder.record == root / "runs" / "people"
    assert folder.weights == root / "weights" / "people"
    assert folder.log == root / "logs" / "people.log"
    assert folder.record.is_dir()
    assert folder.weights.is_dir()
    assert folder.log.parent.is_dir()


def test_runs_of_one_name_are_numbered(tmp_path):
    names = [RunFolder.create(tmp_path, "people").name for _ in range(3)]
    assert names == ["people", "people-2", "people-3"]


@pytest.mark.parametrize("taken", ["runs/people", "weights/people", "logs/people.log"])
def test_one_taken_place_takes_the_name(tmp_path, taken):
    (tmp_path / taken).parent.mkdir()
    (tmp_path / taken).write_text("mine")
    folder = RunFolder.create(tmp_path, "people")
    assert folder.name == "people-2"
    assert (tmp_path / taken).read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("", "run"),
        ("..", "run"),
        (".", "run"),
        ("people", "people"),
        ("two words 图像", "two words 图像"),
        ("../../etc", "_.._etc"),
        ("a/b\\c:d", "a_b_c_d"),
        ("tab\tbell\x07", "tab_bell_"),
    ],
)
def test_safe_name(name, safe):
    assert safe_name(name) == safe


@given(st.text())
def test_a_safe_name_is_one_plain_path_part(name):
    safe = safe_name(name)
    assert safe not in ("", ".", "..")
    assert safe.isprintable()
    assert not set(safe) & set('<>:"/\\|?*')


def test_a_run_stays_under_its_root(tmp_path):
    folder = RunFolder.create(tmp_path / "root", "../../x")
    assert folder.record.resolve().is_relative_to((tmp_path / "root").resolve())


def test_new_folder_is_numbered(tmp_path):
    made = [new_folder(tmp_path / "a" / "out").name for _ in range(3)]
    assert made == ["out", "out-2", "out-3"]


def test_new_folder_passes_by_a_file(tmp_path):
    (tmp_path / "out").write_text("mine")
    assert new_folder(tmp_path / "out").name == "out-2"
    assert (tmp_path / "out").read_text() == "mine"


def test_json_is_readable_utf8(tmp_path):
    write_json(tmp_path / "a.json", {"类": [1, 0.5]})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert "类" in text
    assert json.loads(text) == {"类": [1, 0.5]}


def test_environment_names_what_it_ran_on():
    found = environment("CPU", "fp32")
    assert (found["device"], found["precision"]) == ("CPU", "fp32")
    assert {"python", "system", "torch", "torchvision", "pycocotools"} <= set(found)
    json.dumps(found)
