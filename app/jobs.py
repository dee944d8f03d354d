"""Long work beside the pages: in steps, on a thread of its own, with results so far and a way to stop.

Each step has a key that names its content (hashes, sizes), and its result is kept under it for the whole process: what was
computed once, for any page or person, is not computed again. Results are small; the least recently used ones go.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from engine.errors import LoupeError

KEPT = 4096


class Job:
    """Some steps, done one after the other. results: key → value, of the steps that are done."""

    def __init__(self, steps: Mapping[Hashable, Callable[[], Any]], kept: Kept) -> None:
        self.keys = tuple(steps)
        self.results: dict[Hashable, Any] = {key: kept.get(key) for key in steps if key in kept}
        self.errors: dict[Hashable, str] = {}
        self._steps = {key: step for key, step in steps.items() if key not in self.results}
        self._kept = kept
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def total(self) -> int:
        return len(self.keys)

    @property
    def done(self) -> int:
        return len(self.results) + len(self.errors)

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    @property
    def stopped(self) -> bool:
        """Ended by a person before it was done."""
        return self._stop.is_set() and self.done < self.total

    def start(self) -> None:
        if self._steps:
            self._thread.start()

    def stop(self) -> None:
        """After the step that runs now."""
        self._stop.set()

    def wait(self, seconds: float | None = None) -> None:
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        # A step may hold traces and features: it goes when it is done, the job stays for what it found.
        steps, self._steps = self._steps, {}
        for key in list(steps):
            if self._stop.is_set():
                return
            try:
                self.results[key] = self._kept.put(key, steps.pop(key)())
            except LoupeError as error:
                self.errors[key] = str(error)
            except Exception:
                self.errors[key] = "it failed; the log of the app says why"
                raise  # threading prints it


class Kept:
    """Results by key, the least recently used ones go; safe for many threads."""

    def __init__(self, most: int = KEPT) -> None:
        self._most = most
        self._values: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return key in self._values

    def get(self, key: Hashable) -> Any:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: Any) -> Any:
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)
        return value

    def forget(self, keys: Iterable[Hashable]) -> None:
        """These are to be computed anew."""
        with self._lock:
            for key in keys:
                self._values.pop(key, None)


class Jobs:
    """The jobs of a process by name: two sessions that want the same share it."""

    def __init__(self, most: int = 64) -> None:
        self.kept = Kept()
        self._most = most
        self._jobs: OrderedDict[Hashable, Job] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, name: Hashable) -> Job | None:
        with self._lock:
            return self._jobs.get(name)

    def running(self) -> list[tuple[Hashable, Job]]:
        """Those that are under way, with their names."""
        with self._lock:
            return [(name, job) for name, job in self._jobs.items() if job.running]

    def start(self, name: Hashable, steps: Mapping[Hashable, Callable[[], Any]]) -> Job:
        """The running job of that name, or a new one: steps that any job has done before are not done again."""
        with self._lock:
            job = self._jobs.get(name)
            if job is None or not job.running:
                job = self._jobs[name] = Job(steps, self.kept)
                job.start()
            self._jobs.move_to_end(name)
            for old in [key for key, one in self._jobs.items() if not one.running][
                : max(0, len(self._jobs) - self._most)
            ]:
                del self._jobs[old]
        return job
