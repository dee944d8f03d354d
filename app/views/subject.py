"""What a page is about, made to fit what there is: the picture and its pins, and the model's trace of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from app import process, state
from app.gallery import Picture, UnknownPicture
from app.selection import Page, Selection, fit_pins
from app.traced import traced
from app.words import markdown
from engine import LoupeError
from engine.runtime import ModelCard
from engine.trace import Trace


def no_models(purpose: str) -> None:
    """Says that no checkpoint can be used, and why not each of them."""
    found = process.engine().problems().items()
    reasons = "".join(f"\n- {markdown(name)}: {markdown(why)}" for name, why in found)
    st.error(f"There is no model to {purpose}: assets/models holds no usable checkpoint.{reasons}")


def opening_of(model: str, **fields: Any) -> Selection:
    """What a visitor without a link meets on a page without an image: image and pin are the other pages'."""
    from app.views.inspect import OPENING_PIXEL, OPENING_SCENE

    samples = process.gallery().samples()
    chosen = Selection(model=model, image=samples[0].id if samples else "", **fields)
    for picture in samples:
        if picture.title == OPENING_SCENE:
            return replace(chosen, image=picture.id, pins=(OPENING_PIXEL,))
    return chosen


def unknown_model(name: str) -> str:
    """Why the catalogue has no model of that name; no full stop."""
    return process.engine().problems().get(f"{name}.safetensors") or f"There is no model “{name[:40]}”"


def picture_of(selection: Selection, opening: Selection) -> tuple[Selection, Picture, list[str]]:
    """The chosen picture, or the opening's, with pins that lie inside it; a sentence for each thing that was changed."""
    gallery, problems = process.gallery(), []
    try:
        picture = gallery.get(selection.image)
    except UnknownPicture as error:
        picture = gallery.get(opening.image)
        problems.append(f"{str(error).rstrip('.')}. Meanwhile {picture.title} is shown.")
        selection = replace(selection, image=opening.image, pins=opening.pins, active=0)
    selection, outside = fit_pins(selection, picture.image.original_size)
    return selection, picture, [*problems, *outside]


def trace_of(
    selection: Selection,
    picture: Picture,
    card: ModelCard,
    opening: Selection,
    problems: list[str],
    page: Page,
) -> tuple[Picture, Trace] | None:
    """The picture with its truth in the model's own numbering, and the trace; None where the page has said why there is none."""
    try:
        with st.spinner(f"Tracing {markdown(picture.title)} with {markdown(card.id)} …", show_time=True):
            trace = traced(card, picture)
    except LoupeError as error:
        state.commit(selection, problems, page)
        st.error(markdown(error))
        if selection.model != opening.model:
            st.button("Back to the demo model", on_click=state.choose, kwargs={"model": opening.model})
        return None
    before = state.kept(f"checkpoint {card.id}")
    if before not in (None, card.hash):
        problems.append(
            f"The file of {card.id} was exchanged on the disk: what is shown is of the new one ({card.hash[:8]})."
        )
    state.keep(f"checkpoint {card.id}", card.hash)
    return replace(picture, truth=picture.truth_for(card.classes)), trace
