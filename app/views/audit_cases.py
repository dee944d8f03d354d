"""The worst, best and random pixels of an audit: photos with their maps, each one click from Inspect.

They are traced aside, one pixel a step: the page never waits for them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from app import process
from app.audit_cases import Map, Thumb, stops, thumb
from app.gallery import data_id
from app.jobs import Job
from app.selection import GUIDANCE, INSPECT, UNDER_PIN, Page, to_params
from app.views import audit_words as words
from app.views.audit_look import Look
from app.views.polling import watch
from app.words import html, number
from engine.audit import SCORES, Case
from engine.audit.records import Which
from engine.audit.site import CONTEXT
from engine.catalogue import ModelCard
from engine.images import cell
from engine.overlays import Ask, overlay
from engine.turns import JOB

COUNT = 6  # cases of each kind
WHICH: tuple[Which, ...] = ("worst", "best", "random")


@dataclass(frozen=True)
class Group:
    """Some cases of one kind."""

    which: Which
    title: str
    cases: tuple[Case, ...]


def groups_of(look: Look) -> tuple[Group, ...]:
    """Of the first model that has the stage, of the chosen category."""
    asked = look.asked
    if not asked.here:
        return ()
    model, score = asked.here[0], look.selection.score
    titles = words.WHICH if SCORES[score].better else words.EXTREMES
    found = []
    for which in WHICH:
        # A case a image and category at most: of all of them, those of one category are the first of that category.
        every = asked.audit.cases(model, asked.stage, score, which, max(1, len(asked.audit)))
        wanted = look.selection.category
        kept = [one for one in every if wanted in (UNDER_PIN, look.card.classes[one.category])]
        found.append(Group(which, titles[which], tuple(kept[:COUNT])))
    return tuple(found)


def ask_of(score: str) -> Ask:
    """Which map belongs to a score: the one that it was computed from."""
    if "profile" in score:
        return Ask(reading="reads alike")
    return Ask(relative="relative" in score)


def section(look: Look) -> None:
    """The three kinds below each other, six across."""
    groups = groups_of(look)
    if not groups:
        return
    model = look.asked.here[0]
    card = next(card for card in look.cards if card.id == model)
    job = job_of(look, groups)
    st.html(
        f'<h2 class="lp-heading">Cases <span class="lp-soft">{html(look.asked.title)}, {html(model)} at '
        f"{html(look.selection.stage)}; a click opens the pixel</span></h2>"
    )
    watch(
        lambda: job.running,
        lambda: job.done / max(1, job.total),
        lambda: f"Tracing {job.total - job.done} of {job.total} cases …",
        "audit-cases",
    )
    parts, unit = [], ""
    for group in groups:
        cards = []
        for case in group.cases:
            key = _key(look, card.hash, case)
            made = job.results.get(key)
            unit = made[1] if made else unit
            cards.append(_card(look, model, case, made[0] if made else None, job.errors.get(key, "")))
        none = '<p class="lp-note">No pixel has this score.</p>' if not cards else ""
        parts.append(
            f'<h3 class="lp-part">{html(group.title)}</h3><div class="lp-cases" data-cases="{group.which}">'
            f"{''.join(cards)}</div>{none}"
        )
    st.html(f'<section class="lp-panel lp-wide">{"".join(parts)}{_legend(look, unit)}</section>')
    st.html(f'<p class="lp-caption">{html(caption(look, unit))}</p>')


def caption(look: Look, unit: str) -> str:
    """Of the cases."""
    what = f"Pixels by {look.asked.title} at {look.selection.stage}, at most one of each image and category"
    shown = f"; map: {unit}" if unit else ""
    model = look.asked.here[0]
    return words.caption(
        look.asked.audit, [card for card in look.cards if card.id == model], f"{what}{shown}"
    )


# ---------------------------------------------------------------------------------------------- the pictures


def job_of(look: Look, groups: tuple[Group, ...]) -> Job:
    """The pictures of all cases: the running or finished job."""
    model = look.asked.here[0]
    card = next(card for card in look.cards if card.id == model)
    steps: dict[Hashable, Callable[[], Any]] = {}
    for group in groups:
        for case in group.cases:
            steps[_key(look, card.hash, case)] = partial(
                picture, card, look.selection.data, case, ask_of(look.selection.score), look.selection.colours
            )  # fmt: skip
    jobs, name = process.jobs(), ("audit cases", *steps)
    job = jobs.find(name)
    return job if job is not None and (job.running or job.done) else jobs.start(name, steps)


def _key(look: Look, checkpoint: str, case: Case) -> Hashable:
    place = (look.selection.data, case.image, case.row, case.col, case.stage)
    ask = ask_of(look.selection.score)
    return ("audit case", checkpoint, place, ask.reading, ask.relative, look.selection.colours)


def picture(model: ModelCard, data: str, case: Case, ask: Ask, colours: str) -> tuple[Thumb, str]:
    """A case's photo and map, and the map's unit in words. Raises LoupeError."""
    photo = process.gallery().get(data_id(data, case.image)).image
    trace = process.engine().trace(model, photo, priority=JOB)
    pixel, size = (case.row, case.col), photo.original_size
    if case.stage == CONTEXT:
        guidance = trace.guidance
        assert guidance is not None
        values = guidance.context_affinity(*cell(*pixel, size, guidance.grid)).float().cpu().numpy()
        shown = Map(values, "linear", (0.0, float(values.max()) or 1.0), "weight in the CAE")
    else:
        found = overlay(trace, case.stage, pixel, ask)
        shown = Map(found.values, found.scale, found.limits, found.unit)
    return thumb(np.asarray(photo.pixels), pixel, size, shown, colours), shown.unit


# ---------------------------------------------------------------------------------------------- as HTML


def _card(look: Look, model: str, case: Case, made: Thumb | None, why: str) -> str:
    names, colours = look.names.names, look.names.colours
    outcome = "" if case.right else f" → {names[case.predicted]}"
    place = f"image {case.image}, row {case.row}, col {case.col}"
    said = (
        f"{place}: {names[case.category]}, {'right' if case.right else f'predicted {names[case.predicted]}'}, "
        f"{look.asked.title} {number(case.score)}"
    )
    if made is None:
        inside = f'<span class="lp-case-none">{html(why or "tracing …")}</span>'
    else:
        x, y = made.at
        inside = (
            f'<img src="{made.photo}" alt="{html(said)}"><img class="lp-over" src="{made.over}" alt="">'
            f'<i class="lp-ring" style="left:{x:.2f}%;top:{y:.2f}%"></i>'
        )
    return (
        f'<a class="lp-patch lp-case" href="{html(link(look, model, case))}" title="{html(said)}. Opens the pixel." '
        f'data-image="{html(case.image)}" data-pixel="{case.row},{case.col}"><span class="lp-cut">{inside}</span>'
        f'<b>{number(case.score)}</b><span><i class="lp-swatch" style="background:{colours[case.category]}"></i>'
        f"{'' if case.right else '✕ '}{html(names[case.category])}{html(outcome)}</span><span>{html(case.image)} · "
        f"{case.row},{case.col}</span></a>"
    )


def link(look: Look, model: str, case: Case) -> str:
    """The pixel in Inspect with the very map that is drawn here; in Guidance for what the CAE reads. Relative to this page."""
    ask = ask_of(look.selection.score)
    chosen = replace(
        look.selection,
        model=model,
        image=data_id(look.selection.data, case.image),
        pins=((case.row, case.col),),
        active=0,
        reading=ask.reading,
        measure="weight",
        relative="relative" if ask.relative else "raw",
        scale="linear",
        head=None,
        source=None,
    )
    if case.stage == CONTEXT:
        return f"./guidance?{_query(replace(chosen, context=True, category=UNDER_PIN), GUIDANCE)}"
    return f"./?{_query(chosen, INSPECT)}"


def _query(chosen: Any, page: Page) -> str:
    from urllib.parse import urlencode

    return urlencode(to_params(chosen, page), safe=",;")


def _legend(look: Look, unit: str) -> str:
    return (
        '<div class="lp-legend lp-left"><span>less</span>'
        f'<i style="background:linear-gradient(90deg, {stops(look.selection.colours)})"></i><span>more</span>'
        f'<span class="lp-soft lp-unit">{html(unit)}; each picture over its own range</span></div>'
    )
