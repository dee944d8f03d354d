"""Markers in the Variance page's maps, ★ ◆ ▲, and the distance to a prototype that points are coloured by.

Only at sites where they share a space with pixels; elsewhere one sentence says so. A marker is a point like any other: components
place it exactly, UMAP by its transform; densMAP and aligned UMAP have no place for one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from app import cache, process, scatter
from app.views.variance_look import Look
from app.views.variance_maps import Map, request_of
from app.views.variance_panels import Panel, images_now
from engine import LoupeError
from engine.markers import KINDS, MarkerKind, Markers, cosines, live_of, live_of_traces, markers, parts_of
from engine.pixels import PixelSample
from engine.projection import place
from engine.projection_request import placing

if TYPE_CHECKING:
    from app.projections import Task

NAMES = {"live": "live prototype ★", "memory": "memory row ◆", "tokens": "class token ▲"}


@dataclass(frozen=True, eq=False)
class Marks:
    """Of one panel. found: None where nothing shares the site's space, and `said` says why; placed: (x, y, kind, category);
    apart: 1 − cosine to the own category's marker, None where no distance is taken; nearest: which kind that is to; task: of the
    worker, while it places them and where it failed."""

    found: Markers | None
    said: str
    placed: tuple[tuple[float, float, int, int], ...] = ()
    apart: np.ndarray | None = None
    nearest: MarkerKind = "live"
    task: Task | None = None

    @property
    def value(self) -> scatter.Value | None:
        if self.apart is None:
            return None
        return scatter.Value(self.apart, f"1 − cosine to the {NAMES[self.nearest]} of its category")


def marks_of(look: Look, panel: Panel, chart: Map, place_: int) -> Marks:
    """The panel's markers on this very map. place_: of the panel among those with pixels."""
    found, why = found_at(look, panel)
    if found is None or panel.sample is None:
        return Marks(None, why)
    sample = panel.sample
    key = (sample.key(), look.drawn, *(one.key for one in look.founds), look.selection.categories)
    rows, kinds, categories = cache.made(("marker rows", *key), lambda: _rows(found, _wanted(look)))
    nearest: MarkerKind = "tokens" if found.live is None else "live"
    apart = None
    if found.cosine:
        apart = cache.made(("apart", *key), lambda: 1 - cosines(sample, found, nearest))
    xy, said, task = _placed(look, sample, chart, rows, place_, found.said.rstrip("."))
    placed = tuple(
        (float(x), float(y), kind, category)
        for (x, y), kind, category in zip(xy, kinds, categories, strict=False)
    )
    return Marks(found, said, placed, apart, nearest, task)


def _placed(
    look: Look, sample: PixelSample, chart: Map, rows: np.ndarray, place_: int, said: str
) -> tuple[np.ndarray, str, Task | None]:
    """(places (n, 2), or none so far; what is said of the markers; the worker's task where it places them)."""
    nowhere = np.empty((0, 2), np.float32)
    if not len(rows):
        return nowhere, said, None
    try:
        if chart.projection.method == "pca":
            return place(chart.projection, sample.features, rows), said, None
        request = placing(request_of(look, place_), chart.projection, rows)
        task = process.projections().ask(request, again=False)
    except LoupeError as error:
        return nowhere, f"markers are left out: {error}", None
    if task.state == "done":
        return cast(np.ndarray, task.result), f"{said}; placed by UMAP's transform", None
    if task.error:
        return nowhere, f"markers are left out: {str(task.error).rstrip('.')}", task
    return nowhere, f"{said}; they are being placed", task


def found_at(look: Look, panel: Panel) -> tuple[Markers | None, str]:
    """(the markers in the panel's space, why there are none)."""
    card = panel.card
    assert card is not None
    try:
        parts = cache.made(("marker parts", card.hash), lambda: parts_of(process.engine().segmenter(card)))
        return markers(panel.site, parts, _live(look, panel)), ""
    except LoupeError as error:
        return None, str(error)


def _live(look: Look, panel: Panel) -> dict[str, np.ndarray]:
    card = panel.card
    assert card is not None
    if look.drawn == "atlas":
        found = next(f for c, f in zip(look.cards, look.founds, strict=True) if c.id == card.id)
        atlas = found.atlas
        return {} if atlas is None else cache.made(("live", found.key), lambda: live_of(atlas))
    pictures = images_now(card, look.drawn, look.picture)

    def make() -> dict[str, np.ndarray]:
        traces = [process.engine().trace(card, one.image) for one in pictures]
        truths = [one.truth_for(card.classes) for one in pictures]
        labels = [
            trace.labels.cpu().numpy() if truth is None else truth
            for truth, trace in zip(truths, traces, strict=True)
        ]
        held = np.array([[(one == c).any() for c in range(len(card.classes))] for one in labels])
        return live_of_traces(traces, held)

    return cache.made(("live now", card.hash, tuple(one.id for one in pictures)), make)


def _wanted(look: Look) -> set[int]:
    names = look.selection.categories or look.card.classes
    return {look.card.classes.index(name) for name in names}


def _rows(found: Markers, wanted: set[int]) -> tuple[np.ndarray, list[int], list[int]]:
    """(n, c) marker vectors, their kinds and categories; rows of a category without one are left out."""
    rows, kinds, categories = [], [], []
    for kind, name in enumerate(KINDS):
        values = getattr(found, name)
        if values is None:
            continue
        for category in sorted(wanted):
            if np.isfinite(values[category]).all():
                rows.append(values[category])
                kinds.append(kind)
                categories.append(category)
    return np.array(rows, np.float32), kinds, categories
