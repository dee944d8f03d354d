"""What the Surgery page's walks over a split have in common: what is ready of a model, how far a walk is, and looking again."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app import datasets, process, state, surgery_walk
from app.surgery_walk import Walk
from app.views.surgery_look import Look
from app.words import markdown
from engine.catalogue import ModelCard
from engine.surgery import Prepared

POLL = 1.0  # seconds between two looks at a walk


def data_of(look: Look) -> str:
    """The split that the page's model is looked at over; "" where none has its categories."""
    return datasets.of(look.card) or ""


def images_of(data: str) -> int:
    """How many of its images."""
    return min(surgery_walk.IMAGES, datasets.size(data))


def prepared(card: ModelCard, data: str) -> Prepared:
    """What edited runs over the split need of a model's unedited ones."""
    engine, images = process.engine(), images_of(data)
    return process.walks().prepared(
        (card.hash, data, images),
        lambda: Prepared(engine.segmenter(card), datasets.opened(data), limit=images, device=engine.device),
    )


def ended(walk: Walk | None, name: str) -> bool:
    """Whether a walk that was under way at the last look is over: the page then runs once more and looks no further."""
    key = f"walk {name}"
    if walk is not None and walk.running:
        state.keep(key, id(walk))
        return False
    before = state.kept(key)
    state.keep(key, None)
    return walk is not None and before == id(walk)


def bar(walk: Walk, what: str, key: str) -> None:
    """How far a walk is, and a way to stop it."""
    with st.container(horizontal=True, vertical_alignment="center", key=f"lp-walk-{key}"):
        if not walk.begun:
            st.progress(0.0, "Waiting for another walk to end …")
        elif walk.stopping:
            st.progress(walk.done / walk.total, "Stopping after the images in hand …")
        else:
            st.progress(min(1.0, walk.done / walk.total), markdown(f"{what}: {walk.done} of {walk.total}"))
        st.button("Stop", on_click=walk.stop, key=f"stop surgery {key}", disabled=walk.stopping)


def polled(draw: Callable[[Look], None], look: Look, walk: Walk | None) -> None:
    """A part that is looked at again while its walk runs."""
    st.fragment(draw, run_every=POLL if walk is not None and walk.running else None)(look)
