"""Variance: how varied is a category, and what does substitution remove?

Maps of pixels' features, and beside them the numbers of the same pixels in the original space. Components are on screen at
once; other projections come from a worker process and exchange themselves for them. What is selected in a map shows below as
pixels, and the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from app import process, scatter, state
from app.atlases import Found
from app.selection import LOOKS, VARIANCE
from app.views import page, walking
from app.views import variance_clusters as clustering
from app.views import variance_distances as distances
from app.views import variance_download as download
from app.views import variance_frame as frame
from app.views import variance_look as looking
from app.views import variance_numbers as numbers
from app.views import variance_points as pointing
from app.views import variance_quality as quality
from app.views import variance_selection as selecting
from app.views import variance_shown as showing
from app.views import variance_substitution as substitution
from app.views import variance_truth as truth
from app.views import variance_words as words
from app.views.polling import once_more, watch
from app.views.variance_look import Look
from app.views.variance_maps import Maps
from app.views.variance_marks import Marks
from app.views.variance_points import Chosen
from app.views.variance_shown import Shown
from app.views.variance_sprite import sprite_of
from app.words import html, markdown
from engine import LoupeError
from engine.atlas import Atlas
from engine.runtime import ModelCard

if TYPE_CHECKING:
    from app.projections import Task

OPENING_MODEL = looking.OPENING_MODEL


def render() -> None:
    """The page. Streamlit calls it on every full run; what is done in the page itself runs `_main` alone."""
    page.render(looking.look, frame.sidebar, _main)


@st.fragment
def _main() -> None:
    look = looking.look(whole_run=False)
    if look is None:
        return
    now = showing.shown(look)
    look = now.look
    # What a lasso changes is sent first, and what stays as it is last.
    head, body, foot = (
        st.container(key="lp-head-variance"),
        st.container(key="lp-wide-variance"),
        st.container(),
    )
    with body:
        left, right = st.columns([8, 5], gap="large")
    if now.chosen is not None:
        with foot:
            _views(look, now.chosen)
    with left:
        _why_not(look)
        _maps(now)
    if now.chosen is not None:
        with right:
            guarded(numbers.section, look)
        if look.selection.look != "substitution":
            with left:
                guarded(substitution.beside, look)
    with head:
        _head(now)
    selecting.warm(look)
    state.commit(look.selection, page=VARIANCE)


def _head(now: Shown) -> None:
    """Header, sentences, and the walk that makes an atlas."""
    look = now.look
    frame.header(look, lambda: download.buttons(now), download.offer(now))
    page.sentences()
    walking.walk(_first_without(look))
    if look.meanwhile and look.drawn != look.selection.drawn:
        st.html(f'<p class="lp-note" data-meanwhile="1">{html(look.meanwhile)}.</p>')


@dataclass(frozen=True)
class _Subject:
    """A model whose atlas is looked for."""

    card: ModelCard
    found: Found

    @property
    def atlas(self) -> Atlas | None:
        return self.found.atlas


def _first_without(look: Look) -> _Subject:
    """The first of the models that has no atlas, else the first one."""
    subjects = [_Subject(card, found) for card, found in zip(look.cards, look.founds, strict=True)]
    return next((one for one in subjects if one.atlas is None), subjects[0])


def _why_not(look: Look) -> None:
    """One sentence for each panel without pixels."""
    for panel in look.panels:
        if panel.why:
            said = html(panel.why.rstrip("."))
            st.html(f'<p class="lp-note" data-nothing="1"><b>{html(panel.title)}</b>: {said}.</p>')


def _maps(now: Shown) -> None:
    look, chosen = now.look, now.chosen
    if chosen is None or now.points is None:
        return
    panels = [
        pointing.panel_of(look, panel, chart, {"markers": mark.placed, "value": mark.value})
        for (panel, chart), mark in zip(now.pairs, now.marks, strict=True)
    ]
    _progress_of(now.maps, now.marks)
    cuts = sprite_of(look, numbers.job_of(look).running or now.maps.waiting)
    data = pointing.describe(look, now.points, panels, chosen, state.revision(VARIANCE), cuts)
    if scatter.scatter(data, key=VARIANCE.key).expired:
        st.rerun(scope="fragment")
    if chosen.problem or chosen.lost:
        lost = (
            f"{chosen.lost} of what was drawn belongs to a map that is not on show, and takes no points here."
        )
        st.html(f'<p class="lp-note" data-lost="1">{html(chosen.problem or lost)}</p>')
    st.html(f'<p class="lp-note lp-said" data-may-not="1">{html(words.MAY_NOT[now.maps.method])}</p>')
    quality.section(look, now.maps)
    marks: dict[str, list[str]] = {}
    for (panel, _), mark in zip(now.pairs, now.marks, strict=True):
        marks.setdefault(mark.said, []).append(panel.title if len(look.cards) > 1 else panel.site)
    said = "<br>".join(f"<b>{html(', '.join(of))}</b>: {html(text)}." for text, of in marks.items())
    st.html(f'<p class="lp-note" data-marks="1">{said}</p><p class="lp-caption">{html(now.caption)}</p>')


def _progress_of(maps: Maps, marks: Sequence[Marks]) -> None:
    """The worker's progress, looked at again while it works; what went wrong in one sentence."""
    tasks = [task for task in (*maps.tasks, *(mark.task for mark in marks)) if task is not None]
    running = [task for task in tasks if task.running]
    if running:
        meanwhile = " Components are shown meanwhile." if maps.waiting else ""
        watch(
            lambda: any(task.running for task in tasks),
            lambda: sum(task.fraction if task.running else 1.0 for task in tasks) / len(tasks),
            lambda: (
                _capital(next((t.said for t in tasks if t.running), "") or "waiting for its turn")
                + f" …{meanwhile}"
            ),
            "projecting",
            ("Cancel", partial(_cancel, tasks)),
        )
        return
    if maps.overtaken or any(mark.task is not None and mark.task.state == "done" for mark in marks):
        once_more()
    for error in maps.errors:
        said = markdown(f"{_capital(error.rstrip('.'))}. Meanwhile, the components are shown.")
        st.warning(said, icon=":material/info:")
    if failed := [task.key for task in tasks if task.error and task.key]:
        st.button("Ask again", on_click=_forget, args=(failed,), key="ask maps again")
    for note in maps.notes:
        st.html(f'<p class="lp-note">{html(note)}</p>')


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _forget(keys: list[str]) -> None:
    for key in keys:
        process.projections().forget(key)


def _cancel(tasks: list[Task]) -> None:
    for task in tasks:
        if task.running:
            task.cancel()
    state.choose(projection="pca")


def _views(now: Look, chosen: Chosen) -> None:
    with st.container(key="variance-views"):
        st.segmented_control(
            "View",
            LOOKS,
            format_func=words.LOOKS.__getitem__,
            required=True,
            label_visibility="collapsed",
            default=now.selection.look,
            **state.bound("look", now.selection.look),
        )
    shown: dict[str, Callable[[Look], None]] = {
        "selection": lambda look: _selection(look, chosen),
        "distances": distances.section,
        "truth": truth.section,
        "substitution": substitution.section,
    }
    guarded(shown[now.selection.look], now)


def _selection(now: Look, chosen: Chosen) -> None:
    selecting.section(now, chosen)
    clustering.section(now, chosen)


def guarded(part: Callable[[Look], None], now: Look) -> None:
    """Draws a part of the page; where it cannot be had, one sentence stands there, and the others stay."""
    try:
        part(now)
    except LoupeError as error:
        st.html(f'<p class="lp-note" data-nothing="1">{html(str(error).rstrip("."))}.</p>')


def warm_up() -> None:
    """Reads what the first visitor needs, and loads what only this page uses. Raises LoupeError for a damaged atlas."""
    from engine.pixels import from_atlas
    from engine.projection import pca

    card = process.engine().models().get(OPENING_MODEL)
    if card is None or (atlas := process.atlases().find(card).atlas) is None:
        return
    for site in looking.OPENING_SITES:
        if site in atlas.manifest.sites:
            pca(from_atlas(atlas, site, count=500).features)
