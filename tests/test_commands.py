"""The three commands from end to end, as a user runs them, on tiny settings."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

REPOSITORY = Path(__file__).resolve().parent.parent
NETWORK = ["--arch", "maskrcnn_resnet18_fpn_small", "--weights", "none"]
TINY = ["--min-size", "64", "--max-size", "96", "--rois", "16", "--proposals", "50"]
CPU = ["--device", "cpu"]


TRAINING = [
    "--epochs", "2", "-b", "1", "--optimizer", "adamw", "--lr", "0.001", "--warmup", "0",
    "--seed", "1", *NETWORK, *TINY, *CPU, "--precision", "fp32",
]  # fmt: skip


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}


RUN_FILES = {
    "args.json", "environment.json", "results.csv", "metrics.json", "split.json",
    "train_batch0.jpg", "augmentation.jpg", "val_gt.jpg", "val_pred.jpg", "events",
    "intervals.json", "report.html",
}  # fmt: skip
PREDICT_FILES = {"args.json", "found-0.jsonl", "predictions.json", "counts.csv"}


def command(script, *arguments, cwd=REPOSITORY) -> subprocess.CompletedProcess:
    """Run a script in a process of its own; the caller looks at its exit code."""
    return subprocess.run(
        [sys.executable, REPOSITORY / script, *map(str, arguments)],
        cwd=cwd, env=environment(),
        capture_output=True, text=True, encoding="utf-8", timeout=300, check=False,
    )  # fmt: skip


def run_in(folder, *arguments) -> str:
    """What Python prints when run in a folder; it must succeed."""
    result = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=folder, env=environment(),
        capture_output=True, text=True, encoding="utf-8", timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def succeeded(script, *arguments, cwd=REPOSITORY) -> str:
    result = command(script, *arguments, cwd=cwd)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout


def failed(code, script, *arguments, cwd=REPOSITORY) -> str:
    """The one message of a command that ends with ``code``."""
    result = command(script, *arguments, cwd=cwd)
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr


def draw_people(root) -> Path:
    """Ten pictures in PennFudan's layout, one of them without a person."""
    (root / "PNGImages").mkdir(parents=True)
    (root / "PedMasks").mkdir()
    for n in range(10):
        rng = np.random.default_rng(n)
        width, height = rng.integers(64, 97, 2)
        pixels = rng.integers(0, 60, (height, width, 3), np.uint8)
        ids = np.zeros((height, width), np.uint8)
        if n != 3:
            ids[8 : height - 8, 6:28], ids[20 : height - 4, 34 : width - 4] = 1, 2
        pixels[ids > 0] = (220, 180, 40)
        Image.fromarray(pixels).save(root / "PNGImages" / f"人 {n}.png")
        Image.fromarray(ids).save(root / "PedMasks" / f"人 {n}_mask.png")
    return root


def tree(folder) -> dict[str, str]:
    """Every file under a folder with its hash."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def assert_run_is_complete(files, name, newest):
    """Exactly the files that a run leaves, and nothing else."""
    found = {re.sub(r"events\.out\.tfevents\..*", "events", file) for file in files}
    weights = {".lock", "best.pth", "last.pth", f"MaskRCNN_{newest}.pth"}
    if newest:
        weights.add("previous.pth")  # the last.pth before
    assert found == {
        *(f"runs/{name}/{file}" for file in RUN_FILES),
        *(f"weights/{name}/{file}" for file in weights),
        f"logs/{name}.log",
    }


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    return draw_people(tmp_path_factory.mktemp("data") / "my people")


@pytest.fixture(scope="module")
def trained(people, tmp_path_factory):
    """The output root of two epochs, what was printed, the data's hashes before, and what the run
    left."""
    root, before = tmp_path_factory.mktemp("out"), tree(people)
    out = succeeded("train.py", "--data", f"{people}/", "--output-root", root, *TRAINING)
    return root, out, before, tree(root)


@pytest.fixture(scope="module")
def predicted(trained, people, tmp_path_factory):
    """``predict.py`` on a folder and a glob: its output folder and what it printed."""
    root, *_ = trained
    folder = tmp_path_factory.mktemp("predicted") / "out"
    photos = tmp_path_factory.mktemp("photos")
    (photos / "sub").mkdir()
    for name, size in {"a.JPG": (70, 50), "sub/b c.bmp": (40, 90), "extra.png": (64, 64)}.items():
        Image.new("RGB", size, (220, 180, 40)).save(photos / name)
    (photos / "extra.png").rename(photos.parent / "extra 1.png")
    out = succeeded(
        "predict.py", "--weights", "MaskRCNN_1.pth", "--output-root", root, "--output", folder,
        "--source", photos, photos.parent / "ext*.png", "--score-threshold", "0", *CPU,
    )  # fmt: skip
    return folder, out


def test_training_leaves_exactly_its_files(trained):
    assert_run_is_complete(trained[3], "my people", newest=1)


def test_training_tells_what_it_does(trained):
    root, out, _, _ = trained
    assert re.search(r"training: 8 images .*objects of person", out)
    assert "held out: 2 images" in out
    assert re.search(r"epoch 2/2  train loss \d", out)
    assert "next: python test.py --weights" in out
    log = (root / "logs" / "my people.log").read_text(encoding="utf-8")
    assert [line[:2] for line in log.splitlines() if " epoch 2/2  train" in line] == ["20"]


def test_training_records_its_settings_and_split(trained, people):
    record = trained[0] / "runs" / "my people"
    settings = read(record / "args.json")
    assert (settings["epochs"], settings["min_size"], settings["seed"]) == (2, 64, 1)
    assert read(record / "environment.json")["precision"] == "fp32"
    split = read(record / "split.json")
    images = sorted(path.relative_to(people).as_posix() for path in people.glob("PNGImages/*"))
    assert sorted(split["train"] + split["val"]) == images
    assert len(split["val"]) == 2


def test_results_have_a_row_an_epoch_and_the_best_one_is_kept(trained):
    record = trained[0] / "runs" / "my people"
    with open(record / "results.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert [row["step"] for row in rows] == ["8", "16"]
    assert not any("speed" in name for name in rows[0])  # the same for the same run
    best = read(record / "metrics.json")
    scores = [float(row["segm/AP"]) for row in rows]
    assert best["segm/AP"] == pytest.approx(max(scores), abs=1e-5)


def test_tensorboard_has_the_curves(trained):
    found = EventAccumulator(str(trained[0] / "runs" / "my people")).Reload()
    tags = found.Tags()
    assert {"train/loss", "val/loss", "segm/AP", "lr", "speed/images_per_second",
            "speed/data_wait_share"} <= set(tags["scalars"])  # fmt: skip
    assert [event.step for event in found.Scalars("train/loss_mask")] == list(range(1, 17))
    assert [event.step for event in found.Scalars("segm/AP")] == [8, 16]
    assert set(tags["images"]) == {
        "train/batch0", "train/augmentation", "val/labels", "val/predictions",
    }  # fmt: skip


@pytest.mark.slow
def test_the_same_command_gives_the_same_weights(trained, people, tmp_path):
    """Loading processes or none."""
    first = trained[0]
    succeeded("train.py", "--data", people, "--output-root", tmp_path, *TRAINING, "--workers", "2")
    for name in ("best.pth", "last.pth"):
        mine, its = (
            torch.load(root / "weights" / "my people" / name, weights_only=True)["model"]
            for root in (first, tmp_path)
        )
        assert mine.keys() == its.keys()
        assert [key for key in mine if not torch.equal(mine[key], its[key])] == []
    mine, its = (
        (root / "runs" / "my people" / "results.csv").read_bytes() for root in (first, tmp_path)
    )
    assert mine == its


@pytest.fixture(scope="module")
def diverged(trained, tmp_path_factory):
    """A copy of the run that goes on at a rate that is far too high: its root, what was said, and
    the hashes of its weights before."""
    root = tmp_path_factory.mktemp("diverged") / "out"
    shutil.copytree(trained[0], root)
    before = tree(root / "weights")
    message = failed(
        5, "train.py", "--resume", root / "weights" / "my people" / "last.pth", "--epochs", "4",
        "--lr", "1e6", "--schedule", "constant", "--output-root", root, *CPU,
    )  # fmt: skip
    return root, message, before


@pytest.mark.slow
def test_a_training_that_diverges_says_where(diverged, people):
    root, message, _ = diverged
    where = r"error: the (loss|gradient) is not finite in step (\d+) \(epoch 3\) at learning rate "
    found = re.search(where + r"1\.00e\+06 \((.*)\)\n", message)
    assert found, message
    assert int(found[2]) > 17  # the first step at that rate is finite still
    for name in ("loss", "loss_classifier", "loss_box_reg", "loss_mask", "loss_objectness",
                 "loss_rpn_box_reg"):  # fmt: skip
        assert re.search(rf"\b{name} \S+", found[3])
    image = re.search(r"images: (.*)", message)[1]
    assert Path(image).parent == people / "PNGImages"
    kept = root / "runs" / "my people" / "diverged.pth"
    assert f"the batch is kept in {kept}, drawn in diverged.jpg" in message
    assert "lower --lr, lengthen --warmup or set --clip-norm" in message

    batch = torch.load(kept, weights_only=True)
    assert batch["paths"] == [image]
    with Image.open(image) as picture:
        assert batch["images"][0].shape == (3, picture.height, picture.width)
    assert batch["targets"][0]["masks"].shape[1:] == batch["images"][0].shape[1:]
    with Image.open(kept.with_suffix(".jpg")) as picture:
        assert picture.width > 100
    log = (root / "logs" / "my people.log").read_text(encoding="utf-8")
    assert "ended with exit code 5: the " in log


@pytest.mark.slow
def test_the_weights_before_a_divergence_stay(diverged):
    root, _, before = diverged
    assert tree(root / "weights") == before
    last = torch.load(root / "weights" / "my people" / "last.pth", weights_only=True)
    assert all(tensor.isfinite().all() for tensor in last["model"].values())


@pytest.mark.slow
def test_weights_that_are_no_numbers_are_refused(trained, people, tmp_path):
    content = torch.load(trained[0] / "weights" / "my people" / "best.pth", weights_only=True)
    content["model"]["rpn.head.cls_logits.bias"][0] = float("nan")
    broken = tmp_path / "broken.pth"
    torch.save(content, broken)
    message = failed(
        4, "train.py", "--data", people, "--output-root", tmp_path / "out", *TRAINING,
        "--weights", broken,
    )  # fmt: skip
    assert f"error: {broken}: 1 tensor" in message
    assert "rpn.head.cls_logits.bias" in message
    assert not (tmp_path / "out").exists()


def test_the_data_set_is_never_written_to(trained, predicted, people):
    assert tree(people) == trained[2]


def test_test_gives_exactly_the_numbers_of_training(trained, tmp_path):
    root, *_ = trained
    out = succeeded("test.py", "--output-root", root, "--output", tmp_path / "judged", *CPU)
    recorded = read(root / "runs" / "my people" / "metrics.json")
    assert read(tmp_path / "judged" / "metrics.json") == recorded
    assert set(tree(tmp_path)) == {
        "judged/metrics.json", "judged/intervals.json", "judged/report.html", "judged/split.json",
    }  # fmt: skip
    assert ": 2 images" in out
    shown = [f"{recorded[f'{kind}/AP50']:.3f}" for kind in ("bbox", "segm")]
    assert ["AP50", *shown] in [line.split() for line in out.splitlines()]
    for page in (root / "runs" / "my people", tmp_path / "judged"):
        text = (page / "report.html").read_text(encoding="utf-8")
        assert "How good is my people?" in text
        assert "The training" in text


def test_two_weights_are_compared_on_the_same_images(trained, people, tmp_path):
    root = trained[0]
    out = succeeded(
        "test.py", "--weights", "best.pth", "MaskRCNN_1.pth", "--data", people, "--split", "all",
        "--output-root", root, "--output", tmp_path / "both", "--max-dets", "50", *CPU,
    )  # fmt: skip
    folder = root / "weights" / "my people"
    assert f"A is {folder / 'best.pth'}\nB is {folder / 'MaskRCNN_1.pth'}\n" in out
    last = out.splitlines()[-1]
    assert "A" in last
    assert "bbox/AP50" in last
    assert ": 10 images" in out
    assert "AR50" in out
    metrics = read(tmp_path / "both" / "my people" / "metrics.json")
    assert metrics.keys() == read(tmp_path / "both" / "my people-2" / "metrics.json").keys()


def test_score_thresholds_are_chosen_stored_and_used(trained, people, tmp_path):
    weights = tmp_path / "copy.pth"
    shutil.copy(trained[0] / "weights" / "my people" / "best.pth", weights)
    before = torch.load(weights)
    assert before["operating_point"]["rule"] == "f1"  # by the training
    out = succeeded(
        "test.py", "--weights", weights, "--operating-point", "false-alarms=100", "--store",
        "--data", people, "--split", "all", "--output", tmp_path / "judged", *CPU,
    )  # fmt: skip
    assert "at IoU 0.5 and the score thresholds for at most 100 false alarms" in out
    assert f"score thresholds stored in {weights}" in out
    after = torch.load(weights)
    assert after["operating_point"]["rule"] == "false-alarms=100"
    assert all(torch.equal(after["model"][name], one) for name, one in before["model"].items())
    assert after.keys() == before.keys()
    told = succeeded(
        "predict.py", "--weights", weights, "--source", people, "--output", tmp_path / "out", *CPU
    )
    assert "score thresholds of the weights file for at most 100 false alarms" in told


@pytest.mark.slow
def test_predictions_of_a_file_are_judged(trained, people, tmp_path):
    """Those of predict.py, of which it shows no overlay below its score."""
    root = trained[0]
    succeeded(
        "predict.py", "--output-root", root, "--output", tmp_path / "found", "--source",
        people / "PNGImages", "--score-threshold", "0.05", *CPU,
    )  # fmt: skip
    found = tmp_path / "found" / "predictions.json"
    out = succeeded(
        "test.py", "--predictions", found, "--data", people, "--output", tmp_path / "file", *CPU
    )
    assert f"predictions {found}" in out
    succeeded(
        "test.py", "--data", people, "--split", "all", "--output-root", root, "--output",
        tmp_path / "network", *CPU,
    )  # fmt: skip
    ours, its = (read(tmp_path / name / "metrics.json") for name in ("network", "file"))
    for kind in ("bbox", "segm"):
        for name in ("AP", "AP50", "AR100"):
            assert its[f"{kind}/{name}"] == pytest.approx(ours[f"{kind}/{name}"], abs=1e-9)


def test_runs_are_compared_in_a_table(trained):
    root = trained[0]
    run = root / "runs" / "my people"
    out = succeeded("test.py", "--compare", run, run)
    assert f"{read(run / 'metrics.json')['segm/AP']:.3f}" in out
    assert "maskrcnn_resnet18_fpn_small" in out
    assert "no folder of a run" in failed(4, "test.py", "--compare", run, root)


@pytest.mark.parametrize(
    ("code", "message", "arguments"),
    [
        (2, "give --data", ["--predictions", "x.json"]),
        (2, "no rule for score thresholds", ["--operating-point", "best"]),
        (2, "--store writes what --operating-point chose", ["--store"]),
        (2, "--max-dets is 0", ["--max-dets", "0"]),
        (4, "no such weights file", ["--weights", "nowhere.pth"]),
    ],
)
def test_what_test_cannot_do(code, message, arguments):
    assert message in failed(code, "test.py", *arguments, *CPU)


def test_predict_without_source_shows_the_held_out_images(trained, people):
    root, *_ = trained
    out = succeeded("predict.py", "--output-root", root, *CPU)
    folder = root / "runs" / "predict" / "my people"
    held_out = read(root / "runs" / "my people" / "split.json")["val"]
    assert f"counts.csv, overlays/ and predictions.json: {folder}" in out
    assert set(tree(folder)) == {*(f"overlays/{name}" for name in held_out), *PREDICT_FILES}
    for name in held_out:
        assert f"{name}: " in out
        with (
            Image.open(folder / "overlays" / name) as overlay,
            Image.open(people / name) as original,
        ):
            assert overlay.size == original.size


def test_predict_shows_what_the_sources_name(predicted):
    folder, out = predicted
    assert "3 images" in out
    assert set(tree(folder)) == {
        "overlays/a.jpg", "overlays/sub/b c.png", "overlays/extra 1.png", *PREDICT_FILES,
    }  # fmt: skip
    with Image.open(folder / "overlays" / "sub" / "b c.png") as overlay:
        assert overlay.size == (40, 90)


def test_a_broken_picture_does_not_stop_the_others(trained, tmp_path):
    Image.new("RGB", (70, 50)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes((tmp_path / "good.png").read_bytes()[:50])
    message = failed(
        4, "predict.py", "--output-root", trained[0], "--output", tmp_path / "out",
        "--source", tmp_path, *CPU,
    )  # fmt: skip
    assert str(tmp_path / "bad.png") in message
    assert "good.png" not in message
    assert set(tree(tmp_path / "out")) == {"overlays/good.png", *PREDICT_FILES}


def test_predictions_open_with_coco_tools(predicted, capsys):
    folder, _ = predicted
    coco = COCO(str(folder / "predictions.json"))
    sizes = {i["file_name"]: (i["width"], i["height"]) for i in coco.dataset["images"]}
    assert sizes == {"a.JPG": (70, 50), "sub/b c.bmp": (40, 90), "extra 1.png": (64, 64)}
    assert coco.dataset["categories"] == [{"id": 1, "name": "person"}]
    assert coco.dataset["annotations"]  # the threshold is 0
    for annotation in coco.dataset["annotations"]:
        mask = coco.annToMask(annotation)
        assert mask.sum() == annotation["area"]
        assert 0 <= annotation["score"] <= 1


def test_shapes_need_no_data(tmp_path):
    out = succeeded(
        "train.py", "--epochs", "1", "--epoch-scenes", "16", "--output-root", "out", *CPU,
        cwd=tmp_path,
    )  # fmt: skip
    assert "shapes" in out
    assert_run_is_complete({f.removeprefix("out/") for f in tree(tmp_path)}, "shapes", newest=0)
    metrics = read(tmp_path / "out" / "runs" / "shapes" / "metrics.json")
    assert {f"segm/AP/{name}" for name in ("square", "circle", "triangle")} <= set(metrics)


def test_missing_data_ends_with_4(tmp_path):
    message = failed(4, "train.py", "--data", tmp_path / "nowhere", "--output-root", tmp_path)
    assert f"{tmp_path / 'nowhere'}: no such folder" in message
    assert list(tmp_path.iterdir()) == []  # no empty run is left behind


def test_a_truncated_image_ends_with_4_before_training(tmp_path):
    people = draw_people(tmp_path / "people")
    broken = people / "PNGImages" / "人 5.png"
    broken.write_bytes(broken.read_bytes()[:2000])
    message = failed(
        4, "train.py", "--data", people, "--output-root", tmp_path / "out", *NETWORK, *TINY
    )
    assert str(broken) in message
    assert "cut short" in message
    assert not (tmp_path / "out").exists()


def test_a_wrong_flag_ends_with_2():
    message = failed(2, "train.py", "--epoch", "3")
    assert message.splitlines()[-1].endswith("unrecognized arguments: --epoch 3")


def test_missing_weights_are_answered_with_what_there_is(trained):
    root, *_ = trained
    message = failed(4, "test.py", "--weights", "MaskRCNN_7.pth", "--output-root", root)
    assert message.startswith("error: MaskRCNN_7.pth: no such weights file")
    for name in ("best.pth", "last.pth", "MaskRCNN_1.pth"):
        assert str(root / "weights" / "my people" / name) in message


class Malicious:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def test_a_weights_file_that_runs_code_is_refused(tmp_path):
    marker = tmp_path / "hacked"
    torch.save({"model": Malicious(marker)}, tmp_path / "evil.pth")
    message = failed(4, "predict.py", "--weights", tmp_path / "evil.pth", "--source", tmp_path)
    assert "refused" in message
    assert not marker.exists()
    pickle.loads(pickle.dumps(Malicious(marker)))  # the file would have run code
    assert marker.exists()
