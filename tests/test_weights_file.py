"""Weights files: whole round trips, and every kind of file that must not be believed."""

import argparse
import errno
import os
import pickle
import resource
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import resnet18
from torchvision.models.detection import (
    MaskRCNN,
    fasterrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn_v2,
)
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

from nets.detect import detect
from nets.input_channels import input_channels
from nets.mask_rcnn import ARCHITECTURES, build_model
from nets.weights_file import (
    WeightsError,
    WeightsFile,
    describe_state_dict,
    load_weights,
    read_pth,
    save_atomically,
    save_weights,
)

ROOT = Path(__file__).resolve().parent.parent
SMALL = "maskrcnn_resnet18_fpn_small"
NOTES = {
    "preprocessing": {"reading": "upright 8-bit RGB"},
    "score_threshold": 0.35,
    "operating_point": {"rule": "f1", "thresholds": [0.62, 0.48], "notes": ["", "ä"]},
    "data": {"root": "my people", "split": {"val": ["ä b.png"], "seed": 0}},
    "metrics": {"segm/AP": 0.5, "segm/AP/dog": 0.25},
    "epoch": 9,
}


def little(**changes):
    """A weights file's content with a stand-in for the tensors."""
    tensors = {"weight": torch.arange(1000.0), "bias": torch.arange(3)}
    return replace(WeightsFile(SMALL, 3, ("dog", "cat"), tensors), **changes)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "MaskRCNN_9.pth"


def refused(path):
    """The message with which the file is refused; it names the file."""
    with pytest.raises(WeightsError) as caught:
        load_weights(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


# --- round trips


def test_every_field_comes_back(path):
    saved = little(options={"min_size": 64, "frozen_norm": True}, **NOTES)
    save_weights(path, saved, resume={"epoch": 9})
    loaded = load_weights(path)

    for field in fields(WeightsFile):
        if field.name != "model":
            assert getattr(loaded, field.name) == getattr(saved, field.name), field.name
    assert loaded.model.keys() == saved.model.keys()
    for name, value in saved.model.items():
        assert torch.equal(loaded.model[name], value)
        assert loaded.model[name].dtype == value.dtype
    content = read_pth(path)
    assert content["format_version"] == 1
    assert content["resume"] == {"epoch": 9}
    assert content["versions"]["torch"] == torch.__version__
    assert list(path.parent.iterdir()) == [path]


IN_A_FRESH_PROCESS = """
import sys, torch
from pathlib import Path
from nets.detect import detect
from nets.weights_file import load_weights
torch.set_num_threads(int(sys.argv[2]))
folder = Path(sys.argv[1])
model = load_weights(folder / "MaskRCNN_9.pth").build()
with torch.no_grad():
    found, _ = detect(model, torch.load(folder / "images.pt"))
torch.save(found, folder / "found.pt")
"""


@torch.no_grad()
def test_a_fresh_process_predicts_the_same(path):
    torch.manual_seed(0)
    options = {"min_size": 64, "max_size": 96, "box_detections_per_img": 10, "frozen_norm": True}
    model = build_model(SMALL, 3, **options).eval()
    images = [torch.rand(3, 64, 80), torch.rand(3, 90, 70)]
    torch.save(images, path.parent / "images.pt")
    wanted, _ = detect(model, images)

    save_weights(path, WeightsFile(SMALL, 3, ("dog", "cat"), model.state_dict(), options))
    threads = str(torch.get_num_threads())
    command = [sys.executable, "-c", IN_A_FRESH_PROCESS, str(path.parent), threads]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)

    for found, expected in zip(torch.load(path.parent / "found.pt"), wanted, strict=True):
        assert len(found["scores"]) == 10
        for field in ("boxes", "labels", "scores"):
            assert torch.equal(found[field], expected[field])
        assert found["masks"] == expected["masks"]


def test_a_built_network_is_in_evaluation_mode(path):
    state = build_model(SMALL, 3).state_dict()
    save_weights(path, little(model=state, options={"min_size": 64}))
    model = load_weights(path).build()

    assert not any(module.training for module in model.modules())
    assert model.transform.min_size == (64,)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_the_channels_of_a_plain_state_dict_are_read_off_it(path, channels):
    state = build_model(SMALL, 3, channels=channels).state_dict()
    torch.save(state, path)
    weights = load_weights(path)

    assert weights.channels == channels
    assert input_channels(weights.build().state_dict()) == channels


def test_tensors_of_another_network_do_not_build():
    with pytest.raises(WeightsError, match=SMALL):
        little().build()


# --- files that are not believed


class Evil:
    """Unpickling it runs a command that leaves ``marker`` behind."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


@pytest.mark.parametrize("modern", [True, False], ids=["zip", "legacy"])
def test_code_in_a_file_is_refused_and_does_not_run(path, modern):
    marker = path.with_name("marker")
    content = {"model": {"weight": torch.zeros(2)}, "extra": Evil(marker)}
    torch.save(content, path, _use_new_zipfile_serialization=modern)

    assert "could run code" in refused(path)
    assert not marker.exists()

    torch.load(path, weights_only=False)  # shows that the file is as bad as it was meant to be
    assert marker.exists()


@pytest.mark.parametrize(
    "value",
    [argparse.Namespace(lr=0.1), Path("a"), np.float64(0.5), nn.Linear(1, 1), WeightsError],
    ids=lambda value: type(value).__name__,
)
def test_python_objects_in_a_file_are_refused(path, value):
    torch.save({"model": {"weight": torch.zeros(2)}, "args": value}, path)

    assert "Python objects" in refused(path)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"\x00", "not a PyTorch file"),
        (b"some text\n" * 20, "not a PyTorch file"),
        (b"<!DOCTYPE html><html>Not found</html>", "not a PyTorch file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a", "not a PyTorch file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not a PyTorch file"),
        (b"PK\x03\x04" + bytes(100), "damaged"),
        (b"\x80", "damaged"),
    ],
    ids=["empty", "zero", "text", "web page", "git-lfs", "png", "zip start", "pickle start"],
)
def test_a_file_of_another_kind_is_refused(path, data, reason):
    path.write_bytes(data)

    assert reason in refused(path)


def test_a_missing_file_is_named(path):
    assert "no such weights file" in refused(path)
    assert "no such weights file" in refused(path.parent)  # a folder


@pytest.mark.parametrize("kept", [1, 30, 0.1, 0.5, 0.9, 0.999, -1])
def test_a_truncated_file_is_noticed(path, kept):
    save_weights(path, little())
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])

    refused(path)


@pytest.mark.parametrize("where", [0.0, 0.001, 0.25, 0.5, 0.75, 0.9999])
@pytest.mark.parametrize("flip", [0x01, 0x80])
def test_one_flipped_bit_in_a_tensor_is_noticed(path, where, flip):
    save_weights(path, little())
    data, values = bytearray(path.read_bytes()), little().model["weight"].numpy().tobytes()
    start = data.index(values)
    data[start + int(where * len(values))] ^= flip
    path.write_bytes(data)

    assert "checksum" in refused(path)


def test_no_flipped_byte_anywhere_changes_what_is_read(path):
    tensors = {"weight": torch.arange(20.0)}
    save_weights(path, little(model=tensors, **NOTES))
    data, noticed = path.read_bytes(), 0
    at_the_end = range(len(data) - 100, len(data))  # where zip keeps its own sizes
    for position in (*range(0, len(data), 11), *at_the_end):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :])
        try:
            loaded = load_weights(path)
        except WeightsError:
            noticed += 1
            continue
        assert torch.equal(loaded.model["weight"], tensors["weight"])
        assert replace(loaded, model={}) == little(model={}, **NOTES)
    assert noticed > 50


@pytest.mark.parametrize("content", [torch.zeros(2), [torch.zeros(2)], "text", 3, None])
def test_what_is_not_a_dict_is_refused(path, content):
    torch.save(content, path)

    assert f"holds a {type(content).__name__}" in refused(path)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"model": {}},
        {"epoch": 3, "loss": 0.5},
        {"weight": torch.zeros(2)},
        resnet18().state_dict(),
    ],
    ids=["empty", "empty model", "numbers", "one tensor", "classifier"],
)
def test_what_is_not_a_mask_rcnn_is_refused(path, content):
    torch.save(content, path)

    assert "not a torchvision Mask R-CNN" in refused(path)


def on_meta(build, *args, **options):
    """The state_dict of a network without its memory."""
    with torch.device("meta"):
        return build(*args, **options).state_dict()


def test_a_faster_rcnn_is_not_a_mask_rcnn(path):
    state = on_meta(fasterrcnn_resnet50_fpn, weights=None, weights_backbone=None, num_classes=2)

    with pytest.raises(WeightsError, match="mask_predictor"):
        describe_state_dict(path, state)


def test_an_unknown_backbone_is_named(path):
    state = on_meta(
        lambda: MaskRCNN(resnet_fpn_backbone(backbone_name="resnet152", weights=None), 2)
    )

    with pytest.raises(WeightsError, match="36 blocks"):
        describe_state_dict(path, state)


@pytest.mark.parametrize("version", [2, 99, "1", None, 1.5])
def test_a_newer_format_is_refused(path, version):
    save_weights(path, little())
    torch.save({**torch.load(path), "format_version": version}, path)

    message = refused(path)
    assert f"format {version}" in message
    assert "update" in message


@pytest.mark.parametrize("field", ["arch", "num_classes", "classes", "model"])
def test_an_incomplete_file_is_refused(path, field):
    save_weights(path, little())
    content = torch.load(path)
    del content[field]
    torch.save(content, path)

    message = refused(path)
    assert "incomplete" in message
    assert field in message


# --- saving


def write_a_part(content, file):
    file.write(b"PK half a file")


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("unexpected pos 704 vs 598")],
    ids=["OSError", "RuntimeError"],
)
def test_a_failed_save_leaves_the_old_file(path, error, monkeypatch):
    def fail(content, file):
        write_a_part(content, file)
        raise error

    save_weights(path, little())
    before = path.read_bytes()
    monkeypatch.setattr(torch, "save", fail)

    with pytest.raises(OSError, match=str(error).split("] ")[-1]) as caught:
        save_weights(path, little(epoch=1))

    assert caught.value.filename == str(path)
    assert caught.value.errno == getattr(error, "errno", errno.EIO)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt, pickle.PicklingError, MemoryError])
def test_an_interrupted_save_leaves_the_old_file(path, error, monkeypatch):
    def fail(content, file):
        write_a_part(content, file)
        raise error

    save_weights(path, little())
    before = path.read_bytes()
    monkeypatch.setattr(torch, "save", fail)

    with pytest.raises(error):
        save_weights(path, little(epoch=1))

    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small disk: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


# From far too much to what fails only when the last bytes are flushed.
@pytest.mark.parametrize("floats", [1_000_000, 300_000, 261_000])
def test_a_full_disk_leaves_the_old_file(small_disk, floats):
    path = small_disk / "last.pth"
    save_weights(path, little())
    before = path.read_bytes()

    with pytest.raises(OSError, match="No space left") as caught:
        save_atomically(path, {"weight": torch.zeros(floats)})

    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(path)
    assert path.read_bytes() == before
    assert list(small_disk.iterdir()) == [path]


@contextmanager
def file_size_limit(size):
    """The system refuses to let a file grow beyond ``size`` bytes, as a quota would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_refused_write_leaves_the_old_file(path):
    save_weights(path, little())
    before = path.read_bytes()

    with file_size_limit(1 << 20), pytest.raises(OSError, match="File too large") as caught:
        save_atomically(path, {"weight": torch.zeros(1_000_000)})

    assert caught.value.filename == str(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


# --- torchvision's own files


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("num_classes", [2, 91])
def test_architecture_and_classes_are_read_off_the_tensors(arch, num_classes, path):
    state = on_meta(build_model, arch, num_classes)

    assert describe_state_dict(path, state) == (arch, num_classes)


@pytest.fixture(scope="module")
def theirs():
    """torchvision's network for two classes with lively weights, and two images."""
    torch.manual_seed(0)
    sizes = {"min_size": 64, "max_size": 96, "box_detections_per_img": 10}
    model = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=2, **sizes)
    images = [torch.rand(3, 64, 80), torch.rand(3, 90, 70)]
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        model.backbone(torch.rand(2, 3, 96, 96))  # fills the running averages
        for parameter in model.backbone.fpn.parameters():
            parameter.mul_(0.03)  # features of about 1, so that scores are not all 0
        model.roi_heads.box_predictor.cls_score.weight.mul_(5)
        return model.eval(), images


def assert_predicts_as(theirs, loaded, images):
    ours = loaded.build(reference=True)  # the fast modules differ in the last bits
    ours.transform = theirs.transform  # a plain file does not say at which size
    ours.roi_heads.detections_per_img = theirs.roi_heads.detections_per_img
    for found, wanted in zip(ours(images), theirs(images), strict=True):
        assert len(wanted["scores"]) > 0
        for field in ("boxes", "labels", "scores", "masks"):
            assert torch.equal(found[field], wanted[field]), field


@torch.no_grad()
def test_a_plain_state_dict_predicts_as_torchvision(path, theirs):
    model, images = theirs
    torch.save(model.state_dict(), path)
    loaded = load_weights(path)

    assert (loaded.arch, loaded.num_classes) == ("maskrcnn_resnet50_fpn", 2)
    assert loaded.classes == ("class_1",)
    assert_predicts_as(model, loaded, images)


@torch.no_grad()
def test_a_state_dict_with_frozen_norms_predicts_as_torchvision(path, theirs):
    free, images = theirs
    backbone = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=FrozenBatchNorm2d
    )
    model = MaskRCNN(backbone, 2, box_detections_per_img=10).eval()
    model.load_state_dict(free.state_dict())
    model.transform = free.transform
    torch.save(model.state_dict(), path)

    assert not any(name.endswith("num_batches_tracked") for name in torch.load(path))
    assert_predicts_as(model, load_weights(path), images)


OLD_NAMES = {
    **{
        f"backbone.fpn.{kind}_blocks.{i}.0.": f"backbone.fpn.{kind}_blocks.{i}."
        for kind in ("inner", "layer")
        for i in range(4)
    },
    "rpn.head.conv.0.0.": "rpn.head.conv.",
    **{f"roi_heads.mask_head.{i}.0.": f"roi_heads.mask_head.mask_fcn{i + 1}." for i in range(4)},
}


def old_names(state):
    """The state_dict as torchvision before 0.13 would have written it."""
    renamed = {}
    for name, value in state.items():
        new = next((prefix for prefix in OLD_NAMES if name.startswith(prefix)), "")
        renamed[OLD_NAMES.get(new, "") + name.removeprefix(new)] = value
    return renamed


def test_names_before_torchvision_0_13_load(path, theirs):
    model, _ = theirs
    old = old_names(model.state_dict())
    for name in ("backbone.fpn.inner_blocks.0.weight", "rpn.head.conv.weight"):
        assert name in old
    assert "roi_heads.mask_head.mask_fcn1.weight" in old
    torch.save(old, path)
    loaded = load_weights(path)

    check = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=2)
    check.load_state_dict(old)  # torchvision reads its old names too
    for name, wanted in check.state_dict().items():
        assert torch.equal(loaded.model[name], wanted), name
    assert loaded.model.keys() == model.state_dict().keys()


def test_new_names_stay_as_they_are(path):
    state = on_meta(maskrcnn_resnet50_fpn_v2, weights=None, weights_backbone=None, num_classes=2)
    state = {name: torch.zeros(()).expand(value.shape) for name, value in state.items()}
    torch.save(state, path)

    assert load_weights(path).model.keys() == state.keys()


@pytest.mark.parametrize("key", ["model", "state_dict"])
def test_a_training_checkpoint_with_module_prefixes_loads(path, key, theirs):
    state = theirs[0].state_dict()
    inner = {f"module.{name}": value for name, value in state.items()}
    torch.save({key: inner, "epoch": 3, "optimizer": {"lr": 0.1}}, path)
    loaded = load_weights(path)

    assert loaded.arch == "maskrcnn_resnet50_fpn"
    assert loaded.model.keys() == state.keys()


# --- class names


@pytest.fixture
def files(tmp_path):
    """A file of ours and a plain one, both for two classes."""
    state = on_meta(build_model, SMALL, 3)
    state = {name: torch.zeros(()).expand(value.shape) for name, value in state.items()}
    save_weights(tmp_path / "ours.pth", little(model=state))
    torch.save(state, tmp_path / "plain.pth")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "classes", "wanted"),
    [
        ("ours.pth", None, ("dog", "cat")),
        ("plain.pth", None, ("class_1", "class_2")),
        ("ours.pth", ("a", "b"), ("a", "b")),
        ("plain.pth", ("a", "b"), ("a", "b")),
    ],
)
def test_class_names_are_the_files_or_the_given(files, name, classes, wanted):
    assert load_weights(files / name, classes).classes == wanted


@pytest.mark.parametrize("name", ["ours.pth", "plain.pth"])
@pytest.mark.parametrize("classes", [("a",), ("a", "b", "c")])
def test_another_number_of_names_is_refused(files, name, classes):
    with pytest.raises(WeightsError, match=f"holds 2 class.*--classes names {len(classes)}"):
        load_weights(files / name, classes)


def test_two_classes_of_one_name_are_refused(files):
    with pytest.raises(WeightsError, match=r"ours.pth: --classes names b more than once"):
        load_weights(files / "ours.pth", ("b", "b"))


# --- score thresholds


def test_thresholds_are_those_of_the_operating_point_else_the_files():
    assert little().thresholds == (0.5, 0.5)
    assert little(score_threshold=0.35).thresholds == (0.35, 0.35)
    assert little(**NOTES).thresholds == (0.62, 0.48)


def test_a_file_without_an_operating_point_loads(path):
    save_weights(path, little(**NOTES))
    content = read_pth(path)
    del content["operating_point"]
    save_atomically(path, content)
    loaded = load_weights(path)
    assert loaded.operating_point == {}
    assert loaded.thresholds == (0.35, 0.35)


def test_classes_of_other_names_keep_their_thresholds(path):
    save_weights(path, little(**NOTES))
    swapped = load_weights(path, ("cat", "dog"))
    assert dict(zip(swapped.classes, swapped.thresholds, strict=True)) == {"cat": 0.62, "dog": 0.48}
