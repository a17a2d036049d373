"""Saving a run as it goes: after each epoch, every so often within one, and when it has to stop."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from nets.weights_file import WeightsFile
from utils.data.worker_watch import WorkerError
from utils.interruption import Stopped
from utils.training.checkpoint import LAST, Checkpoints
from utils.training.diverged import ADVICE, DivergedError
from utils.training.recorder import NoRecorder, Recorder
from utils.training.state import TrainingState
from utils.training.text_log import log
from utils.training.validation import Validated


@dataclass
class Keeper:
    """Knows everything that a saved run consists of.

    Args:
        checkpoints: where it goes.
        state: the training.
        recorder: what was recorded of it.
        weights: the weights file, but for its tensors, epoch and metrics.
        settings: of the run; plain values.
        minutes: between two saves within an epoch; 0 for none.
    """

    checkpoints: Checkpoints
    state: TrainingState
    recorder: Recorder | NoRecorder
    weights: WeightsFile
    settings: dict[str, Any]
    minutes: float
    last_save: float = field(default_factory=time.monotonic)
    saved: tuple[int, int] | None = None  # epoch and batches of it

    def after_step(self) -> None:
        """Save if it is time to."""
        if self.minutes and time.monotonic() - self.last_save > 60 * self.minutes:
            self.save()

    def end_epoch(self, validated: Validated, is_best: bool) -> None:
        """Write the weights of a finished epoch, and go on to the next."""
        self._check_finite()
        weights = replace(
            self._current(),
            metrics=validated.metrics,
            operating_point=validated.operating_point,
        )
        self.checkpoints.save_epoch(weights, is_best)
        self.state.end_epoch()
        self._save(weights)

    @contextmanager
    def saving_when_stopped(self) -> Iterator[None]:
        """Save when ``Stopped`` comes from within, or no more images do; and pass it on."""
        try:
            yield
        except (Stopped, WorkerError):
            self.save()
            path = self.checkpoints.folder / LAST
            log.info("saved in epoch %d after %d batches; to go on: python train.py --resume %s",
                     self.state.epoch + 1, self.state.batches, shlex.quote(str(path)))  # fmt: skip
            raise

    def save(self) -> None:
        """Write ``last.pth``, unless it was written at this place of the run.

        Raises:
            DivergedError: a number is not finite; nothing is written.
        """
        if self.saved != (self.state.epoch, self.state.batches):
            self._check_finite()
            self._save(self._current())

    def _save(self, weights: WeightsFile) -> None:
        state = {
            **self.state.to_dict(),
            "settings": self.settings,
            "recorded": self.recorder.to_dict(),
        }
        self.checkpoints.save_last(weights, state)
        self.last_save = time.monotonic()
        self.saved = (self.state.epoch, self.state.batches)

    def _current(self) -> WeightsFile:
        return replace(self.weights, model=self.state.judged.state_dict(), epoch=self.state.epoch)

    def _check_finite(self) -> None:
        if self.checkpoints.writes and not self.state.is_finite():
            raise DivergedError(
                f"the weights after step {self.state.step} are not all finite numbers and are not "
                f"saved; {ADVICE}"
            )
