"""A map that failed is not begun again by the page that shows why, only when somebody asks for it. Two seconds."""

from __future__ import annotations

from tests.app.test_projections import DIES, QUICK, asked, ended, made

__all__ = ["made"]  # a fixture


def test_a_page_that_runs_again_leaves_what_killed_a_worker(made):
    task = ended(made.ask(asked(DIES), again=False))
    assert "signal 9" in str(task.error)
    assert (
        made.ask(asked(DIES), again=False) is task
    )  # the sentence stands, and no worker dies of it once more
    assert ended(made.ask(asked(QUICK), again=False)).state == "done"
    made.forget(task.key)
    assert made.ask(asked(DIES), again=False) is not task


def test_only_failures_are_forgotten(made):
    task = ended(made.ask(asked(QUICK)))
    made.forget(task.key)
    made.forget("never asked for")
    assert made.ask(asked(QUICK), again=False) is task
