"""Library: what have I loaded?

Models with where they come from, to add, rename and remove; datasets, to check and to leaf through with their labels drawn; the
device, the caches with their sizes, and what is being worked on.
"""

from __future__ import annotations

import streamlit as st

from app import state
from app.selection import LIBRARY
from app.views import library_data as data
from app.views import library_frame as frame
from app.views import library_machine as machine
from app.views import library_models as models
from app.views import page


def render() -> None:
    """The page. Streamlit calls it on every full run; what is done in the page itself runs `_main` alone."""
    page.render(frame.look, frame.sidebar, _main)


@st.fragment
def _main() -> None:
    look = frame.look(whole_run=False)
    frame.header(look)
    page.sentences()
    with st.container(key="lp-wide-library"):
        left, right = st.columns([8, 5], gap="large")
    with left:
        models.section(look)
        data.section(look)
    with right:
        machine.section()
    state.commit(look.selection, page=LIBRARY)
    if state.waiting():
        st.rerun()
