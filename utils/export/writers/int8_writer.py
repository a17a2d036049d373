"""Writing ONNX files that compute in 8-bit integers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from utils.export.card import ModelCard
from utils.export.fitting import fitted
from utils.export.writers.onnx_writer import INPUT, write_onnx

IN_INTEGERS = ["Conv", "Gemm"]
# Of modules that stay float32: the first convolution, which sees the pixels, and the last ones,
# whose results are scores, boxes and masks.
IN_FLOAT = ("body.conv1.", "cls_logits.", "cls_score.", "bbox_pred.", "mask_fcn_logits.")


def write_onnx_int8(card: ModelCard, path: Path, calibration: Sequence[np.ndarray]) -> None:
    """Write the network of ``card.weights`` as an ONNX file, most of it in 8-bit integers.

    Activations are unsigned, with the range that they have in the calibration images. Weights have
    a scale for each channel and 7 bits: on processors without VNNI, sums of products of 8 bits
    would overflow.

    Args:
        card: the network and what it is exported for.
        path: of the file.
        calibration: images (H, W, C) as the network takes them, one at least.
    """
    with TemporaryDirectory(dir=path.parent) as folder:
        plain = Path(folder) / "float32.onnx"
        write_onnx(card, plain)
        model = onnx.load(plain)
        add_pre_process_metadata(model)  # else it warns that this was not done
        onnx.save(model, plain)
        quantize_static(
            plain,
            path,
            _Reader(_batches(card, calibration)),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=IN_INTEGERS,
            nodes_to_exclude=[
                node.name
                for node in model.graph.node
                if any(part in name for part in IN_FLOAT for name in node.input)
            ],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # Others keep all values of all images in memory, which must have one size.
            calibrate_method=CalibrationMethod.MinMax,
        )


class _Reader(CalibrationDataReader):
    """Batches one by one."""

    def __init__(self, batches: Iterator[np.ndarray]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def _batches(card: ModelCard, images: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Each image as a batch of the size and number that the file takes."""
    size = card.settings.size
    for image in images:
        one = fitted(image, size, card.image_mean).canvas if size else image
        yield np.repeat(one[None], card.settings.batch or 1, axis=0)
