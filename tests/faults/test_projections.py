"""The process that makes maps is killed, or the server that asked for them: one sentence, another map, and no half of one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from app.projection_store import ProjectionStore
from app.projections import Projections
from engine.projection import Projection
from engine.projection_request import mapping
from tests.faults.nursery import PATIENCE, Nursery

X = np.random.default_rng(0).normal(size=(3000, 8)).astype(np.float32)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    """Whether there is no such process, or only its exit status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_the_worker_is_killed_and_the_next_map_is_made(tmp_path: Path):
    made = Projections(tmp_path)
    try:
        task = made.ask(mapping("umap", X))
        until(lambda: task.state == "running" and made._worker is not None)
        time.sleep(1)
        assert task.running and made._worker is not None
        first = made._worker._process.pid
        os.kill(first, signal.SIGKILL)
        assert task.wait(PATIENCE) and task.state == "failed"
        assert task.error == "the process that makes maps died (signal 9): ask again, a new one is ready"
        assert list(tmp_path.iterdir()) == []
        other = made.ask(mapping("pca", X))
        assert other.wait(PATIENCE) and isinstance(other.result, Projection), other.error
        assert made._worker._process.pid != first
        assert ProjectionStore(tmp_path).get(other.key) is not None
    finally:
        made.stop_all()


def test_the_server_is_killed_amid_a_write_and_the_next_start_sweeps_and_says_so(
    nursery: Nursery, tmp_path: Path
):
    folders = {name: tmp_path / name for name in ("projections", "audits", "findings")}
    killed = nursery.run("server", folder=folders["projections"], amid=".safetensors.")
    assert killed.code == -signal.SIGKILL
    asked = killed.lines[0]
    until(lambda: gone(asked["worker"]))
    (half,) = folders["projections"].iterdir()
    assert half.name.startswith(f".{asked['task']}.safetensors.")
    assert ProjectionStore(folders["projections"]).get(asked["task"]) is None

    begun = nursery.run("next_server", **folders)
    assert begun.code == 0, begun.err
    said = f"removed 1 half-written file of a process that was killed from {folders['projections']}"
    assert begun.err.splitlines().count(said) == 1
    assert list(folders["projections"].iterdir()) == []
    whole = nursery.run("server", folder=folders["projections"], amid="")
    assert whole.lines[-1] == {"state": "done", "error": None}
    assert ProjectionStore(folders["projections"]).get(asked["task"]) is not None
