"""TensorBoard shows what runs wrote: by its HTTP interface, and to someone who opens its pages."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import sys
import time
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from PIL import Image
from test_curves import CLASSES, drawn_matches

from utils.config import SHAPES_RECIPE, TrainConfig
from utils.training.curves import Curves, score_counts
from utils.training.hparams import METRICS, compared_settings

SCALARS = {*METRICS, "train/loss", "lr"}
PICTURES = {"train/batch0", "val/predictions"}
PR_CURVES = {f"pr/segm50/{name}" for name in CLASSES}
RATES = {"first": 0.001, "second": 0.002}
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
SECONDS = 30  # of waiting at most; a machine may be busy
# All the text of a page: TensorBoard's elements keep theirs in shadow trees.
DEEP_TEXT = """(function read(node) {
  if (node.nodeType == Node.TEXT_NODE) return node.data;
  if (['STYLE', 'SCRIPT', 'TEMPLATE'].includes(node.nodeName)) return '';
  return [...(node.shadowRoot?.childNodes ?? []), ...node.childNodes].map(read).join('');
})(document.body)"""


def write_run(folder, lr):
    """Two epochs of ten steps; the run is stopped in the second, and goes on from the first."""
    config = TrainConfig(data="shapes", **{**SHAPES_RECIPE, "lr": lr})
    for step in (10, 20):
        is_first = step == 10
        curves = Curves(folder, purge_step=None if is_first else 11)
        # A resumed run may have other settings; its row is the first one.
        curves.settings({**compared_settings(config), "epochs": step}, METRICS)
        curves.picture("train/batch0", Image.new("RGB", (80, 60), "red"), 0)
        if not is_first:
            curves.points({"train/loss": 1.5}, 15)
        curves.points(dict.fromkeys(SCALARS, step / 40 + lr), step)
        curves.pr_curves(drawn_matches(seed=step), CLASSES, step)
        curves.picture("val/predictions", Image.new("RGB", (80, 60), "blue"), step)
        if is_first:
            curves.points({"train/loss": 99.0}, 15)
        curves.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Where TensorBoard serves two runs."""
    root = tmp_path_factory.mktemp("runs")
    for name, lr in RATES.items():
        write_run(root / name, lr)
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(root)]
    command += ["--host", "127.0.0.1", "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        said = ""
        while (found := re.search(r"http://[\d.]+:\d+", said)) is None:
            line = server.stderr.readline()
            assert line, f"TensorBoard ended: {said}"
            said += line
        wait_for(lambda: len(ask(f"{found[0]}/data/runs")) == len(RATES))
        yield found[0]
    finally:
        server.terminate()
        server.wait(SECONDS)
        server.stderr.close()


def wait_for(condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def ask(url, **body):
    """The JSON answer to a GET, or to a POST of the body."""
    content = json.dumps(body).encode() if body else None
    with urlopen(Request(url, content, {"Content-Type": "application/json"}), timeout=30) as answer:
        return json.loads(answer.read())


@pytest.mark.parametrize(
    ("plugin", "tags"), [("scalars", SCALARS), ("images", PICTURES), ("pr_curves", PR_CURVES)]
)
def test_each_run_has_its_tags(address, plugin, tags):
    found = ask(f"{address}/data/plugin/{plugin}/tags")
    assert {run: set(of_run) for run, of_run in found.items()} == dict.fromkeys(RATES, tags)


def test_a_resumed_run_has_each_point_once(address):
    where = urlencode({"run": "first", "tag": "train/loss"})
    points = ask(f"{address}/data/plugin/scalars/scalars?{where}")
    assert [step for _, step, _ in points] == [10, 15, 20]
    assert points[1][2] == 1.5


def test_pictures_are_served(address):
    where = urlencode({"run": "first", "tag": "val/predictions", "sample": 0})
    found = ask(f"{address}/data/plugin/images/images?{where}")
    assert [one["step"] for one in found] == [10, 20]
    with urlopen(f"{address}/data/plugin/images/individualImage?{found[0]['query']}") as answer:
        assert answer.headers["Content-Type"] == "image/jpeg"
        assert Image.open(answer).size == (80, 60)


def test_curves_are_as_counted(address):
    where = urlencode({"run": "first", "tag": "pr/segm50/dog"})
    found = ask(f"{address}/data/plugin/pr_curves/pr_curves?{where}")["first"]
    assert [one["step"] for one in found] == [10, 20]
    true, false, _, missed, precision, recall = score_counts(drawn_matches(seed=20), 2)
    count = len(found[1]["thresholds"])  # TensorBoard cuts off where nothing is found
    assert count == ((true + false) > 0).sum() > 50
    assert found[1]["true_positives"] == true[:count].tolist()
    assert found[1]["false_positives"] == false[:count].tolist()
    assert found[1]["false_negatives"] == missed[:count].tolist()
    assert found[1]["precision"] == pytest.approx(precision[:count])
    assert found[1]["recall"] == pytest.approx(recall[:count])


def test_runs_are_compared_one_row_each(address):
    plugin = f"{address}/data/plugin/hparams"
    columns = ask(f"{plugin}/experiment", experimentName="")
    assert [one["name"]["tag"] for one in columns["metricInfos"]] == [*METRICS]
    statuses = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
    groups = ask(
        f"{plugin}/session_groups", experimentName="", startIndex=0, sliceSize=100, colParams=[],
        allowedStatuses=statuses,
    )["sessionGroups"]  # fmt: skip
    assert {group["name"]: group["hparams"]["lr"] for group in groups} == RATES
    for group in groups:
        assert len(group["sessions"]) == 1
        assert group["hparams"]["epochs"] == 10
        assert group["hparams"].keys() == {one["name"] for one in columns["hparamInfos"]}
        values = {one["name"]["tag"]: one["value"] for one in group["metricValues"]}
        assert values == pytest.approx(dict.fromkeys(METRICS, 0.5 + RATES[group["name"]]))


class Browser:
    """A headless Chromium, spoken to over two pipes in its DevTools protocol."""

    def __init__(self, profile):
        read_by_browser, self.commands = os.pipe()
        self.answers, written_by_browser = os.pipe()
        options = "--headless --no-sandbox --disable-gpu --window-size=1400,1600"
        options += " --remote-debugging-pipe"
        shell = f'exec "$0" {options} "$1" 3<&{read_by_browser} 4>&{written_by_browser}'
        self.process = subprocess.Popen(
            ["bash", "-c", shell, BROWSER, f"--user-data-dir={profile}"],
            pass_fds=(read_by_browser, written_by_browser), stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(read_by_browser)
        os.close(written_by_browser)
        self.received, self.number = b"", 0
        target = self.call("Target.createTarget", url="about:blank")
        self.session = self.call("Target.attachToTarget", **target, flatten=True)["sessionId"]

    def call(self, method, session=None, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = json.loads(self.next_message())
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    def next_message(self):
        while b"\0" not in self.received:
            assert select.select([self.answers], [], [], SECONDS)[0], "the browser is silent"
            part = os.read(self.answers, 1 << 20)
            assert part, "the browser ended"
            self.received += part
        message, _, self.received = self.received.partition(b"\0")
        return message

    def open(self, url):
        self.call("Page.navigate", self.session, url="about:blank")  # not only another #fragment
        self.call("Page.navigate", self.session, url=url)

    def text(self):
        found = self.call("Runtime.evaluate", self.session, expression=DEEP_TEXT)
        return found["result"].get("value", "")  # nothing while the page is loading

    def close(self):
        self.process.terminate()
        self.process.wait(SECONDS)
        os.close(self.commands)
        os.close(self.answers)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if BROWSER is None:
        pytest.skip("no Chromium here to open TensorBoard's pages in")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("timeseries", {"bbox/AP50", "lr", *RATES}),
        ("scalars", {"bbox/AP50", "segm", "train", *RATES}),
        ("images", PICTURES),
        ("pr_curves", PR_CURVES),
        ("hparams", {"arch", "segm/AP", "val/loss", "0.0020000", *RATES}),
    ],
)
def test_pages_show_the_runs(address, browser, page, shown):
    browser.open(f"{address}/#{page}")
    wait_for(lambda: (text := browser.text()) and all(name in text for name in shown))
