"""What a run tells while it trains: TensorBoard, ``results.csv``, the text log and the console."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import torch
from PIL import Image
from tqdm import tqdm

from utils.config import TrainConfig, to_dict
from utils.evaluation.coco_evaluator import Metrics
from utils.evaluation.matches import Matches
from utils.training.curves import Curves
from utils.training.hparams import METRICS, compared_settings
from utils.training.results import Results, csv_columns
from utils.training.run_folder import RunFolder
from utils.training.step_report import (
    IMAGES_PER_SECOND,
    StepReport,
    loss_tag,
    report_of,
    row_of,
    speed,
    summary,
)
from utils.training.text_log import log, only_warning

POINTS_PER_EPOCH = 100  # TensorBoard points per training curve; more only makes the files larger
SECONDS_BETWEEN_LINES = 30.0  # progress where there is no terminal


class Recorder:
    """The four sinks of one training run. Use it as a context manager; it closes them all.

    ``resumed`` is what ``to_dict`` of the recorder of an earlier part of the run gave: what that
    part recorded after it is struck out, as it is trained and recorded again.
    """

    def __init__(
        self,
        folder: RunFolder,
        classes: Sequence[str],
        epochs: int,
        steps_per_epoch: int,
        resumed: dict[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.epochs, self.steps_per_epoch = epochs, steps_per_epoch
        self.every = max(1, steps_per_epoch // POINTS_PER_EPOCH)
        self.step_number = 0
        self.rows = 0  # of results.csv: epochs that are finished
        self.window: list[StepReport] = []
        self.epoch_reports: list[StepReport] = []
        # Of the last step, within an epoch: what comes after it may be recorded at the same step,
        # so a resumed run strikes that step out as well and adds these again.
        self.points: dict[str, float] = {}
        purge = None
        if resumed is not None:
            self.step_number = resumed["step"]
            self.window, self.epoch_reports = (
                [report_of(row) for row in resumed[name].tolist()] for name in ("window", "epoch")
            )
            self.rows, self.points = resumed["rows"], resumed["points"]
            purge = self.step_number + (not self.epoch_reports)
        self.results = Results(folder.record, csv_columns(classes), self.rows)
        self.curves = Curves(folder.record, purge)
        self.curves.points(self.points, self.step_number)
        self.last_line = time.monotonic()
        self.bar: tqdm | None = None

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close_bar()
        self.curves.close()

    def to_dict(self) -> dict[str, Any]:
        """What a resumed run needs to go on recording; plain values and tensors."""
        return {
            "step": self.step_number,
            "rows": self.rows,
            "points": self.points,
            "window": torch.tensor([row_of(report) for report in self.window], dtype=torch.double),
            "epoch": torch.tensor(
                [row_of(report) for report in self.epoch_reports], dtype=torch.double
            ),
        }

    def start_epoch(self, epoch: int) -> None:
        """Open the progress bar; it is shown on terminals only."""
        self.epoch = epoch
        self.rows = epoch
        self.epoch_started = time.monotonic()
        columns, rows = shutil.get_terminal_size()  # never 0, as tqdm would find in some
        self.bar = tqdm(
            total=self.steps_per_epoch,
            initial=len(self.epoch_reports),
            desc=f"epoch {epoch + 1}/{self.epochs}",
            bar_format="{desc} {percentage:3.0f}% {n_fmt}/{total_fmt}{postfix}",
            disable=not sys.stderr.isatty(),
            leave=False,
            ncols=columns,
            nrows=rows,
        )

    def step(self, report: StepReport) -> None:
        """Take the report of one training step."""
        self.step_number += 1
        self.points = {}
        self.window.append(report)
        self.epoch_reports.append(report)
        if len(self.window) >= self.every:  # more, if epochs were longer before a resume
            self.points = {**summary(self.window), **speed(self.window)}
            self.curves.points(self.points, self.step_number)
            self.window = []
        assert self.bar is not None
        self.bar.set_postfix_str(self._status(report), refresh=False)
        self.bar.update()
        done = len(self.epoch_reports)
        if done == self.steps_per_epoch:
            self.bar.clear()  # validation has a bar of its own
        now = time.monotonic()
        if self.bar.disable and now - self.last_line > SECONDS_BETWEEN_LINES:
            self.last_line = now
            log.info("epoch %d/%d step %d/%d %s", self.epoch + 1, self.epochs, done,
                     self.steps_per_epoch, self._status(report))  # fmt: skip

    def end_epoch(self, val_losses: dict[str, float], metrics: Metrics, is_best: bool) -> None:
        """Record the epoch everywhere; ``metrics.json`` holds those of the best one."""
        self._close_bar()
        trained = summary(self.epoch_reports)
        row: Metrics = {
            **trained,
            **{loss_tag("val", name): value for name, value in val_losses.items()},
            **metrics,
        }
        validated = {tag: value for tag, value in row.items() if tag not in trained}
        self.curves.points(validated, self.step_number)  # the others have one, point by point
        self.curves.flush()
        self.results.append({"epoch": self.epoch, "step": self.step_number, **row})
        if is_best:
            self.folder.write_json("metrics.json", metrics)
        self.rows = self.epoch + 1
        row |= speed(self.epoch_reports)
        self.epoch_reports, self.points = [], {}
        seconds = time.monotonic() - self.epoch_started
        log.info("%s", epoch_line(self.epoch, self.epochs, row, seconds))

    def picture(
        self, tag: str, draw: Callable[[], Image.Image], file_name: str | None = None
    ) -> None:
        """Show a picture in TensorBoard and, with a file name, keep it in the run's folder."""
        picture = draw()
        self.curves.picture(tag, picture, self.step_number)
        if file_name:
            with only_warning():
                picture.save(self.folder.record / file_name, quality=90)

    def pr_curves(self, matches: Matches, classes: Sequence[str]) -> None:
        """Show precision-recall curves in TensorBoard."""
        self.curves.pr_curves(matches, classes, self.step_number)

    def settings(self, config: TrainConfig) -> None:
        """Show the settings in TensorBoard, whole as text and beside those of other runs."""
        self.curves.text("settings", json.dumps(to_dict(config), indent=2), self.step_number)
        self.curves.settings(compared_settings(config), METRICS)

    def _status(self, report: StepReport) -> str:
        losses = report.losses
        parts = {
            "loss": losses["loss"],
            "cls": losses["loss_classifier"],
            "box": losses["loss_box_reg"],
            "mask": losses["loss_mask"],
            "obj": losses["loss_objectness"],
            "rpn": losses["loss_rpn_box_reg"],
        }
        shown = " ".join(f"{name} {value:.3f}" for name, value in parts.items())
        recent = self.epoch_reports[-20:]
        images_per_second = speed(recent)[IMAGES_PER_SECOND]
        left = (self.epochs - self.epoch) * self.steps_per_epoch - len(self.epoch_reports)
        eta = left * sum(r.seconds for r in recent) / len(recent)
        # The most wanted first: a narrow terminal cuts the end off.
        return f"ETA {duration(eta)} {images_per_second:.1f} img/s {shown} lr {report.lr:.1e}"

    def _close_bar(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


class NoRecorder(contextlib.AbstractContextManager["NoRecorder"]):
    """Stands in for a ``Recorder`` in the processes of a run that do not record."""

    def __exit__(self, *_: object) -> None:
        pass

    def _nothing(self, *_: object) -> None:
        pass

    start_epoch = step = end_epoch = picture = pr_curves = settings = _nothing

    def to_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}


def epoch_line(epoch: int, epochs: int, row: Metrics, seconds: float) -> str:
    """One epoch in one line."""

    def shown(name: str) -> str:
        return f"{row[name]:.3f}" if name in row else "-"

    return (
        f"epoch {epoch + 1}/{epochs}"
        f"  train loss {shown('train/loss')}  val loss {shown('val/loss')}"
        f"  bbox AP {shown('bbox/AP')} AP50 {shown('bbox/AP50')}"
        f"  segm AP {shown('segm/AP')} AP50 {shown('segm/AP50')}"
        f"  {row[IMAGES_PER_SECOND]:.1f} img/s  {duration(seconds)}"
    )


def duration(seconds: float) -> str:
    """``1:02:03`` or ``4:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
