"""Whose turn it is on the device: one image at a time, clicks before jobs, first come first served among equals."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CLICK, JOB = 0, 1  # a person waits for a click; a job walks a data set


class Turns:
    """A fair lock with two priorities. Not re-entrant."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[tuple[int, int]] = []
        self._count = itertools.count()
        self._busy = False

    @contextmanager
    def take(self, priority: int = CLICK) -> Iterator[None]:
        """Hold the device for the block."""
        with self._changed:
            ticket = (priority, next(self._count))
            heapq.heappush(self._waiting, ticket)
            try:
                while self._busy or self._waiting[0] != ticket:
                    self._changed.wait()
            except BaseException:
                self._waiting.remove(ticket)
                heapq.heapify(self._waiting)
                self._changed.notify_all()
                raise
            heapq.heappop(self._waiting)
            self._busy = True
        try:
            yield
        finally:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
