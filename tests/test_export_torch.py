"""PyTorch's own formats against torchvision: torch.export, AOTInductor and TorchScript."""

import tempfile
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from exportable_scene import (
    FEW,
    MANY,
    NONE,
    assert_same,
    found_by,
    found_by_torchvision,
    make_images,
    make_weights,
)

from nets.weights_file import WeightsError
from utils.config import ConfigError
from utils.export.card import card_of
from utils.export.formats import AOTI, TORCH_EXPORT, TORCHSCRIPT
from utils.export.open_session import open_session
from utils.export.sessions.torch_archive import read_archive
from utils.export.settings import ExportSettings
from utils.export.write import write
from utils.export.writers import aoti_writer

SUFFIXES = {TORCH_EXPORT: ".pt2", AOTI: ".pt2", TORCHSCRIPT: ".ts"}
FORMATS = (TORCHSCRIPT, TORCH_EXPORT, pytest.param(AOTI, marks=pytest.mark.minutes))
SIZES = ((120, 90), (97, 161), (64, 200))
FIXED = ExportSettings((96, 128), 2, True, score_threshold=0.3, nms_threshold=0.6, max_detections=9)
WEIGHTS = make_weights()
REFERENCE = WEIGHTS.build(reference=True)


class Tiny(torch.nn.Module):
    def forward(self, x):
        return (x + 1,)


def exported(folder, format, settings=ExportSettings(), weights=WEIGHTS):  # noqa: B008
    card = card_of(weights, settings, format)
    path = folder / f"model{SUFFIXES[format]}"
    write(card, path)
    return card, open_session(path)


@pytest.fixture(scope="module", params=FORMATS)
def any_size(request, tmp_path_factory):
    """A file for images of any number and size."""
    return exported(tmp_path_factory.mktemp("any"), request.param)


@pytest.fixture(scope="module", params=[TORCHSCRIPT, TORCH_EXPORT])
def fixed_size(request, tmp_path_factory):
    """A file of settings that are all other than the network's own; AOTInductor, which takes
    minutes for each file, is given the graph of ``torch.export``."""
    return exported(tmp_path_factory.mktemp("fixed"), request.param, FIXED)


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("script"), TORCHSCRIPT)[1].path


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("strength", [NONE, FEW, MANY])
def test_the_same_is_found(any_size, strength, batch, size):
    images = make_images(*[strength] * batch, size=size)
    wanted = found_by_torchvision(REFERENCE, images)

    found = any_size[1].run(images.numpy())

    least, most = {NONE: (0, 0), FEW: (1, 99), MANY: (100, 100)}[strength]
    assert least <= found.counts[0] <= most
    assert_same(found_by(found[:5]), wanted)
    assert found.pasted is None


def test_images_of_a_batch_may_differ_in_what_they_show(any_size):
    images = make_images(FEW, NONE, MANY)

    found = any_size[1].run(images.numpy())

    assert found.counts[1] == 0
    assert_same(found_by(found[:5]), found_by_torchvision(REFERENCE, images))


@pytest.mark.parametrize("size", [(20, 200), (200, 20), (2, 2), (33, 1000)], ids=str)
def test_thin_and_tiny_images(any_size, size):
    images = make_images(MANY, FEW, size=size)

    found = found_by(any_size[1].run(images.numpy())[:5])

    assert_same(found, found_by_torchvision(REFERENCE, images))


def test_settings_of_the_file(fixed_size):
    model = WEIGHTS.build(reference=True)
    heads = model.roi_heads
    heads.score_thresh, heads.nms_thresh, heads.detections_per_img = 0.3, 0.6, 9
    images = make_images(MANY, FEW, size=FIXED.size)

    found = fixed_size[1].run(images.numpy())

    assert found.boxes.shape == (2, 9, 4)
    assert found.pasted.shape == (2, 9, *FIXED.size)
    assert_same(found_by(found), found_by_torchvision(model, images))


def test_types(fixed_size):
    found = fixed_size[1].run(make_images(MANY, NONE, size=FIXED.size).numpy())

    types = [np.float32, np.int64, np.float32, np.float32, np.int64, np.uint8]
    assert [output.dtype for output in found] == types


@pytest.mark.parametrize(
    "shape", [(1, 96, 128, 3), (2, 128, 96, 3), (2, 96, 128, 4), (2, 3, 96, 128), (96, 128, 3)]
)
def test_images_of_another_shape_are_refused(fixed_size, shape):
    with pytest.raises(ValueError, match=r"the network takes uint8 \(2, 96, 128, 3\)"):
        fixed_size[1].run(np.zeros(shape, np.uint8))


def test_images_of_another_type_are_refused(any_size):
    with pytest.raises(ValueError, match=r"float32 .* takes uint8 \(any, any, any, 3\)"):
        any_size[1].run(np.zeros((1, 96, 128, 3), np.float32))


def test_images_may_lie_in_memory_in_any_way(any_size):
    images = make_images(MANY, FEW).numpy()
    turned = np.ascontiguousarray(images.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)

    one, other = (any_size[1].run(each) for each in (images, turned))

    assert all(np.array_equal(a, b) for a, b in zip(one[:5], other[:5], strict=True))


@pytest.mark.parametrize(
    "format", [TORCHSCRIPT, pytest.param(TORCH_EXPORT, marks=pytest.mark.slow)]
)
def test_four_channels(tmp_path, format):
    weights = make_weights(background=0.0, channels=4)
    images = make_images(MANY, FEW, channels=4)

    _, session = exported(tmp_path, format, ExportSettings(images.shape[1:3], 2), weights)

    found = session.run(images.numpy())
    assert found.counts.any()
    assert_same(found_by(found[:5]), found_by_torchvision(weights.build(reference=True), images))


def test_a_file_knows_itself(fixed_size):
    card, session = fixed_size

    assert session.card == replace(card, weights=replace(card.weights, model={}))


def tiny_aoti(path, monkeypatch):
    program = torch.export.export(Tiny(), (torch.ones(2, 3),))
    monkeypatch.setattr(aoti_writer, "export_program", lambda *_: program)
    card = card_of(WEIGHTS, ExportSettings(), AOTI)
    aoti_writer.write_aoti(card, path)
    return card


@pytest.mark.slow
def test_a_compiled_file_holds_its_card_and_runs(tmp_path, monkeypatch):
    card = tiny_aoti(tmp_path / "model.pt2", monkeypatch)

    known, is_compiled = read_archive(tmp_path / "model.pt2")
    session = open_session(tmp_path / "model.pt2")

    assert is_compiled
    assert known == session.card == replace(card, weights=replace(card.weights, model={}))
    assert torch.equal(session._network(torch.zeros(2, 3))[0], torch.ones(2, 3))


def test_without_a_compiler(tmp_path, monkeypatch, caplog):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with (
        torch._inductor.config.patch({"cpp.cxx": (None, "no-such-compiler")}),
        pytest.raises(ConfigError, match="needs a C\\+\\+ compiler"),
    ):
        tiny_aoti(tmp_path / "model.pt2", monkeypatch)

    assert list(tmp_path.iterdir()) == [temporary]
    assert not list(temporary.iterdir())
    assert not [one for one in caplog.records if one.levelname == "WARNING"]


def save_tiny(path, card):
    """Another network, maybe with a card of ours."""
    extra = {"maskrcnn_finetune": card}
    if path.suffix == ".ts":
        torch.jit.save(torch.jit.script(Tiny()), path, _extra_files=extra if card else {})
    else:
        program = torch.export.export(Tiny(), (torch.ones(2),))
        torch.export.save(program, path, extra_files=extra if card else {})


@pytest.mark.parametrize("name", ["model.pt2", "model.ts"])
@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated")
@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("", "was not written by tools.export"),
        ("{", "cannot be read"),
        ('{"card_version": 1}', "was it edited"),
    ],
)
def test_files_of_others(tmp_path, name, card, message):
    save_tiny(tmp_path / name, card)

    with pytest.raises(WeightsError, match=rf"{name}.*{message}"):
        open_session(tmp_path / name)


@pytest.mark.parametrize("name", ["model.pt2", "model.ts"])
def test_texts_and_truncated_files(tmp_path, script, name):
    path = tmp_path / name
    whole = script.read_bytes()

    for content in (b"not a network", whole[: len(whole) // 2], whole[:-30], whole[1000:], b""):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=name):
            open_session(path)


def test_a_flipped_bit(tmp_path, script):
    content = bytearray(script.read_bytes())
    content[len(content) // 2] ^= 4
    path = tmp_path / "model.ts"
    path.write_bytes(content)

    with pytest.raises(WeightsError, match=r"model\.ts: checksum of .* is wrong"):
        open_session(path)


@pytest.mark.parametrize("name", ["model.pt2", "model.ts"])
def test_a_card_without_its_network(tmp_path, script, name):
    path = tmp_path / name
    with zipfile.ZipFile(script) as whole, zipfile.ZipFile(path, "w") as part:
        for entry in whole.namelist():
            if "/extra/" in entry or entry.endswith("version"):
                part.writestr(entry, whole.read(entry))

    with pytest.raises(WeightsError, match=rf"{name}: is no network that can be run"):
        open_session(path)
