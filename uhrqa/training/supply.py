"""Batches made ahead of time by another process."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from multiprocessing.queues import Queue
from queue import Full
from typing import Any

Maker = Callable[[int], Any]
PATIENCE = 5.0  # seconds between looks at whether anyone is still there


def _work(build: Callable[[], Maker], start: int, step: int, queue: Queue[Any]) -> None:
    """Fill the queue until the parent is gone. Runs in a process of its own."""
    os.nice(5)
    parent = os.getppid()
    make = build()
    index = start
    while True:
        made = make(index)
        while True:
            try:
                queue.put(made, timeout=PATIENCE)
                break
            except Full:
                if os.getppid() != parent:  # killed, without the time to end us
                    os._exit(0)
        index += step


class Supply:
    """An endless iterator over `build()(index)` for index = first, first + 1, ...

    Which values come is fixed by their index, so a resumed run sees fresh ones; with one worker
    their order is fixed too.
    """

    def __init__(
        self, build: Callable[[], Maker], first: int = 0, workers: int = 1, ahead: int = 8
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._queue: Queue[Any] = context.Queue(ahead)
        self._workers = [
            context.Process(
                target=_work, args=(build, first + k, workers, self._queue), daemon=True
            )
            for k in range(workers)
        ]
        for worker in self._workers:
            worker.start()

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield self._queue.get()

    def ready(self) -> int:
        """Values that wait, about."""
        return self._queue.qsize()

    def take(self) -> Any:  # noqa: ANN401 - whatever the maker makes
        """The next value."""
        return self._queue.get()

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.terminate()
            worker.join()
        self._queue.close()
        self._queue.cancel_join_thread()
