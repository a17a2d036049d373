"""Detections and losses of labelled images, in one process or several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torchvision.models.detection import MaskRCNN
from tqdm import tqdm

from nets.contract import Prediction
from nets.detect import detect
from nets.losses import LOSSES, named
from utils.data.loader import Batch, to_device
from utils.device import Precision
from utils.processes import Processes


class Judged(NamedTuple):
    """What a model found in one image, and its losses (empty if they were not wanted)."""

    image_id: int
    prediction: Prediction
    losses: dict[str, float]


@torch.inference_mode()
def judge(
    model: MaskRCNN, batches: Iterable[Batch], precision: Precision, with_losses: bool = True
) -> Iterator[Judged]:
    """Detect in every image. The model is left in evaluation mode.

    In a batch of several images each has the losses of the batch.
    """
    model.eval()
    device = next(model.parameters()).device
    for images, targets in batches:
        moved_images, moved = to_device(images, targets, device)
        with precision.autocast():
            predictions, losses = detect(model, moved_images, moved if with_losses else None)
        values: dict[str, float] = {}
        if with_losses:
            values = named(torch.stack([losses[name].float() for name in LOSSES]))
        for target, prediction in zip(targets, predictions, strict=True):
            yield Judged(target["image_id"], prediction, values)


def judge_arrays(
    predict: Callable[[Sequence[np.ndarray]], list[Prediction]], batches: Iterable[Batch]
) -> Iterator[Judged]:
    """As ``judge``, without losses, by what looks at arrays (H, W, channels), float32 in 0..1."""
    for images, targets in batches:
        predictions = predict([image.permute(1, 2, 0).numpy() for image in images])
        for target, prediction in zip(targets, predictions, strict=True):
            yield Judged(target["image_id"], prediction, {})


def predictions_of(
    model: MaskRCNN,
    batches: Iterable[Batch],
    precision: Precision,
    processes: Processes,
) -> dict[int, Prediction] | None:
    """As ``predictions_by`` of ``judge``."""
    return predictions_by(
        lambda shown: judge(model, shown, precision, with_losses=False), batches, processes
    )


def predictions_by(
    judging: Callable[[Iterable[Batch]], Iterator[Judged]],
    batches: Iterable[Batch],
    processes: Processes,
) -> dict[int, Prediction] | None:
    """What is found in the images, by image id, with a progress bar; None but in the first
    process."""
    hidden = None if processes.is_first else True
    progress = tqdm(batches, "testing", unit="image", leave=False, disable=hidden)
    judged = judge_together(judging(progress), processes)
    return None if judged is None else {one.image_id: one.prediction for one in judged}


def judge_together(
    judged: Iterable[Judged], processes: Processes, asked_to_stop: Callable[[], int] = int
) -> list[Judged] | None:
    """What all processes' shares of the images came to, by image id; None but in the first one.

    A process that is asked to stop leaves the rest of its share out; who needs all of them looks
    whether it was, in all processes.
    """
    mine: list[Judged] = []
    for one in judged:
        mine.append(one)
        if asked_to_stop():
            break
    everyone = processes.gather(mine)
    if everyone is None:
        return None
    by_id = {one.image_id: one for share in everyone for one in share}
    return [by_id[image_id] for image_id in sorted(by_id)]
