"""The formats that a trained network can be exported to, and what each needs."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import NamedTuple

from utils.config import ConfigError

REQUIREMENTS = "requirements-export.txt"


class Format(NamedTuple):
    """One of them.

    Attributes:
        suffixes: of its files, the usual one first.
        writing: packages, by the names they are imported under, that write it.
        running: packages that run it.
        is_int8: whether most of it computes in 8-bit integers, which must be calibrated.
    """

    suffixes: tuple[str, ...]
    writing: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    is_int8: bool = False

    @property
    def packages(self) -> tuple[str, ...]:
        """All that it needs, each once: an exported file is run before it is kept."""
        return tuple(dict.fromkeys((*self.writing, *self.running)))


ONNX, ONNX_INT8 = "onnx", "onnx-int8"
OPENVINO, OPENVINO_INT8 = "openvino", "openvino-int8"
TORCH_EXPORT, AOTI, TORCHSCRIPT = "torch-export", "aoti", "torchscript"
_WRITE_ONNX = ("onnx", "onnxscript")
FORMATS = {
    ONNX: Format((".onnx",), _WRITE_ONNX, ("onnxruntime",)),
    ONNX_INT8: Format((".onnx",), (*_WRITE_ONNX, "onnxruntime"), ("onnxruntime",), is_int8=True),
    OPENVINO: Format((".xml",), (*_WRITE_ONNX, "openvino"), ("openvino",)),
    OPENVINO_INT8: Format(
        (".xml",), (*_WRITE_ONNX, "onnxruntime", "openvino"), ("openvino",), is_int8=True
    ),
    TORCH_EXPORT: Format((".pt2",)),
    AOTI: Format((".pt2",)),
    TORCHSCRIPT: Format((".ts", ".torchscript", ".pt")),
}
SUFFIXES = frozenset(suffix for format in FORMATS.values() for suffix in format.suffixes)


def missing(packages: Iterable[str]) -> list[str]:
    """Those that are not installed."""
    return [name for name in packages if find_spec(name) is None]


def check_packages(what: str, packages: Iterable[str]) -> None:
    """Raise ``ConfigError``, with the one command that helps, if a package is not installed."""
    if absent := missing(packages):
        raise ConfigError(
            f"{what} needs {', '.join(absent)}, not installed here: pip install -r {REQUIREMENTS}"
        )
