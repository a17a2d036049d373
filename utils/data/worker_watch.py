"""Loading processes that die, hang or starve: what happened, to which file, and what to do."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import RawArray
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable
from weakref import WeakSet

from PIL import Image
from torch.utils.data import DataLoader, Dataset, get_worker_info

from utils.data.images import limit_pixels
from utils.data.records import RecordSet
from utils.data.shared_memory import PLACE, free_memory, megabytes, share

BatchT = TypeVar("BatchT", covariant=True)
IDLE = -1  # in place of a sample's number: nothing is being loaded
MOMENT = 1.0  # seconds
LEAVE_SECONDS = 5.0  # for a killed process to be gone
FEWER = "use fewer --workers; --workers 0 loads in the main process"
ADVICE = {  # by the signal that ended a process
    "SIGKILL": f"the system kills so when memory runs out: {FEWER}",
    "SIGBUS": "shared memory or a disk is full, or a file was cut while it was read: use fewer "
    "--workers (0 needs no shared memory) or give more, such as docker run --shm-size=8g",
}
CRASHED = f"if it happens again, look at what it was loading; {FEWER}"


class WorkerError(RuntimeError):
    """A loading process died, hung or found no memory; the message names its file and a way on."""


@runtime_checkable
class Recorded(Protocol):
    """A data set whose files and sizes are known beforehand, as ``InstanceDataset``."""

    data: RecordSet
    channels: int


class Progress:
    """Which sample each worker is loading, in memory that survives it.

    Workers write, the main process reads, whatever the start method.
    """

    def __init__(self, workers: int) -> None:
        self.numbers = RawArray("q", [IDLE] * workers)
        self.pids = RawArray("q", workers)


class WatchedDataset(Dataset[Any]):
    """A data set as a worker sees it: it writes down what it loads and shares what it loaded."""

    def __init__(self, dataset: Dataset[Any], progress: Progress) -> None:
        self.dataset = dataset
        self.progress = progress

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitems__(self, keys: list[Any]) -> list[Any]:
        """The samples of one batch.

        Raises:
            WorkerError: shared memory has no room for them.
        """
        worker = get_worker_info().id  # type: ignore[union-attr]  # only workers call this
        samples = []
        for key in keys:
            number = key if isinstance(key, int) else key.number
            self.progress.numbers[worker] = number
            sample = self.dataset[key]
            try:
                share(sample)
            except RuntimeError as error:
                raise WorkerError(_starved(name_of(self.dataset, number), error)) from error
            samples.append(sample)
        self.progress.numbers[worker] = IDLE
        return samples


class WatchedLoader(Generic[BatchT]):
    """The batches of a ``DataLoader``; iterate over it once per epoch, in the main thread.

    What becomes of its workers is told by the iteration alone: none of their ends interrupts a
    training step or a save, as torch's own handler of SIGCHLD would.

    Args:
        loader: with ``WatchedDataset`` if it has workers.
        dataset: the data set inside, which names the files.
        progress: where the workers write.

    Raises, while iterating:
        WorkerError: a worker is dead or silent. After this or an error of the data set's own, all
            workers are ended.
    """

    def __init__(
        self, loader: DataLoader[BatchT], dataset: Dataset[Any], progress: Progress
    ) -> None:
        self.loader = loader
        self.dataset = dataset
        self.progress = progress
        self.processes: list[BaseProcess] = []
        self.owner = os.getpid()
        _watched.add(self)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[BatchT]:
        if self.loader.num_workers == 0:
            yield from self.loader
            return
        with self._waiting():
            others = set(multiprocessing.active_children())
            batches = iter(self.loader)
            if not self.processes:
                started = set(multiprocessing.active_children()) - others
                self.processes = sorted(started, key=lambda process: process.pid or 0)
        while True:
            with self._waiting():
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def check(self) -> None:
        """Raise ``WorkerError`` if workers have died."""
        dead = [process for process in self.processes if not process.is_alive()]
        if dead:
            raise WorkerError("; ".join(self._end_of(process) for process in dead))

    def close(self) -> None:
        """End the workers at once, also those that hang."""
        if self.owner != os.getpid():  # a fork, whose siblings they are
            return
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.join(LEAVE_SECONDS)

    __del__ = close  # torch would wait for a worker that does not listen

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """While the main process can do nothing but wait, hear of dead workers at once."""
        _hear_of_ends()
        try:
            _waiting.append(self)
            try:
                self.check()
                yield
            finally:
                _waiting.remove(self)
                _hear_of_ends()  # torch sets its own handler with its first workers
        except Exception as error:
            told = self._told(error)
            self.close()
            if told is error:
                raise
            raise told from None

    def _told(self, error: Exception) -> Exception:
        """What torch says of its workers, in words that help."""
        if isinstance(error, EOFError | OSError):
            # The line to a worker that dies is cut a moment before its end is known.
            ends = connection.wait([process.sentinel for process in self.processes], MOMENT)
            for process in self.processes:
                if process.sentinel in ends:
                    process.join(MOMENT)
        try:
            self.check()
        except WorkerError as died:
            return died
        text = str(error).strip()
        if isinstance(error, WorkerError):  # a worker's own, after a traceback
            return WorkerError(text.rsplit("WorkerError: ", 1)[-1])
        if text.startswith("DataLoader timed out"):
            return WorkerError(self._silence())
        if text.startswith("DataLoader worker"):  # it died before it was known here
            return WorkerError(f"{text}; {CRASHED}")
        return error

    def _silence(self) -> str:
        """The message about workers that do not answer."""
        busy = [
            f"loading process {worker} has been loading {name_of(self.dataset, number)}"
            for worker, number in enumerate(self.progress.numbers)
            if number != IDLE
        ]
        return (
            f"the loading processes have not answered for {self.loader.timeout:g} s: "
            f"{'; '.join(busy) or 'none of them is loading a file'}. Is a disk or the network "
            "stuck? --worker-timeout SECONDS waits longer, --workers 0 loads in the main process"
        )

    def _end_of(self, process: BaseProcess) -> str:
        """How a worker ended, what it was loading, and what to do."""
        pids = list(self.progress.pids)
        code = process.exitcode or 0
        how, advice = f"ended with exit code {code}", CRASHED
        if code < 0:
            name = signal.Signals(-code).name
            how, advice = f"was killed by {name}", ADVICE.get(name, CRASHED)
        which, doing = "a loading process", "when it started"
        if process.pid in pids:
            worker = pids.index(process.pid)
            number = self.progress.numbers[worker]
            which = f"loading process {worker}"
            doing = "while it waited for work"
            if number != IDLE:
                doing = f"while it was loading {name_of(self.dataset, number)}"
        return f"{which} (pid {process.pid}) {how} {doing}; {advice}"


_watched: WeakSet[WatchedLoader[Any]] = WeakSet()
_waiting: list[WatchedLoader[Any]] = []  # the one the main thread waits for


def name_of(dataset: Dataset[Any], number: int) -> str:
    """The file of a sample, or its number where the data set has no records."""
    if isinstance(dataset, Recorded):
        return str(dataset.data.images[number].path)
    return f"sample {number}"


def worker_start(progress: Progress) -> partial[None]:
    """The ``worker_init_fn`` of a ``DataLoader`` that is watched."""
    return partial(_start_worker, progress, Image.MAX_IMAGE_PIXELS)


def _start_worker(progress: Progress, pillow_limit: int | None, worker: int) -> None:
    """What a worker does first, whether forked or spawned with everything at its beginning."""
    if pillow_limit is not None:
        limit_pixels(2 * pillow_limit)
    # Ctrl-C and a cluster's signals reach the workers too, while the main process still has to
    # finish its step and save; it ends them, and without it they end by themselves.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave_next_time)
    if sys.platform != "win32":
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    progress.pids[worker] = os.getpid()  # from here on it is ready for signals


def _leave_next_time(number: int, _: object) -> None:
    signal.signal(number, signal.SIG_DFL)


def _hear_of_ends() -> None:
    """Put our handler of SIGCHLD in the place of torch's."""
    if sys.platform != "win32" and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, _on_child_end)


def _on_child_end(*_: object) -> None:
    for loader in list(_waiting):
        loader.check()


def _starved(name: str, error: RuntimeError) -> str:
    reason = str(error).splitlines()[0]
    room = f"{PLACE} has {megabytes(free_memory())} free" if PLACE.is_dir() else "no room"
    return (
        f"{name}: could not be handed over in shared memory ({reason}; {room}); use fewer "
        "--workers (0 needs no shared memory) or give more, such as docker run --shm-size=8g"
    )


@atexit.register
def _end_all() -> None:
    """End all workers before Python waits for them, which would be forever for one that hangs."""
    for loader in list(_watched):
        loader.close()
