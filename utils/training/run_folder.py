"""The three places of a run: ``runs/<name>/``, ``weights/<name>/`` and ``logs/<name>.log``."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from utils.config import TrainConfig
from utils.folders import numbered, safe_name, write_json
from utils.processes import Processes
from utils.training.text_log import only_warning

PACKAGES = ("torch", "torchvision", "pycocotools", "pillow", "numpy", "tensorboard", "tqdm")
RESERVED = ("test", "predict")  # runs/test and runs/predict belong to the other two commands


@dataclass(frozen=True)
class RunFolder:
    """Where one training run writes; no two runs share a name."""

    name: str
    root: Path

    @property
    def record(self) -> Path:
        """TensorBoard events, results, settings and pictures."""
        return self.root / "runs" / self.name

    @property
    def weights(self) -> Path:
        """The weights files."""
        return self.root / "weights" / self.name

    @property
    def log(self) -> Path:
        """The text log."""
        return self.root / "logs" / f"{self.name}.log"

    @classmethod
    def create(cls, root: Path, name: str) -> RunFolder:
        """Make a new run; if the name is taken, ``name-2``, ``name-3``..."""
        for candidate in numbered(safe_name(name)):
            folder = cls(candidate, root)
            if candidate in RESERVED or folder.weights.exists() or folder.log.exists():
                continue
            try:
                folder.record.mkdir(parents=True)
                break
            except FileExistsError:
                continue
        folder.weights.mkdir(parents=True)
        folder.log.parent.mkdir(parents=True, exist_ok=True)
        return folder

    @classmethod
    def holding(cls, weights_file: Path) -> RunFolder | None:
        """The run whose ``weights/<name>/`` a file lies in; None if it lies elsewhere."""
        folder = weights_file.resolve().parent
        if folder.parent.name != "weights":
            return None
        found = cls(folder.name, folder.parent.parent)
        found.record.mkdir(parents=True, exist_ok=True)
        found.log.parent.mkdir(parents=True, exist_ok=True)
        return found

    def write_json(self, file_name: str, content: Any) -> None:
        """Write one record of the run."""
        with only_warning():
            write_json(self.record / file_name, content)


def environment(device: str, precision: str) -> dict[str, Any]:
    """What the run ran on: versions, system and device."""
    return {
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "device": device,
        "precision": precision,
        **{package: metadata.version(package) for package in PACKAGES},
    }


def open_folder(config: TrainConfig, saved: Path | None, processes: Processes) -> RunFolder:
    """The folder of the run that the ``saved`` file is of, or a new one; the same in all
    processes."""
    folder = None
    if processes.is_first:
        folder = RunFolder.holding(saved) if saved else None
        name = config.name or Path(config.data).resolve().name
        folder = folder or RunFolder.create(config.output_root, name)
    found = processes.from_first(folder)
    assert found is not None
    return found
