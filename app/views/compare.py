"""Compare: which decoder looks where, and does it pay?

Two to four models on one image, in viewers locked together; below them what they get right, what they cost and where they
disagree. The viewers answer a hover by themselves; a click runs only the fragment that holds them.
"""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app import process, state
from app.charts_compare import MODEL_COLOURS
from app.gallery import Picture
from app.palette import colours
from app.selection import COMPARE, Selection, view_of
from app.viewer import compare, pane
from app.views import compare_differences as differences
from app.views import compare_frame as frame
from app.views import compare_numbers as numbers
from app.views import page, subject
from app.views.compare_sides import MOST, Look, Missing, Side, fit, place
from app.views.compare_words import caption
from app.words import markdown
from engine.runtime import ModelCard

# Met first: a pixel of grass, with more of it across the water; who reads that far, and who may?
OPENING_MODELS = ("cpt", "bilinear", "qup", "hfgd")
OPENING_SCENE = "scene 20"
OPENING_PIXEL = (246, 114)
OPENING_STAGE = "stride4"


def render() -> None:
    """The page. Streamlit calls it on every full run; a click in a viewer runs `_main` alone."""
    aside = st.sidebar.container()
    look = _look(whole_run=True)
    if look is None:
        return
    with aside:
        frame.sidebar(look)
    _main()
    if len(look.sides) > 1:
        numbers.sections(look)
        differences.section(look)
    frame.footer(look)


@st.fragment
def _main() -> None:
    look = _look(whole_run=False)
    if look is None:
        return
    selection = look.selection
    frame.header(look)
    page.sentences()
    with st.container():
        if len(look.places) < 2:
            st.info("Choose a second model beside the image: there is nothing yet to compare this one with.")
        elif look.differ:
            st.info(markdown(frame.about_names(look)))
    compare(
        {
            "image": _image(look),
            "panes": [_pane(one) for one in look.places],
            "marks": list(MODEL_COLOURS[: len(look.places)]),
            "pins": [list(pin) for pin in selection.pins or ()],
            "active": selection.active,
            "view": view_of(selection, COMPARE),
            "revision": state.revision(COMPARE),
        },
        key=COMPARE.key,
    )
    st.html(f'<p class="lp-caption">{caption(look)}</p>')
    state.commit(selection, page=COMPARE)


def _image(look: Look) -> dict[str, object]:
    key = process.store().put(look.sides[0].trace, look.sides[0].truth)
    image = look.picture.image
    return {
        "url": f"tensors/{key}/image.png",
        "height": image.size[0],
        "width": image.size[1],
        "original": list(image.original_size),
        "name": image.name,
        "hash": image.hash,
    }


def _pane(one: Side | Missing) -> dict[str, object]:
    if isinstance(one, Missing):
        return {"title": one.id[:40], "error": one.why}
    key = process.store().put(one.trace, one.truth)
    classes = [
        {"name": name, "colour": colour}
        for name, colour in zip(one.card.classes, colours(one.card.classes), strict=True)
    ]
    return pane(one.trace, key, classes, one.sites)


def _look(whole_run: bool) -> Look | None:
    """The selection made to fit what there is, with its traces; None when there is nothing to show (the page says why)."""
    cards = process.engine().models()
    if not cards:
        subject.no_models("compare")
        return None
    opening = _opening(cards)
    selection = _with_shared(state.begin(opening, whole_run, COMPARE), cards, opening)
    problems: list[str] = []
    selection, picture, changed = subject.picture_of(selection, opening)
    problems += changed
    places = _places(selection.models, picture)
    if not any(isinstance(one, Side) for one in places):
        problems += [one.why for one in places if isinstance(one, Missing)]
        selection = replace(selection, models=opening.models, model=opening.models[0], shows=())
        places = _places(selection.models, picture)
        if not any(isinstance(one, Side) for one in places):
            st.error("  \n".join(markdown(one.why) for one in places if isinstance(one, Missing)))
            return None
    selection, other = fit(selection, places)
    state.hold(selection, [*problems, *other])
    return Look(selection, picture, places)


def _places(models: tuple[str, ...], picture: Picture) -> tuple[Side | Missing, ...]:
    return tuple(place(name, picture) for name in models)


def _with_shared(selection: Selection, cards: dict[str, ModelCard], opening: Selection) -> Selection:
    """The other pages' model is the first of the models here; the one that was chosen there comes to the front."""
    models = selection.models or opening.models
    first = selection.model if selection.model in cards else models[0]
    if models[0] != first and models[0] in cards:
        rest = tuple(name for name in models if name != first)
        # One that was not shown yet takes the first one's place; one that was, moves.
        models = (first, *(rest if first in models else rest[1:]))[:MOST]
        selection = replace(selection, shows=())
    return replace(selection, models=models, model=models[0] if models[0] in cards else selection.model)


def _opening(cards: dict[str, ModelCard]) -> Selection:
    """What a visitor without a link meets."""
    samples = process.gallery().samples()
    wanted = [name for name in OPENING_MODELS if name in cards]
    models = tuple(dict.fromkeys([*wanted, *cards]))[: max(2, len(wanted))]
    chosen = Selection(model=models[0], models=models, image=samples[0].id if samples else "")
    for picture in samples:
        if picture.title == OPENING_SCENE:
            return replace(chosen, image=picture.id, stage=OPENING_STAGE, pins=(OPENING_PIXEL,))
    return chosen
