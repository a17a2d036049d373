"""What one training step tells, and what several tell together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nets.losses import LOSSES

IMAGES_PER_SECOND = "speed/images_per_second"


@dataclass(frozen=True)
class StepReport:
    """What one training step tells: losses by name (``loss`` is their sum), rate, and time."""

    losses: dict[str, float]
    lr: float
    images: int  # of all processes
    seconds: float  # whole step, loading included
    wait_seconds: float  # of these, waiting for the data


def summary(reports: Sequence[StepReport]) -> dict[str, float]:
    """Means over steps by TensorBoard tag; the learning rate is the last one's."""
    means = {
        loss_tag("train", name): sum(report.losses[name] for report in reports) / len(reports)
        for name in ("loss", *LOSSES)
    }
    return {**means, "lr": reports[-1].lr}


def speed(reports: Sequence[StepReport]) -> dict[str, float]:
    """How fast steps were, by TensorBoard tag. Not in ``results.csv``, which is the same for the
    same run, however often it was interrupted."""
    seconds = sum(report.seconds for report in reports)
    return {
        IMAGES_PER_SECOND: sum(report.images for report in reports) / seconds,
        "speed/data_wait_share": sum(report.wait_seconds for report in reports) / seconds,
    }


def row_of(report: StepReport) -> list[float]:
    """A report as numbers, to be saved."""
    losses = [report.losses[name] for name in ("loss", *LOSSES)]
    return [*losses, report.lr, report.images, report.seconds, report.wait_seconds]


def report_of(row: Sequence[float]) -> StepReport:
    """The report that ``row_of`` made a row of."""
    *losses, lr, images, seconds, wait_seconds = row
    named = dict(zip(("loss", *LOSSES), losses, strict=True))
    return StepReport(named, lr, int(images), seconds, wait_seconds)


def loss_tag(phase: str, name: str) -> str:
    """``train/loss``, ``train/loss_mask``, ``val/loss``..."""
    return f"{phase}/{name}"
