"""``results.csv``: the numbers of a run, one row an epoch."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from nets.losses import LOSSES
from utils.evaluation.coco_evaluator import NAMES
from utils.evaluation.coco_parameters import IOU_TYPES
from utils.folders import write_file
from utils.training.step_report import loss_tag
from utils.training.text_log import only_warning

RESULTS = "results.csv"


class Results:
    """Adds rows to a file that holds whole rows only, whatever happens.

    A row that cannot be written is written with the next one. ``kept`` rows that are there stay;
    those of epochs that are to be trained again are struck out.
    """

    def __init__(self, folder: Path, columns: Sequence[str], kept: int) -> None:
        self.path = folder / RESULTS
        self.columns = columns
        self.lines: list[bytes] = []
        if self.path.exists():
            self.lines = self.path.read_bytes().splitlines(keepends=True)[: 1 + kept]
            self._write()

    def append(self, row: Mapping[str, float]) -> None:
        """Add an epoch; what has no column is left out, what is undefined stays blank."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns, restval="", extrasaction="ignore")
        if not self.lines:
            writer.writeheader()
        writer.writerow({name: _short(value) for name, value in row.items()})
        self.lines += text.getvalue().encode().splitlines(keepends=True)
        self._write()

    def _write(self) -> None:
        with only_warning():
            write_file(self.path, b"".join(self.lines))


def csv_columns(classes: Sequence[str]) -> list[str]:
    """The columns of ``results.csv``, the same ones in the same order for the whole run."""
    losses = ("loss", *LOSSES)
    columns = ["epoch", "step", *(loss_tag("train", name) for name in losses)]
    columns += [*(loss_tag("val", name) for name in losses), "lr"]
    for iou_type in IOU_TYPES:
        columns += [f"{iou_type}/{name}" for name in NAMES]
        columns += [f"{iou_type}/{name}/{label}" for label in classes for name in ("AP", "AP50")]
    return columns


def _short(value: float) -> float | str:
    return value if isinstance(value, int) else f"{value:.6g}"
