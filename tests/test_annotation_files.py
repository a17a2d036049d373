"""JSON from strangers, and paths that an annotation file may name."""

import gc
import os

import pytest

from utils.data.annotation_files import (
    check_stays,
    mentions,
    path_inside,
    read_json,
    read_text,
    without_collection,
)
from utils.data.records import DataError


@pytest.mark.parametrize(
    ("name", "place"), [("a.png", "a.png"), ("sub/a.png", "sub/a.png"), ("sub\\b.png", "sub/b.png")]
)
def test_a_path_inside_is_joined(tmp_path, name, place):
    assert path_inside(tmp_path, name, tmp_path / "x.json") == tmp_path / place


@pytest.mark.parametrize(
    "name",
    ["", "../a.png", "sub/../../a.png", "/etc/passwd", "C:\\a.png", "C:a.png", "\\\\host\\s\\a.png",
     "..\\a.png", "a\0.png", "link/a.png", "loop/a.png", "n" * 5000],
)  # fmt: skip
def test_a_path_that_leads_away_is_refused(tmp_path, name):
    root = tmp_path / "data"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    (root / "loop").symlink_to(root / "loop")
    with pytest.raises(DataError, match=r"x\.json: names .*not a file inside"):
        path_inside(root, name, root / "x.json")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot be read as JSON"),
        (b"{", "cannot be read as JSON"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b'{"a": 1e999}', "too large a number"),
        (b'{"a": "\xff"}', r"not UTF-8 text \(byte 7\)"),
        (b"[" * 200_000, "nested too deep"),
    ],
)
def test_bad_json_is_one_error_with_the_file(tmp_path, content, reason):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"bad\.json: .*{reason}"):
        read_json(path)


def test_a_byte_order_mark_is_no_harm(tmp_path):
    path = tmp_path / "good.json"
    path.write_bytes(b"\xef\xbb\xbf" + '{"名": [1.5]}'.encode())
    assert read_json(path) == {"名": [1.5]}


def test_text_is_kept_as_it_is_but_for_a_byte_order_mark(tmp_path):
    path = tmp_path / "rows.txt"
    path.write_bytes(b"")
    assert read_text(path, 0) == ""
    path.write_bytes(b"\xef\xbb\xbf0 1\r\n")
    assert read_text(path, 8) == "0 1\r\n"
    with pytest.raises(DataError, match=r"rows\.txt: is larger than 7 bytes"):
        read_text(path, 7)
    path.write_bytes(b"a\xff")
    with pytest.raises(DataError, match=r"rows\.txt: is not UTF-8 text \(byte 1\)"):
        read_text(path, 9)


@pytest.mark.parametrize("name", ["gone", ".", "pipe", "a\0", "n" * 5000])
def test_what_is_no_file_is_not_read(tmp_path, name):
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="cannot be read"):
        read_text(tmp_path / name, 5)


def test_links_may_lead_inside_only(tmp_path):
    root, linked = tmp_path / "root", tmp_path / "linked"
    (root / "sub").mkdir(parents=True)
    linked.symlink_to(root)
    (root / "sub" / "a.png").touch()
    (root / "b.png").symlink_to(root / "sub" / "a.png")
    (root / "away").symlink_to(tmp_path)
    for place in (root, linked):
        check_stays(place / "sub" / "a.png", place)
        check_stays(place / "b.png", place)
        with pytest.raises(DataError, match=r"linked: is behind a link that leads out of"):
            check_stays(place / "away" / "linked", place / "sub")


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b'{"shapes": 1, "x": 2}', True), (b'{"x": 2}', False), (b"", False), (None, False)],
)
def test_words_are_found_without_parsing(tmp_path, content, expected):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    assert mentions(path, b'"shapes"', b'"x"') is expected
    assert mentions(tmp_path, b'"x"') is False


def test_a_pipe_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    assert mentions(tmp_path / "a.json", b"x") is False


@pytest.mark.parametrize("was_on", [True, False])
def test_collection_is_as_it_was_afterwards(was_on):
    (gc.enable if was_on else gc.disable)()
    try:
        seen = []
        with pytest.raises(KeyError), without_collection():
            {}[seen.append(gc.isenabled())]
        assert seen == [False]
        assert gc.isenabled() is was_on
    finally:
        gc.enable()
