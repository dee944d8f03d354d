"""Work beside a page: how far it is, looked at again while it runs; when it has ended the page runs once more and shows it."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

POLL = 0.6  # seconds between two looks


def watch(
    running: Callable[[], bool],
    fraction: Callable[[], float],
    said: Callable[[], str],
    key: str,
    stop: tuple[str, Callable[[], None]] | None = None,
    stopping: Callable[[], bool] = lambda: False,
    every: float = POLL,
) -> None:
    """A bar while the work runs; nothing otherwise. stop: a button's label and what it does; stopping: it was asked to stop, and
    needs no button any more; every: seconds between two looks."""
    if running():
        st.fragment(_bar, run_every=every)(running, fraction, said, key, stop, stopping, [])


def once_more() -> None:
    """The page runs once more, right after this run: work ended in its midst, after the page had looked for what it made."""
    st.fragment(_second, run_every=POLL)([])


def _bar(
    running: Callable[[], bool],
    fraction: Callable[[], float],
    said: Callable[[], str],
    key: str,
    stop: tuple[str, Callable[[], None]] | None,
    stopping: Callable[[], bool],
    looks: list[bool],
) -> None:
    if not running():
        _second(looks)
        return
    looks.append(True)
    with st.container(horizontal=True, vertical_alignment="center", key=key):
        st.progress(max(0.0, min(1.0, fraction())), said())
        if stop is not None and not stopping():
            st.button(stop[0], on_click=stop[1], key=f"stop {key}")


def _second(looks: list[bool]) -> None:
    """Runs the page, but not in the page's own run: what it has not yet sent would be lost with it, and widgets would open with
    other values than they were given."""
    first = not looks
    looks.append(True)
    if not first:
        st.rerun()
