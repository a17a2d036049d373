"""What training changes from step to step, and what of it a resumed run needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel
from torchvision.models.detection import MaskRCNN

from utils.config import TrainConfig
from utils.training.schedule import build_optimizer, build_schedule
from utils.training.stages import Stage


@dataclass
class TrainingState:
    """A model in training and its place in the run.

    ``average`` is a moving average of the model's weights; where there is one, it is what is judged
    and kept.
    """

    model: MaskRCNN
    optimizer: Optimizer
    schedule: LRScheduler
    scaler: torch.amp.GradScaler
    average: MovingAverage | None = None
    steps_per_epoch: int = 1
    images_per_batch: int = 1  # of all processes
    epoch: int = 0  # that is being trained, from 0
    batches: int = 0  # of it that are done
    step: int = 0  # optimizer steps of the whole run
    overflows: int = 0  # float16 steps skipped in a row

    @property
    def judged(self) -> MaskRCNN:
        """The weights to judge and to keep."""
        return self.model if self.average is None else self.average.module

    def end_epoch(self) -> None:
        """Go on to the next epoch."""
        self.epoch += 1
        self.batches = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values and tensors, beside the judged weights."""
        saved: dict[str, Any] = {
            "epoch": self.epoch,
            "batches": self.batches,
            "step": self.step,
            "overflows": self.overflows,
            "steps_per_epoch": self.steps_per_epoch,
            "images_per_batch": self.images_per_batch,
            "schedule_step": self.schedule.last_epoch,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": random_states(),
        }
        if self.average is not None:
            saved["model"] = self.model.state_dict()
            saved["averaged"] = int(self.average.n_averaged)
        return saved

    def is_finite(self) -> bool:
        """Whether no number of the model and the optimizer has become infinite or NaN."""
        tensors = [*self.model.state_dict().values(), *self.judged.state_dict().values()]
        for values in self.optimizer.state.values():
            tensors += [value for value in values.values() if isinstance(value, Tensor)]
        return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


def start_state(
    model: MaskRCNN,
    config: TrainConfig,
    stages: Sequence[Stage],
    scaler: torch.amp.GradScaler,
    steps_per_epoch: int,
    images_per_batch: int,
) -> TrainingState:
    """The state before the first step."""
    optimizer = build_optimizer(model, config)
    return TrainingState(
        model,
        optimizer,
        build_schedule(optimizer, config, stages, steps_per_epoch),
        scaler,
        MovingAverage(model, config.ema) if config.ema else None,
        steps_per_epoch,
        images_per_batch,
    )


def go_on_from(
    state: TrainingState,
    saved: dict[str, Any],
    judged: dict[str, Tensor],
    config: TrainConfig,
    stages: Sequence[Stage],
) -> None:
    """Bring a state of ``start_state`` to where ``to_dict`` was called.

    ``judged`` are the weights that were kept beside it. What ``config`` says of rates, momentum and
    decay counts, and batches may have another size: within an epoch, the images that were seen
    are skipped, rounded down to whole batches.
    """
    state.model.load_state_dict(saved.get("model", judged))
    if state.average is not None:
        state.average.module.load_state_dict(judged)
        state.average.n_averaged.fill_(saved.get("averaged", 0))
    fresh = [{k: v for k, v in g.items() if k != "params"} for g in state.optimizer.param_groups]
    state.optimizer.load_state_dict(saved["optimizer"])
    for group, options in zip(state.optimizer.param_groups, fresh, strict=True):
        group.update(options)
    if saved["scaler"]:  # empty without float16
        state.scaler.load_state_dict(saved["scaler"])
    state.epoch, state.step, state.overflows = saved["epoch"], saved["step"], saved["overflows"]
    state.batches = saved["batches"] * saved["images_per_batch"] // state.images_per_batch
    step = saved["schedule_step"]
    if saved["steps_per_epoch"] != state.steps_per_epoch:
        step = state.epoch * state.steps_per_epoch + state.batches // config.accumulate
    state.schedule = build_schedule(state.optimizer, config, stages, state.steps_per_epoch, step)
    restore_random_states(saved["random"])


class MovingAverage(AveragedModel):
    """An exponential moving average of a model's parameters; its buffers follow the model.

    The decay grows to its value with the number n of averaged steps, as (1 + n) / (10 + n), so that
    the random first weights are soon forgotten (as TensorFlow's ExponentialMovingAverage has it).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model, multi_avg_fn=self._average)
        self.requires_grad_(False)
        self.decay = decay

    def _average(self, averaged: Any, current: Any, _: Any) -> None:
        count = int(self.n_averaged)  # on the CPU; the argument may lie on a GPU and be waited for
        decay = min(self.decay, (1 + count) / (10 + count))
        torch._foreach_lerp_(averaged, current, 1 - decay)


def random_states() -> dict[str, Tensor]:
    """The states of torch's generators, by device."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore_random_states(states: dict[str, Tensor]) -> None:
    """Go on drawing where ``states`` were taken."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
