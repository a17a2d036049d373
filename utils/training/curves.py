"""The TensorBoard side of what a run records."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from utils.training.text_log import log


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
            self.writer = SummaryWriter(str(folder), purge_step=purge_step)

    def points(self, values: Mapping[str, float], step: int) -> None:
        """A point in each of some curves."""
        for tag, value in values.items():
            self._call("add_scalar", tag, value, step)

    def picture(self, tag: str, picture: Image.Image, step: int) -> None:
        """A picture, RGB."""
        self._call("add_image", tag, np.asarray(picture), step, dataformats="HWC")

    def text(self, tag: str, text: str, step: int) -> None:
        """A text."""
        self._call("add_text", tag, text, step)

    def flush(self) -> None:
        """Write everything now."""
        self._call("flush")

    def close(self) -> None:
        """Write everything and end."""
        self._call("close")
        threading.excepthook = self.other_hook

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
