"""The largest batch that fits in memory, as ``--batch-size auto`` asks: found by trial steps."""

from __future__ import annotations

import copy
import gc
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torchvision.models.detection import MaskRCNN

from nets.contract import CompactMasks, Target
from nets.freezing import train_only, trainable_count
from nets.mask_rcnn import input_size
from nets.out_of_memory import is_out_of_memory
from utils.config import AUTO_BATCH, TrainConfig
from utils.data.instance_dataset import InstanceDataset
from utils.data.loader import Batch
from utils.device import Precision
from utils.doctor.network_view import NetworkView
from utils.memory import Meter, gigabytes, meter_of
from utils.processes import Processes
from utils.training.engine import Trainer
from utils.training.stages import Stage
from utils.training.state import random_states, restore_random_states, start_state

MOST = 16  # beyond, a larger batch changes how training goes more than it speeds it up
LEAST_STEPS = 4  # of an epoch
# The rest is left to what trial steps do not show: memory in pieces after batches of many sizes,
# loading processes, judging and saving.
SHARE = 0.8


@dataclass
class BatchFit:
    """How large a batch may be and why; ``taken`` are the bytes that trial steps took, by size."""

    room: int  # bytes that a step may take
    most: int  # images per batch, however much memory there is
    batch_size: int = 1
    taken: dict[int, int] = field(default_factory=dict)
    reason: str = ""  # why it is not larger

    def __str__(self) -> str:
        tried = ", ".join(f"{gigabytes(size)} at {n}" for n, size in self.taken.items())
        return (
            f"--batch-size auto: {self.batch_size} (trial steps took {tried}, of "
            f"{gigabytes(self.room)}; {self.reason}); --lr is as given, and may want to grow in "
            "proportion to the batch"
        )


class TrialBatches:
    """The most demanding batches that a data set can give, of noise and tiles for objects.

    They hold the tallest, the widest and the largest images, as batches are padded to the sides of
    those; each with as many objects as the image with the most has, and as the heads are trained
    on: an untrained network finds few of them, later all regions there is place for are trained.
    """

    def __init__(self, dataset: InstanceDataset, model: MaskRCNN, is_transposed: bool) -> None:
        self.channels = dataset.channels
        self.compact_masks = dataset.compact_masks
        self.view = NetworkView(*input_size(model))
        self.divisor = model.transform.size_divisible
        records = dataset.data.images
        sizes = {(record.height, record.width) for record in records}
        if is_transposed:
            sizes |= {(width, height) for height, width in sizes}
        largest = max(sizes, key=lambda size: (math.prod(self._resized(size)), size))
        tallest, widest = (max(sizes, key=lambda s: (self._resized(s)[i], s)) for i in (0, 1))
        self.order = [tallest, widest, largest]
        self.largest = largest
        sampler = model.roi_heads.fg_bg_sampler
        regions = int(sampler.batch_size_per_image * sampler.positive_fraction)
        most = max(len(record.instances) for record in records)
        self.objects = max(regions, 2 * most if dataset.copy_paste else most)

    def batch(self, size: int) -> Batch:
        """Images and targets."""
        sizes = self._sizes(size)
        images = [torch.rand(self.channels, *one) for one in sizes]
        return images, [self._target(*one) for one in sizes]

    def pixels(self, size: int) -> int:
        """What a batch has as the network sees it: resized and padded."""
        resized = [self._resized(one) for one in self._sizes(size)]
        sides = (max(sides) for sides in zip(*resized, strict=True))
        return size * math.prod(math.ceil(side / self.divisor) * self.divisor for side in sides)

    def _sizes(self, size: int) -> list[tuple[int, int]]:
        """Height and width of each image."""
        if size == 1:
            return [self.largest]
        return [*self.order, *[self.largest] * size][:size]

    def _resized(self, size: tuple[int, int]) -> tuple[int, int]:
        height, width = size
        scale = self.view.scale(width, height)
        return int(height * scale), int(width * scale)

    def _target(self, height: int, width: int) -> Target:
        columns = math.ceil(math.sqrt(self.objects))
        h, w = max(height // columns, 1), max(width // columns, 1)
        corners = [
            (min(n % columns * w, width - w), min(n // columns * h, height - h))
            for n in range(self.objects)
        ]
        tiles = [torch.ones(h, w, dtype=torch.uint8)] * self.objects
        masks = CompactMasks.from_crops(tiles, corners, (height, width))
        return Target(
            boxes=torch.tensor([(x, y, x + w, y + h) for x, y in corners], dtype=torch.float32),
            labels=torch.ones(self.objects, dtype=torch.int64),
            masks=masks if self.compact_masks else masks.dense(),
            image_id=0,
            area=torch.full((self.objects,), float(h * w)),
            iscrowd=torch.zeros(self.objects, dtype=torch.int64),
        )


def settle_batch_size(
    config: TrainConfig,
    dataset: InstanceDataset,
    model: MaskRCNN,
    stages: Sequence[Stage],
    precision: Precision,
    processes: Processes,
) -> tuple[TrainConfig, list[str]]:
    """The settings with a number for ``--batch-size auto``, and how it came to it; others stay as
    they are."""
    if config.batch_size != AUTO_BATCH:
        return config, []
    print("--batch-size auto: taking trial steps", flush=True)
    fit = fit_batch(config, dataset, model, stages, precision, processes)
    return replace(config, batch_size=fit.batch_size), [str(fit)]


def fit_batch(
    config: TrainConfig,
    dataset: InstanceDataset,
    model: MaskRCNN,
    stages: Sequence[Stage],
    precision: Precision,
    processes: Processes,
) -> BatchFit:
    """The largest power of two of images that a training step has memory for.

    Tried are steps as training takes them, of the stage that trains most, on ``TrialBatches`` and
    with a learning rate of 0, on a copy of the model: it is left as it is, and so are the random
    states. The copy stands for what a moving average or the exchange between processes takes.
    A size is not tried if what half of it took says that it would not fit: some systems end a
    program that takes more memory than there is. Of several processes, the one that has least
    decides.

    Raises:
        RuntimeError or MemoryError: not even one image fits; see ``is_out_of_memory``.
        ConfigError: the device does not tell of its memory.
    """
    images = len(dataset) // (LEAST_STEPS * processes.count)
    with _without_trace(), meter_of(next(model.parameters()).device) as meter:
        room = min(processes.gather_numbers(int(SHARE * meter.free)))
        fit = BatchFit(room, most=max(min(MOST, images), 1))
        batches = TrialBatches(dataset, model, config.augment == "transpose")
        trainer = _trial_trainer(config, model, stages, precision)
        for _ in trainer.steps([batches.batch(1)] * 2, own=2):
            pass  # the second step has what the optimizer remembers beside it
        fit.taken[1] = meter.peak
        while not fit.reason:
            _try_double(fit, trainer, batches, meter)
        del trainer
    smallest = min(processes.gather_numbers(fit.batch_size))
    if smallest < fit.batch_size:
        fit.batch_size, fit.reason = smallest, "another process has no memory for more"
    return fit


def _try_double(fit: BatchFit, trainer: Trainer, batches: TrialBatches, meter: Meter) -> None:
    """Try twice the batch that fits, or give the reason not to."""
    size = 2 * fit.batch_size
    if size > fit.most:
        fit.reason = f"at most {MOST}, and a quarter of the images"
        return
    growth = batches.pixels(size) / batches.pixels(fit.batch_size)
    expected = fit.taken[fit.batch_size] * growth  # too much by what does not grow
    if expected > fit.room:
        fit.reason = f"{size} would take up to {gigabytes(expected)}"
    elif not _fits(trainer, batches.batch(size)):
        fit.reason = f"{size} took more than there is"
    elif meter.peak > fit.room:
        fit.reason = f"{size} took {gigabytes(meter.peak)}"
    else:
        fit.taken[size] = meter.peak
        fit.batch_size = size


def _fits(trainer: Trainer, batch: Batch) -> bool:
    """Whether there is memory for a step."""
    try:
        for _ in trainer.steps([batch], own=1):
            pass
        return True
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return False


def _trial_trainer(
    config: TrainConfig, model: MaskRCNN, stages: Sequence[Stage], precision: Precision
) -> Trainer:
    """What takes the steps; float16 gradients are not scaled, as a step that overflows is none."""
    trial = copy.deepcopy(model)
    trains = max(stages, key=lambda stage: trainable_count(model, stage.trains)).trains
    train_only(trial, trains)
    stage = Stage(trains, epochs=1, lr=0.0)
    scaler = torch.amp.GradScaler(precision.device_type, enabled=False)
    state = start_state(trial, replace(config, ema=0.0), [stage], scaler, 1, 1)
    return Trainer(state, precision, config.clip_norm, seed=config.seed)


@contextmanager
def _without_trace() -> Iterator[None]:
    """Give the random states back, and the memory of what was made within."""
    states = random_states()
    try:
        yield
    finally:
        restore_random_states(states)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
