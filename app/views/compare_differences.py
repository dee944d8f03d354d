"""The samples on which two models differ most: a walk over the gallery beside the page, and a list that is one click away."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import permutations

import streamlit as st

from app import comparison, process, state
from app.comparison import Difference
from app.gallery import Picture
from app.views.compare_sides import Look, Side, labels_of, truth_of
from app.views.picker import thumbnails
from app.words import html, markdown, percent
from engine.turns import JOB

POLL = 0.8  # seconds
LIST = "differences"
SHOWN = 12


def section(look: Look) -> None:
    """Which two, how far the walk is, and what it found."""
    pair = look.pair
    if pair is None:
        return
    st.html("<h2 class='lp-section'>Samples on which two models differ most</h2>")
    names = comparison.common_names([side.card.classes for side in pair])
    if not names:
        st.html('<p class="lp-soft">These two share no category by name.</p>')
        return
    if len(look.sides) > 2:
        places = [at for at, one in enumerate(look.places) if isinstance(one, Side)]
        st.selectbox(
            "Which two",
            [(a, b) for a, b in permutations(places, 2) if a < b or (a, b) == look.selection.pair],
            format_func=lambda two: " and ".join(look.selection.models[at] for at in two),
            width=320,
            **state.bound("pair", look.selection.pair),
        )
    job = process.jobs().find(_name(pair))
    st.fragment(_walk, run_every=POLL if job is not None and job.running else None)(look, pair, names)


def _name(pair: tuple[Side, Side]) -> Hashable:
    return ("differences", pair[0].card.hash, pair[1].card.hash)


def key_of(pair: tuple[Side, Side], picture: Picture) -> Hashable:
    return (_name(pair), picture.image.hash)


def start(pair: tuple[Side, Side], names: tuple[str, ...]) -> None:
    """Walks the samples, those with ground truth first; clicks go before it."""
    engine = process.engine()
    samples = sorted(process.gallery().samples(), key=lambda picture: picture.truth is None)

    def step(picture: Picture) -> Difference:
        first, second = (
            labels_of(side.card, engine.trace(side.card, picture.image, priority=JOB), names) for side in pair
        )
        return comparison.difference(first, second, truth_of(picture, names), len(names))

    steps = {key_of(pair, picture): lambda picture=picture: step(picture) for picture in samples}
    process.jobs().start(_name(pair), steps)


def ranking(pair: tuple[Side, Side]) -> list[tuple[Picture, Difference]]:
    """What is known so far, the largest share of different pixels first."""
    kept = process.jobs().kept
    found = [
        (picture, known)
        for picture in process.gallery().samples()
        if isinstance(known := kept.get(key_of(pair, picture)), Difference)
    ]
    return sorted(found, key=lambda one: -one[1].share)


def _walk(look: Look, pair: tuple[Side, Side], names: tuple[str, ...]) -> None:
    job = process.jobs().find(_name(pair))
    total = len(process.gallery().samples())
    if job is not None and job.running:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.progress(job.done / max(1, job.total), f"Comparing on the samples: {job.done} of {job.total}")
            st.button("Stop", on_click=job.stop, key="stop differences")
    elif len(ranking(pair)) < total:
        label = "Compare on all samples" if job is None else "Go on"
        if st.button(f"{label} ({total} pictures)", key="start differences"):
            start(pair, names)
            st.rerun()  # the whole page: only it can make this part look again and again
    if job is not None and job.errors:
        st.caption("  \n".join(markdown(f"Left out: {why}") for why in set(job.errors.values())))
    found = ranking(pair)[:SHOWN]
    if found:
        notes = {picture.id: _note(known) for picture, known in found}
        thumbnails([picture for picture, _ in found], look.selection.image, LIST, _picked, notes)
        st.html(
            '<p class="lp-note">Share of the pixels with different categories; below it the mIoU of the image, '
            f"{html(pair[1].id)} minus {html(pair[0].id)}, in points, where the truth is known. "
            "Click one to see it above.</p>"
        )
    if state.waiting() or (job is not None and not job.running and state.is_news(LIST, (id(job), job.done))):
        st.rerun()  # a picture was chosen, or the walk is over and need not be looked at any more


def _note(known: Difference) -> str:
    if known.gap is None:
        return percent(known.share)
    return f"{percent(known.share)}\n{known.gap:+.1f}".replace("-", "−")


def _picked() -> None:
    chosen = state.picked(LIST)
    if isinstance(chosen, str):
        state.choose(image=chosen, pins=None, active=0)
