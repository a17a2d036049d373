"""Reading, network and writing at the same time: generators that work ahead in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def ordered(
    function: Callable[[ItemT], ResultT], items: Iterable[ItemT], threads: int
) -> Generator[ResultT, None, None]:
    """``map`` by threads: results in the order of the items, each thread at most one ahead.

    Items are taken in the thread that asks for the results. If that raises, the results of those
    before come first. When the generator is closed, or an error comes out of it, what was begun
    ends and what was not is left.
    """
    waiting: deque[Future[ResultT]] = deque()
    pool = ThreadPoolExecutor(threads)
    iterator, end = iter(items), object()
    failure: BaseException | None = None
    try:
        while True:
            try:
                item = next(iterator, end)
            except BaseException as error:
                failure = error
                break
            if item is end:
                break
            waiting.append(pool.submit(function, item))  # type: ignore[arg-type]
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
        if failure:
            raise failure
    finally:
        pool.shutdown(cancel_futures=True)


def ahead(items: Iterable[ItemT], most: int) -> Generator[ItemT, None, None]:
    """The items, up to ``most`` of them made ahead in one thread, which ends with the generator."""
    iterator = iter(items)
    end = object()
    pool = ThreadPoolExecutor(1)
    waiting = deque(pool.submit(next, iterator, end) for _ in range(most))
    try:
        while (item := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, iterator, end))
            yield item  # type: ignore[misc]
    finally:
        pool.shutdown(cancel_futures=True)
