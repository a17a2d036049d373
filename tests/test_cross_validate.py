"""Cross-validation: every fold is trained once, a stop is a stop, and the figures are right."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tools import cross_validate
from tools.cross_validate import (
    Series,
    check_same_data,
    folds_table,
    read_arguments,
    run_process,
    runs_named,
    summarise,
    train_fold,
)
from utils.config import to_dict
from utils.data.records import DataError

REPOSITORY = Path(__file__).resolve().parent.parent

# Stands in for train.py: leaves what a run leaves, with the settings that the test wrote down.
STAND_IN = """
import json, pathlib, sys
here = pathlib.Path(__file__).parent
value = lambda flag: sys.argv[len(sys.argv) - sys.argv[::-1].index(flag)]  # the last one counts
fold, name = int(value("--fold")), value("--name")
runs = pathlib.Path(value("--output-root")) / "runs"
names = [name, *(f"{name}-{n}" for n in range(2, 9))]
folder = next(runs / n for n in names if not (runs / n).exists())
folder.mkdir(parents=True)
known = json.loads((here / "known.json").read_text())
(folder / "args.json").write_text(json.dumps({**known["args"], "fold": fold, "name": name}))
(folder / "split.json").write_text(json.dumps({"data_fingerprint": known["fingerprint"]}))
stop = here / "stop"
if stop.exists() and stop.read_text() == str(fold):
    sys.exit(5)
(folder / "metrics.json").write_text(json.dumps({"segm/AP": fold / 10}))
"""


@pytest.fixture
def people(tmp_path) -> Path:
    root = tmp_path / "people"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for n in range(6):
        ids = np.zeros((40, 48), np.uint8)
        ids[4 : 20 + n, 4:20], ids[10:30, 24:44] = 1, 2
        Image.fromarray(ids).save(root / "masks" / f"{n}.png")
        Image.fromarray(np.where(ids[..., None] > 0, 200, 30).astype(np.uint8).repeat(3, 2)).save(
            root / "images" / f"{n}.png"
        )
    return root


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


# -- figures ---------------------------------------------------------------------------------------


def test_mean_and_spread_are_numpys():
    rng = np.random.default_rng(0)
    table = rng.random((5, 3))
    found = summarise([dict(zip("abc", row.tolist(), strict=True)) for row in table])
    for column, name in enumerate("abc"):
        assert found[name]["mean"] == pytest.approx(table[:, column].mean())
        assert found[name]["std"] == pytest.approx(table[:, column].std(ddof=1))
        assert found[name]["folds"] == table[:, column].tolist()
        assert found[name]["undefined"] == 0


def test_undefined_metrics_are_left_out_of_the_mean_and_counted():
    found = summarise([{"a": 0.2, "b": 0.5}, {"a": 0.4}, {"a": 0.9, "c": 1.0}])
    assert found["a"]["mean"] == pytest.approx(0.5)
    assert found["b"] == {"mean": 0.5, "folds": [0.5, None, None], "undefined": 2}
    assert found["c"] == {"mean": 1.0, "folds": [None, None, 1.0], "undefined": 2}


def test_no_metrics_give_an_empty_table():
    assert summarise([{}, {}]) == {}
    assert folds_table({}).split() == ["mean", "std"]


def test_table_shows_every_fold():
    table = folds_table(summarise([{"segm/AP": 0.25, "segm/APl": 0.5}, {"segm/AP": 0.75}]))
    rows = [line.split() for line in table.splitlines()]
    assert rows[0] == ["mean", "std", "fold", "1", "fold", "2"]
    assert rows[1] == ["segm/AP", "0.500", "0.354", "0.250", "0.750"]
    assert rows[2] == ["segm/APl", "0.500", "-", "0.500", "-"]
    assert "undefined" in table.splitlines()[-1]


# -- arguments -------------------------------------------------------------------------------------


def test_arguments_are_those_of_train():
    config = read_arguments(["--data", "a/my people/", "--epochs", "3", "--group-by", "p."])
    assert (config.folds, config.fold, config.name) == (5, 1, "my people")
    assert (config.epochs, config.group_by, config.weights) == (3, "p.", "coco")
    assert read_arguments(["--folds", "3", "--data", "x", "--name", "n"]).name == "n"
    assert read_arguments(["--folds", "3", "--data", "x"]).folds == 3


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--data", "x", "--fold", "2"], "--fold is one of those that are all trained"),
        (["--data", "x", "--folds", "1"], "--folds is 1, must be at least 2"),
        (["--data", "shapes"], "--folds does not go with --data shapes"),
        (["--data", "x", "--val-data", "y"], "--val-data and --folds both say"),
        (["--data", "x", "--group-by", "("], "not a regular expression"),
        (["--colour", "red"], "--colour red"),
    ],
)
def test_wrong_usage_exits_with_2(argv, text, capsys):
    with pytest.raises(SystemExit) as error:
        read_arguments(argv)
    assert error.value.code == 2
    assert text in capsys.readouterr().err


# -- processes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "wanted"),
    [("pass", 0), ("raise SystemExit(5)", 5), ("import os; os.kill(os.getpid(), 9)", 137)],
)
def test_exit_code_is_handed_on(code, wanted):
    assert run_process([sys.executable, "-c", code]) == wanted


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("to_both", [True, False])  # as Ctrl-C in a terminal, and as kill does
def test_a_signal_ends_the_training_too(tmp_path, monkeypatch, number, to_both):
    monkeypatch.setattr(cross_validate, "SECONDS_TO_END", 0.3)
    marker = tmp_path / "pid"
    child = f"import os, time; open({str(marker)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    parent = os.fork()
    if parent == 0:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            os.close(2)  # the traceback of the child
            os._exit(run_process([sys.executable, "-c", child]))
        except KeyboardInterrupt:
            os._exit(130)
        finally:
            os._exit(1)
    deadline = time.monotonic() + 30
    while not (marker.exists() and marker.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    (os.killpg if to_both else os.kill)(parent, number)
    _, status = os.waitpid(parent, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + number
    with pytest.raises(ProcessLookupError):
        os.kill(int(marker.read_text()), 0)


# -- the series ------------------------------------------------------------------------------------


def test_a_finished_series_is_not_gone_on_with(tmp_path):
    first = Series.open(tmp_path / "x-folds", {"epochs": 1, "classes": ("a",)}, "f")
    (tmp_path / "x-fold-1").mkdir()
    (tmp_path / "x-fold-1" / "metrics.json").write_text("{}")
    first.write({"1": "x-fold-1", "2": "x-fold-2"})
    again = Series.open(tmp_path / "x-folds", {"epochs": 1, "classes": ("a",)}, "f")
    assert (again.folder.name, again.runs()) == ("x-folds", {"1": "x-fold-1"})  # 2 is not there
    for args, fingerprint in (({**first.args, "epochs": 2}, "f"), (first.args, "g")):
        other = Series.open(tmp_path / "x-folds", args, fingerprint)
        assert other.folder.name != "x-folds"
        assert other.runs() == {}
    for name in ("x-folds-2", "x-folds-3"):  # the other two
        (tmp_path / name / "folds.json").unlink()
        (tmp_path / name).rmdir()
    assert Series.open(first.folder, first.args, "f").folder == first.folder
    (first.folder / "metrics.json").write_text("{}")
    assert Series.open(first.folder, first.args, "f").runs() == {}


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "\ufeff{"])
def test_a_damaged_series_is_left_alone(tmp_path, text):
    (tmp_path / "x-folds").mkdir()
    (tmp_path / "x-folds" / "folds.json").write_text(text, encoding="utf-8")
    assert Series.open(tmp_path / "x-folds", {}, "f").folder.name == "x-folds-2"
    assert (tmp_path / "x-folds" / "folds.json").read_text(encoding="utf-8") == text


def test_runs_of_a_name_are_found(tmp_path):
    for name in ("x", "x-2", "x-4", "xy"):
        (tmp_path / name).mkdir()
    assert [path.name for path in runs_named(tmp_path, "x")] == ["x", "x-2"]


def test_changed_data_is_noticed(tmp_path):
    (tmp_path / "split.json").write_text('{"data_fingerprint": "f"}')
    check_same_data([tmp_path], "f")
    with pytest.raises(DataError, match="other images or labels"):
        check_same_data([tmp_path], "g")


def test_a_run_with_other_settings_is_not_taken(people, tmp_path, monkeypatch):
    config = read_arguments(["--data", str(people), "--output-root", str(tmp_path)])

    def make_run(settings, name):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "args.json").write_text(json.dumps(settings))
        (folder / "metrics.json").write_text("{}")
        return 0

    make_run(to_dict(config), "people")  # was there before
    monkeypatch.setattr(
        cross_validate, "run_process", lambda _: make_run(to_dict(config), "people-2")
    )
    assert train_fold(config, []).name == "people-2"
    other = {**to_dict(config), "epochs": 99}
    monkeypatch.setattr(cross_validate, "run_process", lambda _: make_run(other, "people-3"))
    with pytest.raises(DataError, match="holds no new run people with these settings"):
        train_fold(config, [])


def test_a_failed_fold_stops_the_series_and_it_goes_on_from_there(
    people, tmp_path, monkeypatch, capfd
):
    root = tmp_path / "out"
    argv = ["--data", str(people), "--folds", "3", "--output-root", str(root)]
    config = read_arguments(argv)
    known = {"args": to_dict(config), "fingerprint": cross_validate.fingerprint_of(config)}
    (tmp_path / "known.json").write_text(json.dumps(known))
    (tmp_path / "train.py").write_text(STAND_IN, encoding="utf-8")
    monkeypatch.setattr(cross_validate, "TRAIN", tmp_path / "train.py")
    (tmp_path / "stop").write_text("2")
    with pytest.raises(SystemExit) as error:
        cross_validate.command(argv)
    assert error.value.code == 5
    assert "fold 2 ended with 5; to go on from it: python -m" in capfd.readouterr().err
    assert {path.name for path in (root / "runs").iterdir()} == {
        "people-fold-1", "people-fold-2", "people-folds",
    }  # fmt: skip
    (tmp_path / "stop").unlink()

    assert cross_validate.command(argv) == 0
    out = capfd.readouterr().out
    assert "fold 1 of 3: is trained, in runs/people-fold-1" in out
    assert "not a confidence" in out
    runs = read(root / "runs" / "people-folds" / "folds.json")["runs"]
    assert runs == {"1": "people-fold-1", "2": "people-fold-2-2", "3": "people-fold-3"}
    found = read(root / "runs" / "people-folds" / "metrics.json")["segm/AP"]
    assert found["folds"] == [0.1, 0.2, 0.3]
    assert (found["mean"], found["std"]) == (pytest.approx(0.2), pytest.approx(0.1))

    assert cross_validate.command(argv) == 0  # finished, so all anew
    runs = read(root / "runs" / "people-folds-2" / "folds.json")["runs"]
    assert runs == {"1": "people-fold-1-2", "2": "people-fold-2-3", "3": "people-fold-3-2"}


def test_wrong_data_is_told_before_anything_is_trained(people, tmp_path, capsys):
    argv = ["--data", str(people), "--folds", "7", "--output-root", str(tmp_path / "out")]
    assert cross_validate.command(argv) == 4
    assert "6 image(s) are too few for --folds 7" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_two_folds_are_really_trained(people, tmp_path):
    result = subprocess.run(
        [
            sys.executable, "-m", "tools.cross_validate", "--folds", "2", "--data", people,
            "--output-root", tmp_path / "out", "--arch", "maskrcnn_resnet18_fpn_small",
            "--weights", "none", "--epochs", "1", "-b", "3", "-j", "0", "--min-size", "32",
            "--max-size", "32", "--rois", "4", "--proposals", "10", "--device", "cpu",
            "--precision", "fp32", "--name", "two",
        ],
        cwd=REPOSITORY, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
        capture_output=True, text=True, encoding="utf-8", timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert "fold 2 of 2 is held out" in result.stdout
    runs = tmp_path / "out" / "runs"
    held_out = [read(runs / f"two-fold-{fold}" / "split.json")["val"] for fold in (1, 2)]
    assert sorted(held_out[0] + held_out[1]) == [f"images/{n}.png" for n in range(6)]
    folds = [read(runs / f"two-fold-{fold}" / "metrics.json") for fold in (1, 2)]
    found = read(runs / "two-folds" / "metrics.json")
    assert found["segm/AP"]["folds"] == [metrics["segm/AP"] for metrics in folds]
    assert ["mean", "std", "fold", "1", "fold", "2"] in map(str.split, result.stdout.splitlines())
