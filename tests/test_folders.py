"""Files that are written whole or not at all."""

import errno
import json
from pathlib import Path

import pytest

from utils.folders import new_folder, write_file, write_json


def test_a_file_is_written_and_replaced(tmp_path):
    path = tmp_path / ("ä" * 120 + ".json")  # a long name leaves no room for a longer one
    write_file(path, b"one")
    write_file(path, b"two")
    assert path.read_bytes() == b"two"
    write_json(path, {"name": "é"})
    assert path.read_text(encoding="utf-8") == '{\n  "name": "é"\n}\n'
    assert json.loads(path.read_bytes()) == {"name": "é"}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"),
                                   KeyboardInterrupt()])  # fmt: skip
def test_what_was_there_stays_if_writing_fails(error, tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    path.write_bytes(b"before")

    def fail(self, target):
        assert self.read_bytes() == b"after"
        raise error

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(type(error)) as caught:
        write_file(path, b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
    if isinstance(error, OSError):
        assert caught.value.errno == errno.ENOSPC
        assert str(path) in str(caught.value)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"b\.json"):
        write_file(tmp_path / "a" / "b.json", b"")


@pytest.mark.parametrize("name", [".", "sub/.."])
def test_the_current_folder_has_a_name_too(tmp_path, monkeypatch, name):
    folder = tmp_path / "here"
    (folder / "sub").mkdir(parents=True)
    monkeypatch.chdir(folder)
    assert new_folder(Path(name)).resolve() == tmp_path / "here-2"
