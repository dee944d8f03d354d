"""What stands around the Guidance page's panes: sidebar, header with its three popovers, the cuts' sliders."""

from __future__ import annotations

import streamlit as st

from app import process, state
from app.gallery import Picture
from app.selection import GUIDANCE, Selection
from app.views import guidance_download as download
from app.views import keeping
from app.views.guidance_words import HELP, QUESTION
from app.views.inspect_frame import about, image
from app.words import number
from engine.guidance import Cuts, Guidance
from engine.runtime import ModelCard
from engine.trace import Trace

SLIDERS = (
    ("token", "token cut τ", "Of L_u's gradient into the class tokens T"),
    ("high", "high cut η", "Of L_u's gradient into the guide's feature F_h, and so into CAE and backbone"),
    ("low", "low cut λ", "Of L_u's gradient into f₀ to f₂, and so into the backbone"),
)
OWN = "This model's upsampler has tokens of its own: L_u does not read T, whatever the factor."


def sidebar(selection: Selection, picture: Picture, card: ModelCard) -> None:
    """The shared selection: image, and a model that has guidance."""
    image(selection, picture)
    guided = {name: one for name, one in process.engine().models().items() if one.method == "hfgd"}
    st.selectbox(
        "Model",
        list(guided),
        format_func=lambda name: guided[name].title,
        **state.bound("model", selection.model),
    )
    st.html(f'<p class="lp-note">{about(card)}</p>')


def header(selection: Selection, picture: Picture, trace: Trace, category: int, cuts: Cuts) -> None:
    """The question, and how to read the answer, take it along, and pass it on."""
    with st.container(horizontal=True, vertical_alignment="center", key="header"):
        st.html(f"<h1 class='lp-question'>{QUESTION}</h1>", width="stretch")
        with st.popover("?"):
            st.markdown(HELP)
        with st.popover("Download"):
            download.buttons(selection, picture, trace, category, cuts)
        keeping.control(GUIDANCE, selection, download.offer(selection, picture, trace, category, cuts))
        with st.popover("Link"):
            st.caption("Opens this very selection: model, image, category, pixels, cuts and settings.")
            st.code(state.address(selection, st.context.url or "", GUIDANCE), language=None, wrap_lines=True)


def sliders(cuts: Cuts, guidance: Guidance) -> None:
    """The three factors, and one click back to the model's own or to all open."""
    for column, (name, label, meaning) in zip(st.columns(3), SLIDERS, strict=True):
        own = name == "token" and guidance.own_tokens
        column.slider(
            label,
            0.0,
            1.0,
            step=0.01,
            format="%.2f",
            disabled=own,
            help=OWN if own else f"{meaning}: 0 stops it, 1 lets it through. The forward pass never changes.",
            **state.bound(f"{name}_cut", getattr(cuts, name)),
        )
    trained = guidance.cuts
    with st.container(horizontal=True, key="presets"):
        said = ", ".join(number(one) for one in (trained.token, trained.high, trained.low))
        st.button(f"as trained: {said}", on_click=_set, args=(trained,), disabled=cuts == trained)
        st.button(
            "all open: 1, 1, 1",
            on_click=_set,
            args=(Cuts(1.0, 1.0, 1.0),),
            disabled=cuts == Cuts(1.0, 1.0, 1.0),
        )


def _set(cuts: Cuts) -> None:
    state.choose(token_cut=cuts.token, high_cut=cuts.high, low_cut=cuts.low)
