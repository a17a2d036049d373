"""Paths that YOLO files were given on other machines, found inside the data set and only there."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from utils.data.formats.yolo_paths import (
    MOST_FOLDERS,
    find_inside,
    folder_and_names,
    listed_pictures,
)
from utils.data.records import DataError


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2)).save(path)
    return path


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ()),
        (".", ()),
        ("..", ()),
        ("/", ()),
        ("C:\\", ()),
        ("./a//b/", ("a", "b")),
        ("../../a", ("a",)),
        ("a/../b", ("a", "b")),
        ("C:\\x\\a", ("x", "a")),
        ("\\\\host\\share\\a", ("a",)),
    ],
)
def test_names_in_a_path(text, names):
    assert folder_and_names(text) == names


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "."),
        ("/", "."),
        ("train/images", "train/images"),
        ("../train/images", "train/images"),
        ("/home/me/train/images", "train/images"),
        ("D:\\me\\set\\images", "images"),
        ("images/test", None),
        ("images/train", "train"),
        ("a/" * MOST_FOLDERS + "images", None),
        ("list.txt", "list.txt"),
    ],
)
def test_what_a_path_means_inside(tmp_path, text, found):
    (tmp_path / "train" / "images").mkdir(parents=True)
    (tmp_path / "images").mkdir()
    (tmp_path / "list.txt").touch()
    wanted = None if found is None else tmp_path / found
    assert find_inside(tmp_path, text, tmp_path / "data.yaml") == wanted


def test_the_longest_tail_counts(tmp_path):
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "c").mkdir()
    assert find_inside(tmp_path, "a/b/c", tmp_path) == tmp_path / "b" / "c"


@pytest.mark.parametrize("text", ["link", "../link", "link/x", "a\x00b", "\ud800", "x" * 300])
def test_what_leads_away_is_refused(tmp_path, text):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path)
    with pytest.raises(DataError, match="which is not a file inside"):
        find_inside(tmp_path / "root", text, tmp_path / "data.yaml")


def test_a_list_keeps_its_order_and_its_own_folder_comes_first(tmp_path):
    near, far = picture(tmp_path / "lists" / "a.png"), picture(tmp_path / "a.png")
    other = picture(tmp_path / "x" / "b.png")
    source = tmp_path / "lists" / "train.txt"
    source.write_text("\ufeff/y/x/b.png\r\n\n./a.png\n../a.png\nb.png\na.txt\n", encoding="utf-8")
    pictures, problems = listed_pictures(source, [tmp_path])
    assert pictures == [other, near, near]
    assert [problem.split(" names ")[0] for problem in problems] == [
        f"{source}: line 5",
        f"{source}: line 6",
    ]
    near.unlink()
    assert listed_pictures(source, [tmp_path])[0] == [other, far, far]
    with pytest.raises(DataError, match="is not a file"):
        listed_pictures(tmp_path / "gone.txt", [tmp_path])


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(["..", ".", "", "a", "link", "C:", "\\", "b.png"]) | st.text(
    max_size=4), max_size=6).map("/".join))  # fmt: skip
def test_nothing_outside_is_ever_found(tmp_path_factory, text):
    base = tmp_path_factory.getbasetemp() / "yolo_paths"
    root = base / "root"
    if not root.exists():
        picture(root / "a" / "b.png")
        picture(base / "b.png")
        (root / "link").symlink_to(base)
    source = root / "list.txt"
    source.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        found = [find_inside(root, text, source), *listed_pictures(source, [root])[0]]
    except DataError:
        return
    assert all(p is None or p.resolve().is_relative_to(root.resolve()) for p in found)
