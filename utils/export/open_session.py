"""Opening exported files by what they are."""

from __future__ import annotations

import zipfile
from pathlib import Path

from nets.weights_file import WeightsError
from utils.export.formats import FORMATS, ONNX, OPENVINO, SUFFIXES, TORCHSCRIPT, check_packages
from utils.export.report import check_unchanged
from utils.export.session import Session


def is_exported(path: Path) -> bool:
    """Whether a file is for ``open_session``, by its name; a ``.pt`` file, which may be a weights
    file too, by whether it holds code."""
    suffix = path.suffix.lower()
    if suffix == ".pt":
        return path.is_file() and _holds_code(path)
    return suffix in SUFFIXES


def parts_of(path: Path) -> list[Path]:
    """All files that a model consists of, itself first; OpenVINO's numbers lie beside its graph."""
    is_graph = path.suffix.lower() in FORMATS[OPENVINO].suffixes
    return [path, path.with_suffix(".bin")] if is_graph else [path]


def open_session(path: Path) -> Session:
    """A file of ``tools.export``, ready to run.

    Raises:
        WeightsError: it is missing, damaged, changed since it was verified, or none of
            ``tools.export``.
        ConfigError: what runs it is not installed.
    """
    for part in parts_of(path):
        if not part.is_file():
            beside = f"; {path.name} needs it beside it" if part != path else ""
            raise WeightsError(f"{part}: no such file{beside}")
        if part.stat().st_size == 0:
            raise WeightsError(f"{part}: is empty (0 bytes); was the copy cut short?")
    check_unchanged(path)
    suffix = path.suffix.lower()
    # Each runtime takes a second or more to import, and may not be there.
    if suffix in FORMATS[ONNX].suffixes:
        check_packages(f"running {path.name}", FORMATS[ONNX].running)
        from utils.export.sessions.onnx_session import OnnxSession

        return OnnxSession(path)
    if suffix in FORMATS[OPENVINO].suffixes:
        check_packages(f"running {path.name}", FORMATS[OPENVINO].running)
        from utils.export.sessions.openvino_session import OpenVinoSession

        return OpenVinoSession(path)
    if suffix in FORMATS[TORCHSCRIPT].suffixes:
        from utils.export.sessions.torchscript_session import TorchScriptSession

        return TorchScriptSession(path)
    from utils.export.sessions.pt2_session import Pt2Session

    return Pt2Session(path)


def _holds_code(path: Path) -> bool:
    """Whether an archive of PyTorch is a TorchScript file; no if it is damaged, or none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    except Exception:  # of many kinds, depending on the damage
        return False
