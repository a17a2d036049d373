"""Names of pictures and of their output files, whatever the sources are called."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from utils.prediction.source_names import as_text, output_stems, unique_names

PARTS = st.one_of(
    st.text(max_size=300),
    st.sampled_from(
        [
            "..",
            ".",
            "",
            "C:",
            "a",
            "A",
            "é",
            "e\u0301",
            "x.png",
            "con.png",
            "COM¹",
            "\0",
            "\ud800",
            "a-2",
        ]
    ),
)
NAMES = st.lists(st.lists(PARTS, min_size=1, max_size=5).map("/".join), max_size=12)


def stem(name) -> str:
    return output_stems([name])[0]


def test_no_names():
    assert unique_names([]) == []
    assert output_stems([]) == []


def test_pictures_of_one_name_are_numbered():
    assert unique_names(["s/b.png", "b.png", "s/b.png", "s/b.png", "b"]) == [
        "s/b.png", "b.png", "s/b-2.png", "s/b-3.png", "b",
    ]  # fmt: skip


def test_a_number_that_is_taken_is_left_out():
    assert unique_names(["b.png", "b-2.png", "b.png", "b-2.png"]) == [
        "b.png", "b-2.png", "b-3.png", "b-2-2.png",
    ]  # fmt: skip


def test_names_that_differ_by_case_stay_as_they_are():
    assert unique_names(["b.png", "B.PNG"]) == ["b.png", "B.PNG"]


def test_thousands_of_one_name_are_numbered_one_by_one():
    count = 20_000  # a search from 2 on for each would take minutes
    assert unique_names(["b.png"] * count)[-1] == f"b-{count}.png"


def test_bytes_that_are_no_text_are_shown():
    name = b"\xb5m.png".decode("utf-8", "surrogateescape")
    assert as_text(name) == "\\udcb5m.png"
    assert unique_names([name, "\\udcb5m.png"]) == ["\\udcb5m.png", "\\udcb5m-2.png"]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a.png", "a"),
        ("my photos/图像 1.tar.png", "my photos/图像 1.tar"),
        ("sub.v2/a", "sub.v2/a"),
        ("../../a.png", "a"),
        ("/etc/passwd", "etc/passwd"),
        ("C:\\Windows\\a.png", "C__Windows_a"),
        ("C:/Windows/a.png", "C_/Windows/a"),
        ("a//./b.png", "a/b"),
        ("..", "run"),
        ("", "run"),
        ("a\nb\x1b[0m.png", "a_b_[0m"),
        ("trailing. /dots...png", "trailing/dots"),
        (".hidden.png", "hidden"),
        ("con/NUL.png", "_con/_NUL"),
        ("com1.tar.png", "_com1.tar"),
        ("Con .x.png", "_Con .x"),
        ("contour.png", "contour"),
        ("图" * 100 + ".png", "图" * 66),
        ("x" * 199 + " y.png", "x" * 199),
        ("x.png/a.PNG.jpg", "x_png/a_PNG"),
        ("sub.JSON/a.jpg.mp4.png", "sub_JSON/a.jpg_mp4"),
    ],
)
def test_a_stem_is_the_name_as_far_as_it_is_safe(name, wanted):
    assert stem(name) == wanted


def test_stems_differ_by_more_than_the_ending_and_case():
    names = ["a.jpg", "a.png", "A.tif", "a-2.bmp", "straße.png", "STRASSE.png", "é.png"]
    names.append(unicodedata.normalize("NFD", "É.jpg"))
    stems = output_stems(names)
    assert stems[:6] == ["a", "a-2", "A-3", "a-2-2", "straße", "STRASSE-2"]
    assert stems[7] == unicodedata.normalize("NFD", "É-2")


def test_names_that_are_cut_alike_differ():
    first, second = output_stems(["x" * 250 + "1.png", "x" * 250 + "2.png"])
    assert (first, second) == ("x" * 200, "x" * 200 + "-2")


@pytest.mark.parametrize("names", [["c.mp4", "c/1.png"], ["c/1.png", "c.mp4"]])
def test_frames_of_a_video_are_not_called_like_pictures_in_a_folder(names):
    stems = dict(zip(names, output_stems(names, {"c.mp4"}), strict=True))
    assert stems == {"c.mp4": "c-2", "c/1.png": "c/1"}


def test_a_video_and_a_picture_of_one_name_differ():
    assert output_stems(["c.mp4", "c.png", "C.avi"], {"c.mp4", "C.avi"}) == ["c-2", "c", "C-3"]


@given(NAMES, st.sets(st.integers(0, 11)))
@example(["\\\\server\\share\\a.png", "/../..", "~/a.png", " "], set())
def test_outputs_lie_in_the_output_folder_one_file_for_each_picture(names, videos):
    names = list(dict.fromkeys(names))
    stems = output_stems(names, {name for n, name in enumerate(names) if n in videos})
    root = Path("/out/overlays")
    for one in stems:
        for ending in (".png", "/crop 1.png", ".json.part"):
            assert (root / f"{one}{ending}").resolve().is_relative_to(root)
            for part in f"{one}{ending}".split("/"):
                assert 0 < len(part.encode()) <= 255
                assert not PureWindowsPath(part).is_reserved()
                assert part.isprintable()
                assert not set(part) & set('<>:"/\\|?*')
                assert part == part.rstrip(" .")
                assert not part.startswith(".")
    files = {unicodedata.normalize("NFC", one.casefold()) for one in stems}
    assert len(files) == len(names)
    folders = {parent for one in files for parent in map(str, Path(one).parents)}
    assert not {f"{one}{ending}" for one in files for ending in (".png", ".jpg")} & folders
