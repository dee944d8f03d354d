"""Maps that take seconds to minutes, made in a process of their own: asked once for all sessions, cancelled, kept on disk.

One worker makes one map after the other (see engine.projection_worker). Cancelling kills it in the midst of a fit and starts
another, which warms up while the next request waits or not. A worker that dies takes nothing with it but the map in hand; only
whole answers are kept. Neither streamlit nor torch is used here.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from pathlib import Path

from app.projection_process import COMMAND, Worker
from app.projection_store import LIMIT, ProjectionStore
from engine.errors import LoupeError
from engine.projection_packing import pack_request
from engine.projection_request import Answer, Request

WAITING = 32  # tasks in the queue: each holds its features
KEPT = 64  # finished tasks that stay in memory


class Task:
    """One map that was asked for, by one session or several.

    state: "queued", "running", "done", "cancelled" or "failed". fraction: 0 to 1. said: what is being done. result: once done.
    error: one sentence, where it failed. note: one sentence, where the result could not be kept on disk.
    """

    def __init__(self, key: str, request: Request | None, owner: Projections) -> None:
        self.key = key
        self.state = "queued"
        self.fraction = 0.0
        self.said = "waiting for its turn"
        self.result: Answer | None = None
        self.error: str | None = None
        self.note: str | None = None
        self.request = request  # let go when the task ends: features are large
        self._owner = owner
        self._ended = threading.Event()

    @property
    def running(self) -> bool:
        """Queued or under way."""
        return not self._ended.is_set()

    def cancel(self) -> None:
        """At once, for all who wait for it; nothing of it is kept. Asked again, it starts anew."""
        self._owner._cancel(self)

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it ended within so many seconds."""
        return self._ended.wait(seconds)

    def tell(self, fraction: float, said: str) -> None:
        """How far the worker is."""
        self.fraction, self.said = max(self.fraction, min(1.0, fraction)), said

    def _end(self, state: str, error: str | None = None, result: Answer | None = None) -> None:
        self.error, self.result, self.request = error, result, None
        if state == "done":
            self.fraction = 1.0
        self.state = state
        self._ended.set()


class Projections:
    """Safe for many sessions at once.

    root, limit: of the kept maps, see ProjectionStore. command: starts a worker.
    """

    def __init__(
        self, root: Path | str | None = None, limit: int = LIMIT, command: Sequence[str] = COMMAND
    ) -> None:
        self.store = ProjectionStore(root, limit)
        self._command = tuple(command)
        self._change = threading.Condition()
        self._tasks: OrderedDict[str, Task] = OrderedDict()
        self._queue: deque[Task] = deque()
        self._current: Task | None = None
        self._worker: Worker | None = None
        self._thread: threading.Thread | None = None
        self._wanted = self._stopped = False

    def start(self) -> None:
        """The worker starts and warms up before the first question. LOUPE_PROJECTIONS=0 leaves it to the first question."""
        if os.environ.get("LOUPE_PROJECTIONS") == "0":
            return
        with self._change:
            self._wanted = True
            self._serve_if_needed()
            self._change.notify_all()

    def ask(self, request: Request, again: bool = True) -> Task:
        """The task of this request: the one under way, or one that is done, from memory or disk, or a new one in the queue.

        again: begins one that failed anew; otherwise it is returned as it is, and what kills a worker kills one alone.
        """
        key = request.key
        with self._change:
            if (known := self._known(key, again)) is not None:
                return known
        kept = self.store.get(key)
        with self._change:
            if (known := self._known(key, again)) is not None:
                return known
            task = self._tasks[key] = Task(key, request, self)
            if kept is not None:
                task._end("done", result=kept)
            elif self._stopped:
                task._end("failed", "the app is ending")
            elif len(self._queue) >= WAITING:
                task._end("failed", f"{WAITING} projections are waiting already: cancel one, or come back")
            else:
                self._queue.append(task)
                self._serve_if_needed()
                self._change.notify_all()
            for old in [old for old, one in self._tasks.items() if not one.running][:-KEPT]:
                del self._tasks[old]
        return task

    def find(self, key: str) -> Task | None:
        """The last task of that key in this process, whatever became of it."""
        with self._change:
            return self._tasks.get(key)

    def running(self) -> list[Task]:
        """Those that are made or wait."""
        with self._change:
            return [task for task in self._tasks.values() if task.running]

    def stop_all(self) -> None:
        """When the server ends."""
        with self._change:
            self._stopped = True
            for task in [*self._queue, *([self._current] if self._current else [])]:
                task._end("cancelled")
            self._queue.clear()
            if self._worker is not None:
                self._worker.kill()
            self._change.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(5)

    def forget(self, key: str) -> None:
        """A task that failed: asked for once more, it begins anew."""
        with self._change:
            if (task := self._tasks.get(key)) is not None and task.state == "failed":
                del self._tasks[key]

    def _known(self, key: str, again: bool) -> Task | None:
        task = self._tasks.get(key)
        if task is None or task.state == "cancelled" or (again and task.state == "failed"):
            return None
        self._tasks.move_to_end(key)
        return task

    def _cancel(self, task: Task) -> None:
        with self._change:
            if not task.running:
                return
            if task is self._current:
                self._wanted = True  # the next worker warms up at once
                if self._worker is not None:
                    self._worker.kill()
            else:
                self._queue.remove(task)
            task._end("cancelled")

    def _serve_if_needed(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="projections", daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        while True:
            with self._change:
                self._current = None
                self._change.wait_for(lambda: self._queue or self._wanted or self._stopped)
                if self._stopped:
                    if self._worker is not None:
                        self._worker.close()
                    return
                self._wanted = False
                if self._queue:
                    self._current = self._queue.popleft()
                    self._current.state, self._current.said = "running", "starting"
                task = self._current
                try:
                    worker = self._living()
                except OSError as error:
                    if task is not None:
                        task._end(
                            "failed", f"the process that makes maps cannot be started ({error.strerror})"
                        )
                    continue
            if task is not None:
                self._do(task, worker)

    def _living(self) -> Worker:
        if self._worker is not None and not self._worker.alive:
            self._worker.close()
            self._worker = None
        if self._worker is None:
            self._worker = Worker(self._command)
        return self._worker

    def _do(self, task: Task, worker: Worker) -> None:
        request = task.request
        if request is None:  # cancelled between two lines
            return
        answer, error = worker.ask(pack_request(request), task.tell)
        if task.running and not worker.alive:
            print(worker.last_words(), file=sys.stderr)
        note = None
        if isinstance(answer, LoupeError):
            answer, error = None, str(answer)
        elif answer is not None and _as_named(answer, request):
            note = self.store.put(task.key, answer)
        with self._change:
            if not task.running:
                return
            task.note = note
            if answer is not None:
                task._end("done", result=answer)
            else:
                task._end("failed", error)


def _as_named(answer: Answer, request: Request) -> bool:
    """Whether the key says what made it: where a GPU fails umap-learn makes the map, and that is not kept under cuML's name."""
    from engine.projection import Projection
    from engine.projection_umap import made_by

    return not isinstance(answer, Projection) or answer.by == made_by(request.method)
