"""Threads that read and write beside the network: order, bounds, errors, ends."""

from __future__ import annotations

import threading
import time
import traceback

import pytest

from utils.prediction.pipeline import ahead, ordered


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def late(number):
    time.sleep(0.002 * (number % 3))
    return number


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 40])
def test_results_come_in_the_order_of_the_items(count, threads):
    assert list(ordered(late, range(count), threads)) == list(range(count))
    assert list(ahead(range(count), threads)) == list(range(count))


def test_functions_run_at_the_same_time():
    both = threading.Barrier(2, timeout=10)
    assert len(list(ordered(lambda _: both.wait(), range(4), 2))) == 4


def test_no_more_than_a_few_are_taken_ahead():
    taken = []
    items = (taken.append(number) or number for number in range(100))
    for number in ordered(late, items, 2):
        assert len(taken) <= number + 3
    assert len(taken) == 100


def test_no_more_than_so_many_are_made_ahead():
    made = []
    items = (made.append(number) or number for number in range(20))
    for number in ahead(items, 3):
        time.sleep(0.002)
        assert len(made) <= number + 1 + 3
    assert len(made) == 20


def fails_at_three(number):
    if number == 3:
        raise KeyError("the third")
    return number


@pytest.mark.parametrize(
    "results",
    [
        lambda: ordered(fails_at_three, range(100), 2),
        lambda: ahead(map(fails_at_three, range(100)), 2),
    ],
)
def test_what_comes_before_an_error_comes_out(results):
    came = []
    with pytest.raises(KeyError) as raised:
        came.extend(results())
    assert came == [0, 1, 2]
    assert "fails_at_three" in "".join(traceback.format_exception(raised.value))


def test_an_error_of_the_items_comes_out():
    with pytest.raises(KeyError, match="the third"):
        list(ordered(late, map(fails_at_three, range(100)), 2))


def test_after_an_error_nothing_more_is_begun():
    begun = []

    def fail(number):
        begun.append(number)
        raise KeyError

    with pytest.raises(KeyError):
        list(ordered(fail, range(100), 2))
    assert len(begun) <= 3


@pytest.mark.parametrize("maker", [lambda items: ordered(late, items, 2), lambda i: ahead(i, 2)])
def test_after_closing_no_more_is_taken(maker):
    taken = []
    results = maker(taken.append(number) or number for number in range(100))
    assert next(results) == 0
    results.close()
    assert 1 <= len(taken) <= 4
    assert list(results) == []


def test_what_was_begun_is_ended():
    begun, done = threading.Event(), threading.Event()

    def work(number):
        if number == 1:
            begun.set()
            time.sleep(0.05)
            done.set()

    results = ordered(work, range(3), 2)
    next(results)
    assert begun.wait(10)
    results.close()
    assert done.is_set()


def test_results_before_an_error_of_the_items_come_first():
    def items():
        yield from range(3)
        raise KeyboardInterrupt

    results = ordered(lambda n: n, items(), 5)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyboardInterrupt):
        next(results)
