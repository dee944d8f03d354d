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
) -> None:
    """A bar while the work runs; nothing otherwise. stop: a button's label and what it does."""
    if running():
        st.fragment(_bar, run_every=POLL)(running, fraction, said, key, stop, [])


def _bar(
    running: Callable[[], bool],
    fraction: Callable[[], float],
    said: Callable[[], str],
    key: str,
    stop: tuple[str, Callable[[], None]] | None,
    looks: list[bool],
) -> None:
    first = not looks
    looks.append(True)
    if not running():
        # Not in the page's own run: what it has not yet sent would be lost with it, and widgets would open with other values than
        # they were given. What comes below it shows the results anyway.
        if not first:
            st.rerun()
        return
    with st.container(horizontal=True, vertical_alignment="center", key=key):
        st.progress(max(0.0, min(1.0, fraction())), said())
        if stop is not None:
            st.button(stop[0], on_click=stop[1], key=f"stop {key}")
