"""What a dry run tells of the whole run: how long it would take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.training.recorder import duration
from utils.training.stages import Stage
from utils.training.step_report import IMAGES_PER_SECOND


@dataclass(frozen=True)
class Forecast:
    """What was timed, and how much of it the whole run is made of.

    ``step_seconds`` are of a step in each of the ``stages``, ``image_seconds`` of judging one of a
    process's held-out images.
    """

    stages: Sequence[Stage]
    step_seconds: Sequence[float]
    image_seconds: float
    steps: int  # of an epoch
    images: int  # per step, of all processes
    held_out: int  # images of one process

    @property
    def seconds(self) -> float:
        """How long all epochs take, with what is between them left out."""
        judging = self.held_out * self.image_seconds
        return sum(
            stage.epochs * (self.steps * step + judging)
            for stage, step in zip(self.stages, self.step_seconds, strict=True)
        )

    def __str__(self) -> str:
        epochs = sum(stage.epochs for stage in self.stages)
        steps = ", ".join(
            f"{step:.2f} s" if len(self.stages) == 1 else f"{step:.2f} s ({stage.trains})"
            for stage, step in zip(self.stages, self.step_seconds, strict=True)
        )
        return (
            f"a step of {self.images} images took {steps}; judging a held-out image took "
            f"{self.image_seconds:.2f} s\n"
            f"the whole run, {epochs} epoch{'s' * (epochs != 1)} of {self.steps} steps and "
            f"{self.held_out} judged images, would take about {duration(self.seconds)}: an "
            "estimate from the second step alone"
        )


def recorded_step_seconds(record: Path, images: int, steps: int) -> list[float]:
    """Seconds of the last of every so many ``steps``, of ``images`` each, by TensorBoard's events
    in a run's folder."""
    from tensorboard.backend.event_processing.event_accumulator import (  # slow to import
        EventAccumulator,
    )

    events = EventAccumulator(str(record)).Reload().Scalars(IMAGES_PER_SECOND)
    return [images / event.value for event in events if event.step % steps == 0]
