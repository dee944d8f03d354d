"""Guidance: do tokens guide the upsampler, and is the backbone protected?

The viewer answers hover and settings by itself; a click or a slider runs the fragment `_main` alone. Every setting of the cuts
comes from one Gram matrix, so that no slider needs a backward pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import streamlit as st

from app import cache, process, state
from app.gallery import Picture
from app.palette import colours
from app.selection import GUIDANCE, UNDER_PIN, Selection, view_of
from app.viewer import describe_guidance, guidance
from app.views import guidance_frame as frame
from app.views import guidance_panel as panel
from app.views import guidance_tokens as tokens
from app.views import guidance_words as words
from app.views import page, subject
from app.views.inspect_frame import footer
from app.views.inspect_panel import Names
from app.words import html, markdown
from engine import LoupeError
from engine.branches import branch_readings
from engine.guidance import OPEN, Cuts
from engine.images import cell
from engine.metrics import band_width
from engine.runtime import ModelCard
from engine.trace import Trace

# Met first. Change these where another scene tells more.
OPENING_MODEL = "hfgd"
OPENING_SCENE = "scene 8"
OPENING_PIXEL = (149, 185)  # a pole: the guide’s cells miss it, the upsampler paints it
OPENING_CATEGORY = UNDER_PIN

SAID = 2  # categories that a pin's row names for each branch


@dataclass(frozen=True)
class Look:
    """What one run shows. category: index of the one whose maps are shown; cuts: the sliders'."""

    selection: Selection
    card: ModelCard
    picture: Picture
    trace: Trace
    category: int
    cuts: Cuts

    @property
    def names(self) -> Names:
        return Names(self.card.classes, colours(self.card.classes))


def render() -> None:
    """The page. Streamlit calls it on every full run."""
    place = st.sidebar.container()
    look = _look(whole_run=True)
    if look is None:
        return
    with place:
        frame.sidebar(look.selection, look.picture, look.card)
    _main()
    _tokens(look)
    footer(look.trace)


@st.fragment
def _main() -> None:
    look = _look(whole_run=False)
    if look is None:
        return
    selection, trace = look.selection, look.trace
    frame.header(selection, look.picture, trace, look.category, look.cuts)
    page.sentences()
    classes = [
        {"name": name, "colour": colour}
        for name, colour in zip(look.names.names, look.names.colours, strict=True)
    ]
    guidance(
        describe_guidance(
            trace,
            process.store().put(trace, look.picture.truth),
            classes,
            pins=selection.pins or (),
            active=selection.active,
            view=view_of(selection, GUIDANCE),
            revision=state.revision(GUIDANCE),
        ),
        key=GUIDANCE.key,
    )
    st.html(
        f'<p class="lp-caption">{words.caption(selection, trace, look.picture, look.names.names[look.category])}</p>'
    )
    _pins(look)
    if look.picture.truth is None:
        st.html(f'<p class="lp-soft">{html(words.no_truth(look.picture))}</p>')
    else:
        with st.container(key="pair-numbers"):
            left, right = st.columns(2, gap="medium")
        with left:
            _gradients(look, look.picture.truth)
        with right:
            found = cache.branches_of(trace, look.picture.truth)
            assert found.measures is not None and found.counts is not None
            width = band_width(*look.picture.truth.shape)
            st.html(panel.iou_table(found.measures, found.counts, look.category, look.names, width))
    state.commit(selection, page=GUIDANCE)


def _pins(look: Look) -> None:
    """The pinned pixels in exact numbers."""
    pins, truth = look.selection.pins or (), look.picture.truth
    if pins:
        rows = [pin_numbers(look.trace, truth, pin) for pin in pins]
        st.html(panel.pin_rows(rows, look.selection.active, look.names))
    else:
        st.html('<p class="lp-soft">Click a picture to pin a pixel: its exact numbers appear here.</p>')


def _gradients(look: Look, truth: np.ndarray) -> None:
    """Sliders and the matrix that answers them."""
    st.html('<h2 class="lp-heading">What each loss’s gradient reaches</h2>')
    try:
        matrix = cache.gradients_of(
            look.trace, truth, lambda: process.engine().gradients(look.card.id, look.picture.image, truth)
        )
    except LoupeError as error:
        st.info(markdown(f"{error}."))
        return
    assert look.trace.guidance is not None
    frame.sliders(look.cuts, look.trace.guidance)
    own = look.trace.guidance.own_tokens
    st.html(panel.gradient_table(matrix.at(look.cuts), matrix.at(OPEN), look.cuts, own))
    said = words.gradient_caption(
        look.cuts, look.trace, look.picture, (matrix.guide_loss, matrix.upsampler_loss)
    )
    st.html(f'<p class="lp-note">{words.LOSSES}</p><p class="lp-caption">{html(said)}</p>')


def _tokens(look: Look) -> None:
    """Class tokens among themselves, and against the features that they classify."""
    found = cache.branches_of(look.trace, look.picture.truth)
    guidance = look.trace.guidance
    assert guidance is not None
    order, left_out = tokens.shown_tokens(found.order, _present(look))
    note = f'<p class="lp-note">{left_out}</p>' if left_out else ""
    with st.container(key="pair-tokens"):
        left, right = st.columns(2, gap="medium")
    left.html(tokens.angle_rows(found.angles, found.order, look.names, found.by, guidance.own_tokens))
    right.html(tokens.token_matrix(found.cosines, order, look.names) + note)
    st.html(f'<p class="lp-caption">{html(words.token_caption(guidance, look.trace, look.picture))}</p>')


def _present(look: Look) -> set[int]:
    """Categories of the image: true ones where known, else predicted ones."""
    truth = look.picture.truth
    return set(np.unique(look.trace.labels.cpu().numpy() if truth is None else truth).tolist())


def pin_numbers(trace: Trace, truth: np.ndarray | None, pixel: tuple[int, int]) -> panel.PinNumbers:
    """What both branches say at a pixel of the original image, and what the CAE reads there."""
    assert trace.image is not None and trace.guidance is not None
    original = trace.image.original_size

    guide, upsampler = branch_readings(trace, pixel)
    context = None
    if trace.guidance.context_query is not None:
        row, col = cell(*pixel, original, trace.guidance.grid)
        read = trace.guidance.context_affinity(row, col)
        at = int(read.argmax())
        context = (divmod(at, read.shape[1]), float(read.flatten()[at]) * read.numel())
    true = None
    if truth is not None:
        known = int(truth[cell(*pixel, original, (truth.shape[0], truth.shape[1]))])
        true = known if known < len(trace.logits) else None
    return panel.PinNumbers(pixel, true, guide.top(SAID), upsampler.top(SAID), context)


def _look(whole_run: bool) -> Look | None:
    """The selection, made to fit what there is, with its trace; None when there is nothing to show (the page says why)."""
    cards = process.engine().models()
    guided = {name: card for name, card in cards.items() if card.method == "hfgd"}
    if not guided:
        listed = ", ".join(cards) or "none"
        st.info(
            markdown(
                f"No model here has class tokens, so there is no guidance to look into. Models that are here: {listed}."
            )
        )
        return None
    opening = _opening(guided)
    selection = state.begin(opening, whole_run, GUIDANCE)
    problems: list[str] = []
    if selection.model not in guided:
        if selection.model in cards:
            have = "have" if len(guided) > 1 else "has"
            why = f"{selection.model} has no class tokens; {_listed(guided)} {have}"
        else:
            why = subject.unknown_model(selection.model)
        problems.append(f"{why}: {opening.model} is shown.")
        selection = replace(selection, model=opening.model)
    selection, picture, changed = subject.picture_of(selection, opening)
    problems += changed
    card = guided[selection.model]
    if selection.category not in (UNDER_PIN, *card.classes):
        problems.append(
            f"{card.id} has no category “{selection.category[:40]}”: the one that is predicted at the pin is shown."
        )
        selection = replace(selection, category=UNDER_PIN)
    traced = subject.trace_of(selection, picture, card, opening, problems, GUIDANCE)
    if traced is None:
        return None
    picture, trace = traced
    assert trace.guidance is not None
    cuts = cuts_of(selection, trace)
    selection = replace(selection, token_cut=cuts.token, high_cut=cuts.high, low_cut=cuts.low)
    state.hold(selection, problems)
    return Look(selection, card, picture, trace, category_of(selection, trace), cuts)


def cuts_of(selection: Selection, trace: Trace) -> Cuts:
    """The chosen factors; what was not chosen is as the model was trained."""
    assert trace.guidance is not None
    own = trace.guidance.cuts
    chosen = (selection.token_cut, selection.high_cut, selection.low_cut)
    token, high, low = (
        own_ if one is None else one for one, own_ in zip(chosen, (own.token, own.high, own.low), strict=True)
    )
    return Cuts(token, high, low)


def category_of(selection: Selection, trace: Trace) -> int:
    """The category whose maps are shown: the chosen one, or what is predicted at the pin."""
    assert trace.model is not None and trace.image is not None
    if selection.category in trace.model.classes:
        return trace.model.classes.index(selection.category)
    height, width = trace.image.original_size
    pixel = selection.pin or (height // 2, width // 2)
    return int(trace.labels[cell(*pixel, (height, width), trace.image_size)])


def _listed(models: dict[str, ModelCard]) -> str:
    *first, last = models
    return f"{', '.join(first)} and {last}" if first else last


def _opening(guided: dict[str, ModelCard]) -> Selection:
    """What a visitor without a link meets."""
    samples = process.gallery().samples()
    model = OPENING_MODEL if OPENING_MODEL in guided else next(iter(guided))
    for picture in samples:
        if picture.title == OPENING_SCENE:
            return Selection(model=model, image=picture.id, pins=(OPENING_PIXEL,), category=OPENING_CATEGORY)
    return Selection(model=model, image=samples[0].id if samples else "")
