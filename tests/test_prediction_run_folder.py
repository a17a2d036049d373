"""Where predict.py writes: on with the same run, never over another's files."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from utils.config import ConfigError
from utils.prediction.run_folder import open_folder, outputs_in

SETTINGS = {"source": ("a", "b"), "score_threshold": None}


def opened(wanted, overwrite=False, digest="12", **settings) -> str:
    folder = open_folder(wanted, SETTINGS | settings, digest, overwrite)
    (folder / "found-0.jsonl").write_text("done")
    return folder.name


def test_a_new_folder_is_made_and_gone_on_with(tmp_path):
    assert [opened(tmp_path / "new" / "out") for _ in range(3)] == ["out"] * 3
    assert (tmp_path / "new" / "out" / "found-0.jsonl").read_text() == "done"
    settings = json.loads((tmp_path / "new" / "out" / "args.json").read_text())
    assert settings == {"source": ["a", "b"], "score_threshold": None, "sha256": "12"}


@pytest.mark.parametrize("other", [{"score_threshold": 0.5}, {"digest": "34"}, {"crops": True}])
def test_other_settings_or_weights_have_a_folder_of_their_own(tmp_path, other):
    assert opened(tmp_path / "out") == "out"
    assert opened(tmp_path / "out", **other) == "out-2"
    assert opened(tmp_path / "out", **other) == "out-2"
    assert opened(tmp_path / "out") == "out"
    assert opened(tmp_path / "out", score_threshold=0.25) == "out-3"


def test_overwriting_takes_the_folder_and_forgets_what_was_done(tmp_path):
    opened(tmp_path / "out")
    (tmp_path / "out" / "found-7.jsonl").write_text("of another process")
    folder = open_folder(tmp_path / "out", {"score_threshold": 0.5}, "12", overwrite=True)
    assert [path.name for path in folder.iterdir()] == ["args.json"]
    assert folder.name == "out"
    assert opened(tmp_path / "out") == "out-2"


def test_an_empty_folder_is_taken(tmp_path):
    """One that the user made, or that a full disk left."""
    (tmp_path / "out").mkdir()
    assert opened(tmp_path / "out") == "out"


OTHERS = ['{"epochs": 3}', "[]", "{", "\0", None]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("content", OTHERS)
def test_the_folder_of_another_program_stays_as_it_is(tmp_path, content, overwrite):
    (tmp_path / "out").mkdir()
    mine = tmp_path / "out" / ("notes.txt" if content is None else "args.json")
    mine.write_text(content or "mine")
    assert opened(tmp_path / "out", overwrite) == "out-2"
    assert [path.name for path in (tmp_path / "out").iterdir()] == [mine.name]
    assert mine.read_text() == (content or "mine")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_of_that_name_stays(tmp_path, overwrite):
    (tmp_path / "out").write_text("mine")
    (tmp_path / "out-2").symlink_to(tmp_path / "nowhere")
    assert opened(tmp_path / "out", overwrite) == "out-3"
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize("name", ["file/out", "x" * 300])
def test_where_no_folder_can_be_one_message_says_so(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be made"):
        opened(tmp_path / name)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc here")
def test_where_the_system_makes_no_folders(tmp_path):
    with pytest.raises(ConfigError, match=r"/proc/out: cannot be made"):
        opened(Path("/proc/out"))


def test_a_full_disk_is_no_wrong_setting(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "out"))

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(OSError, match="No space left"):
        opened(tmp_path / "out")


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["counts.csv"], "counts.csv"),
        (["predictions.json", "counts.csv"], "counts.csv and predictions.json"),
        (["predictions.json", "counts.csv", "ids/"], "counts.csv, ids/ and predictions.json"),
    ],
)
def test_outputs_are_named_without_what_is_the_program_s_own(tmp_path, names, text):
    for name in (*names, "args.json", "found-0.jsonl", "found-11.jsonl", ".part"):
        path = tmp_path / name
        path.mkdir() if name.endswith("/") else path.touch()
    assert outputs_in(tmp_path) == text


def test_overwriting_removes_what_was_made_but_no_labels(tmp_path):
    folder = tmp_path / "out"
    opened(folder)
    made = ["crops/a/001_cat_0.90.png", "overlays/a.png", "measurements.csv", "objects.bedpe"]
    labels = ["labelme/a.json", "review/0001_a.json", "notes.txt"]
    for name in made + labels:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    assert opened(folder, overwrite=True, score_threshold=0.9) == "out"
    assert all((folder / name).exists() for name in labels)
    assert not any((folder / name).exists() for name in made)
