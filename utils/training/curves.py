"""The TensorBoard side of what a run records."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from utils.evaluation.matches import Matches
from utils.training.hparams import hparam_summaries
from utils.training.text_log import log

JPEG_QUALITY = 75  # a panel of eight photographs takes 0.23 MB then, 1.5 MB as PNG
SCORES = np.linspace(0.0, 1.0, 101)  # thresholds of the curves; TensorBoard assumes even steps
MOST_PR_CURVES = 20  # classes


class Curves:
    """Writes TensorBoard events as long as that works: a full disk ends them, not the training.

    ``purge_step`` is the first step whose points of an earlier part of the run no longer count.
    """

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import, and only needed here

        self.folder = folder
        self.writer: SummaryWriter | None = None
        # It is TensorBoard's thread that fails; its next call says so, without that traceback.
        self.other_hook, threading.excepthook = threading.excepthook, self._hear_of_thread
        with self._giving_up():
            # A new run has such a step too: TensorBoard strikes nothing out at the first it reads.
            self.writer = SummaryWriter(str(folder), purge_step=purge_step or 0)

    def points(self, values: Mapping[str, float], step: int) -> None:
        """A point in each of some curves."""
        for tag, value in values.items():
            self._call("add_scalar", tag, value, step)

    def picture(self, tag: str, picture: Image.Image, step: int) -> None:
        """A picture, RGB."""
        self._summary(image_summary(tag, picture), step)

    def text(self, tag: str, text: str, step: int) -> None:
        """A text."""
        self._call("add_text", tag, text, step)

    def pr_curves(self, matches: Matches, classes: Sequence[str], step: int) -> None:
        """Precision and recall by score, at the lowest IoU threshold, of the commonest classes.

        A class without objects has no curve, and one that nothing was taken for: its precision is
        undefined.
        """
        objects = matches.objects[0].sum(axis=0)
        for index in sorted(np.argsort(-objects, kind="stable")[:MOST_PR_CURVES].tolist()):
            if objects[index] and (counts := score_counts(matches, index + 1))[:2, 0].any():
                self._call("add_pr_curve_raw", f"pr/segm50/{classes[index]}", *counts,
                           global_step=step, num_thresholds=len(SCORES))  # fmt: skip

    def settings(self, values: Mapping[str, Any], metrics: Sequence[str]) -> None:
        """The run's row of the HParams page: settings, beside the last points of some curves.

        Args:
            values: numbers and bools, the others as text; the first five are shown, the rest on a
                click.
            metrics: tags of curves.

        TensorBoard keeps the first row of a run, so a resumed run has one row too; and it takes the
        columns from one of the runs it shows, so all should have the same settings and metrics.
        """
        for summary in hparam_summaries(values, metrics):
            self._summary(summary, 0)

    def flush(self) -> None:
        """Write everything now."""
        self._call("flush")

    def close(self) -> None:
        """Write everything and end."""
        self._call("close")
        threading.excepthook = self.other_hook

    def _summary(self, summary: Any, step: int) -> None:
        if self.writer is not None and self.writer.file_writer is not None:
            with self._giving_up():
                self.writer.file_writer.add_summary(summary, step)

    def _call(self, method: str, *values: Any, **options: Any) -> None:
        if self.writer is not None:
            with self._giving_up():
                getattr(self.writer, method)(*values, **options)

    @contextmanager
    def _giving_up(self) -> Iterator[None]:
        """Within, the first failure is told of and the last call that is tried."""
        try:
            yield
        except Exception as error:  # TensorFlow, where it is installed, has errors of its own
            self.writer = None
            log.warning("warning: %s: no more TensorBoard curves (%s); training goes on without "
                        "them", self.folder, error)  # fmt: skip

    def _hear_of_thread(self, failure: threading.ExceptHookArgs) -> None:
        if not isinstance(failure.exc_value, OSError):
            self.other_hook(failure)


def image_summary(tag: str, picture: Image.Image) -> Any:
    """A TensorBoard summary of an RGB picture, as JPEG; ``add_image`` makes PNGs of it."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    file = io.BytesIO()
    picture.save(file, "JPEG", quality=JPEG_QUALITY)
    image = Summary.Image(
        width=picture.width,
        height=picture.height,
        colorspace=len(picture.getbands()),
        encoded_image_string=file.getvalue(),
    )
    return Summary(value=[Summary.Value(tag=tag, image=image)])


def score_counts(matches: Matches, label: int) -> np.ndarray:
    """What the detections of a class come to whose score is at least each of ``SCORES``.

    Returns:
        float64 (6, 101): true positives, false positives, true negatives (there are none in
        detection), false negatives, precision (0 of no detections) and recall, at IoU 0.5. The
        class must have an object.
    """
    counted = (matches.label == label) & ~matches.ignored[0, 0]
    true = _reaching(matches.score[counted & matches.matched[0, 0]])
    false = _reaching(matches.score[counted & ~matches.matched[0, 0]])
    objects = matches.objects[0, :, label - 1].sum()
    precision = true / np.maximum(true + false, 1)
    return np.stack([true, false, 0 * true, objects - true, precision, true / objects])


def _reaching(scores: np.ndarray) -> np.ndarray:
    """How many are at least each of ``SCORES``."""
    return len(scores) - np.searchsorted(np.sort(scores), SCORES)
