"""How far a map may be trusted: measured of every map, and its stability over seeds on request."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import streamlit as st

from app import process, state
from app.jobs import Job
from app.views.polling import watch
from app.views.variance_look import Look
from app.views.variance_maps import Map, Maps, request_of, with_pixels
from app.words import html, number
from engine import LoupeError
from engine.projection_quality import Quality, Stability, measure

ASKED = "stability asked for"
HEADS = (
    (
        "trustworthiness",
        "Are a point's neighbours on the map its neighbours in the original space? 1: all of them",
    ),
    ("continuity", "Are its neighbours in the original space near it on the map? 1: all of them"),
    ("distances", "Spearman correlation of distances on the map with those in the original space"),
)


def section(look: Look, maps: Maps) -> None:
    """A row for each map."""
    job, tasks = _job(look, maps), _stabilities(look, maps)
    at_work = [task for task in tasks if task is not None and task.running]
    watch(
        lambda: job.running or any(task.running for task in at_work),
        lambda: (
            sum(task.fraction for task in at_work) / len(at_work) if at_work else job.done / max(1, job.total)
        ),
        lambda: (
            next((task.said for task in at_work if task.running), "Measuring how far the map may be trusted")
            + " …"
        ),
        "quality-walk",
    )
    _drawn(look, maps, tasks)


def _job(look: Look, maps: Maps) -> Job:
    steps: dict[Hashable, Callable[[], Any]] = {}
    for panel, chart in zip(with_pixels(look), maps.shown, strict=True):
        if not chart.projection.qualities and panel.sample is not None:
            steps["quality", chart.name] = _measured(panel.sample.features, chart)
    jobs, name = process.jobs(), ("map quality", *steps)
    found = jobs.find(name)
    return found if found is not None and (found.running or found.done) else jobs.start(name, steps)


def _measured(features: Any, chart: Map) -> Callable[[], Quality]:
    return lambda: measure(features, chart.xy)


def qualities(look: Look, maps: Maps) -> list[Quality | None]:
    """Of every map on show, None while it is measured."""
    job = _job(look, maps)
    return [
        chart.projection.qualities[chart.place]
        if chart.projection.qualities
        else job.results.get(("quality", chart.name))
        for chart in maps.shown
    ]


def _stabilities(look: Look, maps: Maps) -> list[Any]:
    """The task of every map's stability, None where it was not asked for."""
    if maps.method == "pca" or state.kept(ASKED) != _names(maps):
        return [None for _ in maps.shown]
    from engine.projection_request import stability

    tasks: list[Any] = []
    for i, chart in enumerate(maps.shown):
        try:
            request = stability(request_of(look, i), chart.projection)
            tasks.append(process.projections().ask(request, again=False))
        except LoupeError:
            tasks.append(None)
    return tasks


def _ask(maps: Maps, failed: list[Any]) -> None:
    for task in failed:
        process.projections().forget(task.key)
    state.keep(ASKED, _names(maps))


def _names(maps: Maps) -> tuple[str, ...]:
    return tuple(chart.name for chart in maps.shown)


def _drawn(look: Look, maps: Maps, tasks: list[Any]) -> None:
    found = qualities(look, maps)
    st.html(table(look, maps, found, [None if task is None else task.result for task in tasks]))
    failed = [task for task in tasks if task is not None and task.error]
    for error in dict.fromkeys(task.error for task in failed):
        st.html(f'<p class="lp-note">{html(error.rstrip("."))}.</p>')
    if maps.method != "pca" and (failed or all(task is None for task in tasks)):
        st.button(
            "Stability over seeds",
            on_click=_ask,
            args=(maps, failed),
            key="ask stability",
            help="Makes the maps of three other seeds and compares.",
        )


def table(look: Look, maps: Maps, found: list[Quality | None], stable: list[Stability | None]) -> str:
    """HTML of the measures."""
    heads = "".join(
        f'<th scope="col"><abbr title="{html(help_)}">{name}</abbr></th>' for name, help_ in HEADS
    )
    if any(stable):
        heads += (
            '<th scope="col"><abbr title="1 − Procrustes disparity to the maps of other seeds; in brackets: the share of a '
            'point’s neighbours that stay">stability</abbr></th>'
        )
    rows = []
    for panel, quality, one in zip(with_pixels(look), found, stable, strict=True):
        values = (
            ["…", "…", "…"]
            if quality is None
            else [number(quality.trustworthiness), number(quality.continuity), number(quality.correlation)]
        )
        if one is not None:
            values.append(f"{number(one.similarity)} ({number(one.overlap)})")
        cells = "".join(f"<td>{value}</td>" for value in values)
        rows.append(f'<tr><th scope="row">{html(panel.title)}</th>{cells}</tr>')
    return (
        f'<table class="lp-table lp-rows lp-quality" data-quality="1"><thead><tr><th>of the map</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def rows_of_table(look: Look, maps: Maps) -> list[dict[str, Any]]:
    """For the download."""
    return [
        {
            "sheet": "map",
            "quantity": name,
            "of": panel.title,
            "value": getattr(quality, name),
            "unit": "1 is best",
        }
        for panel, quality in zip(with_pixels(look), qualities(look, maps), strict=True)
        if quality is not None
        for name in ("trustworthiness", "continuity", "correlation")
    ]
