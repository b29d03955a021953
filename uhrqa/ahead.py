"""Results made in a thread, a bounded number of them ahead of whoever uses them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from threading import Event
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def made_ahead(
    make: Callable[[Item, Event], Result], items: Sequence[Item], depth: int
) -> Generator[Result, None, None]:
    """What is made of each item, in order; an error comes in the place of its result.

    The first is made by the caller's thread, as nothing can be done meanwhile and Ctrl-C reaches
    it; the others by another one while results before them are used. Close the iterator where it
    may not come to its end: that tells the thread to stop and waits until it has.

    Args:
        make: of an item; ends soon, however, once the event is set.
        items: few, at least.
        depth: results that are made before they are asked for, at most; 0 makes each when it is
            asked for, without a thread.
    """
    stopped = Event()
    if depth == 0 or len(items) < 2:
        for item in items:
            yield make(item, stopped)
        return
    rest, first = iter(items), Future[Result]()
    first.set_result(make(next(rest), stopped))
    waiting = deque([first])
    del first  # else its result would live as long as this
    thread = ThreadPoolExecutor(1, "uhrqa-ahead")
    try:
        while waiting:
            for item in islice(rest, depth + 1 - len(waiting)):
                waiting.append(thread.submit(make, item, stopped))
            yield waiting.popleft().result()
    finally:
        stopped.set()
        thread.shutdown(cancel_futures=True)
