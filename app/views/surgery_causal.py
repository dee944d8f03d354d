"""The causal matrix beside the atlas's affinities: each prototype ablated in turn, and whether attention predicts effect."""

from __future__ import annotations

from collections.abc import Hashable
from typing import cast

import numpy as np
import streamlit as st

from app import datasets, process, state, surgery_walk
from app.surgery_walk import Walk
from app.views.prototypes_html import matrix
from app.views.surgery_look import Look
from app.views.surgery_over import bar, data_of, ended, images_of, prepared
from app.views.surgery_sheets import affinity_sheet, causal_sheet
from app.words import html, markdown, minus
from engine.edits.values import Meaning
from engine.surgery import CausalMatrix, Prediction, attention_predicts, causal_matrix, mean_rate

MEANINGS = {"masked": "masked", "zero": "zero", "mean": "mean"}


def settings(look: Look) -> None:
    """What an ablation means."""
    st.segmented_control(
        "Each prototype ablated in turn at every stage, meaning",
        list(MEANINGS),
        required=True,
        **state.bound("ablation", look.selection.ablation),
    )


def name_of(look: Look) -> Hashable:
    return ("causal", look.card.hash, data_of(look), surgery_walk.IMAGES, look.selection.ablation)


def walk_of(look: Look) -> Walk | None:
    return process.walks().find(name_of(look))


def found_of(look: Look) -> CausalMatrix | None:
    """What is known by now."""
    walk = walk_of(look)
    return None if walk is None or walk.found is None or not walk.found.images else walk.found


def start(look: Look) -> Walk:
    """Begins the walk."""
    engine, card, data = process.engine(), look.card, data_of(look)
    meaning = cast(Meaning, look.selection.ablation)

    def run(walk: Walk) -> CausalMatrix:
        return causal_matrix(
            engine.segmenter(card),
            datasets.opened(data),
            meaning=meaning,
            limit=images_of(data),
            device=engine.device,
            progress=walk.progress,
            stop=lambda: engine.let_clicks_go_first() or walk.stop_now(),
            refine=walk.refine,
            prepared=prepared(card, data),
            model=card.id,
            data=data,
        )

    return process.walks().start(name_of(look), run)


def rate_of(look: Look) -> tuple[str, np.ndarray] | None:
    """(its key, who reads whom (k, k), mean over the stages) of the model's atlas; None where there is none."""
    found = process.atlases().find(look.card)
    if found.atlas is None:
        return None
    return found.key, mean_rate([found.atlas.usage(stage).rate for stage in look.stages])


def prediction_of(look: Look, walk: Walk) -> Prediction | None:
    """Whether the atlas's affinities predict the effects; None before there are both. Computed once."""
    rate = rate_of(look)
    if rate is None or not walk.complete:
        return None
    if rate[0] not in walk.memo:
        walk.memo[rate[0]] = attention_predicts(walk.found, rate[1])
    return walk.memo[rate[0]]


def walked(look: Look) -> None:
    """How far it is, or a button; both matrices; the sentence."""
    walk = walk_of(look)
    count = len(look.card.classes)
    if walk is not None and walk.running:
        bar(walk, f"Images × prototypes of {look.card.id}", "causal")
    elif walk is None or not walk.complete:
        label = "Ablate each prototype in turn" if walk is None else "Run again"
        if st.button(f"{label} ({count} × {images_of(data_of(look))} images)", key="start causal"):
            start(look)
            st.rerun()  # the whole page: only it can make this part look again and again
    if walk is not None and walk.error:
        st.warning(markdown(f"{walk.error}."), icon=":material/info:")
    found = found_of(look)
    if walk is not None and found is not None:
        _shown(look, walk, found)
    if ended(walk, "causal"):
        st.rerun()


def _shown(look: Look, walk: Walk, found: CausalMatrix) -> None:
    effect = causal_sheet(look, found)
    rate = rate_of(look)
    said = prediction_of(look, walk)
    if said is not None:
        st.html(f'<p class="lp-said">{html(minus(said.finding()))}</p>')
    with st.container(key="lp-wide-causal"):
        left, right = st.columns(2, gap="medium")
    left.html(matrix(effect, look.selection.colours) + f'<p class="lp-caption">{html(effect.caption)}</p>')
    if rate is None:
        right.html(
            f'<p class="lp-soft">There is no atlas of {html(look.card.id)} yet, which would say who reads whom: the Prototypes '
            "page makes one.</p>"
        )
    else:
        read = affinity_sheet(look, rate[1])
        right.html(matrix(read, look.selection.colours) + f'<p class="lp-caption">{html(read.caption)}</p>')
