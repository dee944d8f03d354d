"""Walks over datasets in processes of their own, at low priority: how far they are, what went wrong, and a way to stop them.

Such a process says how far it is as one JSON object a line on stdout (`say`), and ends when its stdin is closed (`await_end`):
when somebody stops it, and when the server that started it is gone. Neither streamlit nor torch is imported here.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
POLITENESS = 15  # of 19: everything that somebody waits for goes first
SAID = 2000  # characters of an ended walk's last words that are kept for the log


class Build:
    """One walk over a dataset in a process of its own, under way or ended. total: of its images, until it says so itself."""

    def __init__(self, command: list[str], environment: Mapping[str, str], total: int) -> None:
        self.done, self.total = 0, total
        self.error: str | None = None
        self.waiting = False  # for another process that is at the same
        self.found: tuple[str, ...] = ()  # sentences on what an earlier walk left
        self.command = tuple(command)
        self._asked_to_stop = False
        self._began, self._first = time.monotonic(), None
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._last_words = ""
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._listen, self._overhear)]
        for thread in reversed(self._threads):  # the listener waits for the other's last words
            thread.start()

    @property
    def running(self) -> bool:
        return self._threads[0].is_alive()

    @property
    def stopping(self) -> bool:
        """Asked to end, and still at the images in hand."""
        return self._asked_to_stop and self.running

    @property
    def stopped(self) -> bool:
        """A person ended it before it was done."""
        return self._asked_to_stop and not self.running and self.done < self.total

    @property
    def seconds_left(self) -> float | None:
        """By the speed so far; None before the first images are done."""
        if self._first is None or not self.running:
            return None
        began, already = self._first
        walked, took = self.done - already, time.monotonic() - began
        return None if walked <= 0 else (self.total - self.done) * took / walked

    def stop(self) -> None:
        """After the images that are in hand; what is written stays."""
        self._asked_to_stop = True
        self._close_stdin()  # the walk reads its end there

    def wait(self, seconds: float | None = None) -> None:
        self._threads[0].join(seconds)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._hear(line)
        code = self._process.wait()
        self._close_stdin()
        if code and self.error is None and not self._asked_to_stop:
            self.error = (
                f"the walk was killed (signal {-code}); what it had written is kept"
                if code < 0
                else f"the walk ended early (exit status {code}); the log of the app says why"
            )
            self._threads[1].join(1)
            print(self._last_words, file=sys.stderr)

    def _hear(self, line: str) -> None:
        try:
            said: dict[str, Any] = json.loads(line)
        except ValueError:
            return  # a library's chatter
        self.waiting = bool(said.get("waiting"))
        if "found" in said:
            self.found = (*self.found, str(said["found"]))
        elif "error" in said:
            self.error = str(said["error"])
        elif "done" in said:
            if self._first is None:
                self._first = (time.monotonic(), int(said["done"]))
            self.done, self.total = int(said["done"]), int(said["total"])

    def _overhear(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self._last_words = (self._last_words + line)[-SAID:]

    def _close_stdin(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):  # its other end may be gone
                self._process.stdin.close()


def quietly() -> dict[str, str]:
    """The environment of such a process: one thread, lines as they are written."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


# ---------------------------------------------------------------------------------------------- in the process itself


def say(line: dict[str, Any]) -> None:
    """To whoever listens. Where nobody does any more, the walk must not end by that: it ends between chunks and keeps them."""
    with contextlib.suppress(OSError):
        print(json.dumps(line), flush=True)


def await_end(gone: threading.Event) -> None:
    """Sets `gone` when whoever started this process closes its stdin, or is no more."""
    sys.stdin.read()
    gone.set()
