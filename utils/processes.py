"""Several processes that train, judge or predict together: what torchrun starts.

    torchrun --nproc-per-node 2 train.py ...

Each process has a model of its own and a share of the images. PyTorch's DistributedDataParallel
averages the gradients; one process alone goes the same ways with nothing to exchange.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torchvision.models.detection import MaskRCNN

from utils.config import ConfigError

T = TypeVar("T")
# One process may judge for long while the others wait for its numbers.
LONGEST_WAIT = timedelta(minutes=30)
LOST_PEER = ("gloo", "nccl", "connection", "process group", "allreduce", "timed out")


class PeerError(RuntimeError):
    """Another process of this run has ended."""


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this is; numbers count from 0."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0  # on this machine

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and prints."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """This process's part of a list: every ``count``-th item."""
        return items[self.rank :: self.count]

    def gather(self, value: T) -> list[T] | None:
        """The values of all processes in the order of their ranks; None but in the first one."""
        if self.count == 1:
            return [value]
        values: list[Any] | None = [None] * self.count if self.is_first else None
        dist.gather_object(value, values)
        return values

    def joined(self, values: dict[str, T]) -> dict[str, T]:
        """The entries of all processes, in all of them; of a name that several have, any."""
        everyone = self.gather(values) or []
        return self.from_first({name: value for one in everyone for name, value in one.items()})

    def gather_numbers(self, number: int) -> list[int]:
        """One number of each process, in all of them."""
        return self.stack(torch.tensor(number)).tolist()

    def stack(self, values: Tensor) -> Tensor:
        """A tensor of each process, in all of them: (count, *shape)."""
        if self.count == 1:
            return values[None]
        stacked = [torch.empty_like(values) for _ in range(self.count)]
        dist.all_gather(stacked, values)
        return torch.stack(stacked)

    def largest(self, sizes: Sequence[int]) -> list[int]:
        """The largest of each size over the processes, in all of them."""
        return self.stack(torch.tensor(sizes)).amax(0).tolist()

    def from_first(self, value: T) -> T:
        """The first process's value, in all of them."""
        if self.count == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values)
        return values[0]

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model with gradients averaged over the processes, starting from the first one's
        weights. Which parameters train must not change afterwards."""
        if self.count == 1:
            return model
        device = next(model.parameters()).device
        devices = [device] if device.type == "cuda" else None
        return DistributedDataParallel(model, devices)

    def share_buffers(self, model: nn.Module) -> None:
        """Give all processes the first one's running statistics of batch norms, so that they judge
        with the model that is saved."""
        if self.count > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, 0)

    def with_synchronised_norms(self, model: MaskRCNN, device: torch.device) -> MaskRCNN:
        """The model with batch norms that look at the images of all processes.

        Raises:
            ConfigError: not on a CUDA device, which is all that PyTorch can do it on.
        """
        if self.count == 1:
            return model
        if device.type != "cuda":
            raise ConfigError("--sync-norm works on CUDA devices only; PyTorch has none for others")
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)


ALONE = Processes()


@contextmanager
def start_processes(device: torch.device) -> Iterator[Processes]:
    """Join the processes that torchrun started; alone without it.

    Processes other than the first print nothing but errors.

    Raises:
        PeerError: another process has ended.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=LONGEST_WAIT)
    processes = Processes(dist.get_rank(), dist.get_world_size(), local_rank())
    try:
        with contextlib.nullcontext() if processes.is_first else silence():
            yield processes
    except RuntimeError as error:
        # torch raises plain ones; those of our own have a cause of their own to tell.
        is_torchs = type(error) is RuntimeError or isinstance(error, dist.DistError)
        if is_torchs and any(word in str(error).lower() for word in LOST_PEER):
            raise PeerError(
                "another process of this run has ended; its message says why"
            ) from error
        raise
    dist.destroy_process_group()


@contextmanager
def silence() -> Iterator[None]:
    """Within, what is printed is not seen."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def started_by_torchrun() -> bool:
    """Whether torchrun started this process, and watches over it."""
    return dist.is_torchelastic_launched()


def have_the_last_word() -> None:
    """Of a process that ends and still has to say why: torchrun asks it to end as soon as another
    one has, which is no news any more."""
    if started_by_torchrun():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def local_rank() -> int:
    """This process's number on its machine, which is its GPU's too."""
    return int(os.environ.get("LOCAL_RANK", "0"))
