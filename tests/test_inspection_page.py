"""Figures that stand for themselves, and the page and files of their chapters."""

import re

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from utils.inspection.chapter import Chapter, Figure, Key, Table, wrapped
from utils.inspection.outputs import write_inspection
from utils.inspection.page import page_html

GREY = Image.new("RGB", (700, 300), (90, 90, 90))
FIGURE = Figure("levels", "Look at <this>", GREY, "It has 3 & more.", (Key((9, 200, 7), "object"),))
TABLE = Table("Numbers", ("level", "count"), (("P2 <b>", "3,072"),), "Many.")


def chapter(name="anchors", parts=(FIGURE, TABLE), findings=("object 2 <is> lost",)):
    return Chapter(name, f"The {name}", "Boxes everywhere.", parts, findings)


def has_colour(picture, colour):
    return (np.asarray(picture) == np.array(colour, np.uint8)).all(axis=-1).any()


def test_a_sheet_has_title_picture_and_legend():
    sheet, bare = FIGURE.sheet(), FIGURE.sheet(with_title=False)

    assert sheet.width == bare.width > GREY.width
    assert sheet.height > bare.height > GREY.height
    assert has_colour(sheet, (9, 200, 7))
    assert not has_colour(Figure("x", "y", GREY, "").sheet(), (9, 200, 7))


@pytest.mark.parametrize("style", ["solid", "dashed", "dotted", "area", "dot"])
def test_every_kind_of_key_is_drawn(style):
    sheet = Figure("x", "", GREY, "", (Key((9, 200, 7), "object", style),)).sheet()

    assert has_colour(sheet, (9, 200, 7))


def test_a_long_title_is_broken_and_a_long_legend_takes_rows():
    keys = tuple(Key((9, 200, 7), f"what number {i} means") for i in range(9))
    short = Figure("x", "short", GREY, "", keys[:1]).sheet()
    long = Figure("x", "a title " * 30, GREY, "", keys).sheet()

    assert long.width == short.width
    assert long.height > short.height + 100


def test_a_small_picture_has_room_for_a_title():
    assert Figure("x", "y", Image.new("RGB", (20, 20)), "").sheet().width >= 640


def test_text_is_wrapped_between_words():
    assert wrapped("", 100, 16) == []
    assert wrapped("one two", 1000, 16) == ["one two"]
    assert wrapped("one two", 10, 16) == ["one", "two"]


def test_a_notebook_shows_a_figure():
    assert FIGURE._repr_png_() == FIGURE.png()
    assert FIGURE.png().startswith(b"\x89PNG")


def test_the_page_is_one_escaped_file_that_loads_nothing():
    text = page_html("Inside <best>.pth", ["weights: a&b"], [chapter(), chapter("weights", (), ())])

    assert "Inside &lt;best&gt;.pth" in text
    assert "Look at &lt;this&gt;" in text
    assert "It has 3 &amp; more." in text
    assert "object 2 &lt;is&gt; lost" in text
    assert "P2 &lt;b&gt;" in text
    assert "default-src 'none'" in text
    assert "<script" not in text
    assert set(re.findall(r'(?:src|href)="([^"]{1,9})', text)) == {
        "data:imag",
        "#anchors",
        "#weights",
    }
    assert text.index("The anchors") < text.index("Look at") < text.index("Numbers")


def test_one_chapter_needs_no_contents():
    assert "<nav>" not in page_html("x", [], [chapter()])
    assert "What to look at first" not in page_html("x", [], [chapter(findings=())])


def test_pictures_page_and_events_are_left(tmp_path):
    page = write_inspection(tmp_path, "Inside", ["weights: a"], [chapter()])

    assert page == tmp_path / "page.html"
    assert Image.open(tmp_path / "anchors-levels.png").size == FIGURE.sheet().size
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert events.Tags()["images"] == ["anchors/levels"]
    assert {"anchors/levels/text_summary", "inspect/anchors/text_summary"} <= set(
        events.Tags()["tensors"]
    )
    assert sorted(path.suffix for path in tmp_path.iterdir())[1:] == [".html", ".png"]


def test_a_page_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "page.html").mkdir()
    with pytest.raises(OSError, match=r"page\.html"):
        write_inspection(tmp_path, "Inside", [], [chapter()])
