"""The report beside an exported file: what it was made of, and how it compared with its network."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from nets.weights_file import WeightsError
from utils.export.card import ModelCard
from utils.export.formats import FORMATS
from utils.export.verification.verify import Verification
from utils.folders import write_json

HASHES = "sha256"


def report_path(path: Path) -> Path:
    """``best.onnx.json`` of ``best.onnx``."""
    return path.with_name(f"{path.name}.json")


def write_report(path: Path, card: ModelCard, verification: Verification) -> None:
    """Write the report beside a file that lies in a folder with nothing but what belongs to it."""
    packages = ("torch", "torchvision", *FORMATS[card.format].packages)
    content = {
        "file": path.name,
        "format": card.format,
        "settings": asdict(card.settings),
        "score_threshold": card.score_threshold,
        "nms_threshold": card.nms_threshold,
        "max_detections": card.detections,
        "versions": {
            "python": platform.python_version(),
            **{name: import_module(name).__version__ for name in packages},
        },
        HASHES: {part.name: _hash(part) for part in sorted(path.parent.iterdir())},
        "verification": verification.to_dict(),
    }
    write_json(report_path(path), content)


def check_unchanged(path: Path) -> None:
    """Look whether a file is the one that was verified, if its report lies beside it.

    Raises:
        WeightsError: it was changed since, or the report cannot be read.
    """
    report = report_path(path)
    if not report.is_file():
        return
    way = f"export it again, or delete {report.name} if that was meant"
    try:
        hashes = dict(json.loads(report.read_bytes())[HASHES])
        # Under other names the files are still the same.
        parts = {path.with_suffix(Path(name).suffix): wanted for name, wanted in hashes.items()}
        parts[path]  # it must be among them
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{report}: is no report of tools.export; {way}") from error
    for part, wanted in parts.items():
        if not part.is_file() or _hash(part) != wanted:
            raise WeightsError(f"{part}: changed since {path.name} was verified; {way}")


def _hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
