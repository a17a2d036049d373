"""The optimizer and the learning rate over time, one step at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from utils.config import TrainConfig

WARMUP_START = 1 / 1000  # torchvision's reference warm-up starts at this share of the rate


def build_optimizer(model: nn.Module, config: TrainConfig) -> Optimizer:
    """SGD with momentum as in torchvision's tutorial, or AdamW.

    AdamW does not decay norms and biases: it would shrink them as fast as the weights.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            trainable,
            lr=config.lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, fused=trainable[0].device.type != "mps")


def build_schedule(optimizer: Optimizer, config: TrainConfig, steps_per_epoch: int) -> LambdaLR:
    """A scheduler to be stepped after every optimizer step."""
    return LambdaLR(optimizer, lr_factor(config, steps_per_epoch))


def lr_factor(config: TrainConfig, steps_per_epoch: int) -> Callable[[int], float]:
    """The share of ``--lr`` that holds at each step: linear warm-up times the chosen schedule.

    Warm-up ends within the first epoch: with one batch per epoch there is none, and the full rate
    holds from the first step (torchvision's reference would stay at a thousandth for ever).
    """
    warmup = min(config.warmup, steps_per_epoch - 1)
    total = config.epochs * steps_per_epoch

    def factor(step: int) -> float:
        share = 1.0
        if config.schedule == "step":
            share = config.lr_gamma ** (step // steps_per_epoch // config.lr_step)
        elif config.schedule == "cosine":
            progress = max(step - warmup, 0) / max(total - warmup, 1)
            share = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        if step < warmup:
            share *= WARMUP_START + (1 - WARMUP_START) * step / warmup
        return share

    return factor
