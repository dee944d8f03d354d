"""Surgery: what does this prototype cause?

An image before and after a list of edits, in three locked panes that answer hover and settings by themselves; beside them the
list. An edit, a click or a setting runs the fragment `_main` alone; below it, what the edits cause over a whole split.
"""

from __future__ import annotations

import streamlit as st

from app import process, state
from app.selection import SURGERY, view_of
from app.viewer import describe_surgery, surgery
from app.views import page, surgery_consequences, surgery_edits
from app.views import surgery_frame as frame
from app.views import surgery_numbers as numbers
from app.views.inspect_frame import footer
from app.views.surgery_look import Look, look, regions_of
from app.views.surgery_words import caption, unhidden


def render() -> None:
    """The page. Streamlit calls it on every full run."""
    page.render(look, frame.sidebar, _main)


@st.fragment
def _main() -> None:
    now = look(whole_run=False)
    if now is None:
        return
    if now.stages and state.shown("stage") != now.selection.stage:
        state.again()  # the stage was changed in the viewer: the sidebar shows it too
    frame.header(now)
    page.sentences()
    with st.container(key="lp-surgery"):
        panes, beside = st.columns([2.9, 1], gap="medium")
    with panes:
        _viewer(now)
        st.html(f'<p class="lp-caption">{caption(now)}</p>')
    with beside:
        surgery_edits.column(now)
    numbers.section(now)
    surgery_consequences.section(now)
    footer(now.after)
    state.commit(now.selection, page=SURGERY)


def _viewer(now: Look) -> None:
    truth = now.picture.truth
    store, selection = process.store(), now.selection
    classes = [
        {"name": name, "colour": colour}
        for name, colour in zip(now.names.names, now.names.colours, strict=True)
    ]
    surgery(
        describe_surgery(
            (now.before, store.put(now.before, truth)),
            (now.after, store.put(now.after, truth)),
            classes,
            hidden=regions_of(now.edits),
            unhidden=unhidden(now),
            pins=selection.pins or (),
            active=selection.active,
            view=view_of(selection, SURGERY),
            revision=state.revision(SURGERY),
        ),
        key=SURGERY.key,
    )
