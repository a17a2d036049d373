"""The optimizer and the learning rate over time, one step at a time."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Callable, Sequence
from itertools import accumulate

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from utils.config import TrainConfig
from utils.processes import Processes
from utils.training.stages import Stage

WARMUP_START = 1 / 1000  # torchvision's reference warm-up starts at this share of the rate


def build_optimizer(model: nn.Module, config: TrainConfig) -> Optimizer:
    """SGD with momentum as in torchvision's tutorial, or AdamW, over all parameters.

    Those without a gradient are left as they are, undecayed, so that frozen ones may train in a
    later stage. AdamW does not decay norms and biases: it would shrink them as fast as the weights.
    """
    parameters = list(model.parameters())
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=config.lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, fused=parameters[0].device.type != "mps")


def build_schedule(
    optimizer: Optimizer,
    config: TrainConfig,
    stages: Sequence[Stage],
    steps_per_epoch: int,
    step: int = 0,
) -> LambdaLR:
    """A scheduler to be stepped after every optimizer step, of which an epoch has so many.

    ``step`` is the one it starts at, that of a run that is resumed.
    """
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] = config.lr
    return LambdaLR(optimizer, lr_factor(config, stages, steps_per_epoch), last_epoch=step - 1)


def lr_factor(
    config: TrainConfig, stages: Sequence[Stage], steps_per_epoch: int
) -> Callable[[int], float]:
    """The share of ``--lr`` that holds at each optimizer step: in every stage, the stage's rate
    with a warm-up and a schedule of its own."""
    ends = list(accumulate(stage.epochs * steps_per_epoch for stage in stages))
    starts = [0, *ends[:-1]]

    def factor(step: int) -> float:
        number = min(bisect(ends, step), len(stages) - 1)
        stage = stages[number]
        share = _stage_factor(config, stage.epochs, steps_per_epoch, step - starts[number])
        return stage.lr / config.lr * share

    return factor


def _stage_factor(config: TrainConfig, epochs: int, steps_per_epoch: int, step: int) -> float:
    """The share of a stage's rate that holds at a step of it: linear warm-up times the schedule.

    Warm-up ends within the first epoch: with one step per epoch there is none, and the full rate
    holds from the first step (torchvision's reference would stay at a thousandth for ever).
    """
    warmup = min(config.warmup, steps_per_epoch - 1)
    share = 1.0
    if config.schedule == "step":
        share = config.lr_gamma ** (step // steps_per_epoch // config.lr_step)
    elif config.schedule == "cosine":
        progress = max(step - warmup, 0) / max(epochs * steps_per_epoch - warmup, 1)
        share = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    if step < warmup:
        share *= WARMUP_START + (1 - WARMUP_START) * step / warmup
    return share


def rate_factor(config: TrainConfig, processes: Processes) -> tuple[float, str]:
    """What ``--scale-lr`` multiplies the learning rate with, and the decision in words.

    The linear rule of Goyal et al. 2017, https://arxiv.org/abs/1706.02677.
    """
    factor = processes.count * config.accumulate
    images = f"{config.batch_size} images"
    if processes.count > 1:
        images = f"{processes.count} processes x {images}"
    if config.accumulate > 1:
        images = f"{config.accumulate} batches of {images}"
    if config.scale_lr:
        return factor, f"a step is {images}: --scale-lr multiplies the learning rate by {factor}"
    hint = f"; --scale-lr would multiply it by {factor}" if factor > 1 else ""
    return 1, f"a step is {images}: the learning rate is as given{hint}"
