"""Inspect: where does this pixel look?

The viewer answers a hover by itself; a click runs only the fragment below, which computes the numbers of the pinned pixels
and writes the selection to the address bar.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from app import cache, process, state
from app.gallery import Picture
from app.palette import colours
from app.selection import INSPECT, Selection, fit_stage, view_of
from app.viewer import describe, viewer
from app.views import inspect_frame as frame
from app.views import page, subject
from app.views.inspect_panel import Names, comparison, pin_table
from app.views.inspect_words import caption
from engine.runtime import ModelCard
from engine.trace import Trace

# Met first: against the image's average, a pixel of the near shore's grass reads the grass across the water.
OPENING_MODEL = "cpt"
OPENING_SCENE = "scene 20"
OPENING_PIXEL = (246, 114)
OPENING_STAGE = "stride4"
OPENING_RELATIVE = "relative"


@dataclass(frozen=True)
class Look:
    """What one run shows."""

    selection: Selection
    card: ModelCard
    picture: Picture
    trace: Trace


def render() -> None:
    """The page. Streamlit calls it on every full run; a click in the viewer runs `_main` alone."""
    place = st.sidebar.container()
    look = _look(whole_run=True)
    if look is None:
        return
    with place:
        frame.sidebar(look.selection, look.picture, look.card, look.trace)
    _main()


@st.fragment
def _main() -> None:
    look = _look(whole_run=False)
    if look is None:
        return
    if state.shown("stage") != look.selection.stage:
        state.again()  # the stage was changed in the viewer: the sidebar shows it too
    selection, trace = look.selection, look.trace
    frame.header(selection, look.picture, trace)
    page.sentences()
    assert trace.model is not None
    key = process.store().put(trace, look.picture.truth)
    classes = [
        {"name": name, "colour": colour}
        for name, colour in zip(trace.model.classes, colours(trace.model.classes), strict=True)
    ]
    viewer(
        describe(
            trace,
            key,
            classes,
            pins=selection.pins or (),
            active=selection.active,
            view=view_of(selection),
            revision=state.revision(),
        ),
        key=state.VIEWER,
    )
    st.html(f'<p class="lp-caption">{caption(selection, trace, look.picture)}</p>')
    _numbers(look)
    frame.footer(trace)
    state.commit(selection)


def _numbers(look: Look) -> None:
    """The exact numbers of the pinned pixels: the active one at every stage, and all of them at the stage on show."""
    selection, trace, truth = look.selection, look.trace, look.picture.truth
    assert trace.model is not None
    pins = selection.pins or ()
    if not pins:
        st.html('<p class="lp-soft">Click the picture to pin a pixel: its exact numbers appear here.</p>')
        return
    names = Names(trace.model.classes, colours(trace.model.classes))
    active = [cache.reading_of(trace, truth, stage.name, pins[selection.active]) for stage in trace.stages]
    sinks = {stage.name: cache.sinks_of(trace, stage.name) for stage in trace.stages}
    parts = [pin_table(selection.active + 1, active, names, selection.stage, sinks)]
    if len(pins) > 1:
        rows = [cache.reading_of(trace, truth, selection.stage, pin) for pin in pins]
        parts.insert(0, comparison(rows, selection.active, names))
    st.html("".join(parts))


def _look(whole_run: bool) -> Look | None:
    """The selection, made to fit what there is, with its trace; None when there is nothing to show (the page says why)."""
    cards = process.engine().models()
    if not cards:
        subject.no_models("look into")
        return None
    readers = {name: card for name, card in cards.items() if card.sources is not None}
    if not readers:
        st.info(
            "No model here has a query update to look into. Compare shows what their decisions depend on."
        )
        return None
    opening = _opening(readers)
    selection = state.begin(opening, whole_run)
    problems: list[str] = []
    if selection.model in cards and selection.model not in readers:
        problems.append(_without(cards[selection.model], opening.model))
        selection = replace(selection, model=opening.model)
    elif selection.model not in cards:
        why = subject.unknown_model(selection.model)
        problems.append(f"{why}; {opening.model} is shown.")
        selection = replace(selection, model=opening.model)
    selection, picture, changed = subject.picture_of(selection, opening)
    problems += changed
    card = cards[selection.model]
    traced = subject.trace_of(selection, picture, card, opening, problems, INSPECT)
    if traced is None:
        return None
    picture, trace = traced
    stages = {stage.name: (stage.sources, stage.heads, stage.source_count) for stage in trace.stages}
    selection, other = fit_stage(selection, stages)
    state.hold(selection, [*problems, *other])
    return Look(selection, card, picture, trace)


def _without(card: ModelCard, shown: str) -> str:
    """Why a model without a query update is not shown here, and where it is."""
    where = (
        "Its guidance is on the Guidance page." if card.method == "hfgd" else "Compare shows its influence."
    )
    return f"{card.id} has no query update; {shown} is shown. {where}"


def warm_up() -> None:
    """Makes the trace that a visitor without a link meets, so that the first one need not wait for torch."""
    engine = process.engine()
    cards = {name: card for name, card in engine.models().items() if card.sources is not None}
    if cards:
        opening = _opening(cards)
        engine.trace(opening.model, process.gallery().get(opening.image).image)


def _opening(cards: dict[str, ModelCard]) -> Selection:
    """What a visitor without a link meets."""
    samples = process.gallery().samples()
    model = OPENING_MODEL if OPENING_MODEL in cards else next(iter(cards))
    for picture in samples:
        if picture.title == OPENING_SCENE:
            return Selection(
                model=model,
                image=picture.id,
                stage=OPENING_STAGE,
                relative=OPENING_RELATIVE,
                pins=(OPENING_PIXEL,),
            )
    return Selection(model=model, image=samples[0].id if samples else "")
