"""Which saved run is gone on with, what falls back to what, and which flags may change."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from training_process import lock_held

from nets.weights_file import WeightsError, WeightsFile, save_weights
from utils.command_line import parse
from utils.config import ConfigError, TrainConfig, to_dict
from utils.data.records import DataError
from utils.training.resume import (
    check_same_data,
    find_saved_run,
    read_saved_run,
    resumed_settings,
)
from utils.training.run_folder import RunFolder
from utils.training.run_lock import LOCK, lock_run

SETTINGS = TrainConfig(data="people", weights="none", batch_size=4, lr=0.01, output_root=Path("x"))
DATA = {"classes": ["cat", "dog"], "split": {"train": ["a.png"]}, "val_fingerprint": "1"}


def save(root, run="people", file="last.pth", number=1.0, **state):
    """A run's file; returns its path."""
    path = root / "weights" / run / file
    path.parent.mkdir(parents=True, exist_ok=True)
    model = {"weight": torch.full((5,), number)}
    weights = WeightsFile(SETTINGS.arch, 3, ("cat", "dog"), model, data=DATA)
    resume = {"settings": to_dict(SETTINGS), "best": None, "best_epoch": 0, **state}
    save_weights(path, weights, resume=resume)
    return path


def resuming(root, *argv) -> TrainConfig:
    return parse(TrainConfig, ["--output-root", str(root), *map(str, argv)], "")


def test_alone_it_is_the_run_that_was_saved_last(tmp_path):
    paths = [save(tmp_path, name) for name in ("b", "c", "a")]
    for moment, path in zip((20, 30, 10), paths, strict=True):
        os.utime(path, (moment, moment))
    assert read_saved_run(resuming(tmp_path, "--resume")).path == paths[1]


@pytest.mark.parametrize(
    "name", ["people", "people/last.pth", "{root}/weights/people", "{root}/weights/people/last.pth"]
)
def test_a_run_or_a_file_can_be_named(name, tmp_path):
    path = save(tmp_path)
    save(tmp_path, "newer")
    assert find_saved_run(name.format(root=tmp_path), tmp_path).resolve() == path.resolve()


def test_everything_that_was_saved_is_read(tmp_path):
    path = save(tmp_path, number=3.0, step=7)
    saved = read_saved_run(resuming(tmp_path, "--resume"))
    assert saved.path == path
    assert saved.state["step"] == 7
    assert saved.settings == SETTINGS
    assert saved.weights.model["weight"].tolist() == [3.0] * 5


@pytest.mark.parametrize(
    ("name", "words"),
    [("newest", "no run to go on with"), ("nowhere", "--resume nowhere: no such file")],
)
def test_nothing_there_is_said(name, words, tmp_path):
    with pytest.raises(WeightsError, match=words):
        read_saved_run(resuming(tmp_path, "--resume", name))


def test_weights_alone_are_no_run(tmp_path):
    best = save(tmp_path).with_name("best.pth")
    save_weights(best, WeightsFile(SETTINGS.arch, 2, ("cat",), {"w": torch.ones(1)}))
    torch.save({"weight": torch.ones(2)}, tmp_path / "foreign.pth")
    for path in (best, tmp_path / "foreign.pth"):
        with pytest.raises(WeightsError, match=r"no state of a training.*--weights"):
            read_saved_run(resuming(tmp_path, "--resume", path))


def test_a_text_is_no_run(tmp_path):
    (tmp_path / "notes.pth").write_text("hello")
    with pytest.raises(WeightsError, match="is not a PyTorch file"):
        read_saved_run(resuming(tmp_path, "--resume", tmp_path / "notes.pth"))


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "flipped":
        content[content.index(torch.ones(5).numpy().tobytes())] ^= 1
    path.write_bytes({"empty": b"", "cut": content[: len(content) // 2]}.get(how, bytes(content)))


@pytest.mark.parametrize("how", ["empty", "cut", "flipped"])
def test_a_damaged_file_falls_back_to_the_one_before(how, tmp_path):
    previous = save(tmp_path, file="previous.pth", number=2.0)
    last = save(tmp_path)
    damage(last, how)
    saved = read_saved_run(resuming(tmp_path, "--resume"))
    assert saved.path == previous
    assert saved.weights.model["weight"][0] == 2
    (warning,) = saved.warnings
    assert warning.startswith(f"WARNING: {last}: ")
    assert f"going on from {previous}" in warning

    damage(previous, "cut")
    with pytest.raises(WeightsError) as error:
        read_saved_run(resuming(tmp_path, "--resume"))
    assert str(last) in str(error.value)
    assert str(previous) in str(error.value)


@pytest.mark.parametrize("named", ["--resume", "--resume run", "--resume path"])
def test_a_missing_file_falls_back_to_the_one_before(named, tmp_path):
    previous = save(tmp_path, file="previous.pth")
    flag, *name = named.replace("path", str(previous.parent)).split()
    name = [previous.parent.name] if name == ["run"] else name
    assert read_saved_run(resuming(tmp_path, flag, *name)).path == previous


def test_a_damaged_file_without_one_before_is_an_error(tmp_path):
    damage(save(tmp_path), "cut")
    with pytest.raises(WeightsError, match="damaged"):
        read_saved_run(resuming(tmp_path, "--resume"))


def test_a_run_in_training_is_not_gone_on_with(tmp_path):
    path = save(tmp_path)
    refused = pytest.raises(ConfigError, match="another process is training this run")
    with lock_held(path.with_name(LOCK)), refused:
        read_saved_run(resuming(tmp_path, "--resume"))
    read_saved_run(resuming(tmp_path, "--resume"))


def test_a_log_that_cannot_be_opened_is_no_reason_not_to_train(tmp_path):
    folder = RunFolder("people", tmp_path)
    folder.log.mkdir(parents=True)
    lock_run(folder)


@pytest.fixture
def saved(tmp_path):
    return read_saved_run(resuming(tmp_path, "--resume", save(tmp_path)))


def test_what_was_not_given_stays(saved, tmp_path):
    assert resumed_settings(saved, resuming(tmp_path, "--resume")) == (
        replace(SETTINGS, output_root=tmp_path), []
    )  # fmt: skip


def test_what_is_given_again_is_no_change(saved, tmp_path):
    _, notes = resumed_settings(saved, resuming(tmp_path, "--resume", "--lr", "0.01", "-b", "4"))
    assert notes == []


def test_a_changed_flag_is_told_with_the_side_that_wins(saved, tmp_path):
    config = resuming(tmp_path, "--resume", "--lr", "0.5", "--seed", "7", "--min-size", "320",
                      "--epochs", "12", "--data", "moved")  # fmt: skip
    settings, notes = resumed_settings(saved, config)
    assert notes == [
        "--epochs is now 12, as given; it was 10",
        "--lr is now 0.5, as given; it was 0.01",
        "--min-size stays 800, as saved; 320 is ignored",
        "--seed stays 0, as saved; 7 is ignored",
    ]
    assert (settings.lr, settings.epochs, settings.data) == (0.5, 12, "moved")
    assert (settings.seed, settings.min_size) == (0, 800)


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--arch", "maskrcnn_resnet18_fpn_small"),
        ("--channels", "1"),
        ("--optimizer", "adamw"),
        ("--classes", "cat"),
    ],
)
def test_another_network_is_another_run(saved, tmp_path, flag, value):
    with pytest.raises(ConfigError, match=f"{flag} .*cannot go on with another"):
        resumed_settings(saved, resuming(tmp_path, "--resume", flag, value))


def test_the_classes_it_has_may_be_given(saved, tmp_path):
    resumed_settings(saved, resuming(tmp_path, "--resume", "--classes", "cat", "dog"))


def test_stages_replace_what_froze(saved, tmp_path):
    saved = replace(saved, settings=replace(SETTINGS, freeze="3+"))
    settings, _ = resumed_settings(saved, resuming(tmp_path, "--resume", "--stages", "all:12"))
    assert (settings.freeze, settings.stages) == ("auto", "all:12")


@pytest.mark.parametrize(
    ("name", "value"),
    [("classes", ["cat"]), ("split", {"train": ["b.png"]}), ("val_fingerprint", "2")],
)
def test_other_data_is_another_run(saved, name, value):
    check_same_data(saved, SimpleNamespace(description=lambda: DATA, source="here"))
    changed = SimpleNamespace(description=lambda: {**DATA, name: value}, source="here")
    with pytest.raises(DataError, match=r"here: .*run that is resumed"):
        check_same_data(saved, changed)
