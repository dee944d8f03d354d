"""What stands around Compare's viewers: sidebar, header with its three popovers, footer."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import process, state
from app.selection import COMPARE
from app.views import compare_download as download
from app.views import inspect_frame, keeping
from app.views.compare_sides import MOST, Look
from app.views.compare_words import HELP, QUESTION, about, measured, names_sentence
from app.words import html

about_names = names_sentence


def sidebar(look: Look) -> None:
    """The shared selection: image and models. The first model is the one of the other pages."""
    selection = look.selection
    inspect_frame.image(selection, look.picture)
    cards = process.engine().models()
    options = list(dict.fromkeys([*cards, *selection.models]))
    shown = dict(zip(selection.models, selection.shows, strict=False))

    def take(chosen: list[str]) -> dict[str, Any]:
        if not chosen:  # an empty choice changes nothing: the page always shows something
            return {}
        shows = tuple(shown.get(name, "auto") for name in chosen)
        first = chosen[0] if chosen[0] in cards else selection.model
        return {"models": tuple(chosen), "model": first, "shows": shows, "pair": (0, 1)}

    st.multiselect(
        "Models, two to four",
        options,
        max_selections=MOST,
        format_func=lambda name: cards[name].id if name in cards else f"{name[:40]} (not here)",
        help="The first one is the model of the other pages.",
        **state.bound("models", list(selection.models), take),
    )
    lines = "<br>".join(about(side) for side in look.sides)
    st.html(f'<p class="lp-note">{lines}<br>{html(f"mIoU: {measured(look)}")}</p>')


def header(look: Look) -> None:
    """The question, and how to read the answer, take it along, and pass it on."""
    with st.container(horizontal=True, vertical_alignment="center", key="header"):
        st.html(f"<h1 class='lp-question'>{QUESTION}</h1>", width="stretch")
        with st.popover("?"):
            st.markdown(HELP)
        with st.popover("Download"):
            download.buttons(look)
        keeping.control(COMPARE, look.selection, download.offer(look))
        with st.popover("Link"):
            st.caption("Opens this very selection: models, image, pixels and settings.")
            link = state.address(look.selection, st.context.url or "", COMPARE)
            st.code(link, language=None, wrap_lines=True)


def footer(look: Look) -> None:
    """Device, precision, what the last trace took, and how full the cache is."""
    inspect_frame.footer(look.sides[-1].trace)
