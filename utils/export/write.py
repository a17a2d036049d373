"""Writing an exported file, whatever its format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from utils.export.card import ModelCard
from utils.export.formats import (
    AOTI,
    FORMATS,
    ONNX,
    ONNX_INT8,
    OPENVINO,
    OPENVINO_INT8,
    TORCH_EXPORT,
    check_packages,
)


def write(card: ModelCard, path: Path, calibration: Sequence[np.ndarray] = ()) -> None:
    """Write the network of ``card.weights`` in the format of the card.

    Args:
        card: the network and what it is exported for.
        path: of the file; some formats write a second one beside it.
        calibration: images (H, W, C) as the network takes them, for formats of 8-bit integers.

    Raises:
        ConfigError: a package that writes this format is not installed.
    """
    check_packages(f"--format {card.format}", FORMATS[card.format].packages)
    # Each writer imports what is slow to import, or not there.
    if card.format == ONNX:
        from utils.export.writers.onnx_writer import write_onnx

        write_onnx(card, path)
    elif card.format == ONNX_INT8:
        from utils.export.writers.int8_writer import write_onnx_int8

        write_onnx_int8(card, path, calibration)
    elif card.format in (OPENVINO, OPENVINO_INT8):
        from utils.export.writers.openvino_writer import write_openvino

        write_openvino(card, path, calibration)
    elif card.format == TORCH_EXPORT:
        from utils.export.writers.torch_export_writer import write_torch_export

        write_torch_export(card, path)
    elif card.format == AOTI:
        from utils.export.writers.aoti_writer import write_aoti

        write_aoti(card, path)
    else:
        from utils.export.writers.torchscript_writer import write_torchscript

        write_torchscript(card, path)
