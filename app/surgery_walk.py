"""Surgery over a split, beside the pages: one walk at a time on a thread, refined as images arrive, with a way to stop.

A walk's name says what it computes (checkpoint, data, number of images, edits): two sessions that ask for the same share it, and
what was found stays while the process does. What edited runs need of the unedited ones is kept for one model at a time, so that
a second list of edits costs only what comes after them. Between two groups of images a walk lets those go first who wait for a
click. No streamlit here.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from engine.errors import LoupeError
from engine.surgery import BUDGET, Prepared

KEPT = 32  # walks that have ended
IMAGES = 200  # of a split

Step = Callable[["Walk"], Any]
"""Computes with `walk.prepared`, tells `progress` and `refine`, and asks `stop`; its result is the walk's."""


class Walk:
    """One walk, under way or ended. found: what is known so far, None before the first images."""

    def __init__(self, run: Step) -> None:
        self.done, self.total = 0, 1
        self.found: Any = None
        self.error: str | None = None
        self.begun = False  # another walk may be before it
        self.memo: dict[Hashable, Any] = {}  # what a page computes of `found` once it is whole
        self._run: Step | None = run
        self._asked_to_stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def stopping(self) -> bool:
        return self._asked_to_stop.is_set() and self.running

    @property
    def complete(self) -> bool:
        return self.found is not None and self.found.complete

    def stop(self) -> None:
        """After the images in hand; what is known stays."""
        self._asked_to_stop.set()

    def wait(self, seconds: float | None = None) -> None:
        if self._thread is not None:
            self._thread.join(seconds)

    # what a step is given

    def stop_now(self) -> bool:
        return self._asked_to_stop.is_set()

    def progress(self, done: int, total: int, _: Any = None) -> None:
        self.done, self.total = done, max(1, total)

    def refine(self, found: Any) -> None:
        self.found = found

    def begin(self, turn: threading.Lock) -> None:
        self._thread = threading.Thread(target=self._work, args=(turn,), daemon=True)
        self._thread.start()

    def _work(self, turn: threading.Lock) -> None:
        run, self._run = self._run, None  # it holds traces: they go with it, the walk stays for what it found
        assert run is not None
        try:
            with turn:
                self.begun = True
                if not self._asked_to_stop.is_set():
                    self.found = run(self)
        except LoupeError as error:
            self.error = str(error)
        except Exception:
            self.error = "it failed; the log of the app says why"
            raise  # threading prints it


class Walks:
    """The walks of one process; safe for many sessions."""

    def __init__(self) -> None:
        self._walks: OrderedDict[Hashable, Walk] = OrderedDict()
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._prepared: tuple[Hashable, Prepared] | None = None

    def find(self, name: Hashable) -> Walk | None:
        with self._lock:
            return self._walks.get(name)

    def start(self, name: Hashable, run: Step) -> Walk:
        """The running walk of that name, else a new one."""
        with self._lock:
            walk = self._walks.get(name)
            if walk is None or not walk.running:
                walk = self._walks[name] = Walk(run)
                walk.begin(self._turn)
            self._walks.move_to_end(name)
            ended = [key for key, one in self._walks.items() if not one.running]
            for key in ended[: max(0, len(self._walks) - KEPT)]:
                del self._walks[key]
        return walk

    def running(self) -> list[tuple[Hashable, Walk]]:
        """Those that are under way or wait, with their names."""
        with self._lock:
            return [(name, walk) for name, walk in self._walks.items() if walk.running]

    def prepared(self, name: Hashable, make: Callable[[], Prepared]) -> Prepared:
        """What is ready of a model and split; another's is forgotten. Called by the one walk that is under way."""
        if self._prepared is None or self._prepared[0] != name:
            self._prepared = None  # its bytes go before others come
            self._prepared = (name, make())
        return self._prepared[1]

    @property
    def used(self) -> int:
        """Bytes of what is ready."""
        held = self._prepared
        return held[1].bytes if held is not None else 0

    @property
    def capacity(self) -> int:
        """At most so many."""
        return BUDGET

    def clear(self) -> None:
        """Forgets what is ready; a walk that is under way ends with what it holds."""
        self._prepared = None

    def wait(self, seconds: float | None = None) -> None:
        """For all of them."""
        for walk in list(self._walks.values()):
            walk.wait(seconds)

    def stop_all(self) -> None:
        """When the server ends."""
        for walk in list(self._walks.values()):
            walk.stop()
