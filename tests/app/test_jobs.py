"""Jobs: steps beside the pages, each done once for the whole process."""

from __future__ import annotations

import threading
import weakref

import numpy as np

from app.jobs import Jobs, Kept
from engine.errors import LoupeError


def test_steps_are_done_once_and_kept():
    jobs, calls = Jobs(), []
    steps = {key: lambda key=key: calls.append(key) or key * 2 for key in (1, 2, 3)}
    jobs.start("a", {key: steps[key] for key in (1, 2)}).wait(10)
    job = jobs.start("b", steps)
    job.wait(10)
    assert calls == [1, 2, 3] and job.results == {1: 2, 2: 4, 3: 6} and job.done == job.total == 3
    assert not job.running and not job.stopped
    jobs.kept.forget([2])
    jobs.start("b", steps).wait(10)
    assert calls == [1, 2, 3, 2]


def test_a_job_stops_after_the_step_that_runs_and_goes_on_later():
    jobs, gate, begun = Jobs(), threading.Event(), threading.Event()

    def slow() -> int:
        begun.set()
        gate.wait(10)
        return 1

    job = jobs.start("a", {"slow": slow, "next": lambda: 2})
    assert begun.wait(10) and jobs.start("a", {}) is job  # one that runs is shared
    job.stop()
    gate.set()
    job.wait(10)
    assert job.stopped and job.results == {"slow": 1}
    again = jobs.start("a", {"slow": slow, "next": lambda: 2})
    again.wait(10)
    assert again.results == {"slow": 1, "next": 2} and not again.stopped


def test_an_ended_job_holds_nothing_of_what_it_worked_with():
    pixels = np.zeros(9)
    gone = weakref.ref(pixels)
    jobs = Jobs()
    job = jobs.start("a", {"mean": lambda pixels=pixels: float(pixels.mean())})
    job.wait(10)
    del pixels
    assert jobs.find("a") is job and job.results == {"mean": 0.0}
    assert gone() is None


def test_what_fails_with_a_sentence_does_not_end_the_job():
    def fails() -> None:
        raise LoupeError("this checkpoint is truncated")

    job = Jobs().start("a", {1: fails, 2: lambda: "two"})
    job.wait(10)
    assert job.errors == {1: "this checkpoint is truncated"} and job.results == {2: "two"} and job.done == 2


def test_the_least_recently_used_results_go():
    kept = Kept(2)
    for key in (1, 2):
        kept.put(key, key)
    kept.get(1)
    kept.put(3, 3)
    assert 1 in kept and 3 in kept and 2 not in kept
