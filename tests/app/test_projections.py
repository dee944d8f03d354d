"""Maps for all sessions: shared, cancelled, kept on disk; workers that die, disks that are full, files that are damaged."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from app import projections
from app.projection_store import ProjectionStore
from app.projections import Projections, Task
from engine.projection import Projection, pca
from engine.projection_packing import pack_answer
from engine.projection_quality import Stability
from engine.projection_request import Request, mapping, run

PATIENCE = 60.0
X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
QUICK, SLOW, DIES, WRONG, GARBAGE, CHATTER = range(6)

# What it does is the request's seed; its answers name the process.
STAND_IN = """
import os, signal, sys, time
from engine.projection_packing import pack_answer, read_request
from engine.projection_quality import Stability
from engine.projection_worker import receive, send
out = sys.stdout.buffer
while (message := receive(sys.stdin.buffer)) is not None:
    seed = read_request(message[1]).seed
    send(out, {"fraction": 0.25, "said": "half of a half"})
    for step in range(10_000 if seed == 1 else 0):
        send(out, {"fraction": step / 10_000, "said": f"step {step}"})
        time.sleep(0.01)
    if seed == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if seed == 3:
        send(out, {"error": "there is nothing to project"})
        continue
    if seed == 5:
        print("chatter of a library", flush=True)
    answer = pack_answer(Stability(0.5, 0.25, 15, (os.getpid(),)))
    send(out, {"done": True}, answer[:-3] if seed == 4 else answer)
"""


def asked(what: int, x: np.ndarray = X) -> Request:
    return mapping("umap", x, seed=what)


def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


def ended(task: Task) -> Task:
    assert task.wait(PATIENCE), f"{task.state}: {task.said}"
    return task


def worker_of(task: Task) -> int:
    assert isinstance(task.result, Stability), task.error
    return task.result.seeds[0]


@pytest.fixture
def made(tmp_path) -> Iterator[Projections]:
    """Its worker is a stand-in."""
    projections = Projections(tmp_path / "kept", command=[sys.executable, "-c", STAND_IN])
    yield projections
    projections.stop_all()


def test_sessions_that_ask_the_same_share_a_task(made):
    found: list[Task] = []
    threads = [threading.Thread(target=lambda: found.append(made.ask(asked(QUICK)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(task is found[0] for task in found)
    task = ended(found[0])
    assert (task.state, task.fraction, task.error, task.note, task.running) == (
        "done",
        1.0,
        None,
        None,
        False,
    )
    assert made.ask(asked(QUICK)) is task and made.find(task.key) is task
    other = ended(made.ask(asked(QUICK, X[::-1])))
    assert other is not task and worker_of(other) == worker_of(task)


def test_it_tells_how_far_it_is(made):
    task = made.ask(asked(SLOW))
    assert task.state in ("queued", "running") and task.running and task.result is None
    until(lambda: task.fraction >= 0.25)
    assert task.state == "running" and task.said
    waiting = made.ask(asked(QUICK))
    assert (waiting.state, waiting.said, waiting.fraction) == ("queued", "waiting for its turn", 0.0)
    task.cancel()


def test_cancelling_ends_the_work_at_once_and_the_others_go_on(made, tmp_path):
    before = worker_of(ended(made.ask(asked(QUICK, X[1:]))))
    task, waiting = made.ask(asked(SLOW)), made.ask(asked(QUICK))
    until(lambda: task.state == "running" and task.fraction > 0)
    began = time.monotonic()
    task.cancel()
    assert time.monotonic() - began < 1 and (task.state, task.result, task.error) == ("cancelled", None, None)
    assert not alive(before)
    assert worker_of(ended(waiting)) != before
    assert not made.store.path(task.key).exists() and made.store.path(waiting.key).exists()
    task.cancel()  # again: nothing happens
    waiting.cancel()
    assert (task.state, waiting.state) == ("cancelled", "done")
    again = made.ask(asked(SLOW))
    assert again is not task and again.running
    again.cancel()


def test_cancelling_what_waits_does_not_touch_what_runs(made):
    running, waiting = made.ask(asked(SLOW)), made.ask(asked(QUICK))
    until(lambda: running.fraction > 0)
    waiting.cancel()
    assert waiting.state == "cancelled" and running.state == "running"
    running.cancel()
    assert ended(made.ask(asked(QUICK))).state == "done"


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (DIES, r"the process that makes maps died \(signal 9\): ask again"),
        (WRONG, "there is nothing to project"),
        (GARBAGE, "damaged"),
        (CHATTER, r"died \(signal 9\)"),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_nothing_is_kept(made, what, said, capfd):
    import re

    task = made.ask(asked(what))
    after = made.ask(asked(QUICK))
    ended(task)
    assert task.state == "failed" and task.error is not None and re.search(said, task.error)
    assert "\n" not in task.error and task.result is None and not made.store.path(task.key).exists()
    assert ended(after).state == "done"
    assert made.ask(asked(what)) is not task  # a failed one is tried again


def test_a_worker_that_dies_while_nobody_asks_is_no_fault(made):
    first = worker_of(ended(made.ask(asked(QUICK))))
    os.kill(first, signal.SIGKILL)
    until(lambda: not made._worker.alive)
    assert worker_of(ended(made.ask(asked(QUICK, X[::-1])))) != first


def test_a_worker_killed_at_its_work_fails_one_task_alone(made):
    pid = worker_of(ended(made.ask(asked(QUICK))))
    task, after = made.ask(asked(SLOW)), made.ask(asked(QUICK, X[::-1]))
    until(lambda: task.state == "running")
    os.kill(pid, signal.SIGKILL)
    assert "signal 9" in str(ended(task).error)
    assert worker_of(ended(after)) != pid


def test_a_worker_that_cannot_start_is_one_sentence(tmp_path):
    made = Projections(tmp_path, command=[str(tmp_path / "nowhere")])
    task = ended(made.ask(asked(QUICK)))
    assert task.state == "failed" and "cannot be started" in str(task.error)
    made.stop_all()


def test_too_many_are_refused(made, monkeypatch):
    monkeypatch.setattr(projections, "WAITING", 2)
    first = made.ask(asked(SLOW))
    until(lambda: first.state == "running")
    tasks = [made.ask(asked(QUICK, X[: 20 + number])) for number in range(3)]
    assert [task.state for task in tasks] == ["queued", "queued", "failed"]
    assert "2 projections are waiting already" in str(tasks[2].error)
    first.cancel()
    assert ended(tasks[1]).state == "done"


def test_finished_tasks_do_not_stay_for_ever(made, monkeypatch):
    monkeypatch.setattr(projections, "KEPT", 2)
    tasks = [ended(made.ask(asked(QUICK, X[: 20 + number]))) for number in range(4)]
    assert made.find(tasks[0].key) is None and made.find(tasks[3].key) is tasks[3]


def test_ending_the_app_ends_everything(made):
    running, waiting = made.ask(asked(SLOW)), made.ask(asked(QUICK))
    until(lambda: running.fraction > 0)
    process = made._worker
    made.stop_all()
    assert (running.state, waiting.state) == ("cancelled", "cancelled") and not process.alive
    assert ended(made.ask(asked(QUICK, X[::-1]))).state == "failed"


def test_a_worker_starts_by_itself_unless_told_not_to(made, monkeypatch):
    made.start()
    assert made._worker is None  # LOUPE_PROJECTIONS=0 in tests
    monkeypatch.setenv("LOUPE_PROJECTIONS", "1")
    made.start()
    until(lambda: made._worker is not None)
    process = made._worker
    assert ended(made.ask(asked(QUICK))).state == "done" and made._worker is process


# ── on disk ──


@pytest.fixture
def nobody(tmp_path) -> Iterator[Projections]:
    """The same folder, later: a worker would fail."""
    projections = Projections(tmp_path / "kept", command=[str(tmp_path / "nowhere")])
    yield projections
    projections.stop_all()


def test_a_finished_map_is_read_and_not_made_again(made, nobody):
    first = ended(made.ask(asked(QUICK)))
    again = nobody.ask(asked(QUICK))
    assert again.state == "done" and again.result == first.result and again.fraction == 1.0
    assert ended(nobody.ask(asked(QUICK, X[::-1]))).state == "failed"


def test_a_damaged_file_is_made_again(made, tmp_path):
    first = ended(made.ask(asked(QUICK)))
    path = made.store.path(first.key)
    path.write_bytes(path.read_bytes()[:-9])
    later = Projections(tmp_path / "kept", command=[sys.executable, "-c", STAND_IN])
    again = ended(later.ask(asked(QUICK)))
    assert worker_of(again) != worker_of(first)
    assert ProjectionStore(tmp_path / "kept").get(first.key) == again.result
    later.stop_all()


def test_a_folder_that_cannot_be_written_is_a_note_beside_the_map(tmp_path):
    (tmp_path / "file").write_text("in the way")
    made = Projections(tmp_path / "file" / "kept", command=[sys.executable, "-c", STAND_IN])
    task = ended(made.ask(asked(QUICK)))
    assert task.state == "done" and task.result is not None and task.error is None
    assert task.note is not None and "is not kept for later" in task.note and "\n" not in task.note
    made.stop_all()


def test_a_full_disk_leaves_no_half_a_file(tmp_path, monkeypatch):
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    why = ProjectionStore(tmp_path).put("key", pca(X))
    assert why is not None and "the disk is full" in why
    assert list(tmp_path.iterdir()) == []


def test_the_least_recently_used_go(tmp_path):
    size = len(pack_answer(pca(X)))
    store = ProjectionStore(tmp_path, limit=3 * size + size // 2)
    for number, key in enumerate(("a", "b", "c")):
        assert store.put(key, pca(X)) is None
        os.utime(store.path(key), (1000 + number, 1000 + number))
    forgotten = tmp_path / ".d.safetensors.1.partial"
    forgotten.write_bytes(b"half")
    os.utime(forgotten, (1000, 1000))
    assert store.get("a") is not None  # used just now
    store.put("d", pca(X))
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["a", "c", "d"]
    ProjectionStore(tmp_path, limit=1).put("e", pca(X))
    assert [path.stem for path in tmp_path.iterdir()] == ["e"]  # the one just made stays


def test_where_maps_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("LOUPE_CACHE", str(tmp_path))
    assert ProjectionStore().root == tmp_path / "projections"
    monkeypatch.delenv("LOUPE_CACHE")
    assert ProjectionStore().root.parts[-2:] == ("data", "projections")


def test_what_another_library_made_is_shown_and_not_kept(made):
    """A GPU that fails leaves its map to umap-learn: the key says cuML."""
    answer = run(mapping("pca", X))
    assert isinstance(answer, Projection)
    assert projections._as_named(answer, mapping("pca", X))
    assert not projections._as_named(answer, mapping("umap", X))


# ── the real worker ──


def test_a_real_worker_makes_a_map(tmp_path):
    made = Projections(tmp_path)
    request = mapping("pca", X)
    task = ended(made.ask(request))
    ours = run(request)
    assert isinstance(task.result, Projection) and isinstance(ours, Projection), task.error
    np.testing.assert_array_equal(task.result.xy, ours.xy)
    assert task.result.quality == ours.quality and task.result.key == task.key == request.key
    made.stop_all()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
