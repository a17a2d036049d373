"""predict.py and test.py with exported files, and files that are none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from conftest import REPOSITORY
from exportable_scene import ARCH, make_images, make_weights
from exported_once import SETTINGS, write_onnx
from PIL import Image
from test_commands import failed, succeeded

from nets.weights_file import WeightsError, save_weights
from predict import open_output
from utils.config import ConfigError
from utils.export import formats
from utils.export.card import KEY, card_of
from utils.export.open_session import is_exported, open_session, parts_of
from utils.prediction.config import PredictConfig

OUTPUTS = ["--id-masks", "--labelme", "--crops", "--measurements", "--score-threshold", "0.1"]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """An output root with a run that has weights and the same as an ONNX file."""
    root = tmp_path_factory.mktemp("exported")
    run = root / "weights" / "noise"
    run.mkdir(parents=True)
    weights = replace(make_weights(), classes=("box", "oval", "star"), precision="fp32")
    save_weights(run / "best.pth", weights)
    write_onnx(card_of(weights, SETTINGS, "onnx"), run / "best.onnx")
    return root


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """A folder of noise, in which the network sees objects."""
    folder = tmp_path_factory.mktemp("pictures")
    for n in range(6):
        pixels = make_images(n / 5, size=(90, 70 + n))[0].numpy()
        Image.fromarray(pixels).save(folder / f"{n}.png")
    return folder


@pytest.fixture(scope="module")
def predicted(root, pictures, tmp_path_factory) -> Path:
    """What predict.py leaves by the weights and by the ONNX file, in folders of their names."""
    folder = tmp_path_factory.mktemp("predicted")
    for name, how in (("best.pth", "fp32"), ("best.onnx", "onnx")):
        text = succeeded(
            "predict.py", "--weights", name, "--output-root", root, "--source", pictures,
            "--output", folder / name, *OUTPUTS,
        )  # fmt: skip
        assert f"{name} ({ARCH}), {how} on cpu" in text
    return folder


@pytest.fixture
def onnx_file(root) -> Path:
    return root / "weights" / "noise" / "best.onnx"


def tree(folder) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_predict_gives_what_the_weights_give(predicted):
    assert tree(predicted / "best.onnx") == tree(predicted / "best.pth")
    wanted, found = (
        read(predicted / name / "predictions.json") for name in ("best.pth", "best.onnx")
    )
    assert len(wanted["annotations"]) > 50
    assert (found["images"], found["categories"]) == (wanted["images"], wanted["categories"])
    for one, other in zip(found["annotations"], wanted["annotations"], strict=True):
        assert one["image_id"] == other["image_id"]
        assert one["category_id"] == other["category_id"]
        assert one["score"] == pytest.approx(other["score"], abs=2e-4)
        assert one["bbox"] == pytest.approx(other["bbox"], abs=0.02)
        assert one["area"] == pytest.approx(other["area"], rel=0.02, abs=3)


def test_both_are_judged_alike_and_compared(root, pictures, predicted):
    """On what the weights found, as if that were labels."""
    weights = [root / "weights" / "noise" / name for name in ("best.pth", "best.onnx")]
    text = succeeded(
        "test.py", "--weights", *weights, "--output-root", root, "--images", pictures,
        "--data", predicted / "best.pth" / "predictions.json",
    )  # fmt: skip
    assert f"A is {weights[0]}" in text
    assert f"B is {weights[1]}" in text
    runs = root / "runs" / "test"
    wanted, found = (read(runs / name / "metrics.json") for name in ("noise", "noise-2"))
    assert wanted["segm/AP"] > 0.9
    assert found == pytest.approx(wanted, abs=5e-3)


def test_score_thresholds_are_not_stored_in_an_exported_file(root, pictures, onnx_file):
    before = tree(root), onnx_file.read_bytes()
    text = failed(
        2, "test.py", "--weights", onnx_file, "--output-root", root, "--data", pictures,
        "--operating-point", "f1", "--store",
    )  # fmt: skip
    assert f"--store: {onnx_file} is an exported file" in text
    assert "store them in the weights (.pth) and export those again" in text
    assert (tree(root), onnx_file.read_bytes()) == before


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--score-threshold", "0.01"], 2, "gives nothing below 0.05; export it again"),
        (["--reference"], 2, "--reference: "),
        (["--weights", "cut.onnx"], 4, "cut.onnx: is no ONNX file that can be run"),
    ],
)
def test_what_cannot_be_is_one_message_and_leaves_no_folder(
    root, pictures, tmp_path, flags, code, words
):
    shutil.copytree(root / "weights", tmp_path / "weights")
    whole = tmp_path / "weights" / "noise" / "best.onnx"
    (tmp_path / "weights" / "cut.onnx").write_bytes(whole.read_bytes()[:30_000_000])
    weights = [] if "--weights" in flags else ["--weights", "best.onnx"]
    text = failed(
        code, "predict.py", *weights, *flags, "--source", pictures, "--output-root", tmp_path
    )
    assert words in text
    assert text.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def with_card(source, path, change) -> Path:
    """The file with another description."""
    model = onnx.load(source)
    (entry,) = (one for one in model.metadata_props if one.key == KEY)
    content = json.loads(entry.value)
    change(content)
    entry.value = json.dumps(content)
    onnx.save(model, path)
    return path


def test_a_description_that_only_was_written_anew_is_taken(onnx_file, tmp_path):
    session = open_session(with_card(onnx_file, tmp_path / "same.onnx", lambda card: None))
    assert session.card == open_session(onnx_file).card


def weights_of(card):
    return card["weights"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda card: weights_of(card)["classes"].append("dog"), "contradicts itself"),
        (lambda card: card["settings"].update(size=[64, 64]), r"says uint8 \(any, 64, 64, 3\)"),
        (lambda card: card["settings"].update(batch=4), r"says uint8 \(4, any, any, 3\)"),
        (lambda card: card["settings"].update(paste=False), "says .* counts; was"),
        (lambda card: weights_of(card)["options"].update(channels=5),
         r"says float32 \(any, any, any, 5"),
    ],
)  # fmt: skip
def test_a_description_that_was_changed_is_noticed(onnx_file, tmp_path, change, words):
    path = with_card(onnx_file, tmp_path / "model.onnx", change)
    with pytest.raises(WeightsError, match=f"model.onnx: .*{words}"):
        open_session(path)


def test_outputs_of_other_names_are_noticed(onnx_file, tmp_path):
    model = onnx.load(onnx_file)
    model.graph.output[2].name = "points"
    for node in model.graph.node:
        for names in (node.input, node.output):
            for n, name in enumerate(names):
                names[n] = "points" if name == "scores" else name
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(
        WeightsError, match="boxes, labels, points, masks, counts, pasted, its description"
    ):
        open_session(tmp_path / "model.onnx")


def of_another_tool() -> bytes:
    """An ONNX file that gives what it is given."""
    make = onnx.helper.make_tensor_value_info
    ends = [make(name, onnx.TensorProto.FLOAT, [1]) for name in ("given", "taken")]
    node = onnx.helper.make_node("Identity", ["given"], ["taken"])
    graph = onnx.helper.make_graph([node], "same", ends[:1], ends[1:])
    opsets = [onnx.helper.make_opsetid("", 18)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model.onnx", b"", r"model.onnx: is empty \(0 bytes\)"),
        ("model.onnx", b"a text\n" * 20, "model.onnx: is no ONNX file that can be run"),
        ("model.onnx", of_another_tool(), "model.onnx: holds no description of a Mask R-CNN"),
        ("model.onnx", None, "model.onnx: no such file"),
        ("MODEL.ONNX", b"a text\n" * 20, "MODEL.ONNX: is no ONNX file that can be run"),
        ("model.xml", b"<net/>", "model.bin: no such file; model.xml needs it beside it"),
        ("model.pt2", b"a text\n" * 20, "model.pt2: "),
        ("model.ts", b"a text\n" * 20, "model.ts: "),
    ],
)
def test_a_file_of_another_kind_is_one_message(tmp_path, name, content, words):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert is_exported(path)
    with pytest.raises(WeightsError, match=words):
        open_session(path)


@pytest.mark.parametrize(("name", "package"), [("m.onnx", "onnxruntime"), ("m.xml", "openvino")])
def test_what_runs_it_may_not_be_installed(tmp_path, monkeypatch, name, package):
    (tmp_path / name).write_bytes(b"x")
    (tmp_path / "m.bin").write_bytes(b"x")
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    wanted = f"running {name} needs {package}, not installed here: pip install -r requirements-"
    with pytest.raises(ConfigError, match=wanted):
        open_session(tmp_path / name)


@pytest.mark.parametrize("start", ["import utils.export.sessions.onnx_session", "EXAMPLE"])
def test_onnx_runtime_tells_nobody_of_its_use(tmp_path, start):
    """It would leave a file for that, ``.ses``, where temporary files are."""
    example = REPOSITORY / "docs" / "examples" / "onnxruntime_example.py"
    start = start.replace("EXAMPLE", f"import runpy; runpy.run_path({str(example)!r})")
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)

    subprocess.run(
        [sys.executable, "-c", start], cwd=REPOSITORY, env=environment, check=True, timeout=120
    )

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_changed_is_another_run(tmp_path):
    config = PredictConfig(output_root=tmp_path)
    graph, numbers = parts_of(tmp_path / "model.xml")
    graph.write_bytes(b"<net/>")
    numbers.write_bytes(b"123")
    first = open_output(config, graph)
    assert open_output(config, graph) == first
    numbers.write_bytes(b"124")
    assert open_output(config, graph) == first.with_name("model-2")
