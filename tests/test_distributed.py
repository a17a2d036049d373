"""The commands under torchrun give what they give alone: two processes on the CPU, over gloo."""

from __future__ import annotations

import csv
import re
import shutil
import socket
import subprocess
import sys

import pytest
import torch
from test_commands import CPU, NETWORK, REPOSITORY, TINY, draw_people, environment, read, tree
from test_commands import failed as failed_alone
from test_commands import succeeded as succeeded_alone

from nets.mask_rcnn import build_model
from nets.weights_file import WeightsFile, save_weights

LAUNCH = ("-m", "torch.distributed.run")
PAIR = ("--nproc-per-node", "2")
ARCH = NETWORK[1]


def torchrun(*arguments, **options) -> subprocess.Popen:
    """Start torchrun, ``--nproc-per-node`` first, with pipes for what it prints."""
    return subprocess.Popen(
        [sys.executable, *LAUNCH, *map(str, arguments)], env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", **options,
    )  # fmt: skip


def finished(process: subprocess.Popen, timeout: float = 300) -> tuple[int, str, str]:
    """Exit code, output and errors of a process that ends within so many seconds."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, out, err


def succeeded(script, *arguments, launch=PAIR) -> str:
    code, out, err = finished(torchrun(*launch, REPOSITORY / script, *arguments))
    assert code == 0, out + err
    told = [line for line in err.splitlines() if "no font here" not in line]
    assert told == [], "nothing of torch's is for the user"
    return out


def results(root) -> list[dict[str, float]]:
    """The rows of ``results.csv``."""
    with open(root / "runs" / "run" / "results.csv", newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        return [{name: float(value) for name, value in row.items() if value} for row in rows]


def last(root) -> dict[str, torch.Tensor]:
    """The weights of a run."""
    return torch.load(root / "weights" / "run" / "last.pth")["model"]


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Pictures of many sizes: all processes pad theirs to the largest of the step."""
    return draw_people(tmp_path_factory.mktemp("data") / "people")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A weights file to start from; its batch norms are fixed, as of a trained network."""
    torch.manual_seed(0)
    options = {"frozen_norm": True, "min_size": 64, "max_size": 96}
    model = build_model(ARCH, 2, **options)
    path = tmp_path_factory.mktemp("weights") / "start.pth"
    save_weights(path, WeightsFile(ARCH, 2, ("person",), model.state_dict(), options))
    return path


@pytest.fixture(scope="module")
def training(people, weights):
    """The command line of a short training of 8 images, a batch of 6 and one of 2 in an epoch."""
    return ["--data", people, "--arch", ARCH, "--weights", weights, "--name", "run", "--lr", "1e-4",
            "--epochs", "2", "--warmup", "0", *TINY, *CPU, "--precision", "fp32"]  # fmt: skip


@pytest.fixture(scope="module")
def alone(training, tmp_path_factory):
    root = tmp_path_factory.mktemp("alone")
    return root, succeeded_alone("train.py", *training, "-b", "6", "--output-root", root)


@pytest.fixture(scope="module")
def together(training, tmp_path_factory):
    root = tmp_path_factory.mktemp("together")
    return root, succeeded("train.py", *training, "-b", "3", "--output-root", root)


def test_two_processes_train_what_one_does(alone, together):
    weights, wanted = last(together[0]), last(alone[0])
    for name, tensor in wanted.items():
        if tensor.is_floating_point():
            assert torch.allclose(weights[name], tensor, rtol=1e-6, atol=1e-6), name


def test_two_processes_record_what_one_does(alone, together):
    found, wanted = results(together[0]), results(alone[0])
    assert [row["step"] for row in found] == [2, 4]
    for row, other in zip(found, wanted, strict=True):
        assert row == pytest.approx(other, rel=1e-4, abs=1e-5)


def test_only_the_first_process_writes(alone, together):
    def plain(root):
        return {name for name in tree(root) if "tfevents" not in name}

    assert plain(together[0]) == plain(alone[0])
    assert len([name for name in tree(together[0]) if "tfevents" in name]) == 1


def test_only_the_first_process_tells(together):
    out = together[1]
    assert out.count("epoch 2/2  train loss") == 1
    assert "a step is 2 processes x 3 images: the learning rate is as given; --scale-lr" in out


@pytest.mark.slow
def test_two_machines_train_what_one_with_two_processes_does(training, together, tmp_path):
    nodes = start_nodes(tmp_path, *training, "-b", "3", "--scale-lr", "--lr", "5e-5")
    (code, out, err), (other_code, other_out, _) = map(finished, nodes)
    assert (code, other_code) == (0, 0), out + err
    assert "--scale-lr multiplies the learning rate by 2" in out + other_out
    assert (out + other_out).count("epoch 2/2  train loss") == 1
    found, wanted = last(tmp_path), last(together[0])
    for name, tensor in wanted.items():
        assert torch.equal(found[name], tensor), name


def start_nodes(root, *arguments) -> list[subprocess.Popen]:
    """Two agents with a process each, which find each other as those of two machines do."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    launch = ["--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d",
              "--rdzv-endpoint", address, "--rdzv-id", "test"]  # fmt: skip
    words = [*launch, REPOSITORY / "train.py", *arguments, "--output-root", root]
    return [torchrun(*words), torchrun(*words)]


@pytest.mark.parametrize("images", [9, 1], ids=["an odd number", "fewer than processes"])
def test_two_processes_judge_what_one_does(together, tmp_path, images):
    data = tmp_path / "data"
    people = draw_people(data)
    for n in range(images, 10):
        (people / "PNGImages" / f"人 {n}.png").unlink()
        (people / "PedMasks" / f"人 {n}_mask.png").unlink()
    best = together[0] / "weights" / "run" / "best.pth"
    judging = ["test.py", "--weights", best, "--data", data, "--split", "all", *CPU, "--output"]
    succeeded_alone(*judging, tmp_path / "one")
    out = succeeded(*judging, tmp_path / "two")
    assert f": {images} images" in out
    found = tree(tmp_path / "two")
    assert found == tree(tmp_path / "one")
    assert set(found) == {"metrics.json", "intervals.json", "report.html", "split.json"}
    assert "segm/AP" in read(tmp_path / "two" / "metrics.json")


def test_two_processes_predict_what_one_does(together, people, tmp_path):
    """Pictures that cannot be read, of either process, too."""
    photos = tmp_path / "photos"
    shutil.copytree(people / "PNGImages", photos)
    for n in (2, 5):
        path = photos / f"人 {n}.png"
        path.write_bytes(path.read_bytes()[:1000])
    shutil.copy(photos / "人 0.png", photos / "人 1.bmp")  # both overlays would be 人 1.png
    shutil.copy(photos / "人 0.png", photos / "人 1.bmp.png")
    best = together[0] / "weights" / "run" / "best.pth"
    predicting = ["predict.py", "--weights", best, "--source", photos, "--score-threshold", "0.05",
                  *CPU, "--output"]  # fmt: skip
    told = failed_alone(4, *predicting, tmp_path / "one")
    script, *arguments = predicting
    code, out, err = finished(torchrun(*PAIR, REPOSITORY / script, *arguments, tmp_path / "two"))
    assert code == 1  # torchrun's own, which tells those of the processes
    assert re.findall(r"exitcode  *: (-?\d+)", err) == ["4", "4"]
    assert f"process 0: {told}" in err
    assert "process 1: error: 2 of 12 images could not be used: see process 0" in err
    assert "total in 10 images" in out
    assert outputs(tmp_path / "two") == outputs(tmp_path / "one")
    assert read(tmp_path / "two" / "predictions.json")["annotations"]


def outputs(folder) -> dict[str, str]:
    """What a run of predict.py leaves but its journals, which each process has its own of."""
    return {name: digest for name, digest in tree(folder).items() if "found-" not in name}


@pytest.mark.slow
def test_a_dry_run_leaves_nothing(training, tmp_path):
    out = succeeded("train.py", *training, "-b", "1", "--output-root", tmp_path, "--dry-run")
    assert "dry run: 2 training steps" in out
    assert list(tmp_path.iterdir()) == []
