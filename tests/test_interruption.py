"""Signals and the time limit: noted where that is wanted, raised elsewhere, and handed back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from utils.interruption import SIGNALS, TIME_IS_UP, Interruption, Stopped

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 143}


def send(number):
    os.kill(os.getpid(), number)
    time.sleep(0.01)  # Python runs its handlers between two steps of the program


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_what_can_be_left_at_any_moment(number):
    with pytest.raises(Stopped) as stopped, Interruption():
        send(number)
    assert stopped.value.exit_code == CODES[number]
    assert str(stopped.value) == f"stopped by {number.name}"


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_waits_for_the_check(number, capfd):
    with Interruption() as interruption, interruption.deferred():
        interruption.check()
        send(number)
        assert interruption.asked == number
        with pytest.raises(Stopped) as stopped:
            interruption.check()
    assert stopped.value.number == number
    assert "a second signal stops at once" in capfd.readouterr().err


def test_after_the_deferral_signals_are_raised_again():
    with Interruption() as interruption:
        with interruption.deferred():
            pass
        with pytest.raises(Stopped):
            send(signal.SIGTERM)


def test_handlers_are_handed_back():
    def mine(*_):
        pass

    before = {number: signal.signal(number, mine) for number in SIGNALS}
    wakeup = signal.set_wakeup_fd(-1)
    try:
        with Interruption():
            assert signal.getsignal(signal.SIGTERM) is not mine
        assert {signal.getsignal(number) for number in SIGNALS} == {mine}
        assert signal.set_wakeup_fd(-1) == -1
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)


def test_the_time_limit_is_no_failure():
    interruption = Interruption(minutes=0.001)
    interruption.check()
    time.sleep(0.07)
    with pytest.raises(Stopped) as stopped:
        interruption.check()
    assert (stopped.value.number, stopped.value.exit_code) == (TIME_IS_UP, 0)
    assert str(stopped.value) == "the time limit is reached"


def test_another_limit_counts_from_the_same_moment():
    interruption = Interruption()
    time.sleep(0.03)
    assert not interruption.asked
    interruption.limit(0.03 / 60)
    assert interruption.asked == TIME_IS_UP
    interruption.limit(0)
    assert not interruption.asked


# One computation of many seconds: the handlers of the main thread's signals have to wait for it.
BUSY = """
import torch
from utils.interruption import Interruption
matrix = torch.ones(12000, 12000)
with Interruption() as interruption, interruption.deferred():
    print("ready", flush=True)
    matrix @ matrix
    interruption.check()
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
def test_a_second_signal_does_not_wait_for_a_computation(number):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", BUSY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        time.sleep(0.02)
        process.send_signal(number)  # the same request, as timeout(1) sends it
        time.sleep(1)
        assert process.poll() is None
        process.send_signal(number)
        sent = time.monotonic()
        assert process.wait(60) == CODES[number]
        assert time.monotonic() - sent < 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_signals_to_a_loading_process_are_none_to_this_one():
    """A fork has the main process's line to its watching thread, until it is cut."""
    with Interruption() as interruption, interruption.deferred():
        child = os.fork()
        if not child:
            os._exit(signal.set_wakeup_fd(-1) != -1)
        assert os.waitpid(child, 0)[1] == 0
