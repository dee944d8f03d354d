"""A process that has imported everything once and forks the processes that are to be killed: `python -m tests.faults.nursery`.

On stdin: one JSON object a line, {"act": name, "arguments": {…}, "folder": where its output goes} or {"wait": pid, "seconds": n};
on stdout: the pid, or how it ended (negative: by which signal; null: it had to be killed, as it did not end). The imports take
longer than most acts; a child is a process of its own all the same, with its own files, locks and limits.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0  # seconds


@dataclass(frozen=True)
class Ended:
    """code: exit status, negative for a signal. out, err: what it said."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """The JSON objects among what it said on stdout."""
        return [json.loads(line) for line in self.out.splitlines() if line.startswith(("{", "["))]


class Nursery:
    """The same from its owner's side."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder, self.count = folder, 0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery"],
            cwd=ROOT,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "LOUPE_ATLAS": "0",
                "LOUPE_PROJECTIONS": "0",
                **settings,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, act: str, **arguments: Any) -> int:
        """The pid of a child that does an act of tests.faults.acts, acts_disk or acts_app."""
        self.count += 1
        given = {name: str(value) if isinstance(value, Path) else value for name, value in arguments.items()}
        return self._ask({"act": act, "arguments": given, "folder": str(self.folder / str(self.count))})

    def wait(self, pid: int) -> Ended:
        """Of the child that was started last."""
        code = self._ask({"wait": pid, "seconds": PATIENCE})
        out, err = (
            Path(f"{self.folder / str(self.count)}.{name}").read_text("utf-8", "replace")
            for name in ("out", "err")
        )
        assert code is not None, f"it did not end:\n{out}\n{err}"
        return Ended(code, out, err)

    def run(self, act: str, **arguments: Any) -> Ended:
        """An act from its beginning to its end."""
        return self.wait(self.start(act, **arguments))

    def close(self) -> None:
        """Ends the process; children that are left end with their act."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(PATIENCE)
        self.process.stdout.close()

    def _ask(self, question: dict[str, Any]) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], 2 * PATIENCE)
        assert ready, "the process that forks does not answer"
        return json.loads(self.process.stdout.readline())


def _wait(pid: int, seconds: float) -> int | None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        gone, status = os.waitpid(pid, os.WNOHANG)
        if gone:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _child(act: str, arguments: dict[str, Any], folder: str) -> int:
    from tests.faults import acts, acts_app, acts_disk

    reads, _ = os.pipe()  # whose other end stays open while the process lives
    os.dup2(reads, 0)
    for handle, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{folder}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), handle)
    try:
        known = {**vars(acts_disk), **vars(acts_app), **vars(acts)}
        code = known[act](**arguments)
    except BaseException:
        traceback.print_exc()
        code = 70
    sys.stdout.flush()
    sys.stderr.flush()
    return int(code or 0)


def main() -> None:
    """Serves until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    from tests.faults import acts

    acts.ready()
    for line in iter(sys.stdin.buffer.readline, b""):
        asked = json.loads(line)
        if "wait" in asked:
            answer = _wait(asked["wait"], asked["seconds"])
        else:
            answer = os.fork()
            if not answer:
                os._exit(_child(asked["act"], asked["arguments"], asked["folder"]))
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
