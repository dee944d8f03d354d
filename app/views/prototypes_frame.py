"""What stands around the Prototypes page: sidebar, header with its three popovers."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import process, state
from app.selection import PROTOTYPES
from app.views import keeping
from app.views import prototypes_download as download
from app.views.inspect_frame import about
from app.views.prototypes_look import Look
from app.views.prototypes_words import HELP, QUESTION
from app.words import html
from engine.atlas.records import Skipped

LISTED = 50  # unreadable images in the sidebar; the manifest has all


def sidebar(look: Look) -> None:
    """The shared selection: model, stage, category."""
    cards = process.engine().models()
    st.selectbox(
        "Model",
        list(cards),
        format_func=lambda name: cards[name].title if name in cards else name,
        **state.bound("model", look.card.id),
    )
    st.html(f'<p class="lp-note">{about(look.card)}</p>')
    if look.stages:
        st.segmented_control(
            "Stage", look.stages, required=True, width="stretch", **state.bound("stage", look.stage)
        )
    if look.stages or look.card.method == "hfgd":
        st.selectbox("Category", look.card.classes, **state.bound("category", look.name))
    st.html(f'<div class="lp-note" data-note="atlas">{_about_atlas(look)}</div>')


def _about_atlas(look: Look) -> str:
    if look.atlas is None:
        return "no atlas yet"
    manifest = look.atlas.manifest
    return f"atlas of {manifest.images} images<br>{html(manifest.data)}{_unread(manifest.skipped)}"


def _unread(skipped: Sequence[Skipped]) -> str:
    """Which images the atlas is without, and why."""
    if not skipped:
        return ""
    rows = [f"{html(one.id)}: {html(one.reason)}" for one in skipped[:LISTED]]
    if len(skipped) > LISTED:
        rows.append(f"and {len(skipped) - LISTED} more")
    return f"<details><summary>{len(skipped)} could not be read</summary>{'<br>'.join(rows)}</details>"


def header(look: Look) -> None:
    """The question, and how to read the answer, take it along, and pass it on."""
    with st.container(horizontal=True, vertical_alignment="center", key="header"):
        st.html(f"<h1 class='lp-question'>{QUESTION}</h1>", width="stretch")
        with st.popover("?"):
            st.markdown(HELP)
        with st.popover("Download"):
            download.buttons(look)
        keeping.control(PROTOTYPES, look.selection, download.offer(look))
        with st.popover("Link"):
            st.caption("Opens this very selection: model, stage, category and view.")
            link = state.address(look.selection, st.context.url or "", PROTOTYPES)
            st.code(link, language=None, wrap_lines=True)
