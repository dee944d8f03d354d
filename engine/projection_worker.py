"""The process that makes maps: `python -m engine.projection_worker`.

It reads requests on stdin and writes answers on stdout. A message is one line of JSON, {"bytes": n, …}, and n bytes after it
(see engine.projection_packing); between a request and its answer come lines that say how far it is. It warms up by itself: numba
compiles umap-learn's code at its first use, for half a minute; a request is answered before what is left of that. It ends when
its stdin is closed, in the midst of a fit if need be. app.projections starts it; to stop a fit is to kill the process.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO, NoReturn

from engine.errors import LoupeError

POLITENESS = 10  # of 19: whoever clicks goes first
MOST_BYTES = 1 << 30  # of one message: 50 000 pixels of 1024 channels, five times over
MOST_HEADER = 1 << 16
OFTEN = 0.1  # seconds between two lines that say how far it is


def main() -> NoReturn:
    """Serves until stdin ends."""
    if hasattr(os, "nice"):
        os.nice(POLITENESS)
    # What a library prints must not stand between two messages.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    waiting: queue.Queue[bytes] = queue.Queue(maxsize=1)
    threading.Thread(target=_listen, args=(sys.stdin.buffer, waiting), daemon=True).start()
    steps = [] if os.environ.get("LOUPE_PROJECTIONS") == "0" else _warming()
    while True:
        try:
            data = waiting.get(block=not steps)
        except queue.Empty:
            with contextlib.suppress(Exception):  # whatever it is, the request that meets it again says so
                steps.pop(0)()
            if not steps:
                send(out, {"warm": True})
            continue
        _answer(data, out)


def _listen(stream: BinaryIO, waiting: queue.Queue[bytes]) -> None:
    while (message := receive(stream)) is not None:
        waiting.put(message[1])
    os._exit(0)  # whoever asked is gone


def _answer(data: bytes, out: BinaryIO) -> None:
    from engine.projection_packing import pack_answer, read_request
    from engine.projection_request import run

    last = 0.0

    def progress(fraction: float, said: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= OFTEN:
            last = now
            send(out, {"fraction": round(fraction, 4), "said": said})

    try:
        answer = pack_answer(run(read_request(data), progress))
    except LoupeError as error:
        send(out, {"error": str(error)})
    except MemoryError:
        send(out, {"error": "the memory is not enough for so many pixels: choose fewer"})
    except Exception:
        traceback.print_exc()
        send(out, {"error": "it failed; the log of the app says why"})
    else:
        send(out, {"done": True}, answer)


def _warming() -> list[Callable[[], Any]]:
    """What a first fit of each method would wait for, most wanted first."""

    def small(method: str) -> Callable[[], Any]:
        def fit() -> None:
            import numpy as np

            from engine.projection_request import mapping, run

            x = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
            run(mapping(method, [x, x] if method == "aligned" else x), lambda done, said: None)

        return fit

    return [small(method) for method in ("umap", "densmap", "aligned")]


def send(stream: BinaryIO, about: dict[str, Any], data: bytes = b"") -> None:
    """One message. Raises OSError where nobody listens any more."""
    stream.write(json.dumps({**about, "bytes": len(data)}).encode() + b"\n")
    stream.write(data)
    stream.flush()


def receive(stream: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """The next message; None where the stream ends, also in the midst of one, or holds no message or too large a one."""
    line = stream.readline(MOST_HEADER)
    try:
        about = json.loads(line)
        size = int(about["bytes"])
    except (ValueError, TypeError, KeyError):
        return None
    if not 0 <= size <= MOST_BYTES:
        return None
    data = stream.read(size)
    return (about, data) if len(data) == size else None


if __name__ == "__main__":
    main()
