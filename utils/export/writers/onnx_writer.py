"""Writing ONNX files."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import torch

from utils.export.card import KEY, ModelCard
from utils.export.onnx_operators import ONNX_OPERATORS, OPSET, TRANSLATIONS
from utils.export.program import export_program

INPUT = "images"


def write_onnx(card: ModelCard, path: Path) -> None:
    """Write the network of ``card.weights`` as an ONNX file."""
    program = export_program(card, ONNX_OPERATORS)
    with warnings.catch_warnings():  # on what the exporter does inside
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        written = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            custom_translation_table=TRANSLATIONS,
            input_names=[INPUT],
            output_names=list(card.outputs),
            verbose=False,
        )
    assert written is not None
    written.model.metadata_props[KEY] = card.to_json()
    written.save(path)
