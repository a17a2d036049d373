"""The small network of ``exportable_scene`` as an ONNX file that is exported once for all tests."""

import fcntl
import os
from pathlib import Path

import onnx
from conftest import SHARED
from exportable_scene import make_images, make_weights

from utils.export.card import KEY, card_of
from utils.export.settings import ExportSettings
from utils.export.write import write
from utils.export.writers import int8_writer, openvino_writer
from utils.export.writers.onnx_writer import write_onnx as really_write_onnx

SETTINGS = ExportSettings(paste=True)
CALIBRATION = [
    make_images(strength, size=size)[0].numpy()
    for strength in (0.25, 0.5, 1.0)
    for size in ((120, 90), (200, 150))
]


def exported():
    """Its path; of all processes of a run of the tests, the first that asks writes it."""
    path = Path(os.environ[SHARED]) / "model.onnx"
    with open(path.with_suffix(".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            part = path.with_suffix(".part")
            really_write_onnx(card_of(make_weights(), SETTINGS, "onnx"), part)
            part.rename(path)
    return path


def write_onnx(card, path):
    """As ``onnx_writer.write_onnx``, of this network."""
    assert card.settings == SETTINGS
    model = onnx.load(exported())
    onnx.helper.set_model_props(model, {KEY: card.to_json()})
    onnx.save(model, path)


def write_once(format, path, monkeypatch):
    """Write a file of a format that is made of an ONNX file; its card."""
    monkeypatch.setattr(int8_writer, "write_onnx", write_onnx)
    monkeypatch.setattr(openvino_writer, "write_onnx", write_onnx)
    card = card_of(make_weights(), SETTINGS, format)
    write(card, path, CALIBRATION)
    return card
