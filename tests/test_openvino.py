"""OpenVINO's files find what torchvision's network finds: any batch, size and count."""

import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from exportable_scene import FEW, MANY, NONE, OPTIONS, make_images
from exported_once import write_once

from nets.weights_file import WeightsError
from utils.export.openvino_runtime import CPU, make_core, openvino
from utils.export.sessions.openvino_session import HINTS, OpenVinoSession
from utils.export.verification.differences import difference
from utils.export.verification.form import form_fault, of_image
from utils.export.verification.reference import Reference
from utils.export.writers.openvino_sizes import compute_in_integers
from utils.export.writers.openvino_writer import sort_stably

op = openvino.opset13
ROOT = Path(__file__).resolve().parent.parent
SIZES = ((120, 90), (64, 200), (97, 131))
ODD_SIZES = ((1, 1), (1, 60), (2, 2), (10, 200), (400, 300))
LIMITS = OPTIONS["min_size"], OPTIONS["max_size"]
# Sides that torchvision makes a pixel less than what they are resized to.
LOST = [side for side in range(40, 300) if int(side * (LIMITS[0] / side)) < LIMITS[0]]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The card and the file, for any images, with pasted masks."""
    path = tmp_path_factory.mktemp("openvino") / "model.xml"
    with pytest.MonkeyPatch.context() as monkeypatch:
        return write_once("openvino", path, monkeypatch), path


@pytest.fixture(scope="module")
def session(written):
    return OpenVinoSession(written[1])


@pytest.fixture(scope="module")
def reference(written):
    return Reference(written[0])


def check(session, reference, *strengths, size):
    """Returns how many objects torchvision finds in each image."""
    images, card = make_images(*strengths, size=size).numpy(), session.card
    found = session.run(images)
    assert not form_fault(found, images.shape, card)
    counts = []
    for number, image in enumerate(images):
        network, file = reference.detections(image), of_image(found, number)
        varied = partial(reference.varied, image)
        compared = difference(network, file, size, card.score_threshold, card.detections, varied)
        assert not compared.faults
        counts.append(len(network.scores))
    return counts


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("strength", [NONE, FEW, MANY])
def test_any_size_number_and_count(session, reference, strength, batch, size):
    counts = check(session, reference, *[strength] * batch, size=size)

    assert all(counts) == any(counts) == (strength != NONE)
    assert max(counts) == 100 if strength == MANY else max(counts) < 100


def test_nothing_few_and_many_in_one_batch(session, reference):
    counts = check(session, reference, NONE, MANY, FEW, NONE, size=SIZES[0])

    assert counts[0] == counts[3] == 0
    assert counts[1] == 100
    assert 0 < counts[2] < 100


@pytest.mark.parametrize("size", ODD_SIZES, ids=str)
def test_tiny_thin_and_large_images(session, reference, size):
    check(session, reference, MANY, size=size)


@pytest.mark.parametrize("side", LOST[:3])
def test_sides_that_lose_a_pixel(session, reference, side):
    check(session, reference, 0.5, size=(side, side + 7))
    check(session, reference, 0.5, size=(side + 30, side))


def test_results_are_the_callers(session):
    images = make_images(MANY).numpy()
    first = session.run(images)
    kept = [values.copy() for values in first]
    session.run(255 - images)

    for values, before in zip(first, kept, strict=True):
        np.testing.assert_array_equal(values, before)


def test_the_file_knows_what_it_is(written, session):
    card, path = written

    assert session.path == path
    assert session.card.to_json() == card.to_json()
    model = openvino.Core().read_model(path)
    assert model.get_rt_info("maskrcnn_finetune").astype(str) == card.to_json()
    assert "framework" not in model.rt_info
    assert {file.name for file in path.parent.iterdir()} == {"model.xml", "model.bin"}


def sizes_model(limits):
    """Height and width as torchvision computes them, in float64."""
    images = op.parameter([-1, -1, -1, 3], np.uint8, name="images")
    shape = op.shape_of(images, "i64")
    sides = [op.convert(op.gather(shape, np.int64(n), np.int64(0)), "f64") for n in (1, 2)]
    scale = op.minimum(
        op.divide(op.constant(np.float64(limits[0])), op.minimum(*sides)),
        op.divide(op.constant(np.float64(limits[1])), op.maximum(*sides)),
    )
    ends = [op.result(op.convert(op.multiply(side, scale), "i64")) for side in sides]
    return openvino.Model(ends, [images])


def wrong_sizes(model, limits):
    """The sides (height, width) of images that a model has another size for than Python."""
    network = make_core().compile_model(model, CPU, HINTS)
    sides = [*range(1, 400), *range(400, 12000, 97), 16384, 65535]
    wrong = []
    for side in sides:
        long = min(5 * side, 65535)
        short = side % 999 + 1
        for height, width in ((short, short), (side, 4), (side % 97 + 1, long), (short, side)):
            image = np.empty((1, height, width, 3), np.uint8)
            found = network([openvino.Tensor(image, shared_memory=True)])
            scale = min(limits[0] / min(height, width), limits[1] / max(height, width))
            wanted = [int(height * scale), int(width * scale)]
            if [int(size) for size in found.values()] != wanted:
                wrong.append((height, width))
    return wrong


@pytest.mark.parametrize("limits", [(800, 1333), (320, 640), (96, 160), (512, 1024)], ids=str)
def test_sizes_are_those_that_python_computes(limits):
    model = sizes_model(limits)
    compute_in_integers(model, limits)

    assert wrong_sizes(model, limits) == []


def test_openvino_itself_computes_other_sizes():
    assert len(wrong_sizes(sizes_model((800, 1333)), (800, 1333))) > 50


def test_a_model_of_one_size_stays():
    model = sizes_model(LIMITS)
    model.reshape([1, 97, 131, 3])
    images = op.parameter([1, 97, 131, 3], np.uint8)
    model = openvino.Model([op.result(op.convert(images, "f32"))], [images])
    compute_in_integers(model, LIMITS)

    assert [node.get_type_name() for node in model.get_ordered_ops()] == [
        "Parameter", "Convert", "Result",
    ]  # fmt: skip


def test_the_first_of_equal_values_comes_first():
    values = op.parameter([-1, -1], np.float32)
    count = op.gather(op.shape_of(values, "i64"), np.int64(1), np.int64(0))
    best = op.topk(values, count, 1, "max", "value", "i64")
    model = openvino.Model([op.result(place) for place in best.outputs()], [values])
    sort_stably(model)
    given = np.random.default_rng(0).integers(0, 5, (3, 400)).astype(np.float32)
    sort, places = make_core().compile_model(model, CPU, HINTS)([given]).values()

    np.testing.assert_array_equal(places, np.argsort(-given, axis=1, kind="stable"))
    np.testing.assert_array_equal(sort, -np.sort(-given, axis=1))


def cut(path, folder, name):
    """A copy of which one file is cut short."""
    for file in (path, path.with_suffix(".bin")):
        content = file.read_bytes()
        short = content[: len(content) // 2] if file.suffix == name else content
        (folder / file.name).write_bytes(short)
    return folder / path.name


@pytest.mark.parametrize("name", [".xml", ".bin"])
def test_a_file_that_was_cut_short(written, tmp_path, name):
    with pytest.raises(WeightsError, match=r"model\.xml: is no OpenVINO file .*copy it"):
        OpenVinoSession(cut(written[1], tmp_path, name))


def test_a_file_of_another_program(tmp_path):
    openvino.save_model(sizes_model(LIMITS), tmp_path / "other.xml")

    with pytest.raises(WeightsError, match=r"other\.xml: holds no description"):
        OpenVinoSession(tmp_path / "other.xml")


def test_a_file_whose_network_was_changed(written, tmp_path):
    model = sizes_model(LIMITS)
    model.set_rt_info(written[0].to_json(), "maskrcnn_finetune")
    openvino.save_model(model, tmp_path / "other.xml")

    with pytest.raises(WeightsError, match=r"takes and gives .*was it edited"):
        OpenVinoSession(tmp_path / "other.xml")


WATCHED = """
import sys
def watch(event, arguments):
    if event.startswith("socket.") or event in ("subprocess.Popen", "os.fork"):
        print(event, arguments)
sys.addaudithook(watch)
from utils.export.{module} import {name}
print("imported")
"""


@pytest.mark.parametrize(
    ("module", "name"), [("openvino_runtime", "make_core"), ("writers.openvino_sizes", "openvino")]
)
def test_importing_it_sends_nothing(module, name, tmp_path):
    """OpenVINO's own import asks for the address of www.google-analytics.com."""
    environment = {"HOME": str(tmp_path), "PATH": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-B", "-c", WATCHED.format(module=module, name=name)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.stdout == "imported\n", done.stderr
    assert not (tmp_path / "intel").exists()  # where it would count its runs


def test_it_is_imported_in_one_place():
    imports = re.compile(r"^\s*(import|from) openvino\b", re.MULTILINE)
    files = [*(ROOT / "utils").rglob("*.py"), *(ROOT / "tools").rglob("*.py")]

    assert [file.name for file in files if imports.search(file.read_text(encoding="utf-8"))] == [
        "openvino_runtime.py"
    ]
