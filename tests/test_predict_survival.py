"""Whole runs of predict.py that are stopped, killed, gone on with, or find a full disk."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from test_commands import CPU, REPOSITORY, read
from test_distributed import PAIR, finished, torchrun
from test_survival import small_disk  # noqa: F401  (a fixture)
from training_process import TrainingProcess, _started

from nets.mask_rcnn import build_model
from nets.weights_file import WeightsFile, save_weights

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the runs here are forks"),
]
COUNT = 30


class PredictingProcess(TrainingProcess):
    """One ``python predict.py ARGUMENTS``."""

    def __init__(self, folder, *arguments):
        self.output_file = folder / f"printed-{uuid.uuid4()}.txt"
        self.output_file.touch()
        self.process = _started(_predict, [*map(str, arguments)], str(self.output_file))
        atexit.register(self.kill)


def _predict(arguments, output_file):
    os.setpgid(0, 0)
    descriptor = os.open(output_file, os.O_WRONLY | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(descriptor, stream.fileno())
    sys.stdout.reconfigure(line_buffering=True, encoding="utf-8")
    import predict
    from utils.command_line import parse
    from utils.exit_codes import run
    from utils.prediction.config import PredictConfig

    sys.exit(run(predict.main, parse(PredictConfig, arguments, predict.__doc__)))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Of a network that has learnt nothing, and finds something everywhere."""
    torch.manual_seed(0)
    options = {"frozen_norm": True, "min_size": 64, "max_size": 96}
    model = build_model("maskrcnn_resnet18_fpn_small", 3, **options)
    path = tmp_path_factory.mktemp("weights") / "best.pth"
    classes = ("cat", "dog")
    save_weights(
        path, WeightsFile("maskrcnn_resnet18_fpn_small", 3, classes, model.state_dict(), options)
    )
    return path


def draw_photos(folder):
    """Pictures in two folders; names have spaces and Chinese."""
    (folder / "更多 more").mkdir(parents=True)
    for n in range(COUNT):
        pixels = np.random.default_rng(n).integers(0, 256, (60 + n, 80, 3), np.uint8)
        place = folder / "更多 more" if n % 2 else folder
        Image.fromarray(pixels).save(place / f"p {n:02}.png")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return draw_photos(tmp_path_factory.mktemp("photos") / "all")


@pytest.fixture
def arguments(weights, photos, tmp_path):
    """The command line of a run into the test's folder."""
    return predicting(weights, photos, tmp_path / "out")


def predicting(weights, photos, folder) -> list:
    return ["--weights", weights, "--source", photos, "--output", folder, "--score-threshold",
            "0.01", "--max-detections", "3", *CPU, "--precision", "fp32"]  # fmt: skip


@pytest.fixture(scope="module")
def whole(weights, photos, tmp_path_factory):
    """The folder of a run that nothing stops."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    out = PredictingProcess(folder.parent, *predicting(weights, photos, folder)).ended(0)
    assert f"total in {COUNT} images: " in out
    assert f"counts.csv, overlays/ and predictions.json: {folder}" in out
    assert len(read(folder / "predictions.json")["annotations"]) > COUNT
    return folder


def tables(folder) -> tuple[bytes, bytes]:
    return tuple((folder / name).read_bytes() for name in ("predictions.json", "counts.csv"))


def assert_valid(folder, number=None) -> list[str]:
    """The names of the pictures that all tables hold, which have their overlays; so many."""
    coco = COCO(str(folder / "predictions.json"))
    names = [image["file_name"] for image in coco.dataset["images"]]
    rows = (folder / "counts.csv").read_text(encoding="utf-8").splitlines()
    assert [row.rsplit(",", 3)[0] for row in rows[1:-1]] == names
    assert {one["image_id"] for one in coco.dataset["annotations"]} <= set(coco.imgs)
    for name in names:
        with Image.open(folder / "overlays" / name) as overlay:
            overlay.load()
    assert number in (None, len(names))
    return names


def journal(folder) -> list[str]:
    """The names of the pictures that were done, in that order."""
    lines = [line for path in folder.glob("found-*.jsonl") for line in path.open("rb")]
    return [json.loads(line)["name"] for line in lines if line.endswith(b"\n")]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_a_stopped_run_tells_where_it_is_and_goes_on(arguments, whole, tmp_path, number, code):
    run = PredictingProcess(tmp_path, *arguments)
    run.wait_for("p 06.png: ")
    run.send(number)
    out = run.ended(code)
    told = re.search(
        r"(\d+) images are done in (.*); the same command goes on with the others", out
    )
    done = int(told[1])
    assert told[2] == str(tmp_path / "out")
    assert 3 < done < COUNT
    assert out.rstrip().endswith(f"stopped by {signal.Signals(number).name}")
    assert_valid(tmp_path / "out", done)
    assert len(journal(tmp_path / "out")) == done

    out = PredictingProcess(tmp_path, *arguments).ended(0)
    assert f"{done} of them were done before (--overwrite looks at them again)" in out
    assert out.count(".png: ") == COUNT - done
    assert tables(tmp_path / "out") == tables(whole)
    again = PredictingProcess(tmp_path, *arguments).ended(0)
    assert f"{COUNT} of them were done before" in again
    assert tables(tmp_path / "out") == tables(whole)


def test_kill_9_again_and_again(arguments, whole, tmp_path):
    folder, done = tmp_path / "out", 0
    for _ in range(4):
        run = PredictingProcess(tmp_path, *arguments)
        run.wait_for(".png: ")
        time.sleep(0.02 * (done % 5))
        run.kill()
        names = journal(folder)
        assert len(names) == len(set(names)) >= done + 1
        done = len(names)
        if (folder / "predictions.json").exists():
            assert set(assert_valid(folder)) <= set(names)
        with open(folder / "found-0.jsonl", "ab") as file:  # what a kill within a write leaves
            file.write(b'{"name":"p 29.png","stem":"p 29","objects":[{"sc')
    PredictingProcess(tmp_path, *arguments).ended(0)
    assert tables(folder) == tables(whole)
    assert_valid(folder, COUNT)
    left = {path.name for path in folder.iterdir()}
    assert left == {"args.json", "found-0.jsonl", "overlays", "predictions.json", "counts.csv"}


def test_a_full_disk_keeps_what_was_done(weights, photos, whole, small_disk, tmp_path):  # noqa: F811
    disk = tmp_path / "disk"
    small_disk("size=300k", disk)
    arguments = predicting(weights, photos, disk / "out")
    out = PredictingProcess(tmp_path, *arguments).ended(3)
    message = out.splitlines()[-1]
    assert re.match(
        rf"error: {disk}/out/\S.*: .*No space left on device.*; free some space", message
    )
    done = len(journal(disk / "out"))
    assert 0 < done < COUNT
    small_disk("size=8m", disk)
    out = PredictingProcess(tmp_path, *arguments).ended(0)
    assert f"{done} of them were done before" in out
    assert tables(disk / "out") == tables(whole)
    assert_valid(disk / "out", COUNT)


def test_a_disk_full_from_the_start(weights, photos, whole, small_disk, tmp_path):  # noqa: F811
    """The folder is made, and its first file cannot be: the next run takes the same folder."""
    disk = tmp_path / "disk"
    small_disk("size=8k", disk)
    with pytest.raises(OSError, match="No space"):
        (disk / "filler").write_bytes(bytes(1 << 16))
    arguments = predicting(weights, photos, disk / "out")
    assert "args.json" in PredictingProcess(tmp_path, *arguments).ended(3)
    small_disk("size=8m", disk)
    PredictingProcess(tmp_path, *arguments).ended(0)
    assert tables(disk / "out") == tables(whole)


@pytest.fixture
def some(photos, tmp_path):
    """A few of the pictures, in a folder that may be changed."""
    folder = tmp_path / "some"
    folder.mkdir()
    for n in range(0, 12, 2):
        shutil.copy(photos / f"p {n:02}.png", folder)
    return folder


def test_unusable_pictures_are_named_and_skipped(weights, some, tmp_path):
    (some / "p 02.png").write_bytes((some / "p 02.png").read_bytes()[:100])
    (some / "p 06.png").write_bytes(b"")
    Image.new("RGB", (20_000, 1)).save(some / "p 08.png")
    arguments = predicting(weights, some, tmp_path / "out")
    for before in (False, True):
        out = PredictingProcess(tmp_path, *arguments).ended(4)
        error = out[out.index("error: ") :]
        assert error.startswith("error: 3 of 6 images could not be used:\n")
        for name in ("p 02.png", "p 06.png", "p 08.png"):
            assert f"\n{name}: " in error
        assert ("3 of them were done before" in out) is before
        assert "total in 3 images" in out
        assert assert_valid(tmp_path / "out") == ["p 00.png", "p 04.png", "p 10.png"]


def test_strict_stops_at_the_first(weights, some, tmp_path):
    whole = (some / "p 06.png").read_bytes()
    (some / "p 06.png").write_bytes(b"")
    (some / "p 08.png").write_bytes(b"")
    arguments = predicting(weights, some, tmp_path / "out")
    out = PredictingProcess(tmp_path, *arguments, "--strict").ended(4)
    assert out.count("error: ") == 1
    assert "error: p 06.png: " in out
    assert assert_valid(tmp_path / "out") == ["p 00.png", "p 02.png", "p 04.png"]
    for name in ("p 06.png", "p 08.png"):
        (some / name).write_bytes(whole)
    out = PredictingProcess(tmp_path, *arguments, "--strict").ended(0)
    assert "3 of them were done before" in out
    assert_valid(tmp_path / "out", 6)


def test_no_picture_can_be_used(weights, some, tmp_path):
    for path in some.iterdir():
        path.write_bytes(b"nothing")
    out = PredictingProcess(tmp_path, *predicting(weights, some, tmp_path / "out")).ended(4)
    assert "total in 0 images: nothing" in out
    assert "error: 6 of 6 images could not be used" in out
    assert read(tmp_path / "out" / "predictions.json")["images"] == []


def test_nothing_is_found_anywhere(weights, some, tmp_path):
    out = PredictingProcess(
        tmp_path, *predicting(weights, some, tmp_path / "out"), "--score-threshold", "1"
    ).ended(0)
    assert out.count(".png: nothing") == 6
    assert "total in 6 images: nothing" in out
    assert_valid(tmp_path / "out", 6)
    assert read(tmp_path / "out" / "predictions.json")["annotations"] == []


def test_a_picture_that_has_changed_is_looked_at_again(weights, some, tmp_path):
    arguments = predicting(weights, some, tmp_path / "out")
    PredictingProcess(tmp_path, *arguments).ended(0)
    Image.new("RGB", (77, 66)).save(some / "p 04.png")
    (some / "p 06.png").write_bytes(b"nothing")
    out = PredictingProcess(tmp_path, *arguments).ended(4)
    assert "4 of them were done before" in out
    assert "total in 5 images" in out
    images = read(tmp_path / "out" / "predictions.json")["images"]
    assert {"id": 3, "file_name": "p 04.png", "width": 77, "height": 66} in images
    assert "p 06.png" not in [image["file_name"] for image in images]


def test_overwriting_and_other_settings(weights, some, tmp_path):
    arguments = predicting(weights, some, tmp_path / "out")
    PredictingProcess(tmp_path, *arguments).ended(0)
    before = tables(tmp_path / "out")
    out = PredictingProcess(tmp_path, *arguments, "--score-threshold", "0.9").ended(0)
    assert f"predictions.json: {tmp_path / 'out-2'}\n" in out
    out = PredictingProcess(tmp_path, *arguments, "--overwrite").ended(0)
    assert "were done before" not in out
    assert out.count(".png: ") == 6
    assert tables(tmp_path / "out") == before


@pytest.mark.skipif(sys.platform != "linux", reason="places that Linux has")
def test_an_output_that_no_folder_can_be(weights, some, tmp_path):
    (tmp_path / "file").touch()
    for place in ("/proc/out", tmp_path / "file" / "out", "/dev/null/out"):
        out = PredictingProcess(tmp_path, *predicting(weights, some, place)).ended(2)
        assert out.splitlines()[-1].startswith(f"error: {place}: cannot be made (")


def test_one_folder_is_one_run_s(arguments, whole, tmp_path):
    run = PredictingProcess(tmp_path, *arguments)
    run.wait_for(".png: ")
    run.send(signal.SIGSTOP)
    out = PredictingProcess(tmp_path, *arguments).ended(2)
    assert f"error: {tmp_path / 'out'}: another process is writing there" in out
    run.send(signal.SIGCONT)
    run.ended(0)
    assert tables(tmp_path / "out") == tables(whole)


def pair(*arguments) -> subprocess.Popen:
    return torchrun(*PAIR, REPOSITORY / "predict.py", *arguments)


def test_two_processes_leave_what_one_does(arguments, whole, tmp_path):
    """Begun by one process, killed, gone on with by two, which are stopped; ended by one."""
    folder = tmp_path / "out"
    run = PredictingProcess(tmp_path, *arguments)
    run.wait_for("p 04.png: ")
    run.kill()
    process = pair(*arguments)
    while len(list(folder.glob("found-*"))) < 2 or len(journal(folder)) < 12:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    code, out, err = finished(process)
    assert code != 0
    assert "process 0: stopped by SIGTERM" in err
    done = len(journal(folder))
    if done < COUNT:
        assert f"{done} images are done in {folder}" in out
    assert_valid(folder, done)
    code, out, err = finished(pair(*arguments))
    assert code == 0, out + err
    assert f"total in {COUNT} images" in out
    assert tables(folder) == tables(whole)
    assert sorted(journal(folder)) == sorted(assert_valid(folder, COUNT))


def test_one_of_two_processes_fails(weights, photos, tmp_path):
    """With --strict neither waits for ever."""
    changed = shutil.copytree(photos, tmp_path / "changed")
    (changed / "p 02.png").write_bytes(b"nothing")
    process = pair(*predicting(weights, changed, tmp_path / "out"), "--strict")
    code, _, err = finished(process, timeout=120)
    assert code == 1
    assert re.search(r"process \d: error: p 02.png: ", err)
    assert err.count("Traceback (most recent call last)") == 1  # torchrun's own
    assert "p 02.png" not in assert_valid(tmp_path / "out")
