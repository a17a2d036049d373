"""What a run tells: TensorBoard, results.csv, the text log and the console."""

from __future__ import annotations

import csv
import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nets.losses import LOSSES
from utils.config import TrainConfig
from utils.training import recorder as recorder_module
from utils.training.recorder import NoRecorder, Recorder, duration, epoch_line
from utils.training.results import csv_columns
from utils.training.run_folder import RunFolder
from utils.training.step_report import StepReport
from utils.training.text_log import log, open_log

CLASSES = ("cat", "dog")
VAL_LOSSES = {"loss": 1.5, **dict.fromkeys(LOSSES, 0.3)}
METRICS = {"segm/AP": 0.5, "bbox/AP": 0.25, "segm/AP/cat": 0.5, "segm/AP50": 1.0}


def report(loss=1.0, seconds=0.5) -> StepReport:
    losses = {"loss": loss, **dict.fromkeys(LOSSES, loss / 5)}
    return StepReport(losses, lr=0.01, images=2, seconds=seconds, wait_seconds=0.1)


def recorded(folder, epochs=2, steps=3, metrics=METRICS):
    """A run with steadily falling losses."""
    with Recorder(folder, CLASSES, epochs, steps) as recorder:
        recorder.settings(TrainConfig(epochs=7))
        recorder.picture("val/labels", lambda: Image.new("RGB", (8, 6), "red"), "val_gt.jpg")
        for epoch in range(epochs):
            recorder.start_epoch(epoch)
            for step in range(steps):
                recorder.step(report(loss=10.0 - epoch * steps - step))
            recorder.end_epoch(VAL_LOSSES, metrics, is_best=epoch == 0)
            recorder.picture("val/predictions", lambda: Image.new("RGB", (8, 6)))


@pytest.fixture
def folder(tmp_path):
    run = RunFolder.create(tmp_path, "run")
    open_log(run.log)
    yield run
    for handler in log.handlers:
        handler.close()
    log.handlers.clear()


def rows(folder):
    with open(folder.record / "results.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def events(folder) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder.record), size_guidance={"scalars": 0})
    return accumulator.Reload()


def test_results_have_one_row_an_epoch(folder):
    recorded(folder)
    found = rows(folder)
    assert [(row["epoch"], row["step"]) for row in found] == [("0", "3"), ("1", "6")]
    assert [row["train/loss"] for row in found] == ["9", "6"]  # means of 10 9 8 and of 7 6 5
    assert {row["val/loss"] for row in found} == {"1.5"}
    assert {row["segm/AP"] for row in found} == {"0.5"}


def test_undefined_numbers_are_blank(folder):
    recorded(folder)
    assert {row["segm/AP/dog"] for row in rows(folder)} == {""}
    assert {row["bbox/APs"] for row in rows(folder)} == {""}


def test_columns_are_the_same_whatever_is_defined(folder):
    with Recorder(folder, CLASSES, 2, 1) as recorder:
        for epoch, metrics in enumerate([{}, METRICS]):
            recorder.start_epoch(epoch)
            recorder.step(report())
            recorder.end_epoch(VAL_LOSSES if epoch else {}, metrics, is_best=False)
    lines = (folder.record / "results.csv").read_text().splitlines()
    assert lines[0].split(",") == csv_columns(CLASSES)
    assert len({line.count(",") for line in lines}) == 1
    assert [row["segm/AP"] for row in rows(folder)] == ["", "0.5"]


def test_column_names_are_frozen():
    numbers = [
        "AP",
        "AP50",
        "AP75",
        "APs",
        "APm",
        "APl",
        "AR1",
        "AR10",
        "AR100",
        "ARs",
        "ARm",
        "ARl",
        "AP/cat",
        "AP50/cat",
    ]
    losses = ["loss", "loss_classifier", "loss_box_reg", "loss_mask", "loss_objectness",
              "loss_rpn_box_reg"]  # fmt: skip
    assert csv_columns(["cat"]) == [
        "epoch", "step", *(f"train/{name}" for name in losses), *(f"val/{name}" for name in losses),
        "lr",
        *(f"bbox/{name}" for name in numbers), *(f"segm/{name}" for name in numbers),
    ]  # fmt: skip


def test_tensorboard_holds_everything(folder):
    recorded(folder)
    found = events(folder)
    scalars = set(found.Tags()["scalars"])
    names = ("loss", *LOSSES)
    assert scalars == {
        *(f"train/{name}" for name in names), *(f"val/{name}" for name in names), "lr",
        "speed/images_per_second", "speed/data_wait_share", *METRICS,
    }  # fmt: skip
    assert [(e.step, e.value) for e in found.Scalars("train/loss")] == [
        (n, 11.0 - n) for n in range(1, 7)
    ]
    assert [(e.step, e.value) for e in found.Scalars("segm/AP")] == [(3, 0.5), (6, 0.5)]
    assert [e.step for e in found.Scalars("lr")] == [1, 2, 3, 4, 5, 6]
    assert set(found.Tags()["images"]) == {"val/labels", "val/predictions"}
    assert found.Images("val/labels")[0].width == 8
    assert "settings/text_summary" in found.Tags()["tensors"]


def test_long_epochs_have_few_points_each_the_mean_of_its_steps(folder):
    recorded(folder, epochs=1, steps=350)
    points = events(folder).Scalars("train/loss")
    assert len(points) == 116  # 350 steps, every third
    assert points[0].step == 3
    assert points[0].value == pytest.approx(9.0)  # of 10, 9 and 8


def test_pictures_are_kept_under_their_file_name(folder):
    recorded(folder)
    with Image.open(folder.record / "val_gt.jpg") as picture:
        assert picture.size == (8, 6)
        assert np.asarray(picture)[3, 4] == pytest.approx([254, 0, 0], abs=3)
    assert [path.name for path in folder.record.glob("*.jpg")] == ["val_gt.jpg"]


def test_without_a_terminal_there_are_plain_lines(folder, capsys, monkeypatch):
    monkeypatch.setattr(recorder_module, "SECONDS_BETWEEN_LINES", -1.0)
    recorded(folder, epochs=1, steps=2)
    out, err = capsys.readouterr()
    assert "\r" not in out + err
    assert err == ""
    lines = out.splitlines()
    assert [line.split(" ETA")[0] for line in lines[:2]] == [
        "epoch 1/1 step 1/2", "epoch 1/1 step 2/2",
    ]  # fmt: skip
    assert lines[2].startswith("epoch 1/1  train loss 9.500  val loss 1.500")


def test_steps_are_silent_between_the_lines(folder, capsys):
    recorded(folder, epochs=1, steps=50)
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_on_a_terminal_there_is_a_bar(folder, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(recorder_module, "SECONDS_BETWEEN_LINES", -1.0)
    recorded(folder, epochs=1, steps=2)
    out, err = capsys.readouterr()
    assert "epoch 1/1" in err
    assert len(out.splitlines()) == 1  # the epoch's line alone


def test_text_log_has_times_and_all_letters(folder):
    log.info("classes %s", "类")
    line = folder.log.read_text(encoding="utf-8").strip()
    assert line.endswith(" classes 类")
    assert line[:2] == "20"


def test_a_second_run_does_not_write_to_the_first_log(folder, tmp_path):
    second = RunFolder.create(tmp_path, "run")
    open_log(second.log)
    log.info("second")
    assert "second" not in folder.log.read_text()
    assert second.log.read_text().count("second") == 1


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (245, "4:05"), (3723, "1:02:03")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_epoch_line_marks_what_is_undefined():
    line = epoch_line(0, 3, {"train/loss": 1.0, "speed/images_per_second": 2.0}, 61)
    assert line.startswith("epoch 1/3  train loss 1.000  val loss -  bbox AP - AP50 -  segm AP -")
    assert line.endswith("2.0 img/s  1:01")


def test_metrics_are_those_of_the_best_epoch(folder):
    with Recorder(folder, CLASSES, 3, 1) as recorder:
        for epoch, ap in enumerate([0.1, 0.3, 0.2]):
            recorder.start_epoch(epoch)
            recorder.step(report())
            recorder.end_epoch(VAL_LOSSES, {"segm/AP": ap}, is_best=epoch < 2)
    assert json.loads((folder.record / "metrics.json").read_text()) == {"segm/AP": 0.3}


def points(folder) -> dict[str, list[tuple[int, float]]]:
    found = events(folder)
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def record_steps(recorder, numbers):
    for number in numbers:
        recorder.step(report(loss=float(number)))


@pytest.mark.parametrize("steps", [3, 300])  # of 300, three make a point
@pytest.mark.parametrize("place", ["in an epoch", "before judging", "between epochs"])
def test_what_was_recorded_after_the_save_is_struck_out(tmp_path, steps, place):
    """A run that is resumed from ``to_dict`` records what one without interruption does."""
    whole, parts = (RunFolder.create(tmp_path, name) for name in ("whole", "parts"))
    done = {"in an epoch": steps - 2, "before judging": steps, "between epochs": 0}[place]
    with Recorder(whole, CLASSES, 2, steps) as recorder:
        for epoch in range(2):
            recorder.start_epoch(epoch)
            record_steps(recorder, range(steps))
            recorder.end_epoch(VAL_LOSSES, METRICS, is_best=False)
    with Recorder(parts, CLASSES, 2, steps) as recorder:
        recorder.start_epoch(0)
        record_steps(recorder, range(steps))
        recorder.end_epoch(VAL_LOSSES, METRICS, is_best=False)
        saved = recorder.to_dict()
        recorder.start_epoch(1)
        record_steps(recorder, range(done))
        if done:
            saved = recorder.to_dict()
        record_steps(recorder, range(done, steps))  # and all this is lost
        recorder.end_epoch({"loss": 99.0}, {"segm/AP": 0.9}, is_best=False)
    torch.save(saved, tmp_path / "saved.pth")
    saved = torch.load(tmp_path / "saved.pth", weights_only=True)
    with Recorder(parts, CLASSES, 2, steps, saved) as recorder:
        assert len(rows(parts)) == 1
        recorder.start_epoch(1)
        record_steps(recorder, range(done, steps))
        recorder.end_epoch(VAL_LOSSES, METRICS, is_best=False)
    results = [(run.record / "results.csv").read_bytes() for run in (whole, parts)]
    assert results[0] == results[1]
    assert points(whole) == points(parts)


def test_a_row_that_cannot_be_written_comes_with_the_next(folder, capsys):
    with Recorder(folder, CLASSES, 2, 1) as recorder:
        for epoch in range(2):
            recorder.start_epoch(epoch)
            recorder.step(report())
            blocked = folder.record / ".part"
            if epoch == 0:
                blocked.mkdir()
            else:
                blocked.rmdir()
            recorder.end_epoch(VAL_LOSSES, METRICS, is_best=False)
            assert len(rows(folder) if epoch else []) == 2 * epoch
    assert capsys.readouterr().out.count("warning: ") == 1


def test_a_process_that_does_not_record_takes_the_same_calls():
    with NoRecorder() as recorder:
        recorder.start_epoch(0)
        recorder.step(report())
        recorder.end_epoch({}, {}, True)
        recorder.picture("val/labels", lambda: 1 / 0, "val_gt.jpg")
        assert recorder.to_dict() == {}
