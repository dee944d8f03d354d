"""Maps of the Variance page that a worker makes: shown when they are there, cancelled, failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from app import process, scatter
from engine.projection import Projection, pca
from tests.app.pages import address, text_of
from tests.app.variance_page import lasso_of, opened, shown_of, taken

pytestmark = pytest.mark.usefixtures("here")


@dataclass
class Task:
    """A task of the worker, in whatever state a test wants it."""

    state: str
    result: Any = None
    error: str | None = None
    note: str | None = None
    fraction: float = 0.4
    said: str = "laying out"
    key: str = "of a map"

    @property
    def running(self) -> bool:
        return self.state in ("queued", "running")

    def cancel(self) -> None:
        self.state, self.error = "cancelled", "the projection was cancelled"


class Worker:
    """Stands for the process that makes maps."""

    def __init__(self, **task: Any) -> None:
        self.asked: list[Any] = []
        self.tasks: list[Task] = []
        self.task = task

    def ask(self, request: Any, again: bool = True) -> Task:
        self.asked.append(request)
        found = pca(request.xs[0])
        made = Projection(
            request.method, dict(request.params), 0, tuple(pca(x).maps[0][:, ::-1] for x in request.xs), (), None, "stand-in",
            0.0, f"key of {request.key}",
        )  # fmt: skip
        assert found.explained
        task = Task(**{"result": made if self.task["state"] == "done" else None, **self.task})
        self.tasks.append(task)
        return task


def with_worker(monkeypatch: pytest.MonkeyPatch, **task: Any) -> Worker:
    worker = Worker(**task)
    monkeypatch.setattr(process, "projections", lambda: worker)
    return worker


def test_components_are_shown_while_the_worker_is_busy_and_it_can_be_cancelled(monkeypatch):
    worker = with_worker(monkeypatch, state="running")
    page = opened(sites="f2", projection="umap", neighbours="9", distance="0.25", seed="4")
    assert len(worker.asked) == 1 and worker.asked[0].method == "umap"
    assert worker.asked[0].params["n_neighbours"] == 9 and worker.asked[0].params["min_dist"] == 0.25
    assert worker.asked[0].seed == 4
    body = text_of(page)
    assert "PCA is a shadow" in body and "PCA of f2" in body
    (cancel,) = [button for button in page.button if button.label == "Cancel"]
    cancel.click().run()
    assert address(page)["projection"] == "pca" and worker.tasks[0].state == "cancelled"
    assert not page.exception


def test_a_map_that_is_there_is_shown_with_its_caveat(monkeypatch):
    with_worker(monkeypatch, state="done")
    page = opened(sites="f2", projection="umap")
    body = text_of(page)
    assert "Do not ask a UMAP" in body and "UMAP, 15 neighbours, min. distance 0.10, seed 0 of f2" in body
    assert not [button for button in page.button if button.label == "Cancel"]


def test_a_lasso_on_components_keeps_its_points_on_another_map(monkeypatch):
    now = shown_of(opened(sites="f2"))
    part = lasso_of(now)
    expected = scatter.inside(now.pairs[0][1].xy, part.polygon).sum()
    with_worker(monkeypatch, state="done")
    page = opened(sites="f2", projection="umap", lasso=scatter.write([part]))
    assert taken(page) == expected and address(page)["lasso"] == scatter.write([part])


def test_a_worker_that_dies_is_one_sentence(monkeypatch):
    with_worker(monkeypatch, state="failed", error="the process that makes maps ended early")
    page = opened(sites="f2", projection="densmap")
    (warning,) = page.warning
    assert "ended early" in warning.value.replace("\\", "") and "PCA of f2" in text_of(page)


def test_parameters_that_cannot_be_had_are_one_sentence(monkeypatch):
    with_worker(monkeypatch, state="done")
    page = opened(sites="f2,fused", projection="aligned", pixels="5000")
    if page.warning:  # as many as are not too many for aligned maps are drawn without a word
        assert "3000" in page.warning[0].value
    else:
        assert "Aligned maps" in text_of(page)
