"""Files that compute in 8-bit integers: what is in them, and that they find the same objects."""

from dataclasses import replace
from shutil import copy

import numpy as np
import onnx
import pytest
from exportable_scene import FEW, MANY, NONE, make_images, make_weights
from exported_once import CALIBRATION, exported, write_once
from onnx import numpy_helper

from utils.export.card import card_of
from utils.export.open_session import open_session
from utils.export.settings import ExportSettings
from utils.export.verification.agreement import agreement
from utils.export.verification.form import form_fault, of_image
from utils.export.verification.reference import Reference
from utils.export.writers import int8_writer

SIZES = ((120, 90), (64, 200), (97, 131))
FORMATS = {"onnx-int8": "model.onnx", "openvino-int8": "model.xml"}
IN_FLOAT = {
    "backbone.body.conv1", "rpn_head.cls_logits", "rpn_head.bbox_pred", "box_predictor.cls_score",
    "box_predictor.bbox_pred", "mask_predictor.mask_fcn_logits",
}  # fmt: skip


@pytest.fixture(scope="module", params=FORMATS)
def written(request, tmp_path_factory):
    """The card and the file, for any images, with pasted masks."""
    path = tmp_path_factory.mktemp(request.param) / FORMATS[request.param]
    with pytest.MonkeyPatch.context() as monkeypatch:
        return write_once(request.param, path, monkeypatch), path


@pytest.fixture(scope="module")
def session(written):
    return open_session(written[1])


@pytest.fixture(scope="module")
def reference(written):
    return Reference(written[0])


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    with pytest.MonkeyPatch.context() as monkeypatch:
        write_once("onnx-int8", path, monkeypatch)
    return onnx.load(path).graph


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("strength", [NONE, FEW, MANY])
def test_any_size_number_and_count(session, strength, batch, size):
    images = make_images(*[strength] * batch, size=size).numpy()
    found = session.run(images)

    assert not form_fault(found, images.shape, session.card)
    assert all(found.counts) == any(found.counts) == (strength != NONE)


def test_it_finds_what_the_network_finds(session, reference):
    pairs = []
    for strength in (FEW, 0.5, MANY):
        images = make_images(strength).numpy()
        found = of_image(session.run(images), 0)
        pairs.append((reference.detections(images[0]), found, images.shape[1:3]))
    agreed = agreement(pairs, (0.2, 0.2, 0.2))

    assert agreed.sure >= 20
    assert agreed.found >= 0.9 * agreed.sure
    assert agreed.confirmed >= 0.9 * agreed.sure_of_file
    assert agreed.mask_iou > 0.9
    assert agreed.score < 0.1


def test_the_file_knows_what_it_is(written, session):
    card, path = written

    assert session.card.to_json() == card.to_json()
    whole = exported().stat().st_size
    assert sum(file.stat().st_size for file in path.parent.iterdir()) < 0.4 * whole


def weights_by_module(graph):
    """Of each convolution and matrix product: its module, its weights as they are stored, and the
    node that makes float32 of them, if they are integers."""
    made_by = {output: node for node in graph.node for output in node.output}
    stored = {one.name: one for one in graph.initializer}
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm"):
            source = made_by.get(node.input[1])
            name = source.input[0] if source else node.input[1]
            module = name.removesuffix("_quantized").removesuffix(".weight")
            yield module, stored[name], source


def test_which_weights_are_integers(graph):
    integers = {
        module: weights.data_type == onnx.TensorProto.INT8
        for module, weights, _ in weights_by_module(graph)
    }

    assert {module for module, is_integer in integers.items() if not is_integer} == IN_FLOAT
    assert len(integers) > 30


def test_weights_have_seven_bits_and_a_scale_for_each_channel(graph):
    stored = {one.name: one for one in graph.initializer}
    most = []
    for module, weights, source in weights_by_module(graph):
        if module not in IN_FLOAT:
            values = numpy_helper.to_array(weights)
            most.append(np.abs(values.astype(int)).max())
            assert stored[source.input[1]].dims == [values.shape[0]], module
    assert max(most) == 64


def test_activations_are_unsigned(graph):
    stored = {one.name: one for one in graph.initializer}
    zeros = [node.input[2] for node in graph.node if node.op_type == "QuantizeLinear"]

    assert len(zeros) > 20
    assert {stored[name].data_type for name in zeros} == {onnx.TensorProto.UINT8}


def test_pasting_stays_exact(graph):
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    products = [node for node in graph.node if node.op_type == "MatMul"]

    assert len(products) == 2
    assert "DequantizeLinear" not in {made_by.get(name) for n in products for name in n.input}


@pytest.fixture
def given(monkeypatch, tmp_path):
    """Batches that are calibrated with, by the settings of a file."""

    def batches(settings, images):
        seen = []

        def quantize_static(source, path, reader, **_):
            while batch := reader.get_next():
                seen.append(batch)

        monkeypatch.setattr(int8_writer, "write_onnx", lambda card, path: copy(exported(), path))
        monkeypatch.setattr(int8_writer, "quantize_static", quantize_static)
        card = card_of(make_weights(), settings, "onnx-int8")
        int8_writer.write_onnx_int8(card, tmp_path / "model.onnx", images)
        return seen

    return batches


def test_all_images_are_looked_at_one_by_one(given):
    batches = given(ExportSettings(), CALIBRATION)

    assert len(batches) == len(CALIBRATION)
    for batch, image in zip(batches, CALIBRATION, strict=True):
        np.testing.assert_array_equal(batch["images"], image[None])


def test_images_of_a_file_of_one_size_and_number(given):
    batches = given(ExportSettings(size=(64, 96), batch=2), CALIBRATION[:1])

    (batch,) = batches
    assert batch["images"].shape == (2, 64, 96, 3)
    assert batch["images"].dtype == np.uint8
    # 120x90 pixels are made 64x48, and the rest is what normalising makes zero.
    assert (batch["images"][:, :, 48:] == (124, 116, 104)).all()
    assert batch["images"][:, :, :48].std() > 5


def test_a_network_of_its_own_mean():
    weights = make_weights(image_mean=[0.0, 0.2, 1.0], image_std=[1.0, 1.0, 1.0])
    card = replace(
        card_of(make_weights(), ExportSettings(), "onnx-int8"),
        weights=weights,
        settings=ExportSettings(size=(64, 96)),
    )
    (batch,) = int8_writer._batches(card, CALIBRATION[:1])

    assert (batch[0, :, 48:] == (0, 51, 255)).all()


def test_it_is_quiet(tmp_path, monkeypatch, capfd, caplog):
    write_once("onnx-int8", tmp_path / "model.onnx", monkeypatch)

    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
