"""The benchmark command: which suite is asked what, what is printed, written and ended with."""

from __future__ import annotations

import json
import time
from importlib import metadata
from pathlib import Path

import pytest
import torch

from tools import benchmark
from tools.benchmark import ON_GPU, SUITES, main, parse, show
from tools.machine import comparison
from utils.device import describe

# Where the suites come from and what each is asked without any option.
ASKED = {
    "train": ("training_benchmark", (5, 2, "cpu", "auto")),
    "predict": ("prediction_benchmark", (None, None, 6, 5, "cpu", "auto")),
    "load": ("loading_benchmark", (5,)),
    "evaluate": ("evaluation_benchmark", (1000, 50, 80, 5)),
    "roi-align": ("part_benchmark", ("the cases of RoIAlign", 5)),
    "masks": ("part_benchmark", ("the cases of masks", 5)),
    "export": ("export_benchmark", (None, None, 6, 5, "auto")),
}
OPTIONS = ["--rounds", "3", "--precision", "fp32", "--batch-size", "12",
           "--images", "9", "--weights", "best.pth", "--source", "photos",
           "--detections", "7", "--classes", "4"]  # fmt: skip
ASKED_WITH_OPTIONS = {
    "train": (3, 12, "cpu", "fp32"),
    "predict": (Path("best.pth"), Path("photos"), 9, 3, "cpu", "fp32"),
    "load": (3,),
    "evaluate": (9, 7, 4, 3),
    "roi-align": ("the cases of RoIAlign", 3),
    "masks": ("the cases of masks", 3),
    "export": (Path("best.pth"), Path("photos"), 9, 3, "fp32"),
}


@pytest.fixture
def asked(monkeypatch):
    """What the suites are asked; each gives one result, named for its module."""
    calls = []

    def suite(module):
        def compare(*arguments):
            calls.append((module, arguments))
            return [comparison(module, 3.0, 1.5)]

        return compare

    for module in {module for module, _ in ASKED.values()}:
        monkeypatch.setattr(getattr(benchmark, module), "compare", suite(module))
    parts = benchmark.part_benchmark
    monkeypatch.setattr(parts, "roi_align_cases", lambda: "the cases of RoIAlign")
    monkeypatch.setattr(parts, "mask_cases", lambda: "the cases of masks")
    monkeypatch.setattr(benchmark, "keep_freed_memory", lambda _: calls.append("memory is kept"))
    return calls


def run(*arguments):
    main(parse(list(map(str, arguments))))


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_is_asked(asked, monkeypatch, suite):
    run(suite)
    assert asked == ["memory is kept", ASKED[suite]]


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_is_asked_with_options(asked, monkeypatch, suite):
    run(suite, *OPTIONS)
    assert asked[1:] == [(ASKED[suite][0], ASKED_WITH_OPTIONS[suite])]


def test_all_are_asked_in_turn(asked, monkeypatch, tmp_path):
    run("all", "--json", tmp_path / "x.json")
    assert asked[1:] == [ASKED[suite] for suite in SUITES]
    assert set(ASKED) == set(SUITES)
    results = json.loads((tmp_path / "x.json").read_text())["results"]
    assert [result["name"] for result in results] == [ASKED[suite][0] for suite in SUITES]


@pytest.mark.parametrize(
    "arguments",
    [("training",), ("load", "--rounds", "0"), ("train", "--batch-size", "-1"),
     ("predict", "--precision", "fp64"), ("masks", "--device", "cuda"),
     ("load", "--json", "nowhere/x.json")],
)  # fmt: skip
def test_wrong_usage_is_told_before_anything_is_measured(asked, arguments):
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == 2
    assert not asked


@pytest.mark.parametrize("suite", ON_GPU)
def test_a_gpu_is_for_some(suite):
    assert parse([suite, "--device", "cuda"]).device == "cuda"


def test_what_was_measured_stays_when_the_next_suite_fails(asked, monkeypatch, tmp_path):
    def fails(*_):
        raise MemoryError

    monkeypatch.setattr(benchmark.evaluation_benchmark, "compare", fails)
    with pytest.raises(MemoryError):
        run("all", "--json", tmp_path / "x.json")
    assert len(json.loads((tmp_path / "x.json").read_text())["results"]) == 3


def test_the_file_says_when_and_where_and_what(asked, monkeypatch, tmp_path):
    before = time.strftime("%Y-%m-%d %H:%M")
    run("load", "--json", tmp_path / "x.json")
    content = json.loads((tmp_path / "x.json").read_text())
    assert set(content) == {"started", "machine", "results"}
    assert before <= content["started"] <= time.strftime("%Y-%m-%d %H:%M")
    machine = content["machine"]
    assert machine["torch"] == metadata.version("torch")
    assert machine["device"] == describe(torch.device("cpu"))
    assert machine["precision"] == "auto"
    assert content["results"] == [comparison("loading_benchmark", 3.0, 1.5)]


@pytest.mark.parametrize(("difference", "code"), [(0.0, 0), (9e-10, 0), (1e-9, 1), (0.5, 1)])
def test_other_metrics_end_with_1(asked, monkeypatch, tmp_path, difference, code):
    """Whichever result has the difference, the figures are there to be looked at."""
    results = [comparison("a", 3, 1) | {"difference": difference}, comparison("b", 3, 1)]
    monkeypatch.setattr(benchmark.evaluation_benchmark, "compare", lambda *_: results)
    try:
        run("evaluate", "--json", tmp_path / "x.json")
        ended = 0
    except SystemExit as end:
        ended = end.code
    assert ended == code
    assert json.loads((tmp_path / "x.json").read_text())["results"] == results


def lines_of(capsys, **facts):
    show({"name": "both", "reference_s": 3.0, "ours_s": 1.5, "ratio": 2.0, **facts})
    return capsys.readouterr().out.splitlines()


def test_what_is_not_known_is_left_out(capsys):
    (line,) = lines_of(capsys)
    assert line == f"{'both':45} reference 3.000 s  ours 1.500 s  2.00x"


def test_what_is_known_is_printed(capsys):
    facts = {
        "reference_images_per_s": 0.6667, "reference_share_of_limit": 0.456,
        "reference_limit_gflops": 321.4, "reference_mb": 6800.2,
        "ours_images_per_s": 12.5, "ours_launches": 345, "ours_synchronisations": 0,
        "gflop_per_image": 654.3, "difference": 2.2e-16,
        "file_mb": 176.4, "write_s": 31.6, "open_s": 0.87,
    }  # fmt: skip
    assert lines_of(capsys, **facts)[1:] == [
        "    reference: 0.67 images/s, 46% of what the machine can do, which is 321 GFLOP/s, "
        "6800 MB at most",
        "    ours: 12.50 images/s, 345 launches a step, waits 0 times a step",
        "    the network: 654 GFLOP per image",
        "    the file: 176 MB, written in 32 s, opened in 0.9 s",
        "    largest difference of a metric: 2.2e-16",
    ]


def test_results_are_shown_as_they_come(monkeypatch, capsys):
    """A long suite tells what it has."""
    shown = []

    def compare(*_):
        yield comparison("first", 3, 1)
        shown.append(capsys.readouterr().out)
        yield comparison("second", 3, 1)

    monkeypatch.setattr(benchmark.part_benchmark, "compare", compare)
    run("masks")
    assert "first" in shown[0]
