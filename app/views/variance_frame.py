"""What stands around the Variance page: sidebar, header with its three popovers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from app import process, state
from app.selection import (
    DRAWN,
    LEAST_PIXELS,
    MOST_PANELS,
    MOST_PIXELS,
    PAINTS,
    PROJECTIONS,
    VARIANCE,
    Selection,
)
from app.views import inspect_frame, keeping
from app.views import variance_words as words
from app.views.inspect_frame import about
from app.views.keeping import Offer
from app.views.variance_look import Look
from app.words import html

AMOUNTS = (LEAST_PIXELS, 1000, 2000, 3000, 5000, 10_000, 20_000, MOST_PIXELS)


def afresh(**fields: Any) -> dict[str, Any]:
    """`fields`, and without what was selected among the points that were there before."""
    return {**fields, "lasso": "", "isolated": "", "smallest": 0, "named": ()}


def sidebar(look: Look) -> None:
    """What is drawn, of whom, and how.

    Every widget is told its value twice, as its own default and through the session: a browser that is still loading the widget's
    code when a second run comes would otherwise open it without the value, and report that as a choice.
    """
    chosen = look.selection
    _subjects(look, chosen)
    st.segmented_control(
        "Pixels from",
        DRAWN,
        format_func={
            **words.DRAWN,
            "samples": "samples",
            "image": "this image",
            "atlas": "atlas",
        }.__getitem__,
        required=True,
        width="stretch",
        default=chosen.drawn,
        **state.bound("drawn", chosen.drawn, lambda drawn: afresh(drawn=drawn)),
    )
    if chosen.drawn == "image":
        inspect_frame.image(chosen, look.picture)
    amounts = sorted({*AMOUNTS, chosen.amount})
    st.select_slider(
        "Pixels, at most",
        amounts,
        help="Balanced over categories; a smaller number is the beginning of a larger one.",
        value=chosen.amount,
        **state.bound("amount", chosen.amount, lambda amount: afresh(amount=amount)),
    )
    _projection(chosen)
    st.selectbox(
        "Colour by",
        PAINTS,
        PAINTS.index(chosen.paint),
        format_func=words.PAINTS.__getitem__,
        **state.bound("paint", chosen.paint),
    )
    st.html(
        f'<p class="lp-note">{"<br>".join(f"<b>{html(card.id)}</b> {about(card)}" for card in look.cards)}</p>'
    )


def _subjects(look: Look, chosen: Selection) -> None:
    cards = process.engine().models()
    models = [chosen.model, *chosen.beside]

    def take_models(named: list[str]) -> dict[str, Any]:
        if not named:  # an empty choice changes nothing: the page always shows something
            return {}
        return afresh(model=named[0], beside=tuple(named[1:]))

    st.multiselect(
        "Models, one to four",
        list(dict.fromkeys([*cards, *models])),
        max_selections=MOST_PANELS,
        format_func=lambda name: cards[name].id if name in cards else f"{name[:40]} (not here)",
        help="The first one is the model of the other pages.",
        default=models,
        **state.bound("beside", models, take_models),
    )

    def take_sites(named: list[str]) -> dict[str, Any]:
        return afresh(sites=tuple(named)) if named else {}

    st.multiselect(
        "Sites",
        list(dict.fromkeys([*look.sites, *chosen.sites])),
        max_selections=MOST_PANELS,
        help="f: the backbone. lateral: the decoder's own 1×1. value: aligned pixels as the update would add them. update: what "
        "substitution broadcasts. fused: what is classified.",
        default=list(chosen.sites),
        **state.bound("sites", list(chosen.sites), take_sites),
    )

    def take_categories(named: list[str]) -> dict[str, Any]:
        return afresh(categories=tuple(named))

    st.multiselect(
        "Categories",
        look.card.classes,
        placeholder="all",
        default=list(chosen.categories),
        **state.bound("categories", list(chosen.categories), take_categories),
    )


def _projection(chosen: Selection) -> None:
    st.segmented_control(
        "Projection",
        PROJECTIONS,
        format_func={**words.PROJECTIONS, "aligned": "aligned"}.__getitem__,
        required=True,
        width="stretch",
        default=chosen.projection,
        **state.bound("projection", chosen.projection),
    )
    if chosen.projection == "pca":
        return
    with st.container(horizontal=True):
        st.number_input(
            "Neighbours", 2, 200, chosen.neighbours, **state.bound("neighbours", chosen.neighbours)
        )
        if chosen.projection != "aligned":
            st.number_input(
                "Min. distance",
                0.0,
                0.99,
                chosen.min_dist,
                step=0.05,
                **state.bound("min_dist", chosen.min_dist),
            )
        st.number_input("Seed", 0, 999_999, chosen.seed, **state.bound("seed", chosen.seed))


def header(look: Look, download: Callable[[], None], offer: Offer | None) -> None:
    """The question, and how to read the answer, keep it, take it along, and pass it on. download: draws the buttons."""
    with st.container(horizontal=True, vertical_alignment="center", key="header"):
        st.html(f"<h1 class='lp-question'>{words.QUESTION}</h1>", width="stretch")
        with st.popover("?"):
            st.markdown(words.HELP)
        with st.popover("Download"):
            download()
        keeping.control(VARIANCE, look.selection, offer)
        with st.popover("Link"):
            st.caption("Opens this very selection: models, sites, pixels, projection and what is selected.")
            link = state.address(look.selection, st.context.url or "", VARIANCE)
            st.code(link, language=None, wrap_lines=True)
