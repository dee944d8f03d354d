"""What prototype substitution removes: before, after and for the shuffled null, per stage and model, from the models' atlases."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import streamlit as st

from app import process
from app.jobs import Job
from app.sheets_prototypes import ChartSheet, Mark, Row, Span, log_axis
from app.views import prototypes_html as draw
from app.views.polling import watch
from app.views.prototypes_price import KINDS, price_said
from app.views.variance_look import Look
from app.views.variance_panels import Panel
from app.views.variance_words import models_said
from app.words import DASH, html, number
from engine.atlas import Atlas
from engine.atlas.records import Price
from engine.resampling import Estimate
from engine.substitution import Substitution, substitution

MARKS = (Mark("before", "open"), Mark("after", "square"), Mark("null", "cross"))


def section(look: Look) -> None:
    """Sentences, the stages, and the categories at one of them."""
    job = job_of(look)
    watch(
        lambda: job.running,
        lambda: job.done / max(1, job.total),
        lambda: "Resampling images of the atlas …",
        "substitution-walk",
    )
    _drawn(look, job)


def job_of(look: Look) -> Job:
    steps: dict[Hashable, Callable[[], Any]] = {
        ("substitution", found.key): step(found.atlas) for found in look.founds if found.atlas is not None
    }
    jobs, name = process.jobs(), ("substitution", *steps)
    found = jobs.find(name)
    return found if found is not None and (found.running or found.done) else jobs.start(name, steps)


def step(atlas: Atlas) -> Callable[[], tuple[Substitution, ...]]:
    return lambda: substitution(atlas)


def found_of(look: Look) -> dict[str, tuple[Substitution, ...]]:
    """Model → its stages, so far."""
    job = job_of(look)
    return {
        card.id: found
        for card, one in zip(look.cards, look.founds, strict=True)
        if (found := job.results.get(("substitution", one.key))) is not None
    }


def said_of(look: Look, panel: Panel, category: int) -> str:
    """Within after ÷ before of a category at the panel's stage; a dash where nothing is substituted there."""
    stage = panel.site.partition(".")[0]
    for one in found_of(look).get(panel.model, ()):
        if one.stage == stage:
            each = next((c for c in one.categories if c.category == category), None)
            return DASH if each is None else f"×{said(each.within_factor)}"
    return DASH


def said(one: Estimate) -> str:
    if not (math.isfinite(one.low) and math.isfinite(one.high)):
        return number(one.value, 2)
    return f"{number(one.value, 2)} ({number(one.low, 2)} to {number(one.high, 2)})"


def _drawn(look: Look, job: Job) -> None:
    for card, one in zip(look.cards, look.founds, strict=True):
        why = job.errors.get(("substitution", one.key), "")
        if one.atlas is None:
            why = (
                one.why
                or f"what substitution removes is read from an atlas, and there is none of {card.id} yet"
            )
        elif found_of(look).get(card.id) == ():
            why = "it resizes the coarse map and substitutes nothing"
        if why:
            st.html(f'<p class="lp-note" data-nothing="1"><b>{html(card.id)}</b>: {html(why)}.</p>')
    found = {name: stages for name, stages in found_of(look).items() if stages}
    if not found:
        return
    st.html("".join(f'<p class="lp-note lp-said">{html(one)}</p>' for one in sentences(found)))
    with st.container(key="lp-wide-substitution"):
        left, right = st.columns(2, gap="large")
    first, second = sheets(look)
    left.html(draw.chart(first))
    right.html(draw.chart(second))
    st.html(f'<p class="lp-caption">{html(first.caption)}</p>')


def beside(look: Look) -> None:
    """The stages' chart next to the maps: from the atlases as they are, nothing is computed."""
    prices = {
        card.id: found.atlas.price
        for card, found in zip(look.cards, look.founds, strict=True)
        if found.atlas is not None and found.atlas.price
    }
    if prices:
        sheet = stages_sheet(look, prices)
        note = '<p class="lp-caption">On one grid, which the two sites of a stage are not. The view Substitution has more.</p>'
        st.html(draw.chart(sheet) + note)


def sentences(found: dict[str, tuple[Substitution, ...]]) -> list[str]:
    """What came out for each model, whichever way."""
    told = []
    for name, stages in found.items():
        by = {(one.stage, kind): getattr(one, kind) for one in stages for kind in KINDS}
        sources = "source pixels" if stages[0].sources == "pixels" else "prototypes"
        lines = price_said(by, [one.stage for one in stages], sources)
        for one, line in zip(stages, lines, strict=False):
            factor = f" After ÷ before: ×{said(one.reduction)}; after ÷ null: ×{said(one.against_null)}, paired over images."
            told.append(f"{name}: {line}{factor}")
    return told


def stage_of(look: Look, stages: list[str]) -> str:
    """The stage whose categories are shown: that of a panel's site, else the finest."""
    for panel in look.panels:
        stage = panel.site.partition(".")[0]
        if stage in stages:
            return stage
    return stages[-1]


def sheets(look: Look) -> tuple[ChartSheet, ...]:
    """(the stages of all models, the categories of the first model at one stage); empty where there is nothing."""
    found = {name: stages for name, stages in found_of(look).items() if stages}
    if not found:
        return ()
    prices = {
        name: tuple(getattr(one, kind) for one in stages for kind in KINDS) for name, stages in found.items()
    }
    stages = stages_sheet(look, prices)
    return stages, _categories(look, found, stages.caption)


def stages_sheet(look: Look, prices: Mapping[str, Sequence[Price]]) -> ChartSheet:
    """Before, after and null at every stage of every model."""
    images = next(iter(prices.values()))[0].images
    caption = (
        "Trace of the covariance within categories ÷ mean squared distance of the category means from their own mean, in the "
        "space of the values (value_i: after W_v and W_o), on one grid; before: the pixels' own values; after: what they read; "
        f"null: the same with affinity rows shuffled. Intervals: 95 % over {images} images, 2000 resamples, one training seed; "
        f"{models_said(look)}."
    )
    rows = tuple(
        Row(
            price.kind,
            tuple(price.ratio if price.kind == kind and price.ratio > 0 else None for kind in KINDS),
            tuple(
                Span(price.low, price.high) if price.kind == kind and math.isfinite(price.low) else None
                for kind in KINDS
            ),
            (f"{number(price.ratio)} ({number(price.low)} to {number(price.high)})",),
            group=f"{name} · {price.stage}" if len(prices) > 1 else price.stage,
        )
        for name, each in prices.items()
        for price in each
    )
    ends = [v for row in rows for span in row.spans if span is not None for v in (span.low, span.high)]
    low, high = log_axis([v for v in ends if v > 0])
    return ChartSheet(
        key="substitution", title="What substitution does: variance within ÷ between", marks=MARKS, rows=rows, low=low,
        high=high, unit="logarithmic: smaller is purer", caption=caption, names=look.names, heads=("ratio (95 %)",), log=True,
        span="line: 95 % over images", wide=True,
    )  # fmt: skip


def _categories(look: Look, found: dict[str, tuple[Substitution, ...]], caption: str) -> ChartSheet:
    name, stages = next(iter(found.items()))
    stage = stage_of(look, [one.stage for one in stages])
    one = next(each for each in stages if each.stage == stage)
    chosen = look.selection.categories
    shown = [c for c in one.categories if (not chosen or c.name in chosen) and _positive(c.reduction)]
    shown.sort(key=lambda c: c.reduction.value)
    rows = tuple(
        Row(
            c.name,
            (c.reduction.value, c.within_factor.value if _positive(c.within_factor) else None),
            (_span(c.reduction), _span(c.within_factor)),
            (f"×{said(c.reduction)}",),
            category=c.category,
        )
        for c in shown
    )
    ends = [
        v
        for c in shown
        for e in (c.reduction, c.within_factor)
        for v in (e.value, e.low, e.high)
        if v > 0 and math.isfinite(v)
    ]
    low, high = log_axis([*ends, 1.0])
    return ChartSheet(
        key="substitution-categories", title=f"Each category at {name} · {stage}: after ÷ before",
        marks=(Mark("variance ÷ between", "square"), Mark("variance alone", "open")), rows=rows, low=low, high=high,
        unit="×, logarithmic: below 1 is purer", caption=caption, names=look.names, heads=("÷ between (95 %)",), log=True,
        at=(1.0, "no change"), span="line: 95 % over images", wide=True,
    )  # fmt: skip


def _positive(one: Estimate) -> bool:
    return math.isfinite(one.value) and one.value > 0


def _span(one: Estimate) -> Span | None:
    return Span(one.low, one.high) if math.isfinite(one.low) and math.isfinite(one.high) else None
