"""What stands around the Surgery page's panes: sidebar, and the header with its three popovers."""

from __future__ import annotations

import streamlit as st

from app import process, state
from app.selection import SURGERY
from app.views import keeping
from app.views import surgery_download as download
from app.views.inspect_frame import about, image
from app.views.surgery_look import Look, editable_of
from app.views.surgery_words import HELP, QUESTION


def sidebar(look: Look) -> None:
    """The shared selection: image, model, stage."""
    selection = look.selection
    image(selection, look.picture)
    cards = editable_of(process.engine().models())
    st.selectbox(
        "Model",
        list(cards),
        format_func=lambda name: cards[name].title,
        **state.bound("model", selection.model),
    )
    st.html(f'<p class="lp-note">{about(look.card)}</p>')
    if look.stages:
        st.segmented_control(
            "Stage", look.stages, required=True, width="stretch", **state.bound("stage", selection.stage)
        )


def header(look: Look) -> None:
    """The question, and how to read the answer, take it along, and pass it on."""
    with st.container(horizontal=True, vertical_alignment="center", key="header"):
        st.html(f"<h1 class='lp-question'>{QUESTION}</h1>", width="stretch")
        with st.popover("?"):
            st.markdown(HELP)
        with st.popover("Download"):
            download.buttons(look)
        keeping.control(SURGERY, look.selection, download.offer(look))
        with st.popover("Link"):
            st.caption("Opens this very selection: model, image, edits, pixels and settings.")
            link = state.address(look.selection, st.context.url or "", SURGERY)
            st.code(link, language=None, wrap_lines=True)
