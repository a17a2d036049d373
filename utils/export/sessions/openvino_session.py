"""Running OpenVINO's files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from utils.export.card import KEY, read_card
from utils.export.openvino_runtime import CPU, make_core
from utils.export.session import Found, Session, Signature, check_signature, reading

DTYPES = {"u8": "uint8", "f32": "float32"}  # as numpy calls them
# By default it computes in bfloat16 where a processor is quick at it, and finds other objects.
HINTS = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}

ADVICE = "copy it and the .bin file beside it again, else export it again"


class OpenVinoSession(Session):
    """An ``.xml`` file with its ``.bin`` in OpenVINO, on the CPU.

    The first image of a size takes longer, as some of the network is prepared for each size.

    Raises:
        WeightsError: the file is damaged, or none of ``tools.export``.
    """

    def __init__(self, path: Path) -> None:
        core = make_core()
        with reading(path, "OpenVINO file", ADVICE):
            model = core.read_model(path)
            text = model.get_rt_info(KEY).astype(str) if model.has_rt_info(KEY) else None
            self._network = core.compile_model(model, CPU, HINTS)
        self.path = path
        self.card = read_card(path, text)
        outputs = tuple(one.any_name for one in self._network.outputs)
        check_signature(path, self.card, [
            Signature(
                DTYPES.get(one.element_type.type_name, one.element_type.type_name),
                tuple(side.get_length() if side.is_static else None for side in one.partial_shape),
                outputs,
            )
            for one in self._network.inputs
        ])  # fmt: skip

    def run(self, images: np.ndarray) -> Found:
        return Found(*(np.array(values) for values in self._network([images]).values()))
