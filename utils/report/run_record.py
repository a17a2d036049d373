"""What a training run left in its folder, read again for its report."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils.command_line import as_arguments
from utils.config import ConfigError, TrainConfig
from utils.data.annotation_files import read_json
from utils.data.records import DataError
from utils.options import from_dict, options_of

SETTINGS, ENVIRONMENT, SPLIT, RESULTS = (
    "args.json", "environment.json", "split.json", "results.csv",
)  # fmt: skip


@dataclass(frozen=True)
class RunRecord:
    """A run as its folder tells it; what is missing or damaged is empty, and ``notes`` say so."""

    folder: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    split: Mapping[str, Any] = field(default_factory=dict)
    epochs: tuple[dict[str, float], ...] = ()  # the rows of results.csv; undefined is absent
    notes: tuple[str, ...] = ()

    def column(self, name: str) -> list[float]:
        """One number of every epoch, NaN where it is undefined."""
        return [row.get(name, math.nan) for row in self.epochs]

    @property
    def epoch_numbers(self) -> list[float]:
        """Counted from 1, as the log does; the files count from 0."""
        return [number + 1 for number in self.column("epoch")]

    def changed(self) -> dict[str, Any]:
        """The settings that are not the defaults."""
        defaults = {name: option.default for name, option in options_of(TrainConfig).items()}
        return {
            name: value
            for name, value in self.settings.items()
            if name in defaults and _plain(defaults[name]) != value
        }

    def training_arguments(self) -> list[str] | None:
        """The options that train the same again; None if the settings cannot be read."""
        try:
            return as_arguments(from_dict(TrainConfig, self.settings), TrainConfig)
        except (ConfigError, TypeError, ValueError):
            return None


def read_run(folder: Path) -> RunRecord:
    """Read ``runs/<name>/``; never fails over a file that is missing or damaged."""
    notes: list[str] = []
    settings, environment, split = (
        _read_object(folder / name, notes) for name in (SETTINGS, ENVIRONMENT, SPLIT)
    )
    return RunRecord(
        folder, settings, environment, split, _read_rows(folder / RESULTS, notes), tuple(notes)
    )


def _read_object(path: Path, notes: list[str]) -> dict[str, Any]:
    try:
        content = read_json(path)
    except (DataError, OSError) as error:
        notes.append(f"{path.name} cannot be read: {error}")
        return {}
    if not isinstance(content, dict):
        notes.append(f"{path.name} is not what a run writes")
        return {}
    return content


def _read_rows(path: Path, notes: list[str]) -> tuple[dict[str, float], ...]:
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
        return tuple(
            {name: float(value) for name, value in row.items() if value and name} for row in rows
        )
    except (OSError, ValueError, TypeError, csv.Error) as error:
        notes.append(f"{path.name} cannot be read: {error}")
        return ()


def _plain(default: Any) -> Any:
    """A default as ``args.json`` holds it."""
    if isinstance(default, Path):
        return str(default)
    return list(default) if isinstance(default, tuple) else default
