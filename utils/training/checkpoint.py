"""Which weights of a run are kept: the best, the newest ones, and the state to resume from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from nets.weights_file import WeightsFile, save_weights

BEST, LAST = "best.pth", "last.pth"
EPOCH_PREFIX = "MaskRCNN_"
BEST_BY = "segm/AP"


class Checkpoints:
    """Writes the weights files of one run.

    ``best.pth`` has the highest segm AP on the validation split, ``MaskRCNN_<epoch>.pth`` are the
    ``keep`` newest epochs, ``last.pth`` adds what resuming needs.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder = folder
        self.keep = keep
        self.best: float | None = None  # undefined until something labelled was judged
        self.best_epoch = 0

    def save(self, weights: WeightsFile, state: dict[str, Any]) -> bool:
        """Write the files of one finished epoch; whether it is the best so far."""
        epoch = weights.epoch or 0
        score = weights.metrics.get(BEST_BY)
        # While nothing is found, or nothing can be judged, the newest is as good as any.
        is_best = (score or 0) > (self.best or 0) or not (score or self.best)
        if is_best:
            self.best, self.best_epoch = score, epoch
            save_weights(self.folder / BEST, weights)
        if self.keep:
            save_weights(self.folder / f"{EPOCH_PREFIX}{epoch}.pth", weights)
        self._drop_old(epoch)
        resume = {**state, "best": self.best, "best_epoch": self.best_epoch}
        save_weights(self.folder / LAST, weights, resume=resume)
        return is_best

    def _drop_old(self, epoch: int) -> None:
        for path in self.folder.glob(f"{EPOCH_PREFIX}*.pth"):
            number = path.stem.removeprefix(EPOCH_PREFIX)
            if number.isdigit() and int(number) <= epoch - self.keep:
                path.unlink()


def training_state(
    optimizer: Optimizer,
    schedule: LRScheduler,
    scaler: torch.amp.GradScaler,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """What, beside the weights, the next epoch depends on; plain values and tensors.

    There are no random states in it: every epoch starts from its own seed (``seed_epoch``).
    """
    return {
        "optimizer": optimizer.state_dict(),
        "schedule": {"last_epoch": schedule.last_epoch},
        "scaler": scaler.state_dict(),
        "settings": settings,
    }
