"""Ending a run before its end: by a signal or because its time is up.

A person (Ctrl-C, SIGINT), a cluster (SIGTERM, or SIGUSR1 ahead of a pre-emption) or
``--time-limit`` asks; the run finishes its step, saves, and ends. A second signal ends it at once,
but under torchrun, which passes on a signal that a cluster may have sent to every process itself,
adds its own when one process has left, and ends at once what has not left after 30 seconds.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from utils.processes import ALONE, Processes, started_by_torchrun

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)
TIME_IS_UP, ORPHANED = -1, -2  # stand beside the signals' numbers
INTERRUPTED, TERMINATED = 130, 143
# Signals within so many seconds are one request: timeout(1) and some launchers send theirs to a
# process and to its group.
ONE_REQUEST = 0.2
NOTICE = "stopping: what was begun is finished and saved first"


class Stopped(BaseException):
    """A run was asked to end; ``number`` is the signal's, ``TIME_IS_UP`` or ``ORPHANED``."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        if self.number == TIME_IS_UP:
            return "the time limit is reached"
        if self.number == ORPHANED:
            return "torchrun, which started this process, is gone"
        return f"stopped by {signal.Signals(self.number).name}"

    @property
    def exit_code(self) -> int:
        """0 for the time limit, which was wished for; else what shells expect."""
        if self.number == TIME_IS_UP:
            return 0
        return INTERRUPTED if self.number == signal.SIGINT else TERMINATED


class Interruption:
    """Listens to signals while it is open as a context.

    A signal raises ``Stopped`` where the program is, unless that is inside ``deferred()``: there it
    is only noted, for ``check()`` at a point where the state is whole.

    Args:
        minutes: the time limit, counted from here; 0 for none.
    """

    def __init__(self, minutes: float = 0) -> None:
        self.started = time.monotonic()
        self.limit(minutes)
        self.signal = 0
        self.torchrun = os.getppid() if started_by_torchrun() else None
        self.is_deferred = False

    def __enter__(self) -> Interruption:
        if not self.torchrun:
            numbers, self.inlet = socket.socketpair()
            self.inlet.setblocking(False)
            signal.set_wakeup_fd(self.inlet.fileno(), warn_on_full_buffer=False)
            threading.Thread(target=_end_at_second, args=[numbers], daemon=True).start()
        self.previous: dict[int, Any] = {
            number: signal.signal(number, self._take) for number in SIGNALS
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)
        if not self.torchrun:
            signal.set_wakeup_fd(-1)
            self.inlet.close()  # which ends the thread

    def limit(self, minutes: float) -> None:
        """Set another time limit, counted from the same moment."""
        self.end = self.started + 60 * minutes if minutes else float("inf")

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Within, signals wait for ``check()``; so they do after an error from within, which is to
        be told to its end."""
        self.is_deferred = True
        yield
        self.is_deferred = False

    @property
    def urged(self) -> int:
        """The signal that came, or ``ORPHANED``; 0 to go on."""
        if self.signal:
            return self.signal
        return 0 if self.torchrun in (None, os.getppid()) else ORPHANED

    @property
    def asked(self) -> int:
        """The same, or ``TIME_IS_UP``."""
        return self.urged or (TIME_IS_UP if time.monotonic() > self.end else 0)

    def check(self, processes: Processes = ALONE, minds_time: bool = True) -> None:
        """Raise ``Stopped`` if any of the processes was asked to end; all of them must call it."""
        mine = self.asked if minds_time else self.urged
        asked = next(filter(None, processes.gather_numbers(mine)), 0)
        if asked:
            raise Stopped(asked)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.signal:
            return
        self.signal = number
        if not self.is_deferred:
            raise Stopped(number)
        second = "" if self.torchrun else "; a second signal stops at once"
        os.write(2, f"\n{NOTICE}{second}\n".encode())


def _end_at_second(numbers: socket.socket) -> None:
    """End the process at the second signal that Python's wakeup descriptor tells of. For a thread
    of its own: the main one runs its handlers only between computations, which may take long."""
    first = float("inf")
    while received := numbers.recv(1):
        if received[0] in SIGNALS:
            if time.monotonic() - first > ONE_REQUEST:
                os._exit(Stopped(received[0]).exit_code)
            first = min(first, time.monotonic())


if hasattr(os, "register_at_fork"):  # signals to a loading process are none to this one
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
