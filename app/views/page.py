"""What pages have in common: how a full run begins, and the sentences below the header."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import streamlit as st

from app import state
from app.words import markdown

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class Looking(Protocol[T_co]):
    """What is to be shown; None where there is nothing, and the page has said why."""

    def __call__(self, whole_run: bool) -> T_co | None: ...


def render(look: Looking[T], sidebar: Callable[[T], None], main: Callable[[], None]) -> None:
    """A full run. The sidebar's place comes first, so that it stands above what `look` may say there; `main`, a fragment, looks
    again, and is what runs alone when something is done in the page itself."""
    place = st.sidebar.container()
    now = look(whole_run=True)
    if now is None:
        return
    with place:
        sidebar(now)
    main()


def sentences() -> None:
    """What could not be done as a link or a choice asked for.

    Their place is there without them too: below an element that comes and goes everything is built anew, and is away for moments.
    """
    with st.container():
        if said := state.notices():
            st.warning("  \n".join(markdown(sentence) for sentence in said), icon=":material/info:")
