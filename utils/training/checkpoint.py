"""Which weights of a run are kept: the best, the newest ones, and the state to resume from."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

from nets.weights_file import WeightsFile, save_weights

BEST, LAST, PREVIOUS = "best.pth", "last.pth", "previous.pth"
NO_BEST: dict[str, Any] = {"best": None, "best_epoch": 0}
EPOCH_PREFIX = "MaskRCNN_"
BEST_BY = "segm/AP"


class Checkpoints:
    """Writes the weights files of one run.

    ``best.pth`` has the highest segm AP on the validation split, ``MaskRCNN_<epoch>.pth`` are the
    ``keep`` newest epochs. ``last.pth`` adds what resuming needs; it is written after everything
    else of an epoch, so that an epoch that is not in it is trained again, whole. The one before
    stays as ``previous.pth``.
    """

    def __init__(self, folder: Path, keep: int, writes: bool = True) -> None:
        self.folder = folder
        self.keep = keep
        self.writes = writes  # one of several processes does
        self.best: float | None = None  # undefined until something labelled was judged
        self.best_epoch = 0

    def judge(self, epoch: int, metrics: dict[str, float]) -> bool:
        """Whether these metrics are the best so far; remembers them if so."""
        score = metrics.get(BEST_BY)
        # While nothing is found, or nothing can be judged, the newest is as good as any.
        is_best = (score or 0) > (self.best or 0) or not (score or self.best)
        if is_best:
            self.best, self.best_epoch = score, epoch
        return is_best

    def save_epoch(self, weights: WeightsFile, is_best: bool) -> None:
        """Write the files of a finished epoch."""
        epoch = weights.epoch or 0
        if not self.writes:
            return
        if is_best:
            save_weights(self.folder / BEST, weights)
        if self.keep:
            save_weights(self.folder / f"{EPOCH_PREFIX}{epoch}.pth", weights)
        self._drop_old(epoch)

    def save_last(self, weights: WeightsFile, state: dict[str, Any]) -> None:
        """Write what a resumed run goes on from, and keep what was there before."""
        if not self.writes:
            return
        last, new = self.folder / LAST, self.folder / f"{LAST}.new"
        resume = {**state, "best": self.best, "best_epoch": self.best_epoch}
        save_weights(new, weights, resume=resume)
        if last.exists():
            keep_as(last, self.folder / PREVIOUS)
        new.replace(last)

    def restore(self, state: dict[str, Any], path: Path) -> None:
        """Go on with the best of ``state``, which ``save_last`` wrote and ``path`` holds."""
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        last = self.folder / LAST
        if self.writes and path.resolve() == (self.folder / PREVIOUS).resolve():
            keep_as(path, last)  # or the next save would keep what is damaged in its place

    def _drop_old(self, epoch: int) -> None:
        for path in self.folder.glob(f"{EPOCH_PREFIX}*.pth"):
            number = path.stem.removeprefix(EPOCH_PREFIX)
            if number.isdigit() and int(number) <= epoch - self.keep:
                path.unlink()


def space_wanted(folder: Path, keep: int) -> int:
    """The bytes that a run's weights come to, told from a folder that one epoch left: two saves of
    the state and the next one while it is written, the best epoch, and the newest ones likewise."""
    state, weights = ((folder / name).stat().st_size for name in (LAST, BEST))
    return 3 * state + (1 + keep + 1) * weights


def check_space(root: Path, wanted: int) -> None:
    """Raise ``OSError`` if a folder's disk has less space than the weights of a run want."""
    while not root.exists():
        root = root.resolve().parent
    free = shutil.disk_usage(root).free
    if free < wanted:
        raise OSError(
            errno.ENOSPC,
            f"the weights of this run come to {wanted >> 20} MB, {free >> 20} MB are free",
            str(root),
        )


def keep_as(path: Path, other: Path) -> None:
    """Let ``other`` be what ``path`` is now, without a moment in which either is missing."""
    partial = other.with_name(other.name + ".part")
    partial.unlink(missing_ok=True)
    try:
        os.link(path, partial)  # takes no space
    except OSError:  # a file system without links
        try:
            shutil.copyfile(path, partial)
        except OSError:  # not enough space for one more: the other stays as it is
            partial.unlink(missing_ok=True)
            return
    partial.replace(other)
    partial.unlink(missing_ok=True)  # renaming one link of a file to another does nothing
