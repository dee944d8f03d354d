"""The Variance page's points as the scatter draws them, and which of them are selected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np

from app import cache, process, scatter, state
from app.selection import INSPECT, Selection, to_params
from app.views.variance_drawn import PREFIX, isolated_of, parts_of
from app.views.variance_look import Look
from app.views.variance_maps import Map, Maps, with_pixels
from app.views.variance_panels import Panel
from engine.data.categories import CATEGORIES
from engine.pixels import NO_MODE

PAINTED = {"outcome": "right", "distance": "value"}  # the page's word → the scatter's


def points_of(look: Look) -> scatter.Points:
    """What all panels share."""
    sample = look.sample
    assert sample is not None

    def make() -> scatter.Points:
        classes = [
            {"name": name, "colour": colour}
            for name, colour in zip(look.names.names, look.names.colours, strict=True)
        ]
        met = np.unique(sample.image)
        links = ["" for _ in sample.names]
        for image in met.tolist():
            links[image] = look.picture_id(image)
        return scatter.Points(
            category=sample.category,
            image=sample.image,
            pixel=sample.pixel,
            classes=classes,
            images=sample.names,
            mode=sample.mode if (sample.mode != NO_MODE).any() else None,
            labels=sample.labels,
            modes=modes_of(look.card.classes),
            links=tuple(links),
        )

    return cache.made(("points", sample.key(), look.drawn), make)


def modes_of(classes: Sequence[str]) -> dict[int, tuple[str, ...]]:
    """Category → names of its planted modes, where the demo world has them."""
    planted = {each.name: each.modes for each in CATEGORIES}
    return {c: tuple(planted[name]) for c, name in enumerate(classes) if planted.get(name)}


def panel_of(look: Look, panel: Panel, chart: Map, extra: Mapping[str, Any]) -> scatter.Panel:
    """One panel. extra: its markers and its values, where it has any."""
    assert panel.sample is not None
    return scatter.Panel(
        title=panel.title,
        map=chart.name,
        xy=chart.xy,
        axes=chart.axes,
        predicted=panel.sample.predicted,
        confidence=panel.sample.confidence,
        href=href(look.selection, panel),
        **extra,
    )


def href(selection: Selection, panel: Panel) -> str:
    """Inspect at a point's pixel, by the panel's model and at its stage; the scatter fills in what is in braces."""
    return (
        inspect_link(selection, panel, "\0", (0, 0))
        .replace("%00", "{image}")
        .replace("pins=0,0", "pins={row},{col}")
    )


def inspect_link(selection: Selection, panel: Panel, image: str, pixel: tuple[int, int]) -> str:
    """Relative to this page's address, so that it holds whatever the server's base path is."""
    params = to_params(selection, INSPECT)
    stage = panel.site.partition(".")[0]
    params |= {"model": panel.model, "image": image, "pins": f"{pixel[0]},{pixel[1]}", "active": "1"}
    if stage.startswith("stride"):
        params["stage"] = stage
    return "./?" + "&".join(f"{name}={quote(value, safe=',;')}" for name, value in params.items())


# ---------------------------------------------------------------------------------------------- what is selected


class Chosen:
    """The selected points. mask (r,) bool; base (r,) bool or None and parts: what the scatter is given; lost: parts of maps that
    are not here."""

    def __init__(self, look: Look, maps: Maps, points: scatter.Points) -> None:
        parts, self.problem = parts_of(look.selection)
        shown = [_bare(chart, panel) for chart, panel in zip(maps.shown, with_pixels(look), strict=True)]
        behind = [
            _bare(chart, panel) for chart, panel in zip(maps.components, with_pixels(look), strict=True)
        ]
        every = [*shown, *behind]
        self.mask = scatter.chosen(points, every, parts)
        self.lost = len(scatter.unknown(points, every, parts))
        hidden = scatter.unknown(points, shown, parts)
        last = max((i for i, part in enumerate(parts) if part in hidden), default=-1)
        self.base = scatter.chosen(points, every, parts[: last + 1]) if last >= 0 else None
        self.parts = parts[last + 1 :]
        state.keep(PREFIX, parts[: last + 1])

    @property
    def rows(self) -> np.ndarray:
        return np.flatnonzero(self.mask)


def _bare(chart: Map, panel: Panel) -> scatter.Panel:
    predicted = None if panel.sample is None else panel.sample.predicted
    return scatter.Panel(panel.title, chart.name, chart.xy, predicted=predicted)


def describe(
    look: Look,
    points: scatter.Points,
    panels: Sequence[scatter.Panel],
    chosen: Chosen,
    revision: str | None,
    sprite: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The scatter's data."""
    paint = look.selection.paint
    return scatter.describe(
        process.plots(),
        points,
        panels,
        colour=PAINTED.get(paint, paint),
        colours=look.selection.colours,
        linked=look.selection.projection == "aligned" and len(panels) > 1,
        parts=chosen.parts,
        isolated=isolated_of(look.selection.isolated),
        select=chosen.base,
        sprite=sprite,
        revision=revision,
    )
