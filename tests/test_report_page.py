"""The page opens offline and on a phone, and nothing from the data can act in it."""

import json
import re
import shutil
import subprocess
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_scene import SCENES, drawn_assessment, pixels

from utils.data.records import DataError
from utils.evaluation.operating_point import OperatingPoint
from utils.report.page import report_html, write_report
from utils.report.run_record import RunRecord

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
EVIL = "<script>alert('x')</script>\x1b\"><img src=http://e.com/a.png onerror=b()>小🐈"
HALF = OperatingPoint("f1", {"cat": 0.5, "dog": 0.5}, {}, {})
HEADINGS = [
    "The numbers", "The training", "Which score to trust", "What goes wrong", "Pictures",
    "The images", "How it was made",
]  # fmt: skip
MEASURE = """<script>addEventListener("load", () => {
const images = [...document.images];
const root = document.documentElement;
const letters = [...document.querySelectorAll("svg text")].map(
  text => {const m = text.getScreenCTM(); return 14 * Math.hypot(m.c, m.d)});
parent.document.title = JSON.stringify({width: innerWidth, page: root.scrollWidth,
  images: images.map(image => image.naturalWidth), letters: Math.min(...letters)});
})</script>"""


class Tags(HTMLParser):
    """All tags with their attributes, and all text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.headings = [], "", []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "h2":
            self.headings.append("")

    def handle_data(self, data):
        self.text += data
        if self.tags[-1][0] == "h2" and not self.headings[-1]:
            self.headings[-1] = data


def run_record(name="one"):
    epochs = [
        {"epoch": n, "train/loss": 3.0 - n, "val/loss": 3.0 - n, "segm/AP": 0.2 * n,
         "train/loss_mask": 1.0 - n / 4, "val/loss_mask": 1.0 - n / 5} for n in range(3)
    ]  # fmt: skip
    split = {"train": ["a"], "val": ["b"], "seed": 0}
    return RunRecord(Path("runs") / name, {"data": name}, {"torch": name}, split, tuple(epochs))


@pytest.fixture(scope="module")
def page():
    judged = drawn_assessment(point=HALF, input_size=(64, 64))
    return report_html("drawn", judged, run_record(), pixels, {"weights": "w.pth", "date": "today"})


@pytest.fixture(scope="module")
def evil_page():
    """Long and wicked names of everything that has one."""
    classes = [EVIL, "小" * 60, *(f"a long class name number {n}" for n in range(10))]
    scenes = [
        ([(n + 1, 4, 4, 30), (n + 1, 36, 36, 20)], [(n + 1, 4, 4, 30, 0.9)]) for n in range(12)
    ]
    name = "{:02}-" + EVIL.replace("/", "") + "x" * 150 + ".png"
    judged = drawn_assessment(scenes, classes=classes, name=name)

    def read(number):
        if number == 1:
            raise DataError(EVIL)
        return pixels(number)

    return report_html(EVIL, judged, run_record(EVIL.replace("/", "")), read, {EVIL: EVIL})


def test_all_parts_are_there_in_order(page):
    tags = Tags(page)
    assert tags.headings == HEADINGS
    assert "weights: w.pth; date: today; judged on 5 images" in tags.text
    assert tags.text.index("it finds 3 of 5 objects") < tags.text.index("The numbers")


def test_of_weights_without_a_run(tmp_path):
    assert Tags(report_html("w", drawn_assessment(point=HALF), None, pixels)).headings == [
        heading for heading in HEADINGS if heading not in ("The training", "How it was made")
    ]


@pytest.mark.parametrize("scenes", [[], [([], [])], [([], [])] * 3, [(SCENES[0][0], [])] * 2])
def test_little_to_tell(scenes):
    tags = Tags(report_html("w", drawn_assessment(scenes), None, pixels))
    assert "nan" not in tags.text.lower().split()
    assert "The numbers" in tags.headings


def test_boxes_alone():
    judged = drawn_assessment(point=HALF, has_masks=False)
    assert Tags(report_html("w", judged, None, pixels)).headings == [
        "The numbers", "Which score to trust", "The images",
    ]  # fmt: skip


@pytest.mark.parametrize("which", ["page", "evil_page"])
def test_the_page_needs_nothing_else(which, request):
    text = request.getfixturevalue(which)
    tags = Tags(text)
    assert {name for name, _ in tags.tags}.isdisjoint({"script", "link", "iframe", "a", "object"})
    sources = [attrs["src"] for name, attrs in tags.tags if name == "img"]
    assert len(sources) > 5
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not [attrs for _, attrs in tags.tags if any(key.startswith("on") for key in attrs)]
    styles = [attrs["style"] for _, attrs in tags.tags if "style" in attrs]
    assert all(re.fullmatch(r"background:rgba\([\d.,]+\)", style) for style in styles)
    assert "default-src 'none'" in text


def test_wicked_names_are_shown_as_they_are(evil_page):
    assert "<script" not in evil_page
    assert evil_page.count("&lt;script&gt;alert(") > 5
    assert EVIL in Tags(evil_page).text


def test_the_file_is_written_whole(tmp_path, monkeypatch):
    judged, path = drawn_assessment(point=HALF), tmp_path / "report.html"
    write_report(path, "lone \ud800 surrogate", judged, None, pixels)
    before = path.read_bytes()
    assert before.decode("utf-8").endswith("</html>\n")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_report(path, "another", judged, None, pixels)
    assert path.read_bytes() == before


def browse(page, folder):
    """What Chromium makes of a page: its final HTML, and what it said."""
    path = folder / "page.html"
    path.write_text(page, encoding="utf-8", errors="replace")
    result = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
         f"--user-data-dir={folder / 'browser'}", "--window-size=1500,2000",
         "--virtual-time-budget=20000", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return result.stdout, result.stderr


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
@pytest.mark.parametrize("which", ["page", "evil_page"])
@pytest.mark.parametrize("width", [400, 1400])
def test_in_a_browser(which, width, request, tmp_path):
    page = request.getfixturevalue(which)
    measured = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', MEASURE, page)
    measured = measured.replace('loading="lazy"', "")  # else those far below stay unloaded
    # A window cannot be narrower than 500, a frame can.
    frame = f'<iframe style="border:0;width:{width}px;height:900px" srcdoc="{escape(measured)}">'
    dom, _ = browse(f'<!doctype html><meta charset="utf-8"><title></title>{frame}', tmp_path)
    seen = json.loads(re.search(r"<title>(.*?)</title>", dom)[1].replace("&quot;", '"'))
    assert seen["width"] == width
    assert seen["page"] <= width  # tables and long names scroll or break within
    assert len(seen["images"]) > 5
    assert all(seen["images"])
    assert seen["letters"] >= 11


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
def test_the_browser_has_no_complaints(page, evil_page, tmp_path):
    for text in (page, evil_page):
        _, said = browse(text, tmp_path)
        assert "CONSOLE" not in said
    _, said = browse(page.replace("<h1", "<img src='http://127.0.0.1:9/a.png'><h1"), tmp_path)
    assert "CONSOLE" in said  # so a complaint would have been seen
