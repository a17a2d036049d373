"""Runs side by side, from folders that are whole, damaged, of test.py, or none of a run."""

from __future__ import annotations

import json

import pytest

from utils.data.records import DataError
from utils.report.run_comparison import compare_runs

ARGS = {"data": "cells", "arch": "maskrcnn_resnet50_fpn", "lr": 0.005, "epochs": 3, "name": "",
        "classes": []}  # fmt: skip
SPLIT = {"train": ["a", "b", "c"], "val": ["d"], "seed": 0, "data_fingerprint": "f"}


@pytest.fixture
def make(tmp_path):
    """Draw a run's folder; what is None is not written, text is written as it is."""

    def folder(name, **contents):
        path = tmp_path / "runs" / name
        path.mkdir(parents=True)
        usual = {
            "metrics": {"segm/AP": 0.4321, "segm/AP50": 0.8, "bbox/AP": 0.5},
            "args": {**ARGS, "name": name},
            "split": SPLIT,
            "environment": {"torch": "2.15.0"},
            "results": "epoch,segm/AP\n0,0.1\n1,0.5\n2,0.3\n",
        }
        for file, content in (usual | contents).items():
            if content is not None:
                text = content if isinstance(content, str) else json.dumps(content)
                suffix = "csv" if file == "results" else "json"
                (path / f"{file}.{suffix}").write_text(text, encoding="utf-8")
        return path

    return folder


def table(*folders):
    """The cells of every row by its name, and the lines below the table."""
    lines = compare_runs(folders).splitlines()
    rows = {}
    while lines and (len(lines[0].split("  ")) > 1 or lines[0] in ("settings", "ran on")):
        name, *cells = [cell.strip() for cell in lines.pop(0).split("  ") if cell.strip()]
        rows[name] = cells
    return rows, lines


def test_one_run_is_told_and_differs_in_nothing(make):
    text = compare_runs([make("first")])
    assert text.splitlines() == [
        "                   first",
        "data               cells",
        "architecture       maskrcnn_resnet50_fpn",
        "images trained on  3",
        "images held out    1",
        "epochs             3, best 2",
        "segm/AP            0.432",
        "segm/AP50          0.800",
        "bbox/AP            0.500",
        "bbox/AP50          -",
    ]


def test_runs_stand_side_by_side_with_what_they_do_not_agree_in(make):
    other = {**ARGS, "name": "second", "lr": 0.01, "output_root": "/elsewhere", "ema": 0.9}
    first = make("first", intervals={"segm/AP": [0.40001, 0.5]})
    second = make("second", args=other, metrics={"segm/AP": 0}, environment={"torch": "2.16.0"})
    rows, notes = table(first, second)
    assert notes == []
    assert rows["data"] == ["cells", "cells"]
    assert rows["segm/AP"] == ["0.432 [0.400, 0.500]", "0.000"]
    assert rows["bbox/AP"] == ["0.500", "-"]
    settings = list(rows)[list(rows).index("settings") + 1 : list(rows).index("ran on")]
    assert settings == ["lr", "ema"]
    assert (rows["lr"], rows["ema"]) == (["0.005", "0.01"], ["-", "0.9"])
    assert rows["torch"] == ["2.15.0", "2.16.0"]


def test_columns_line_up(make):
    lines = compare_runs([make("a"), make("a very long name"), make("c")]).splitlines()
    starts = {line.index("cells", line.index("cells") + 1) for line in lines if "cells" in line}
    assert starts == {lines[0].index("a very long name")}


@pytest.mark.parametrize(
    ("results", "epochs"),
    [
        ("epoch,segm/AP\n0,0.1\n1,0.5\n2,0.5\n", "3, best 2"),
        ("epoch,segm/AP\n0,0\n1,0\n", "2, best 2"),  # none is better than the newest
        ("epoch,segm/AP\n0,\n1,\n2,0.1\n3,\n", "4, best 3"),
        ("epoch,segm/AP\n", "-"),
        ("", "-"),
    ],
)
def test_the_best_epoch_is_that_of_the_best_weights(make, results, epochs):
    assert table(make("run", results=results))[0]["epochs"] == [epochs]


def test_drawn_training_images_have_no_count(make):
    rows, _ = table(make("shapes", split={**SPLIT, "train": []}))
    assert (rows["images trained on"], rows["images held out"]) == (["drawn"], ["1"])


@pytest.mark.parametrize(
    ("other", "warning"),
    [
        ({**SPLIT, "seed": 3}, None),
        ({**SPLIT, "val": ["c"]}, "warning: judged on different held-out images"),
        ({**SPLIT, "data_fingerprint": "g"}, "warning: the held-out images have the same names"),
        (None, "warning: not every run tells which images it was judged on"),
    ],
)
def test_runs_of_other_images_are_warned_of(make, other, warning):
    _, notes = table(make("first"), make("second", split=other))
    assert [note.startswith("warning") for note in notes[:1]] == [True] * (warning is not None)
    assert warning is None or notes[0].startswith(warning)


def test_the_order_of_held_out_images_does_not_matter(make):
    first = make("first", split={**SPLIT, "val": ["d", "e"]})
    second = make("second", split={**SPLIT, "val": ["e", "d"]})
    assert table(first, second)[1] == []


def test_a_folder_of_test_has_numbers_alone(make):
    nothing = dict.fromkeys(("args", "split", "environment", "results"))
    rows, notes = table(make("first"), make("test/second", **nothing))
    assert rows["segm/AP"] == ["0.432", "0.432"]
    assert rows["architecture"] == ["maskrcnn_resnet50_fpn", "-"]
    assert "settings" not in rows
    assert notes[1:] == ["second: has no args.json, split.json, results.csv, environment.json"]


@pytest.mark.parametrize("file", ["metrics", "args", "split", "environment", "intervals"])
@pytest.mark.parametrize("content", ['{"segm/AP": 0.', "[1, 2]"])
def test_damaged_files_are_told_and_the_rest_shown(make, file, content):
    rows, notes = table(make("run", **{file: content}))
    assert rows["segm/AP"] == ["-" if file == "metrics" else "0.432"]
    assert rows["epochs"] == ["3, best 2"]
    assert (
        [note for note in notes if note.startswith(f"run: {file}.json ")]
        == [note for note in notes if "warning" not in note]
        != []
    )


def test_damaged_results_are_told(make):
    rows, notes = table(make("run", results="epoch,segm/AP\n0,many\n"))
    assert rows["epochs"] == ["-"]
    assert notes[0].startswith("run: results.csv")


@pytest.mark.parametrize("value", ["0.5", None, [0.5], {}])
def test_what_is_no_number_is_not_shown_as_one(make, value):
    rows, _ = table(make("run", metrics={"segm/AP": value}))
    assert rows["segm/AP"] == ["-"]


@pytest.mark.parametrize("ends", [0.5, [0.5], [0.5, "x"], {"low": 0, "high": 1}])
def test_what_is_no_interval_is_not_shown_as_one(make, ends):
    assert table(make("run", intervals={"segm/AP": ends}))[0]["segm/AP"] == ["0.432"]


def test_runs_of_one_name_are_told_apart_by_their_paths(make):
    paths = [make("one/run"), make("two/run")]
    assert compare_runs(paths).split()[:2] == [str(path) for path in paths]


def test_of_long_settings_the_end_is_shown(make):
    rows, _ = table(make("run", args={**ARGS, "data": "x" * 50 + "/end"}))
    assert rows["data"] == ["..." + "x" * 33 + "/end"]


def test_a_folder_of_no_run_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError, match=r"no folder of a run; name runs/<name>"):
            compare_runs([path])
