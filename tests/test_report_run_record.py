"""A run's folder is read as it is, and a damaged file costs only what was in it."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from report_scene import drawn_set

from utils.command_line import parse
from utils.config import TrainConfig, to_dict
from utils.report.run_record import RunRecord, read_run
from utils.report.run_tables import commands, data_tables, run_tables
from utils.report.training_curves import training_curves

RESULTS = "epoch,train/loss,val/loss,segm/AP\n0,3.5,3.25,\n1,2.5,2.25,0.125\n"


def write_run(folder, **settings):
    folder.mkdir(parents=True)
    config = replace(TrainConfig(data="my data", epochs=7, weights="coco"), **settings)
    (folder / "args.json").write_text(json.dumps(to_dict(config)))
    (folder / "environment.json").write_text('{"torch": "2.15.0"}')
    (folder / "split.json").write_text('{"train": ["a", "b"], "val": ["c"], "seed": 5}')
    (folder / "results.csv").write_text(RESULTS)
    return config


def test_a_folder_without_files(tmp_path):
    record = read_run(tmp_path)
    assert (record.settings, record.environment, record.split, record.epochs) == ({}, {}, {}, ())
    assert len(record.notes) == 4
    assert training_curves(record) == ""
    assert len(commands(record)) == 3
    assert "results.csv" in run_tables(record, {})


def test_what_a_run_left(tmp_path):
    write_run(tmp_path / "one")
    record = read_run(tmp_path / "one")
    assert record.notes == ()
    assert record.column("train/loss") == [3.5, 2.5]
    assert math.isnan(record.column("segm/AP")[0])
    assert record.column("segm/AP")[1] == 0.125
    assert record.epoch_numbers == [1, 2]
    assert record.changed() == {"data": "my data", "epochs": 7, "weights": "coco"}


@pytest.mark.parametrize("name", ["args.json", "environment.json", "split.json", "results.csv"])
@pytest.mark.parametrize("content", [b"", b'{"a": ', b"[1]", b"epoch,x\n1,y\n", b"\xff\xfe\0"])
def test_a_damaged_file(tmp_path, name, content):
    write_run(tmp_path / "one")
    (tmp_path / "one" / name).write_bytes(content)
    record = read_run(tmp_path / "one")
    told = (record.settings, record.environment, record.split, record.epochs)
    assert sum(map(bool, told)) >= 3
    assert all(note.startswith(name) for note in record.notes)
    if name.endswith("json"):
        assert len(record.notes) == 1
    run_tables(record, {})
    data_tables(drawn_set(), record)
    training_curves(record)


def test_the_command_trains_the_same_again(tmp_path):
    config = write_run(tmp_path / "runs" / "one", classes=("a b", "c"), min_size=320, ema=0.5)
    train, test, predict = commands(read_run(tmp_path / "runs" / "one"))
    assert train[:2] == ["python", "train.py"]
    assert to_dict(parse(TrainConfig, train[2:], None)) == to_dict(config)
    assert test == ["python", "test.py", "--weights", "weights/one/best.pth"]
    assert predict[1] == "predict.py"


def test_commands_name_another_place(tmp_path):
    write_run(tmp_path / "one", output_root=Path("/else where"))
    _, test, _ = commands(read_run(tmp_path / "one"))
    assert test[2:] == [
        "--weights", "/else where/weights/one/best.pth", "--output-root", "/else where",
    ]  # fmt: skip
    assert "&#x27;/else where/weights/one/best.pth&#x27;" in run_tables(
        read_run(tmp_path / "one"), {}
    )


def test_unknown_settings_are_shown_but_not_repeated():
    record = RunRecord(Path("x"), {"epochs": "many", "of_old": 1})
    assert record.training_arguments() is None
    assert [line[1] for line in commands(record)] == ["test.py", "predict.py"]
    assert "--of-old" in run_tables(record, {})


def test_changed_settings_stand_first(tmp_path):
    write_run(tmp_path / "one")
    text = run_tables(read_run(tmp_path / "one"), {"<judged with>": "2.0"})
    assert text.index("--epochs") < text.index("--max-pixels")
    assert "3 settings were changed" in text
    assert "&lt;judged with&gt;" in text


def test_curves_have_a_chart_for_each_loss(tmp_path):
    write_run(tmp_path / "one")
    text = training_curves(read_run(tmp_path / "one"))
    assert text.count("<svg") == 2  # AP and the sum of the losses; the parts are not recorded
    assert "held-out" in text
    assert "NaN" not in text.replace("nan", "NaN")


def test_the_images():
    text = data_tables(
        drawn_set(), RunRecord(Path("x"), split={"train": [], "val": ["a"], "seed": 3})
    )
    assert "5 images were judged, 1 of them without objects." in text
    assert "In the run: 1 held out, drawn with seed 3." in text
    assert "<td>cat</td><td>3</td><td>3</td><td>0</td><td>0</td>" in text
    assert "<td>dog</td><td>2</td><td>1</td><td>1</td><td>0</td>" in text
