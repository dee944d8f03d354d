"""Compare's models on its image: each is traced, or says why it cannot be shown while the others live."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import streamlit as st

from app import comparison, process
from app.gallery import Picture
from app.selection import Selection
from app.traced import traced
from app.views.subject import unknown_model
from app.words import markdown
from engine import LoupeError
from engine.influence import sites_of
from engine.runtime import ModelCard
from engine.trace import Trace

MOST = 4


@dataclass(frozen=True, eq=False)
class Side:
    """One model on the image. truth: in this model's own numbering, None without any that it knows."""

    card: ModelCard
    trace: Trace
    truth: np.ndarray | None
    sites: tuple[str, ...]

    @property
    def id(self) -> str:
        return self.card.id


@dataclass(frozen=True)
class Missing:
    """A model that cannot be shown, and why."""

    id: str
    why: str


@dataclass(frozen=True, eq=False)
class Look:
    """What one run shows: `places` in the order of selection.models."""

    selection: Selection
    picture: Picture
    places: tuple[Side | Missing, ...]

    @property
    def sides(self) -> list[Side]:
        return [place for place in self.places if isinstance(place, Side)]

    @property
    def marks(self) -> list[tuple[str, int]]:
        """(model, its place) of the shown ones: by the place a model keeps its colour everywhere."""
        return [(place.id, at) for at, place in enumerate(self.places) if isinstance(place, Side)]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Categories that all of the shown models know."""
        return comparison.common_names([side.card.classes for side in self.sides])

    @cached_property
    def labels(self) -> dict[str, np.ndarray]:
        """Model → its prediction as indices into `names`."""
        return {side.id: labels_of(side.card, side.trace, self.names) for side in self.sides}

    @cached_property
    def truth(self) -> np.ndarray | None:
        """The ground truth as indices into `names`; None where none of them is known."""
        return truth_of(self.picture, self.names)

    @property
    def differ(self) -> bool:
        """Not all of the models know the same categories."""
        return len({frozenset(side.card.classes) for side in self.sides}) > 1

    @property
    def pair(self) -> tuple[Side, Side] | None:
        """The two whose differences are listed."""
        if len(self.sides) < 2:
            return None
        first, second = (self.places[at] for at in self.selection.pair)
        if isinstance(first, Side) and isinstance(second, Side):
            return first, second
        return self.sides[0], self.sides[1]


def labels_of(card: ModelCard, trace: Trace, names: Sequence[str]) -> np.ndarray:
    return comparison.renamed(trace.labels.cpu().numpy(), card.classes, names)


def truth_of(picture: Picture, names: Sequence[str]) -> np.ndarray | None:
    if picture.truth is None or not set(names) & set(picture.classes):
        return None
    return comparison.renamed(picture.truth, picture.classes, names)


def place(name: str, picture: Picture) -> Side | Missing:
    """The model of that id on the picture, or why not. Only ids of the catalogue: a link never names a path."""
    engine = process.engine()
    card = engine.models().get(name)
    if card is None:
        return Missing(name, f"{unknown_model(name).rstrip('.')}.")
    try:
        with st.spinner(f"Tracing {markdown(picture.title)} with {markdown(name)} …", show_time=True):
            trace = traced(card, picture)
            sites = sites_of(engine.segmenter(card))
    except LoupeError as error:
        return Missing(name, str(error))
    return Side(card, trace, picture.truth_for(card.classes), sites)


def fit(selection: Selection, places: Sequence[Side | Missing]) -> tuple[Selection, list[str]]:
    """Stage, what is shown and pair made to exist among these models; a sentence for what a link asked for in vain."""
    problems = []
    stages = list(dict.fromkeys(s.name for one in places if isinstance(one, Side) for s in one.trace.stages))
    if stages and selection.stage not in stages:
        problems.append(f"There is no stage “{selection.stage[:40]}” in these models; {stages[-1]} is shown.")
        selection = replace(selection, stage=stages[-1])
    shows = (*selection.shows, *["auto"] * len(places))[: len(places)]
    pair = selection.pair if max(selection.pair) < len(places) else (0, 1)
    return replace(selection, shows=shows, pair=pair), problems
