"""Running ONNX files with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from utils.export.card import KEY, read_card
from utils.export.session import Found, Session, Signature, check_signature, reading

DTYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}  # as numpy calls them


class OnnxSession(Session):
    """An ONNX file in ONNX Runtime, on the CPU.

    Raises:
        WeightsError: the file is damaged, or none of ``tools.export``.
    """

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors; warnings are about shapes that it infers itself
        with reading(path, "ONNX file", "copy it again, else export it again"):
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        self.path = path
        self.card = read_card(path, self._session.get_modelmeta().custom_metadata_map.get(KEY))
        outputs = tuple(one.name for one in self._session.get_outputs())
        check_signature(path, self.card, [
            Signature(
                DTYPES.get(one.type, one.type),
                tuple(side if isinstance(side, int) else None for side in one.shape),
                outputs,
            )
            for one in self._session.get_inputs()
        ])  # fmt: skip

    def run(self, images: np.ndarray) -> Found:
        return Found(*self._session.run(None, {self._session.get_inputs()[0].name: images}))
