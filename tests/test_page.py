"""The page opens offline, shows what was found, and nothing from the data can act in it."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from utils.data.formats.id_masks import read_id_masks
from utils.doctor.examination import look_at_all
from utils.doctor.findings import Kind
from utils.doctor.network_view import NetworkView
from utils.doctor.page import draw_samples, page_html, write_page

VIEW = NetworkView(128, 128)
EVIL = "<script>alert('x')</script>\x1b\"><img src=http://e.com/a.png onerror=b()>"


class Tags(HTMLParser):
    """All tags with their attributes, and all text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def data(drawn_pennfudan):
    return read_id_masks(drawn_pennfudan)


def test_the_page_needs_nothing_else(tmp_path, data):
    parts = {"train": data, "val": data}
    findings = [Kind.THIN.at(f"{i:03}.png", "is thin") for i in range(30)]
    page = write_page(tmp_path, "drawn", parts, findings, VIEW, look_at_all(parts))
    assert page == tmp_path / "page.html"
    tags = Tags(page.read_text(encoding="utf-8"))
    names = {name for name, _ in tags.tags}
    assert names.isdisjoint({"script", "link", "iframe", "a", "object"})
    sources = [attrs["src"] for name, attrs in tags.tags if name == "img"]
    assert len(sources) == 5  # four charts and the samples
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "http" not in re.sub(r"base64,[\w+/=]+|http-equiv", "", page.read_text(encoding="utf-8"))
    assert tags.text.count("is thin") == 30
    assert f"{Kind.THIN.title} (30)" in tags.text
    assert Kind.THIN.fix in tags.text
    assert "30 warnings" in tags.text


def test_the_picture_shows_charts_and_samples(tmp_path, data):
    parts = {"all": data}
    write_page(tmp_path, "drawn", parts, [], VIEW, look_at_all(parts))
    with Image.open(tmp_path / "page.png") as picture:
        assert picture.width >= 1440
        assert picture.height > 900 + 360
        pixels = np.asarray(picture)[::4, ::4]
    assert len(np.unique(pixels[:225].reshape(-1, 3), axis=0)) > 10
    assert len(np.unique(pixels[-75:].reshape(-1, 3), axis=0)) > 10


def test_names_of_strangers_are_shown_and_do_nothing(tmp_path, data):
    parts = {"all": replace(data, classes=(EVIL,))}
    findings = [Kind.EMPTY.at(EVIL, EVIL), Kind.UNREADABLE.at(EVIL, EVIL)]
    page = write_page(tmp_path, EVIL, parts, findings, VIEW, look_at_all(parts))
    text = page.read_text(encoding="utf-8")
    tags = Tags(text)
    assert "script" not in {name for name, _ in tags.tags}
    assert len([1 for name, _ in tags.tags if name == "img"]) == 5
    assert not any("onerror" in attrs for _, attrs in tags.tags)
    assert "alert('x')" in tags.text
    assert "\x1b" not in text


def test_thousands_of_places_are_cut():
    findings = [Kind.THIN.at(f"{i}.png", "1x9") for i in range(2003)]
    page = page_html("t", ([["a"]], [["b"]]), findings, [], None)
    assert page.count("<li>") == 2001
    assert "and 3 more" in page


def test_nothing_found_and_no_images(tmp_path, data):
    parts = {"all": replace(data, images=())}
    page = write_page(tmp_path, "empty", parts, [], VIEW, {})
    assert "Nothing was found wrong" in page.read_text(encoding="utf-8")
    assert (tmp_path / "page.png").is_file()


def test_pictures_that_cannot_be_shown_are_left_out(data):
    data.images[0].path.write_bytes(b"text")
    Image.new("RGB", (9, 9)).save(data.images[1].path)
    parts = {"all": data}
    assert draw_samples(parts, look_at_all(parts)) is not None
    parts = {"all": replace(data, images=data.images[:2])}
    assert draw_samples(parts, look_at_all(parts)) is None


def test_samples_are_read_as_the_network_takes_them(data, tmp_path):
    view = replace(VIEW, channels=1)
    parts = {"all": data}
    looks = look_at_all(parts, 1)
    write_page(tmp_path, "grey", parts, [], view, looks)
    grey = np.asarray(draw_samples(parts, looks, 1))
    assert not np.array_equal(grey, np.asarray(draw_samples(parts, looks)))
    assert (tmp_path / "page.png").is_file()


@pytest.mark.parametrize(("images", "rows"), [(1, 1), (4, 1), (6, 2), (60, 3)])
def test_at_most_twelve_samples(data, images, rows):
    parts = {"all": replace(data, images=(data.images * 10)[:images])}
    sheet = draw_samples(parts, look_at_all(parts))
    assert -(-sheet.height // 393) == rows  # of up to 387 pixels, and a margin
