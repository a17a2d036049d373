"""Reading what there is to gather."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from utils.data.records import DataError
from utils.gathering.source_list import read_sources


def read(path, content, folder="out"):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_sources(path, path.parent / folder)


def test_lines_are_sources_in_their_order_as_often_as_named(tmp_path):
    content = "http://h/b.jpg\n\n  # a comment\n https://h/a b.jpg#x  \nhttp://h/b.jpg\n"
    assert read(tmp_path / "list.txt", content) == [
        "http://h/b.jpg", "https://h/a b.jpg#x", "http://h/b.jpg",
    ]  # fmt: skip


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_lists_of_every_system_are_read(tmp_path, start, end):
    content = start + end.join(["http://h/图", "http://h/b"]).encode()
    assert read(tmp_path / "list.txt", content) == ["http://h/图", "http://h/b"]


def test_paths_are_relative_to_the_list(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    sources = read(tmp_path / "list.txt", "photos/a b.jpg\n/else/where.png\nfile:///etc/passwd\n")
    assert sources == [str(tmp_path / "photos/a b.jpg"), "/else/where.png", "file:///etc/passwd"]


@pytest.mark.parametrize("content", ["", "\n\n", "# nothing\n", b"\xff\xfeh\x00", b"a\x00b"])
def test_a_list_without_sources_or_not_of_text_is_an_error(tmp_path, content):
    with pytest.raises(DataError, match=r"list\.txt: "):
        read(tmp_path / "list.txt", content)


def test_a_folder_stands_for_its_pictures(tmp_path, monkeypatch):
    photos = tmp_path / "photos"
    (photos / "more").mkdir(parents=True)
    for name in ("b.PNG", "more/a.jpg", ".hidden.png"):
        Image.new("RGB", (4, 3)).save(photos / name)
    (photos / "notes.txt").write_text("x")
    wanted = [str(photos / "b.PNG"), str(photos / "more" / "a.jpg")]
    assert read_sources(photos, tmp_path / "out") == wanted
    monkeypatch.chdir(tmp_path)
    assert read_sources(type(photos)("photos"), type(photos)("out")) == wanted


@pytest.mark.parametrize("inside", [".", "out", "a/b", "../photos/out"])
def test_pictures_are_not_gathered_into_their_own_folder(tmp_path, inside):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (4, 3)).save(photos / "a.png")
    with pytest.raises(DataError, match="stay as it is"):
        read_sources(photos, photos / inside)


def test_nothing_there_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        read_sources(tmp_path / "missing.txt", tmp_path / "out")
    with pytest.raises(DataError, match="names no pictures"):
        read_sources(tmp_path, tmp_path.parent / "out")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_any_file_is_a_list_or_refused(tmp_path_factory, content):
    with suppress(DataError):
        sources = read(tmp_path_factory.mktemp("list") / "list.txt", content)
        assert sources
        assert all(source.strip() for source in sources)
