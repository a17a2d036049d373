"""OpenVINO, without the message that it sends to its makers wherever it is imported.

All of this program imports it from here.
"""

from __future__ import annotations

import sys

# Where the package that sends it cannot be imported, OpenVINO goes on without. It would also make
# a folder in the user's home.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402

CPU = "CPU"


def make_core() -> openvino.Core:
    """OpenVINO's runtime; it reads files whole and keeps none of them open."""
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})
    return core
