"""Memory that runs out for real: one message, exit code 3, and what was saved is intact."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
import time

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from test_commands import CPU, NETWORK, REPOSITORY, draw_people, environment, read, succeeded, tree
from test_memory import allowed

from nets.out_of_memory import is_out_of_memory
from utils.data.records import DataError
from utils.weights_lookup import FOLDER

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sets Linux's limits")
MB = 2**20
FP32 = ["--precision", "fp32"]
# What a command does once it has all its libraries, which take more room than it does.
LIMITED = """
import resource, runpy, sys
from pathlib import Path
import torch, torchvision.models.detection, pycocotools.coco, torch.utils.tensorboard
more, script = int(sys.argv[1]), sys.argv[2]
reserved = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (reserved + more, reserved + more))
sys.argv = sys.argv[2:]
sys.path.insert(0, str(Path(script).parent))
runpy.run_path(script, run_name="__main__")
"""


@pytest.mark.parametrize(
    "allocate",
    [
        lambda: torch.empty(2**34, dtype=torch.uint8),
        lambda: np.empty(2**34, np.uint8),
        lambda: bytearray(2**34),
    ],
    ids=["torch", "numpy", "python"],
)
def test_what_a_full_memory_raises_is_known(allocate):
    with allowed(100 * MB), pytest.raises((RuntimeError, MemoryError)) as caught:
        allocate()
    assert is_out_of_memory(caught.value)


def test_that_of_onnx_runtime_is_known():
    make = onnx.helper
    sides = make.make_tensor_value_info("sides", onnx.TensorProto.INT64, [1])
    zeros = make.make_tensor_value_info("zeros", onnx.TensorProto.FLOAT, None)
    node = make.make_node("ConstantOfShape", ["sides"], ["zeros"])
    graph = make.make_graph([node], "large", [sides], [zeros])
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString())

    with pytest.raises(Exception, match="allocat") as caught:
        session.run(None, {"sides": np.array([2**44])})

    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("MPS backend out of memory (MPS allocated: 5 GB)"),
        RuntimeError("std::bad_alloc"),
    ],
    ids=str,
)
def test_other_words_for_it_are_known(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes do not fit"),
        OSError(errno.ENOSPC, "No space left on device"),
        DataError("out of memory.png: is empty"),
    ],
    ids=str,
)
def test_other_errors_are_not_it(error):
    assert not is_out_of_memory(error)


def limited(more, script, *arguments):
    """Run a command that may reserve only so many more bytes than its libraries do."""
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, str(more), REPOSITORY / script, *map(str, arguments)],
        env=environment(), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1, result.stderr
    return result.returncode, lines[0]


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("data") / "people")


@pytest.fixture(scope="module")
def trained(people, tmp_path_factory):
    """The output root of a finished epoch at a size that has something to allocate."""
    root = tmp_path_factory.mktemp("out")
    succeeded(
        "train.py", "--data", people, "--epochs", "1", "--steps-per-epoch", "1", *NETWORK, *CPU,
        *FP32, "--min-size", "512", "--max-size", "512", "--rois", "16", "--output-root", root,
    )  # fmt: skip
    return root


@pytest.mark.slow
def test_training_says_what_it_was_too_much_for(people, tmp_path):
    code, message = limited(
        600 * MB, "train.py", "--data", people, "-b", "8", *NETWORK, *CPU, *FP32,
        "--min-size", "1024", "--max-size", "1024", "--output-root", tmp_path,
    )  # fmt: skip
    assert code == 3
    assert message.startswith("error: out of memory: not enough for --batch-size 8 --min-size 1024")
    assert "--batch-size auto finds what fits" in message


@pytest.mark.slow
def test_not_one_image_fits(people, tmp_path):
    code, message = limited(
        400 * MB, "train.py", "--data", people, "-b", "auto", *NETWORK, *CPU, *FP32,
        "--min-size", "2048", "--max-size", "2048", "--output-root", tmp_path,
    )  # fmt: skip
    assert code == 3
    assert "not enough for --batch-size auto --min-size 2048" in message
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_auto_finds_what_fits_where_more_does_not(people, tmp_path):
    settings = [
        "--data", people, "--epochs", "1", *NETWORK, *CPU, *FP32, "--min-size", "640",
        "--max-size", "640", "--rois", "16", "--steps-per-epoch", "1", "--output-root", tmp_path,
    ]  # fmt: skip
    assert limited(1300 * MB, "train.py", *settings, "-b", "8")[0] == 3
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, str(1300 * MB), REPOSITORY / "train.py",
         *map(str, settings), "-b", "auto"],
        env=environment(), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "--batch-size auto: 1 (" in result.stdout or "--batch-size auto: 2 (" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("script", ["test.py", "predict.py"])
def test_the_other_commands_name_flags_that_they_have(trained, tmp_path, script):
    options = ["--output-root", trained, "--output", tmp_path / "out", *CPU, *FP32]
    if script == "predict.py":
        Image.new("RGB", (12000, 9000)).save(tmp_path / "huge.png")
        options += ["--source", tmp_path / "huge.png"]
    code, message = limited((40 if script == "test.py" else 300) * MB, script, *options)
    assert code == 3
    assert message.startswith("error: out of memory: take smaller images")
    assert "--batch-size" not in message


@pytest.mark.slow
def test_what_earlier_epochs_saved_is_intact(trained, people):
    """The limit comes upon a run that is in its second epoch."""
    folder = trained / FOLDER / "people"
    before = {name: digest for name, digest in tree(folder).items() if name != "previous.pth"}
    process = subprocess.Popen(
        [sys.executable, REPOSITORY / "train.py", "--resume", "--output-root", trained,
         "--epochs", "2", "--steps-per-epoch", "1000", "-b", "2", *CPU],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    log = trained / "logs" / "people.log"
    while "going on with epoch 2" not in log.read_text() and process.poll() is None:
        time.sleep(0.05)
    time.sleep(3)  # steps are being taken
    assert process.poll() is None
    resource.prlimit(process.pid, resource.RLIMIT_AS, (100 * MB, 100 * MB))  # it has more by now
    _, err = process.communicate(timeout=120)
    assert process.returncode == 3, err
    assert err.splitlines()[-1].startswith("error: out of memory: not enough for --batch-size 2 ")
    assert {n: d for n, d in tree(folder).items() if n != "previous.pth"} == before
    assert torch.load(folder / "last.pth", weights_only=True)["resume"]["epoch"] == 1
    assert read(trained / "runs" / "people" / "args.json")["epochs"] == 2
