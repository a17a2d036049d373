"""What a run tells while it trains: TensorBoard, ``results.csv``, the text log and the console."""

from __future__ import annotations

import csv
import logging
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from PIL import Image
from tqdm import tqdm

from utils.evaluation.coco_evaluator import IOU_TYPES, NAMES, Metrics
from utils.training.engine import LOSSES, StepReport
from utils.training.run_folder import RunFolder

log = logging.getLogger("maskrcnn")
log.addHandler(logging.NullHandler())  # silent until open_log
POINTS_PER_EPOCH = 100  # TensorBoard points per training curve; more only makes the files larger
SECONDS_BETWEEN_LINES = 30.0  # progress where there is no terminal


class Recorder:
    """The four sinks of one training run. Use it as a context manager; it closes them all."""

    def __init__(
        self, folder: RunFolder, classes: Sequence[str], epochs: int, steps_per_epoch: int
    ) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import, and only needed here

        self.folder = folder
        self.epochs, self.steps_per_epoch = epochs, steps_per_epoch
        self.columns = csv_columns(classes)
        self.writer = SummaryWriter(str(folder.record))
        self.every = max(1, steps_per_epoch // POINTS_PER_EPOCH)
        self.step_number = 0
        self.window: list[StepReport] = []
        self.per_step_tags: set[str] = set()
        self.epoch_reports: list[StepReport] = []
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
        self.writer.close()

    def start_epoch(self, epoch: int) -> None:
        """Open the progress bar; it is shown on terminals only."""
        self.epoch = epoch
        self.epoch_reports = []
        self.epoch_started = time.monotonic()
        columns, rows = shutil.get_terminal_size()  # never 0, as tqdm would find in some
        self.bar = tqdm(
            total=self.steps_per_epoch,
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
        self.window.append(report)
        self.epoch_reports.append(report)
        if len(self.window) == self.every:
            for tag, value in summary(self.window).items():
                self.per_step_tags.add(tag)
                self.writer.add_scalar(tag, value, self.step_number)
            self.window = []
        assert self.bar is not None
        self.bar.set_postfix_str(self._status(report), refresh=False)
        self.bar.update()
        done = self.step_number - self.epoch * self.steps_per_epoch
        if done == self.steps_per_epoch:
            self.bar.clear()  # validation has a bar of its own
        now = time.monotonic()
        if self.bar.disable and now - self.last_line > SECONDS_BETWEEN_LINES:
            self.last_line = now
            log.info("epoch %d/%d step %d/%d %s", self.epoch + 1, self.epochs, done,
                     self.steps_per_epoch, self._status(report))  # fmt: skip

    def end_epoch(self, val_losses: dict[str, float], metrics: Metrics) -> None:
        """Record the epoch everywhere."""
        self._close_bar()
        row: Metrics = {
            **summary(self.epoch_reports),
            **{loss_tag("val", name): value for name, value in val_losses.items()},
            **metrics,
        }
        for tag, value in row.items():
            if tag not in self.per_step_tags:
                self.writer.add_scalar(tag, value, self.step_number)
        self.writer.flush()
        self._append_row({"epoch": self.epoch, "step": self.step_number, **row})
        seconds = time.monotonic() - self.epoch_started
        log.info("%s", epoch_line(self.epoch, self.epochs, row, seconds))

    def picture(self, tag: str, picture: Image.Image, file_name: str | None = None) -> None:
        """Show a picture in TensorBoard and, with a file name, keep it in the run's folder."""
        self.writer.add_image(tag, np.asarray(picture), self.step_number, dataformats="HWC")
        if file_name:
            picture.save(self.folder.record / file_name, quality=90)

    def text(self, tag: str, text: str) -> None:
        """Show a text in TensorBoard."""
        self.writer.add_text(tag, text, self.step_number)

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
        speed = summary(recent)["train/images_per_second"]
        left = self.epochs * self.steps_per_epoch - self.step_number
        eta = left * sum(r.seconds for r in recent) / len(recent)
        # The most wanted first: a narrow terminal cuts the end off.
        return f"ETA {duration(eta)} {speed:.1f} img/s {shown} lr {report.lr:.1e}"

    def _append_row(self, row: dict[str, float]) -> None:
        path = self.folder.record / "results.csv"
        is_new = not path.exists()
        with open(path, "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, restval="", extrasaction="ignore")
            if is_new:
                writer.writeheader()
            writer.writerow({name: _short(value) for name, value in row.items()})

    def _close_bar(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def summary(reports: Sequence[StepReport]) -> Metrics:
    """Means over steps by TensorBoard tag; the learning rate is the last one's."""
    seconds = sum(report.seconds for report in reports)
    means = {
        loss_tag("train", name): sum(report.losses[name] for report in reports) / len(reports)
        for name in ("loss", *LOSSES)
    }
    return {
        **means,
        "lr": reports[-1].lr,
        "train/images_per_second": sum(report.images for report in reports) / seconds,
        "train/data_wait_share": sum(report.wait_seconds for report in reports) / seconds,
    }


def loss_tag(phase: str, name: str) -> str:
    """``train/loss``, ``train/loss_mask``, ``val/loss``..."""
    return f"{phase}/{name}"


def csv_columns(classes: Sequence[str]) -> list[str]:
    """The columns of ``results.csv``, the same ones in the same order for the whole run."""
    losses = ("loss", *LOSSES)
    columns = ["epoch", "step", *(loss_tag("train", name) for name in losses)]
    columns += [*(loss_tag("val", name) for name in losses), "lr"]
    columns += ["train/images_per_second", "train/data_wait_share"]
    for iou_type in IOU_TYPES:
        columns += [f"{iou_type}/{name}" for name in NAMES]
        columns += [f"{iou_type}/{name}/{label}" for label in classes for name in ("AP", "AP50")]
    return columns


def epoch_line(epoch: int, epochs: int, row: Metrics, seconds: float) -> str:
    """One epoch in one line."""

    def shown(name: str) -> str:
        return f"{row[name]:.3f}" if name in row else "-"

    return (
        f"epoch {epoch + 1}/{epochs}"
        f"  train loss {shown('train/loss')}  val loss {shown('val/loss')}"
        f"  bbox AP {shown('bbox/AP')} AP50 {shown('bbox/AP50')}"
        f"  segm AP {shown('segm/AP')} AP50 {shown('segm/AP50')}"
        f"  {row['train/images_per_second']:.1f} img/s  {duration(seconds)}"
    )


def duration(seconds: float) -> str:
    """``1:02:03`` or ``4:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def open_log(path: Path) -> None:
    """Send the run's messages to the console and, with times, to the text log."""
    log.setLevel(logging.INFO)
    log.handlers.clear()
    log.addHandler(_ConsoleHandler())
    to_file = logging.FileHandler(path, encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(to_file)


class _ConsoleHandler(logging.Handler):
    """Prints around the progress bar; errors are left to the command, which prints them last."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.ERROR:
            tqdm.write(self.format(record), file=sys.stdout)


def _short(value: float) -> float | str:
    return value if isinstance(value, int) else f"{value:.6g}"
