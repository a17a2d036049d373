"""``--dry-run``: everything is tried, real faults are found, and nothing is left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from test_commands import (
    CPU,
    NETWORK,
    REPOSITORY,
    TINY,
    draw_people,
    environment,
    tree,
)

import train
from utils.command_line import parse
from utils.config import TrainConfig
from utils.exit_codes import run
from utils.folders import passing_folder
from utils.training.forecast import Forecast
from utils.training.stages import Stage

SETTINGS = [*NETWORK, *TINY, *CPU, "--precision", "fp32"]


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("data") / "people")


@pytest.fixture
def dry_run(people, capsys):
    """Its exit code, and what it printed on both streams, in this process."""

    def result(*arguments, data=people):
        options = ["--data", str(data), "--dry-run", *SETTINGS, *map(str, arguments)]
        code = run(train.main, parse(TrainConfig, options, None))
        return code, *capsys.readouterr()

    return result


@pytest.mark.parametrize(
    ("flags", "steps"),
    [
        ((), 2),
        (("--stages", "heads:2,all:3@0.001"), 4),
        (("--ema", "0.9", "--accumulate", "3"), 2),
        (("--folds", "5", "--fold", "2", "--optimizer", "adamw", "--save-every", "0.00001"), 2),
        (("--balance-classes", "--augment", "strong", "--anchors", "auto"), 2),
    ],
    ids=str,
)
def test_it_tries_everything_and_leaves_nothing(dry_run, people, tmp_path, flags, steps):
    before = tree(people)
    code, out, err = dry_run("--output-root", tmp_path / "new" / "deep", *flags)
    assert code == 0, err
    assert f"dry run: {steps} training steps, judging, saving, loading and TensorBoard work" in out
    assert list(tmp_path.iterdir()) == []
    assert tree(people) == before


def test_its_last_lines_say_how_long_the_run_would_take(dry_run, tmp_path):
    _, out, _ = dry_run("--output-root", tmp_path, "--epochs", "7", "-b", "3")
    steps, whole = out.splitlines()[-2:]
    assert re.fullmatch(
        r"a step of 3 images took \d+\.\d\d s; judging a held-out image took \d+\.\d\d s", steps
    )
    assert "7 epochs of 3 steps and 2 judged images" in whole  # 8 images to train on
    assert "an estimate" in whole


def test_stages_are_timed_one_by_one(dry_run, tmp_path):
    _, out, _ = dry_run("--output-root", tmp_path, "--stages", "heads:2,all:3")
    assert re.search(r"a step of 2 images took \S+ s \(heads\), \S+ s \(all\);", out)
    assert "5 epochs of 4 steps" in out


def test_the_batch_size_is_tried_too(dry_run, tmp_path):
    code, out, _ = dry_run("--output-root", tmp_path, "-b", "auto")
    assert code == 0
    assert "--batch-size auto: 2 (trial steps took" in out


def test_val_data_and_split_file_are_taken(dry_run, people, tmp_path):
    others = draw_people(tmp_path / "others")
    code, out, _ = dry_run("--output-root", tmp_path / "out", "--val-data", others)
    assert (code, "training: 10 images" in out) == (0, True)
    split = tmp_path / "split.json"
    names = sorted(path.relative_to(people).as_posix() for path in people.glob("PNGImages/*"))
    options = ["--data", str(people), *SETTINGS, "--epochs", "1", "--steps-per-epoch", "1"]
    assert (
        run(train.main, parse(TrainConfig, [*options, "--output-root", str(tmp_path)], None)) == 0
    )
    split.write_bytes((tmp_path / "runs" / "people" / "split.json").read_bytes())
    before = tree(tmp_path)
    code, out, _ = dry_run("--output-root", tmp_path, "--split-file", split)
    assert (code, f"training: {len(names) - 2} images" in out) == (0, True)
    # A name of weights is looked for where runs are kept, and those are left alone.
    code, out, _ = dry_run("--output-root", tmp_path, "--weights", "best.pth")
    assert (code, "best.pth" in out) == (0, True)
    assert tree(tmp_path) == before


def test_the_data_is_checked_as_for_a_run(dry_run, tmp_path):
    broken = draw_people(tmp_path / "people")
    picture = broken / "PNGImages" / "人 5.png"
    picture.write_bytes(picture.read_bytes()[:2000])
    code, _, err = dry_run("--output-root", tmp_path / "out", data=broken)
    assert (code, str(picture) in err, "cut short" in err) == (4, True, True)
    assert not (tmp_path / "out").exists()


def test_a_fault_of_the_settings_leaves_nothing(dry_run, tmp_path):
    code, _, err = dry_run("--output-root", tmp_path / "out", "--freeze", "nothing_so_called")
    assert (code, "nothing_so_called" in err) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_a_diverging_run_is_found_and_no_batch_is_promised(dry_run, tmp_path):
    code, _, err = dry_run("--output-root", tmp_path, "--lr", "1e30", "--warmup", "0")
    assert code == 5
    assert "kept in" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_output_root_ends_with_2(dry_run, tmp_path):
    (tmp_path / "taken").write_text("mine")
    for root in (tmp_path / "taken", tmp_path / "taken" / "below"):
        code, _, err = dry_run("--output-root", root)
        assert (code, str(tmp_path / "taken") in err) == (2, True)
    assert (tmp_path / "taken").read_text() == "mine"


def test_resume_is_refused_in_words(capsys):
    with pytest.raises(SystemExit) as ended:
        parse(TrainConfig, ["--resume", "--dry-run"], None)
    assert ended.value.code == 2
    assert "--dry-run tries a new run; leave --resume out" in capsys.readouterr().err


def test_a_forecast_adds_steps_and_judging_up():
    stages = [Stage("heads", 2, 0.1), Stage("all", 3, 0.1)]
    found = Forecast(stages, [1.0, 4.0], 0.5, steps=10, images=2, held_out=6)
    assert found.seconds == 2 * (10 * 1 + 3) + 3 * (10 * 4 + 3)
    assert "would take about 2:35:" in str(found)


def test_a_passing_folder_takes_only_its_own_with_it(tmp_path):
    with passing_folder(tmp_path / "a" / "b", "x-") as folder:
        (folder / "file").write_text("")
        (tmp_path / "a" / "other").mkdir()
        assert folder.parent == tmp_path / "a" / "b"
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "other"]


@contextmanager
def mounted(folder, *options):
    """A file system in memory."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    if os.name != "posix" or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_an_output_root_that_cannot_be_written_to_ends_with_2(dry_run, tmp_path):
    with mounted(tmp_path / "disk", "ro") as disk:
        code, _, err = dry_run("--output-root", disk)
    assert (code, str(disk) in err) == (2, True)


@pytest.mark.slow
def test_a_full_disk_is_found_and_left_empty(dry_run, tmp_path):
    with mounted(tmp_path / "disk", "size=4m") as disk:
        code, _, err = dry_run("--output-root", disk)
        assert list(disk.iterdir()) == []
    assert (code, str(disk) in err) == (3, True)
    assert len(err.splitlines()) < 4


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_it_leaves_nothing(people, tmp_path, number):
    options = ["--data", people, "--dry-run", *SETTINGS, "--accumulate", "20"]
    process = subprocess.Popen(
        [sys.executable, REPOSITORY / "train.py", *options, "--output-root", tmp_path / "out"],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    events = "out/dry-run-*/runs/people/train_batch0.jpg"
    while not list(tmp_path.glob(events)) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number, err
    assert "Traceback" not in err
    assert "--resume" not in out
    assert list(tmp_path.iterdir()) == []
