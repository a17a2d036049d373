"""Which files a source names: folders, patterns, lists."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from utils.data.records import DataError
from utils.prediction.source_files import named_files

TREE = ["b.png", "A.JPG", "clip.MP4", "sub/c.bmp", "sub/deep er/图像 1.png", ".hidden.png",
        ".git/d.png", "notes.md"]  # fmt: skip
SEEN = ["A.JPG", "b.png", "clip.MP4", "sub/c.bmp", "sub/deep er/图像 1.png"]


def touch(*paths) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    """Files without content. The current folder is beside them."""
    root = tmp_path / "my photos"
    touch(*(root / name for name in TREE))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return root


def names(source) -> list[str]:
    return [file.name for file in named_files(str(source))]


@pytest.fixture
def listed(tree):
    """The names of what a list in the tree says."""

    def names_of(content, name="list.txt"):
        data = content if isinstance(content, bytes) else content.encode()
        (tree / name).write_bytes(data)
        return names(tree / name)

    return names_of


@pytest.fixture
def standard_input(monkeypatch):
    def give(data):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return give


# -- what names nothing ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    ["missing.png", "missing/", "missing/*.png", "*.gif", "**/*.md", "sub/?.png", "photo[1].png"],
)
def test_a_source_that_names_nothing_is_an_error(tree, source):
    with pytest.raises(DataError) as error:
        names(tree / source)
    assert str(tree) in str(error.value)


def test_a_folder_without_pictures_is_an_error(tree):
    touch(tree / "none" / "notes.md", tree / "none" / "sub" / ".a.png")
    with pytest.raises(DataError, match=r"no pictures in this folder .*\.png.* no videos"):
        names(tree / "none")


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf# nothing\r\n\r\n", b"\0\0", b"\xff\xfe"])
def test_a_list_without_paths_is_an_error(listed, content):
    with pytest.raises(DataError, match=r"list\.txt: none of 0 paths in this list is there"):
        listed(content)


@pytest.mark.parametrize("content", ["these are\nmy photos", b"\x89PNG\0\0\xb5", "x" * 5000])
def test_a_text_that_is_no_list_is_an_error(listed, content):
    with pytest.raises(DataError, match=r"none of \d paths in this list is there, first .* UTF-8"):
        listed(content)


def test_a_list_that_may_not_be_read_is_an_error(tree, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    touch(tree / "list.txt")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match=r"list\.txt: cannot be read \(Permission denied\)"):
        names(tree / "list.txt")


# -- folders ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_folder_is_searched_with_its_sub_folders(tree, slash):
    files = named_files(f"{tree}{slash}")
    assert [file.name for file in files] == SEEN
    assert [file.path for file in files] == [tree / name for name in SEEN]
    assert [file.name for file in files if file.is_video] == ["clip.MP4"]


@pytest.mark.parametrize("folder", [".", "..", "../my photos/sub/.."])
def test_names_begin_in_the_folder_however_it_is_named(tree, monkeypatch, folder):
    if folder != "../my photos/sub/..":
        monkeypatch.chdir(tree if folder == "." else tree / "sub")
    assert names(folder) == SEEN


def test_a_folder_called_like_a_picture_is_a_folder(tree):
    touch(tree / "x.png" / "a.png")
    assert "x.png/a.png" in names(tree)
    assert names(tree / "x.png") == ["a.png"]


def test_arrays_are_the_pictures_of_a_folder_without_others(tree):
    touch(tree / "sub" / "a.npy", tree / "arrays" / "deep" / "a.NPY")
    assert names(tree) == SEEN
    assert names(tree / "arrays") == ["deep/a.NPY"]


def test_links_to_folders_are_followed_once(tree, tmp_path):
    touch(tmp_path / "disk" / "e.png")
    (tree / "0 link").symlink_to(tmp_path / "disk")
    (tree / "0 deep").symlink_to(tree / "sub" / "deep er")  # which is searched anyhow
    (tree / "loop").symlink_to(tree)
    (tree / "sub" / "loop").symlink_to(tree / "sub")
    assert names(tree) == ["0 link/e.png", *SEEN]


def test_links_that_lead_nowhere_are_named(tree):
    (tree / "sub" / "gone.png").symlink_to(tree / "gone")
    (tree / "self.png").symlink_to(tree / "self.png")
    (tree / "self").symlink_to(tree / "self")
    assert sorted(names(tree)) == sorted([*SEEN, "self.png", "sub/gone.png"])
    assert names(tree / "self.png") == ["self.png"]


def test_what_is_no_file_is_left_out(tree):
    os.mkfifo(tree / "pipe.png")  # of which nothing would ever be read
    assert names(tree) == SEEN


@pytest.fixture
def locked(tree, monkeypatch) -> Path:
    """A sub-folder that may not be read."""
    touch(tree / "sub" / "locked" / "f.png")
    allowed = os.scandir

    def scandir(folder):
        if Path(folder).name == "locked":
            raise PermissionError(13, "Permission denied", str(folder))
        return allowed(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    return tree / "sub" / "locked"


def test_sub_folders_that_may_not_be_read_are_named(tree, locked):
    files = named_files(str(tree))
    assert [file.name for file in files if not file.problem] == SEEN
    (refused,) = (file for file in files if file.problem)
    assert refused.name == "sub/locked"
    assert refused.problem == f"{locked}: cannot be searched (Permission denied)"
    assert names(tree / "**" / "*") == SEEN


def test_a_folder_that_may_not_be_read_is_an_error(locked):
    with pytest.raises(DataError, match=r"locked: cannot be searched \(Permission denied\)"):
        names(locked)


@pytest.mark.parametrize(
    ("beside", "is_left_out"),
    [
        (["args.json", "found-0.jsonl"], True),
        (["args.json", "found-12.jsonl"], True),
        (["args.json"], False),
        (["found-0.jsonl"], False),
        (["args.json", "found.jsonl"], False),
    ],
)
def test_outputs_of_an_earlier_run_are_left_out(tree, beside, is_left_out):
    run = tree / "runs" / "shapes"
    touch(run / "overlays" / "b.png", *(run / name for name in beside))
    assert names(tree) == names(tree / "**") == [
        *SEEN[:3], *([] if is_left_out else ["runs/shapes/overlays/b.png"]), *SEEN[3:],
    ]  # fmt: skip
    assert names(run) == ["overlays/b.png"]  # which is asked for
    assert names(run / "**" / "*.png") == ["overlays/b.png"]


# -- patterns --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("*", ["A.JPG", "b.png", "clip.MP4"]),
        ("*.png", ["b.png"]),
        ("?.JPG", ["A.JPG"]),
        ("[A-b].*", ["A.JPG", "b.png"]),
        ("**", SEEN),
        ("**/*", SEEN),
        ("**/*.png", ["b.png", "sub/deep er/图像 1.png"]),
        ("**.png", ["b.png"]),
        ("sub/*", ["c.bmp"]),
        ("s*/*", ["sub/c.bmp"]),
        ("s*/**/*.png", ["sub/deep er/图像 1.png"]),
        ("*/*/*", ["sub/deep er/图像 1.png"]),
        ("**/deep er/**/*", ["sub/deep er/图像 1.png"]),
        (".git/*", ["d.png"]),
    ],
)
def test_a_pattern_names_what_matches_from_its_first_wildcard_on(tree, pattern, wanted):
    files = named_files(str(tree / pattern))
    assert [file.name for file in files] == wanted
    assert all(file.path.is_file() for file in files)


def test_a_pattern_may_be_relative(tree, monkeypatch):
    monkeypatch.chdir(tree)
    assert names("*.png") == ["b.png"]
    assert names("sub/**/*.png") == ["deep er/图像 1.png"]


def test_a_pattern_looks_no_deeper_than_it_must(tree, monkeypatch):
    searched = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: searched.append(folder) or scandir(folder))
    names(tree / "*.png")
    assert searched == [tree]
    names(tree / "*" / "*.bmp")
    assert tree / "sub" / "deep er" not in searched


def test_a_file_name_is_no_pattern(tree):
    touch(tree / "photo[1].png", tree / "0")
    assert names(tree / "photo[1].png") == ["photo[1].png"]


# -- lists -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("b.png", ["b.png"]),
        ("b.png\nsub/c.bmp\n", ["b.png", "sub/c.bmp"]),
        ("b.png\r\n\r\n  # a comment\r\n\tsub/c.bmp \r\n", ["b.png", "sub/c.bmp"]),
        (b"\xef\xbb\xbfb.png\n", ["b.png"]),
        ("sub/deep er/图像 1.png", ["sub/deep er/图像 1.png"]),
        ("\"sub/deep er/图像 1.png\"\n'b.png'", ["sub/deep er/图像 1.png", "b.png"]),
        ("sub/deep er/图像 1.png\r\n".encode("utf-16"), ["sub/deep er/图像 1.png"]),
        ("b.png\0sub/c.bmp\0", ["b.png", "sub/c.bmp"]),
        ("clip.MP4\nb.png\nb.png", ["clip.MP4", "b.png", "b.png"]),
        ("./sub/../b.png", ["b.png"]),
        ("sub\nb.png", ["sub/c.bmp", "sub/deep er/图像 1.png", "b.png"]),
        (".", SEEN),
        ("notes.md", ["notes.md"]),
    ],
)
def test_a_list_names_paths_beside_it(listed, content, wanted):
    assert listed(content) == wanted


def test_paths_ended_by_zero_bytes_are_taken_as_they_are(tree, listed):
    odd = ["# 1.png", " a.png ", '"q".png', "two\nlines.png"]
    touch(*(tree / name for name in odd))
    assert listed("\0".join(odd)) == odd
    assert listed("# 1.png\nb.png") == ["b.png"]


def test_the_list_may_lie_elsewhere(tree, tmp_path):
    touch(tmp_path / "elsewhere" / "here.png", tmp_path / "elsewhere" / "b.png")
    (tree / "sub" / "list.TXT").write_text(f"../b.png\n{tree}/A.JPG\nhere.png\nb.png\n{tree}/sub\n")
    files = named_files(str(tree / "sub" / "list.TXT"))
    assert [file.name for file in files] == [
        "b.png", "A.JPG", "here.png", "b.png", "c.bmp", "deep er/图像 1.png",
    ]  # fmt: skip
    assert files[2].path.resolve() == tmp_path / "elsewhere" / "here.png"
    touch(tree / "sub" / "b.png")  # comes before the one in the current folder
    assert named_files(str(tree / "sub" / "list.TXT"))[3].path == tree / "sub" / "b.png"


def test_what_is_not_there_is_named_with_the_rest(tree, listed):
    touch(tree / "none" / "notes.md")
    assert listed("gone.png\nb.png\nsub/gone.mp4\nnone\n../gone.png") == [
        "gone.png", "b.png", "sub/gone.mp4", "none", "gone.png",
    ]  # fmt: skip
    files = named_files(str(tree / "list.txt"))
    assert files[0].path == tree / "gone.png"
    assert "no pictures in this folder" in files[3].problem


def test_a_list_in_a_list_is_no_list(tree, listed):
    (tree / "other.txt").write_text("b.png")
    assert listed("other.txt\nlist.txt") == ["other.txt", "list.txt"]


@pytest.mark.parametrize("end", ["\n", "\0"])
def test_a_list_may_come_through_the_standard_input(tree, monkeypatch, standard_input, end):
    monkeypatch.chdir(tree)
    standard_input(end.join(["sub/deep er/图像 1.png", str(tree / "b.png"), "gone.png"]).encode())
    assert names("-") == ["sub/deep er/图像 1.png", "b.png", "gone.png"]


def test_nothing_on_the_standard_input_is_an_error(standard_input):
    standard_input(b"")
    with pytest.raises(DataError, match="the standard input: none of 0 paths"):
        names("-")


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text here")
def test_names_that_are_no_text_are_found(tree, monkeypatch, standard_input):
    Path(os.fsdecode(bytes(tree) + b"/\xb5.png")).touch()
    assert os.fsdecode(b"\xb5.png") in names(tree)
    monkeypatch.chdir(tree)
    standard_input(b"./\xb5.png\0")
    (file,) = named_files("-")
    assert file.path.is_file()


# -- cameras ---------------------------------------------------------------------------------------


def test_a_number_is_a_camera_unless_there_is_such_a_file(tree, monkeypatch):
    (camera,) = named_files("01")
    assert (camera.name, camera.camera, camera.is_video) == ("camera 1", 1, True)
    monkeypatch.chdir(tree)
    touch(tree / "01")
    (file,) = named_files("01")
    assert (file.name, file.camera, file.is_video) == ("01", None, False)
