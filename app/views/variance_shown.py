"""Everything that one run of the Variance page has on show: maps, markers, points, and which of them are selected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app import scatter
from app.sheets_variance import (
    Group,
    MapPanel,
    MapSheet,
    Ramp,
    by_category,
    by_image,
    by_mode,
    by_outcome,
)
from app.views import variance_maps as mapping
from app.views import variance_marks as marking
from app.views import variance_points as pointing
from app.views import variance_words as words
from app.views.variance_look import Look
from app.views.variance_maps import Map, Maps
from app.views.variance_marks import Marks
from app.views.variance_panels import Panel
from app.views.variance_points import Chosen, modes_of
from engine.pixels import NO_MODE, PixelSample


@dataclass(frozen=True, eq=False)
class Shown:
    """maps, marks and pairs: of the panels with pixels. points and chosen: None where no panel has any."""

    look: Look
    maps: Maps
    marks: tuple[Marks, ...]
    points: scatter.Points | None
    chosen: Chosen | None

    @property
    def pairs(self) -> list[tuple[Panel, Map]]:
        return list(zip(mapping.with_pixels(self.look), self.maps.shown, strict=True))

    @property
    def method(self) -> str:
        """Of what is on screen, with its parameters."""
        if self.maps.method == "pca":
            return words.PROJECTIONS["pca"]
        return words.method_said(self.look.selection)

    @property
    def caption(self) -> str:
        return words.caption(self.look, self.method)


def shown(look: Look) -> Shown:
    """What this run shows; panels that cannot be projected say why."""
    look, components = mapping.charted(look)
    maps = mapping.maps_of(look, components)
    pairs = zip(mapping.with_pixels(look), maps.shown, strict=True)
    marks = tuple(marking.marks_of(look, panel, chart, i) for i, (panel, chart) in enumerate(pairs))
    if not components:
        return Shown(look, maps, (), None, None)
    points = pointing.points_of(look)
    return Shown(look, maps, marks, points, Chosen(look, maps, points))


def sheet(now: Shown) -> MapSheet:
    """The maps for a file."""
    assert now.chosen is not None
    panels = tuple(
        _panel(now, panel.title, panel.sample, chart, mark)
        for (panel, chart), mark in zip(now.pairs, now.marks, strict=True)
        if panel.sample is not None
    )
    selected = now.chosen.mask if now.chosen.mask.any() else None
    count = "" if selected is None else f", {int(selected.sum())} of them selected"
    return MapSheet(
        key="maps",
        title=f"{now.method}, coloured by {words.PAINTS[now.look.selection.paint]}{count}",
        panels=panels,
        selected=selected,
        names=now.look.names,
        caption=now.caption,
        linked=now.maps.method == "aligned",
        said=words.MAY_NOT[now.maps.method],
    )


def _panel(now: Shown, title: str, sample: PixelSample, chart: Map, mark: Marks) -> MapPanel:
    groups, ramp = _painted(now, sample, mark)
    return MapPanel(title, chart.xy, chart.axes, groups, ramp, mark.placed)


def _painted(now: Shown, sample: PixelSample, mark: Marks) -> tuple[tuple[Group, ...], Ramp | None]:
    paint, names = now.look.selection.paint, now.look.names
    if paint == "image":
        return by_image(sample.image, sample.names), None
    if paint == "outcome" and sample.labels == "truth":
        return by_outcome(sample.category, sample.predicted), None
    if paint == "mode" and (sample.mode != NO_MODE).any():
        return by_mode(sample.category, sample.mode, names, modes_of(names.names), NO_MODE), None
    if paint == "confidence":
        return (), Ramp(sample.confidence, "confidence of the predicted category", 0.0, 1.0)
    if paint == "distance" and (value := mark.value) is not None:
        low, high = value.ends()
        return (), Ramp(np.asarray(value.values), value.name, low, high)
    return by_category(sample.category, names), None
