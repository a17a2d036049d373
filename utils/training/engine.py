"""Training on the batches of an epoch, step by step. No files, no COCO."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nets.freezing import hold_frozen_norms
from nets.losses import LOSSES, named
from nets.padding import padding_to
from nets.sampler import MEAN_OVER, counts_of, sampling_from
from utils.data.loader import Batch, to_device
from utils.device import Precision
from utils.processes import ALONE, Processes
from utils.training.diverged import DivergedError, Moment
from utils.training.state import TrainingState
from utils.training.step_report import StepReport

MOST_OVERFLOWS = 20  # float16 steps skipped in a row, after which the scale is no remedy


@dataclass
class Trainer:
    """Takes the steps of a run.

    Args:
        state: the model, its optimizer and their place in the run.
        precision: the number format of the forward pass.
        clip_norm: the largest gradient norm; 0 leaves gradients alone.
        accumulate: batches whose gradients make one step.
        seed: of the anchors and RoIs that are sampled.
        processes: those that train together; ``network`` is then what ``Processes.wrap`` makes of
            the model, anew whenever other parameters are to train.
    """

    state: TrainingState
    precision: Precision
    clip_norm: float = 0.0
    accumulate: int = 1
    seed: int = 0
    processes: Processes = ALONE

    def __post_init__(self) -> None:
        self.network: nn.Module = self.state.model

    def steps(self, batches: Iterable[Batch], own: int) -> Iterator[StepReport]:
        """Train on the batches that are left of the epoch, and report each step.

        ``own`` of the epoch's batches hold images of this process's own; a last one beyond stands
        in for a process that has none left, and counts nothing.

        Raises:
            DivergedError: a loss or gradient is not finite; the weights are those before the step.
        """
        self.state.model.train()
        hold_frozen_norms(self.state.model)
        left = iter(batches)
        start = asked = time.perf_counter()
        while group := list(islice(left, self.accumulate)):
            waited = time.perf_counter() - asked
            losses, lr, images = self._step(group, own)
            end = time.perf_counter()
            yield StepReport(losses, lr, images, end - start, waited)
            start, asked = end, time.perf_counter()  # what is done with a report counts to the next
        for model in dict.fromkeys((self.state.model, self.state.judged)):  # in the same order
            self.processes.share_buffers(model)

    def _step(self, group: list[Batch], own: int) -> tuple[dict[str, float], float, int]:
        """One optimizer step on the mean gradient of some batches."""
        state = self.state
        lr = float(state.schedule.get_last_lr()[0])
        state.optimizer.zero_grad(set_to_none=True)
        parts, images = [], 0
        for number, batch in enumerate(group):
            is_last = number == len(group) - 1
            is_own = state.batches + number < own
            with contextlib.nullcontext() if is_last else self._unsynchronised():
                losses, count = self._forward(batch, is_own)
                state.scaler.scale(losses.sum() / len(group)).backward()
            parts.append(losses.detach())
            images += count
        # Looked at after all batches: a GPU has the backward passes to do meanwhile.
        values = self.processes.stack(torch.stack(parts)).mean(0).cpu()
        scale = state.scaler.get_scale() if state.scaler.is_enabled() else None
        moment = Moment(state.epoch, state.step + 1, named(values.mean(0)), lr, scale)
        for batch, row in zip(group, values, strict=True):
            if not row.isfinite().all():
                moment = replace(moment, losses=named(row))
                raise DivergedError("the loss is not finite", moment, [batch])
        self._update(group, moment)
        state.step += 1
        state.batches += len(group)
        return moment.losses, lr, images

    def _forward(self, batch: Batch, is_own: bool) -> tuple[Tensor, int]:
        """The five losses to differentiate, and the number of images; of several processes, the
        losses are this one's part of the mean over all, and the images those of all."""
        images, targets = batch
        model = self.state.model
        device = next(model.parameters()).device
        moved_images, moved = to_device(images, targets, device)
        seeds = [sampling_seed(self.seed, self.state.epoch, t["image_id"]) for t in targets]
        agree = self.processes.largest if self.processes.count > 1 else None
        with self.precision.autocast(), sampling_from(model, seeds), padding_to(model, agree):
            losses: dict[str, Tensor] = self.network(moved_images, moved)
        stacked = torch.stack([losses[name].float() for name in LOSSES])
        if self.processes.count == 1:
            return stacked, len(images)
        counts = torch.cat([counts_of(model), torch.tensor([len(images)], device=device)]) * is_own
        weights, total = self._weights(counts)
        return stacked * weights, total

    def _weights(self, counts: Tensor) -> tuple[Tensor, int]:
        """What to multiply this process's losses with so that their mean over the processes is the
        mean over all their images' anchors and RoIs, as it would be in one process; and how many
        images there are."""
        stacked = self.processes.stack(counts)
        shares = counts * self.processes.count / stacked.sum(0).clamp(min=1)
        columns = [MEAN_OVER[name] for name in LOSSES]
        return shares[columns], int(stacked[:, -1].sum())

    def _update(self, group: list[Batch], moment: Moment) -> None:
        """Move the weights, unless the gradient is no number."""
        state = self.state
        state.scaler.unscale_(state.optimizer)
        gradients = [p.grad for p in state.model.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if not (state.scaler.is_enabled() or torch.isfinite(norm)):
            raise DivergedError("the gradient is not finite", moment, group)
        if self.clip_norm > 0:
            nn.utils.clip_grads_with_norm_(state.model.parameters(), self.clip_norm, norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        if moment.scale and state.scaler.get_scale() < moment.scale:  # float16 overflowed, no step
            state.overflows += 1
            if state.overflows == MOST_OVERFLOWS:
                what = f"{MOST_OVERFLOWS} steps in a row overflowed in float16, the last one"
                raise DivergedError(what, moment, group)
            return
        state.overflows = 0
        state.schedule.step()
        if state.average is not None:
            state.average.update_parameters(state.model)

    def _unsynchronised(self) -> contextlib.AbstractContextManager[Any]:
        """Within, gradients are added up in each process alone."""
        if self.processes.count == 1:
            return contextlib.nullcontext()
        return self.network.no_sync()  # type: ignore[operator]


def sampling_seed(seed: int, epoch: int, image_id: int) -> int:
    """What the anchors and RoIs of an image are drawn from in an epoch."""
    return int(np.random.SeedSequence((seed, epoch, image_id)).generate_state(1)[0])
