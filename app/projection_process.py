"""The process that makes maps, from its owner's side: started, asked, killed. See engine.projection_worker for the other side."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.errors import LoupeError
from engine.projection_packing import read_answer
from engine.projection_request import Answer
from engine.projection_worker import receive, send

ROOT = Path(__file__).resolve().parents[1]
SAID = 4000  # characters of a dead worker's last words, for the log
COMMAND = (sys.executable, "-m", "engine.projection_worker")


class Worker:
    """One process."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._last_words = b""
        self._overhearing = threading.Thread(target=self._overhear, daemon=True)
        self._overhearing.start()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """Returns when it is dead."""
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """By the thread that asks, and no other."""
        self.kill()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):  # what was still to be written goes nowhere
                assert stream is not None
                stream.close()
        self._overhearing.join(1)

    def ask(
        self, request: bytes, tell: Callable[[float, str], None]
    ) -> tuple[Answer | LoupeError | None, str | None]:
        """(the answer, or what is wrong with its bytes; the sentence that says why there is none).

        tell: gets how far it is, 0 to 1, and what is being done.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        with contextlib.suppress(OSError):  # a dead worker's; its end is read below
            send(stdin, {}, request)  # pyright: ignore[reportArgumentType]
        while (message := receive(stdout)) is not None:  # pyright: ignore[reportArgumentType]
            about, data = message
            if "error" in about:
                return None, str(about["error"])
            if about.get("done"):
                try:
                    return read_answer(data), None
                except LoupeError as error:
                    return error, None
            if "fraction" in about:
                tell(float(about["fraction"]), str(about.get("said", "")))
        self.kill()  # one that says what is no message is of no more use
        code = self._process.wait()
        end = f"signal {-code}" if code < 0 else f"exit status {code}"
        return None, f"the process that makes maps died ({end}): ask again, a new one is ready"

    def last_words(self) -> str:
        """What it said on stderr before it died."""
        self._overhearing.join(1)
        return self._last_words.decode(errors="replace")

    def _overhear(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for line in stream:
                self._last_words = (self._last_words + line)[-SAID:]
