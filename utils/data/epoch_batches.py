"""Which images an epoch shows, in which order and batches, on one process or several."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import torch
from torch.utils.data import Sampler

from utils.data.records import ImageRecord


class SampleKey(NamedTuple):
    """An image of one epoch. It seeds the augmentation, so a sample depends neither on the worker
    that loads it nor on what was loaded before."""

    epoch: int
    number: int  # of the image in its data set, from 0
    again: int = 0  # how often the epoch has shown the image before


class EpochBatches(Sampler[list[SampleKey]]):
    """The batches of ``epoch`` for one of several processes.

    The order is drawn from the seed and the epoch alone. It is cut into global batches of
    ``batch_size * processes`` images, and these into one batch per process, so several processes
    see together what one with their global batch size sees. The last global batch may be smaller
    and is dealt as evenly as possible. A process that gets none of it is given its first image to
    keep step with the others, which is to count for nothing: see ``own``.

    Args:
        length: images in the data set.
        batch_size: images per batch and process.
        seed: of the order.
        rank: number of this process, from 0.
        processes: how many there are.
        steps: global batches per epoch, fewer or more than one pass over the images; 0 is one pass.
        groups: a number per image; global batches are of one group as far as possible, as with
            torchvision's ``GroupedBatchSampler``, but with every image in the epoch still. What
            is left of the groups makes up the last batches.
        repeats: how often one pass shows each image on average, at least 1 (``repeat_factors``).
            Fractions are drawn anew for each pass; a pass always has the sum, rounded down.

    Attributes:
        epoch: set it before each epoch.
        first: batches of the epoch that are left out, by a resumed run that has seen them.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int,
        *,
        rank: int = 0,
        processes: int = 1,
        steps: int = 0,
        groups: Sequence[int] | None = None,
        repeats: Sequence[float] | None = None,
    ) -> None:
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.processes = processes
        self.groups = groups
        self.repeats = torch.tensor(repeats or [1.0] * length, dtype=torch.float64)
        self.global_size = batch_size * processes
        # The sum of floats that make up a whole number may lie a little below it.
        one_pass = int(self.repeats.sum().item() + 1e-6)
        self.size = steps * self.global_size if steps and length else one_pass
        self.epoch = 0
        self.first = 0

    def __len__(self) -> int:
        """Batches in a whole epoch, the same on every process."""
        return math.ceil(self.size / self.global_size)

    @property
    def own(self) -> int:
        """How many of the batches hold images of this process's own: all, or all but the last."""
        in_last = self.size - (len(self) - 1) * self.global_size
        return len(self) - (self.rank >= in_last)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        keys, size = self._order(), self.global_size
        starts = range(self.first * size, len(keys), size)
        return iter([self._share(keys[start : start + size]) for start in starts])

    def _share(self, keys: list[SampleKey]) -> list[SampleKey]:
        """This process's part of a global batch."""
        least, more = divmod(len(keys), self.processes)
        start = self.rank * least + min(self.rank, more)
        return keys[start : start + least + (self.rank < more)] or keys[:1]

    def _order(self) -> list[SampleKey]:
        """The images of the epoch, those of one global batch after those of the other."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        numbers: list[int] = []
        while len(numbers) < self.size:
            numbers += self._pass(generator)
        shown: Counter[int] = Counter()
        keys = []
        for number in numbers[: self.size]:
            keys.append(SampleKey(self.epoch, number, shown[number]))
            shown[number] += 1
        return keys if self.groups is None else self._grouped(keys, self.groups)

    def _pass(self, generator: torch.Generator) -> list[int]:
        """Every image as often as it is due, shuffled."""
        due = torch.arange(len(self.repeats))
        if self.repeats.max() > 1:
            due = due.repeat_interleave(self._counts(generator))
        return due[torch.randperm(len(due), generator=generator)].tolist()

    def _counts(self, generator: torch.Generator) -> torch.Tensor:
        """How often each image is due in a pass: its repeats rounded up or down at random, by
        systematic sampling, which keeps the sum."""
        whole = self.repeats.floor()
        order = torch.randperm(len(whole), generator=generator)
        reached = (self.repeats - whole)[order].cumsum(0)
        more = int(reached[-1].item() + 1e-6)
        reached *= more / reached[-1].clamp(min=1e-12)
        reached.clamp_(max=more)[-1] = more
        start = torch.rand(1, generator=generator, dtype=torch.float64)
        marks = (reached - start).ceil()
        whole[order] += marks.diff(prepend=torch.zeros(1, dtype=torch.float64))
        return whole.long()

    def _grouped(self, keys: Iterable[SampleKey], groups: Sequence[int]) -> list[SampleKey]:
        """Reordered so that a global batch is of one group; what is left of each comes last."""
        full: list[SampleKey] = []
        waiting: defaultdict[int, list[SampleKey]] = defaultdict(list)
        for key in keys:
            group = waiting[groups[key.number]]
            group.append(key)
            if len(group) == self.global_size:
                full += group
                group.clear()
        return [*full, *chain.from_iterable(waiting.values())]


def aspect_groups(records: Sequence[ImageRecord]) -> list[int]:
    """For ``EpochBatches``: 1 for an image that is wider than high, else 0. Upright and wide images
    in one batch are padded to a square."""
    return [int(record.width > record.height) for record in records]
