"""One epoch of training, and one pass over the held-out images. No files, no COCO."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchvision.models.detection import MaskRCNN

from nets.contract import Prediction, Target
from nets.detect import detect
from utils.data.loader import Batch
from utils.device import Precision

LOSSES = ("loss_classifier", "loss_box_reg", "loss_mask", "loss_objectness", "loss_rpn_box_reg")


class DivergedError(RuntimeError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class StepReport:
    """What one training step tells: losses by name (``loss`` is their sum), rate, and time."""

    losses: dict[str, float]
    lr: float
    images: int
    seconds: float  # whole step, loading included
    wait_seconds: float  # of these, waiting for the data


def seed_epoch(seed: int, epoch: int) -> None:
    """Start an epoch's random draws (anchors, RoIs) from the seed and its number alone, on all
    devices, so that they do not depend on the epochs before it."""
    torch.manual_seed(int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0]))


def train_one_epoch(
    model: MaskRCNN,
    batches: Iterable[Batch],
    optimizer: Optimizer,
    schedule: LRScheduler,
    precision: Precision,
    scaler: torch.amp.GradScaler,
    clip_norm: float,
    on_step: Callable[[StepReport], None],
) -> None:
    """Train on every batch once; ``on_step`` hears of each step.

    Raises:
        DivergedError: a loss or gradient is not finite; the weights are those before that step.
    """
    model.train()
    device = next(model.parameters()).device
    start = time.perf_counter()
    for images, targets in batches:
        loaded = time.perf_counter()
        moved_images, moved = to_device(images, targets, device)
        with precision.autocast():
            losses: dict[str, Tensor] = model(moved_images, moved)
            loss = torch.stack(list(losses.values())).sum()
        values = loss_values(losses)
        lr = float(schedule.get_last_lr()[0])
        if not math.isfinite(values["loss"]):
            raise DivergedError(diverged("loss", lr, values, targets))
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        norm = nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
        if not (scaler.is_enabled() or torch.isfinite(norm)):
            raise DivergedError(diverged("gradient", lr, values, targets))
        if clip_norm > 0:
            nn.utils.clip_grads_with_norm_(model.parameters(), clip_norm, norm)
        scale = scaler.get_scale()
        scaler.step(optimizer)
        scaler.update()
        if scaler.get_scale() >= scale:  # else float16 overflowed, and the step was skipped
            schedule.step()
        end = time.perf_counter()
        on_step(StepReport(values, lr, len(images), end - start, loaded - start))
        start = end


def diverged(what: str, lr: float, losses: dict[str, float], targets: list[Target]) -> str:
    """The message of a training that came to something that is no number."""
    ids = [target["image_id"] for target in targets]
    return (
        f"the {what} is not finite at learning rate {lr:.2e} ({_shown(losses)}; images {ids}); "
        "lower --lr, lengthen --warmup or set --clip-norm"
    )


def _shown(losses: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in losses.items())


@torch.inference_mode()
def evaluate(
    model: MaskRCNN,
    batches: Iterable[Batch],
    precision: Precision,
    on_image: Callable[[int, Prediction], None],
    with_losses: bool = True,
) -> dict[str, float]:
    """Detect in every image and return the mean losses (empty without ``with_losses``).

    ``on_image`` hears each image id with its prediction. The model is left in evaluation mode.

    Raises:
        DivergedError: a mean loss is not finite.
    """
    model.eval()
    device = next(model.parameters()).device
    sums: dict[str, float] = {}
    count = 0
    for images, targets in batches:
        moved_images, moved = to_device(images, targets, device)
        with precision.autocast():
            predictions, losses = detect(model, moved_images, moved if with_losses else None)
        for target, prediction in zip(targets, predictions, strict=True):
            on_image(target["image_id"], prediction)
        if with_losses:
            for name, value in loss_values(losses).items():
                sums[name] = sums.get(name, 0.0) + value * len(images)
        count += len(images)
    means = {name: value / count for name, value in sums.items()}
    if not all(map(math.isfinite, means.values())):
        raise DivergedError(f"the validation loss is not finite: {_shown(means)}; lower --lr")
    return means


def to_device(
    images: list[Tensor], targets: list[Target], device: torch.device
) -> tuple[list[Tensor], list[dict[str, Any]]]:
    """Images and what the model needs of the targets, moved without waiting for the copy."""
    moved: list[dict[str, Any]] = [
        {key: target[key].to(device, non_blocking=True) for key in ("boxes", "labels", "masks")}
        for target in targets
    ]
    return [image.to(device, non_blocking=True) for image in images], moved


def loss_values(losses: dict[str, Tensor]) -> dict[str, float]:
    """The five losses and their sum ``loss`` as numbers, in one transfer from the device."""
    values = torch.stack([losses[name].detach().float() for name in LOSSES]).tolist()
    return {"loss": sum(values), **dict(zip(LOSSES, values, strict=True))}
