"""Whole runs of train.py that are stopped, killed, resumed, or find a full disk."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing import Pipe
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_commands import CPU, NETWORK, TINY, draw_people, tree
from training_process import TrainingProcess, saving_for_ever, trained

from nets.weights_file import load_weights, read_pth

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the runs here are forks"),
]
SMALL = [*NETWORK, *TINY, *CPU, "--precision", "fp32", "--keep", "0", "--lr", "0.0005"]
EVERY_STEP = ["--save-every", "0.000001"]
# Everything that has a state of its own at once; 8 batches make 4 steps.
EMA = ["-b", "1", "--accumulate", "2", "--ema", "0.9", "--stages", "heads:1,all:2", "--augment",
       "flip", "--warmup", "6", "--clip-norm", "10"]  # fmt: skip
ADAMW = ["-b", "2", "--optimizer", "adamw", "--workers", "2", "--schedule", "step", "--lr-step",
         "1", "--lr-gamma", "0.5", "--seed", "3"]  # fmt: skip


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    return draw_people(tmp_path_factory.mktemp("data") / "people")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("out")


def settings(people, root, name) -> list:
    return ["--data", people, "--output-root", root, "--name", name, *SMALL]


def resume(root, name) -> list:
    return ["--output-root", root, "--resume", name]


def scalars(record) -> dict[str, list[tuple[int, float]]]:
    """The points of all curves but those of the speed."""
    events = EventAccumulator(str(record), size_guidance={"scalars": 0}).Reload()
    return {
        tag: [(point.step, point.value) for point in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
        if not tag.startswith("speed/")
    }


def differences(one, other, place="") -> list[str]:
    """Where two nested saved values differ."""
    if isinstance(one, torch.Tensor):
        return [] if torch.equal(one, other) else [place]
    if isinstance(one, dict):
        keys = [] if one.keys() == other.keys() else [f"{place}: keys"]
        return keys + [d for k in one for d in differences(one[k], other[k], f"{place}/{k}")]
    if isinstance(one, (list, tuple)):
        pairs = zip(one, other, strict=True)
        return [d for n, pair in enumerate(pairs) for d in differences(*pair, f"{place}/{n}")]
    return [] if one == other else [place]


def assert_same_run(root, one, other):
    """Weights, state, results and curves are equal to the last bit; times and names are not."""
    for file in ("best.pth", "last.pth"):
        contents = [read_pth(root / "weights" / name / file) for name in (one, other)]
        for content in contents:
            state = content.get("resume", {})
            for name in ("settings", "recorded"):
                state.pop(name, None)
        assert differences(*contents) == []
    results = [(root / "runs" / name / "results.csv").read_bytes() for name in (one, other)]
    assert results[0] == results[1]
    curves = [scalars(root / "runs" / name) for name in (one, other)]
    assert curves[0] == curves[1]
    for points in curves[0].values():
        steps = [step for step, _ in points]
        assert steps == sorted(set(steps))


@pytest.fixture(scope="module")
def straight(people, root):
    """Two runs that nothing stops, side by side with what else is fixed here."""
    runs = [
        TrainingProcess(root, *settings(people, root, "ema"), *EMA),
        TrainingProcess(root, *settings(people, root, "adamw"), *ADAMW, "--epochs", "4"),
    ]
    return [run.ended(0) for run in runs]


@pytest.fixture(scope="module")
def stopped_in_an_epoch(people, root):
    """What a run printed that SIGTERM stopped within its second epoch."""
    run = TrainingProcess(root, *settings(people, root, "ema-parts"), *EMA)
    run.wait_for("epoch 2/3 step 2/4")
    run.send(signal.SIGTERM)
    return run.ended(143)


def test_a_stopped_run_says_where_it_is_and_how_to_go_on(stopped_in_an_epoch, root):
    found = re.search(r"saved in epoch 2 after (\d) batches; to go on: (.*)", stopped_in_an_epoch)
    assert found is not None
    assert 4 <= int(found[1]) < 8  # within the epoch
    last = root / "weights" / "ema-parts" / "last.pth"
    assert found[2] == f"python train.py --resume {last}"
    assert stopped_in_an_epoch.rstrip().endswith("stopped by SIGTERM")
    assert read_pth(last)["resume"]["batches"] == int(found[1])


def test_a_run_in_parts_is_the_run_in_one(stopped_in_an_epoch, straight, root):
    """SIGTERM within an epoch, SIGUSR1 while judging, kill -9 between two saves."""
    judging = TrainingProcess(root, *resume(root, "ema-parts"))
    judging.wait_for("epoch 2/3 step 4/4")
    time.sleep(0.05)
    judging.send(signal.SIGUSR1)
    assert "saved in epoch 2 after 8 batches" in judging.ended(143)

    killed = TrainingProcess(root, *resume(root, "ema-parts"), *EVERY_STEP)
    killed.wait_for("epoch 3/3 step 4/4")
    killed.wait_for("epoch 3/3  train")  # its row is written and its curves are drawn
    killed.kill()

    assert "done" in trained(root, *resume(root, "ema-parts"))
    assert_same_run(root, "ema", "ema-parts")


def test_more_epochs_go_on_as_if_they_had_been_wanted_from_the_start(people, straight, root):
    """With loading processes, which a terminal's Ctrl-C reaches as well."""
    name = "adamw-parts"
    trained(root, *settings(people, root, name), *ADAMW, "--epochs", "2")
    run = TrainingProcess(root, *resume(root, name), "--epochs", "4")
    run.wait_for("epoch 3/4 step 2/4")
    run.send(signal.SIGINT, to_group=True)
    out = run.ended(130)
    assert "--epochs is now 4, as given; it was 2" in out
    assert "saved in epoch 3 after" in out

    run = TrainingProcess(root, *resume(root, name))
    run.wait_for("epoch 4/4 step 1/4")
    run.send(signal.SIGSTOP)
    second = TrainingProcess(root, *resume(root, name)).ended(2)
    assert "another process is training this run" in second
    run.send(signal.SIGCONT)
    run.ended(0)
    assert_same_run(root, "adamw", name)

    before = tree(root / "weights" / name)
    assert "this run is finished, all 4 epochs" in trained(root, *resume(root, name))
    assert tree(root / "weights" / name) == before


def test_what_cannot_change_is_refused(people, straight, root, tmp_path):
    """Nothing of the run is touched by what is refused."""
    before = tree(root / "weights" / "adamw")
    for flag, value in (("--arch", "maskrcnn_resnet50_fpn"), ("--classes", "cat"),
                        ("--channels", "1"), ("--optimizer", "sgd")):  # fmt: skip
        out = TrainingProcess(root, *resume(root, "adamw"), flag, value).ended(2)
        assert f"{flag} " in out
    changed = shutil.copytree(people, tmp_path / "changed")
    shutil.copy(changed / "PNGImages" / "人 1.png", changed / "PNGImages" / "人 99.png")
    shutil.copy(changed / "PedMasks" / "人 1_mask.png", changed / "PedMasks" / "人 99_mask.png")
    out = TrainingProcess(root, *resume(root, "adamw"), "--data", changed).ended(4)
    assert "is not the data of the run that is resumed" in out
    assert tree(root / "weights" / "adamw") == before


def test_the_same_data_elsewhere_goes_on(people, straight, root, tmp_path):
    moved = shutil.copytree(people, tmp_path / "moved")
    out = trained(root, *resume(root, "adamw"), "--data", moved)
    assert "this run is finished" in out


def test_ctrl_c_while_the_data_is_opened_ends_at_once(people, tmp_path):
    run = TrainingProcess(tmp_path, *settings(people, tmp_path, "early"), "--epochs", "1")
    run.wait_for("data: ")
    run.send(signal.SIGINT)
    out = run.ended(130)
    assert out.rstrip().endswith("stopped by SIGINT")
    assert not list(tmp_path.rglob("*.pth"))


def test_a_signal_while_saving_and_then_a_second_one(people, tmp_path):
    """The first waits for the save; the second, later, does not wait for anything."""
    run = TrainingProcess(tmp_path, *settings(people, tmp_path, "saving"), "-b", "1", *EVERY_STEP)
    partial = tmp_path / "weights" / "saving" / "last.pth.new.part"
    while not partial.exists():
        assert run.process.is_alive(), run.output
        time.sleep(0.001)
    run.send(signal.SIGTERM)
    run.ended(143)
    assert read_pth(partial.with_name("last.pth"))["resume"]["batches"] >= 1
    assert not partial.exists()


def test_a_second_signal_leaves_at_once(people, tmp_path):
    run = TrainingProcess(tmp_path, *settings(people, tmp_path, "twice"), "-b", "8", "--min-size",
                          "1200", "--max-size", "1200")  # fmt: skip
    run.wait_for("a step is")
    time.sleep(1)
    run.send(signal.SIGTERM)
    time.sleep(1.2)
    assert run.process.is_alive()  # its first step takes longer
    run.send(signal.SIGTERM)
    sent = time.monotonic()
    run.ended(143)
    assert time.monotonic() - sent < 2
    assert not list(tmp_path.rglob("*.pth"))


def test_a_signal_sent_twice_by_one_who_means_it_once(people, tmp_path):
    """timeout(1) signals its child and then its group."""
    run = TrainingProcess(tmp_path, *settings(people, tmp_path, "one"), "-b", "1")
    run.wait_for("step 1/8")
    run.send(signal.SIGTERM)
    time.sleep(0.01)
    run.send(signal.SIGTERM)
    assert "saved in epoch 1" in run.ended(143)


def test_the_time_limit_saves_and_is_no_failure(people, tmp_path):
    out = trained(tmp_path, *settings(people, tmp_path, "short"), "-b", "1", "--epochs", "1000",
                  "--time-limit", "0.03")  # fmt: skip
    assert "to go on: python train.py --resume" in out
    assert out.rstrip().endswith("the time limit is reached")
    last = tmp_path / "weights" / "short" / "last.pth"
    steps = read_pth(last)["resume"]["step"]
    assert steps >= 1
    again = trained(tmp_path, *resume(tmp_path, "short"))  # it is a setting of the run
    assert again.rstrip().endswith("the time limit is reached")
    assert read_pth(last)["resume"]["step"] > steps


def test_kill_9_at_fifty_random_moments(tmp_path):
    """Each process goes on from what the one before it left, whatever it was doing."""
    folder = tmp_path / "weights" / "saved"
    folder.mkdir(parents=True)
    draw, newest, number = random.Random(0), 0, 0
    for _ in range(51):
        listening, heard = Pipe(duplex=False)
        process = saving_for_ever(tmp_path, heard)
        heard.close()
        assert listening.poll(60)
        number, names = listening.recv()  # EOFError if it could not go on
        assert number >= newest
        files = {"last.pth", "previous.pth", "last.pth.new"}
        assert set(names) <= files | {"last.pth.new.part", "previous.pth.part"}
        newest = number
        time.sleep(draw.uniform(0, 0.03))
        process.kill()
        process.join()
    assert number > 5  # it got on, though killed so often; on a busy machine it gets less far


def test_whole_runs_outlive_kill_9(people, root):
    """Killed in its saves and between them; at most the step in work is lost."""
    name, done = "killed", 0
    arguments = [*settings(people, root, name), "-b", "1", "--epochs", "1", *EVERY_STEP]
    for _ in range(3):
        run = TrainingProcess(root, *arguments)
        run.wait_for(f"step {done + 2}/8")
        time.sleep(random.Random(done).uniform(0, 0.1))
        run.kill()
        state = read_pth(root / "weights" / name / "last.pth")["resume"]
        assert state["batches"] > done
        done, arguments = state["batches"], resume(root, name)
    assert len(list((root / "weights" / name).glob("*.part"))) <= 1
    trained(root, *arguments)
    assert not list((root / "weights" / name).glob("*.part"))


@pytest.fixture
def small_disk(tmp_path):
    """``mount(size, folder)`` makes a folder a disk of so many bytes; again, to resize it."""
    mounted = []

    def mount(options, folder):
        folder.mkdir(parents=True, exist_ok=True)
        again = ["-o", f"remount,{options}"] if folder in mounted else ["-o", options]
        command = ["mount", "-t", "tmpfs", *again, "tmpfs", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no disk of a limited size can be made here: {done.stderr.strip()}")
        mounted.append(folder)

    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("making a small disk takes root on Linux")
    yield mount
    for folder in set(mounted):
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_leaves_what_was_saved(people, small_disk, tmp_path):
    disk = tmp_path / "disk"
    small_disk("size=260m", disk)  # best.pth is 65 MB, last.pth 130 MB
    arguments = [*settings(people, disk, "full"), "-b", "4", "--epochs", "2"]
    out = TrainingProcess(tmp_path, *arguments).ended(3)
    last = disk / "weights" / "full" / "last.pth"
    assert out.splitlines()[-1].startswith("error: ")
    assert "No space left on device" in out.splitlines()[-1]
    assert read_pth(last)["resume"]["epoch"] == 1
    assert not list(disk.rglob("*.part"))

    small_disk("size=2g", disk)
    trained(tmp_path, *resume(disk, "full"))
    assert load_weights(last).epoch == 1
    assert len((disk / "runs" / "full" / "results.csv").read_text().splitlines()) == 3


def test_a_full_disk_for_the_records_alone_stops_nothing(people, small_disk, tmp_path):
    small_disk("size=64k", tmp_path / "runs")
    small_disk("size=4k", tmp_path / "logs")
    arguments = [*settings(people, tmp_path, "tight"), "-b", "1", "--epochs", "2"]
    out = trained(tmp_path, *arguments)
    assert "no more TensorBoard curves" in out
    assert out.count("TensorBoard curves") == 1
    assert load_weights(tmp_path / "weights" / "tight" / "last.pth").epoch == 1
    small_disk("size=8k,ro", tmp_path / "logs")
    small_disk("size=64k,ro", tmp_path / "runs")
    out = trained(tmp_path, *resume(tmp_path, "tight"), "--epochs", "3")
    assert "args.json" in out
    assert load_weights(tmp_path / "weights" / "tight" / "last.pth").epoch == 2


def test_weights_that_cannot_be_written_end_the_run(people, small_disk, tmp_path):
    small_disk("size=1m,ro", tmp_path / "weights")
    out = TrainingProcess(tmp_path, *settings(people, tmp_path, "locked")).ended(2)
    assert "Read-only file system" in out.splitlines()[-1]
    assert str(tmp_path / "weights" / "locked") in out.splitlines()[-1]
