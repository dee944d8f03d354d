"""What one run of the Variance page is about: the selection made to fit, and the pixels of each panel.

A panel is one model at one site. All panels show the same pixels, so that what is selected in one lights up in the others; a
panel that cannot be had says why in one sentence, and the others stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import streamlit as st

from app import process, state
from app.atlases import Found
from app.gallery import Picture, data_id
from app.palette import colours
from app.selection import MOST_PANELS, VARIANCE, Selection
from app.sheets_prototypes import Names
from app.views import subject
from app.views import variance_panels as panels_of
from app.views.variance_drawn import spelled
from app.views.variance_panels import Panel
from app.words import markdown
from engine import LoupeError
from engine.atlas import Atlas
from engine.pixels import PixelSample
from engine.runtime import ModelCard

# Met first: what a stage's prototypes do to the values, before and after.
OPENING_MODEL = "cpt"
OPENING_SITES = ("f2", "fused")


@dataclass(frozen=True, eq=False)
class Look:
    """What one run shows. found: of each model that is shown, in their order; sites: that there are, of all of them; drawn: where
    the pixels come from in fact; meanwhile: why it is not what was asked for."""

    selection: Selection
    cards: tuple[ModelCard, ...]
    founds: tuple[Found, ...]
    sites: tuple[str, ...]
    panels: tuple[Panel, ...]
    drawn: str
    picture: Picture
    meanwhile: str = ""

    @property
    def card(self) -> ModelCard:
        """Of the first model, whose categories all have."""
        return self.cards[0]

    @property
    def found(self) -> Found:
        return self.founds[0]

    @property
    def atlas(self) -> Atlas | None:
        return self.found.atlas

    @property
    def names(self) -> Names:
        return Names(self.card.classes, tuple(colours(self.card.classes)))

    @cached_property
    def shown(self) -> tuple[int, ...]:
        """Places of the panels that have pixels."""
        return tuple(i for i, panel in enumerate(self.panels) if panel.sample is not None)

    @property
    def sample(self) -> PixelSample | None:
        """Of the first panel that has one: its pixels are those of all."""
        return self.panels[self.shown[0]].sample if self.shown else None

    @cached_property
    def samples(self) -> tuple[PixelSample, ...]:
        return tuple(one for panel in self.panels if (one := panel.sample) is not None)

    @cached_property
    def key(self) -> tuple[str, ...]:
        """What is measured on all panels depends on this alone."""
        return tuple(sample.key() for sample in self.samples)

    def picture_id(self, image: int) -> str:
        """The gallery's id of an image of the sample."""
        assert self.sample is not None
        name = self.sample.names[image]
        return data_id(self.sample.data, name) if self.drawn == "atlas" else name

    def image_name(self, image: int) -> str:
        """For people."""
        assert self.sample is not None
        name = self.sample.names[image]
        if self.drawn == "atlas":
            return name
        return process.gallery().get(name).title


def look(whole_run: bool) -> Look | None:
    """What is to be shown; None where there is nothing (the page says why)."""
    cards = process.engine().models()
    if not cards:
        subject.no_models("measure")
        return None
    opening = _opening(cards)
    selection = state.begin(opening, whole_run, VARIANCE, spelled)
    selection, picture, problems = subject.picture_of(selection, opening)
    if selection.model not in cards:
        problems.append(f"{subject.unknown_model(selection.model)}; {opening.model} is shown.")
        selection = replace(selection, model=opening.model)
    first = cards[selection.model]
    selection, changed = _fit(selection, first)
    problems += changed
    founds = {name: process.atlases().find(cards[name]) for name in _models(selection) if name in cards}
    drawn, meanwhile = _drawn(selection, first, founds[first.id])
    try:
        with st.spinner(f"Reading pixels of {markdown(first.id)} …", show_time=True):
            sites = panels_of.sites(founds, cards, drawn, picture)
            selection, changed = _fit_sites(selection, sites)
            panels = panels_of.panels(selection, founds, cards, drawn, picture)
    except LoupeError as error:
        state.commit(selection, problems, VARIANCE)
        st.error(markdown(f"{error}."))
        return None
    state.hold(selection, [*problems, *changed])
    known = tuple(cards[name] for name in founds)
    return Look(selection, known, tuple(founds.values()), sites, panels, drawn, picture, meanwhile)


def _models(selection: Selection) -> tuple[str, ...]:
    return tuple(dict.fromkeys((selection.model, *selection.beside)))


def _fit(selection: Selection, card: ModelCard) -> tuple[Selection, list[str]]:
    """Categories that exist; one sentence for those that do not. Models beside the first one are told of in their panels."""
    unknown = [name for name in selection.categories if name not in card.classes]
    beside = tuple(name for name in selection.beside if name != selection.model)
    selection = replace(selection, beside=beside)
    if not unknown:
        return selection, []
    kept = tuple(name for name in selection.categories if name in card.classes)
    named = ", ".join(f"“{name[:40]}”" for name in unknown[:3])
    rest = "the others are shown" if kept else "all are shown"
    return replace(selection, categories=kept), [f"{card.id} has no category {named}: {rest}."]


def _drawn(selection: Selection, card: ModelCard, found: Found) -> tuple[str, str]:
    if selection.drawn != "atlas" or found.atlas is not None:
        return selection.drawn, ""
    return (
        "samples",
        f"{card.id} has no atlas to draw pixels from: meanwhile, these are of the sample images",
    )


def _fit_sites(selection: Selection, sites: Sequence[str]) -> tuple[Selection, list[str]]:
    """At least one site, and not more panels than are shown."""
    problems = []
    chosen = selection.sites or tuple(site for site in OPENING_SITES if site in sites) or tuple(sites[-1:])
    count = len(_models(selection))
    most = max(1, MOST_PANELS // count)
    if len(chosen) > most:
        kept = chosen[:most]
        problems.append(
            f"{count} models at {len(chosen)} sites are more than {MOST_PANELS} panels: {', '.join(kept)} "
            f"{'is' if len(kept) == 1 else 'are'} shown."
        )
        chosen = kept
    return replace(selection, sites=chosen), problems


def _opening(cards: dict[str, ModelCard]) -> Selection:
    """What a visitor without a link meets."""
    from app.views.inspect import OPENING_PIXEL, OPENING_SCENE

    samples = process.gallery().samples()
    model = OPENING_MODEL if OPENING_MODEL in cards else next(iter(cards))
    chosen = Selection(model=model, image=samples[0].id if samples else "")
    for picture in samples:
        if picture.title == OPENING_SCENE:
            return replace(chosen, image=picture.id, pins=(OPENING_PIXEL,))
    return chosen
