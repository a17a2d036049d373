"""Writing OpenVINO's files, from ONNX files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from utils.export.card import KEY, ModelCard
from utils.export.formats import FORMATS
from utils.export.openvino_runtime import make_core, openvino
from utils.export.writers.int8_writer import write_onnx_int8
from utils.export.writers.onnx_writer import write_onnx
from utils.export.writers.openvino_sizes import compute_in_integers

HIGHEST = "node_topk"  # what the exporter calls nodes of ``torch.topk``


def write_openvino(card: ModelCard, path: Path, calibration: Sequence[np.ndarray]) -> None:
    """Write the network of ``card.weights`` as an ``.xml`` file with a ``.bin`` beside it.

    Args:
        card: with a format of 8-bit integers or of float32.
        path: of the ``.xml`` file.
        calibration: images (H, W, C) that 8-bit integers are fitted to.
    """
    with TemporaryDirectory(dir=path.parent) as folder:
        source = Path(folder) / "network.onnx"
        if FORMATS[card.format].is_int8:
            write_onnx_int8(card, source, calibration)
        else:
            write_onnx(card, source)
        model = make_core().read_model(source)
    compute_in_integers(model, card.input_size)
    sort_stably(model)
    del model.rt_info["framework"]  # where the ONNX file's description is
    model.set_rt_info(card.to_json(), KEY)
    openvino.save_model(model, path, compress_to_fp16=False)


def sort_stably(model: openvino.Model) -> None:
    """Of equal values, the first one comes first in ONNX's TopK, and in what OpenVINO makes of it
    any. Where the network sorts, it relies on the order; where it takes the highest of very many,
    PyTorch keeps no order either, and to keep one takes longer than all convolutions."""
    for node in model.get_ops():
        if node.get_type_name() == "TopK" and not node.get_friendly_name().startswith(HIGHEST):
            known = node.get_attributes()
            stable = openvino.opset11.topk(
                *node.input_values(), known["axis"], known["mode"], known["sort"],
                known["index_element_type"], stable=True,
            )  # fmt: skip
            for old, new in zip(node.outputs(), stable.outputs(), strict=True):
                old.replace(new)
