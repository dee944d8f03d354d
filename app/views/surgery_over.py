"""What the Surgery page's walks over a split have in common: what is ready of a model, how far a walk is, and looking again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from app import process, state
from app.surgery_walk import DATA, Walk
from app.views.surgery_look import Look
from engine.data.datasets import open_dataset
from engine.surgery import Prepared

POLL = 1.0  # seconds between two looks at a walk


def prepared(checkpoint: str, path: Path, images: int) -> Prepared:
    """What edited runs over the split need of a model's unedited ones."""
    engine = process.engine()
    return process.walks().prepared(
        (checkpoint, DATA, images),
        lambda: Prepared(engine.segmenter(path), open_dataset(DATA), limit=images, device=engine.device),
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
            st.progress(min(1.0, walk.done / walk.total), f"{what}: {walk.done} of {walk.total}")
        st.button("Stop", on_click=walk.stop, key=f"stop surgery {key}", disabled=walk.stopping)


def polled(draw: Callable[[Look], None], look: Look, walk: Walk | None) -> None:
    """A part that is looked at again while its walk runs."""
    st.fragment(draw, run_every=POLL if walk is not None and walk.running else None)(look)
