"""The panels of the Variance page: one model at one site each, all of the same pixels.

Pixels come from the models' atlases, or from images that are traced now. A panel that cannot be had says why in one sentence, and
the others stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from app import cache, process
from app.atlases import Found
from app.gallery import Picture
from app.selection import Selection
from app.views import subject
from engine import LoupeError
from engine.atlas import Atlas
from engine.elsewhere import elsewhere
from engine.pixels import ChosenImage, PixelSample, from_atlas, from_traces, in_turn, shared
from engine.runtime import ModelCard
from engine.trace import Trace

EVERY = 1_000_000  # more pixels than an atlas has of any category


@dataclass(frozen=True, eq=False)
class Panel:
    """One model at one site; sample is None where there is none, and `why` says so in one sentence without its full stop."""

    model: str
    site: str
    card: ModelCard | None
    sample: PixelSample | None
    why: str = ""

    @property
    def title(self) -> str:
        return f"{self.model} · {self.site}"

    def said(self, why: str) -> str:
        """The engine's sentence behind the title, which it may begin with in its own words."""
        return f"{self.title}: {why.removeprefix(f'{self.model} {self.site}: ').rstrip('.')}"


def panels(
    selection: Selection,
    founds: Mapping[str, Found],
    cards: Mapping[str, ModelCard],
    drawn: str,
    picture: Picture,
) -> tuple[Panel, ...]:
    """Site by site, in each the models side by side."""
    models = tuple(dict.fromkeys((selection.model, *selection.beside)))
    asked = [(name, site) for site in selection.sites for name in models]
    made = []
    for name, site in asked:
        card = cards.get(name)
        try:
            checked = _checked(name, card, cards[selection.model])
            if drawn == "atlas":
                sample = _of_atlas(selection, checked, founds[name], site)
            else:
                sample = _of_images(selection, checked, site, drawn, picture)
            made.append(Panel(name, site, card, sample))
        except LoupeError as error:
            made.append(Panel(name, site, card, None, str(error)))
    whole = [panel for panel in made if panel.sample is not None]
    if not whole:
        return tuple(made)
    try:
        if drawn == "atlas":
            common = _common(selection, [panel.sample for panel in whole if panel.sample is not None])
        else:
            common = _in_place(selection, whole, drawn, picture)
    except LoupeError as error:
        only = whole[0]
        return tuple(
            panel if panel is only or panel.sample is None else replace(panel, sample=None, why=str(error))
            for panel in made
        )
    rest = iter(common)
    return tuple(replace(panel, sample=next(rest)) if panel.sample is not None else panel for panel in made)


def _checked(name: str, card: ModelCard | None, first: ModelCard) -> ModelCard:
    if card is None:
        raise LoupeError(subject.unknown_model(name))
    if card.classes != first.classes:
        raise LoupeError(
            f"{name} was trained on other categories than {first.id}: their pixels cannot be compared"
        )
    return card


def first_of(samples: Sequence[PixelSample], amount: int) -> tuple[PixelSample, ...]:
    """At most `amount` of the pixels that all samples hold in the same order, balanced over categories."""
    if len(samples[0]) <= amount:
        return tuple(samples)
    rows = in_turn(samples[0].category, np.arange(len(samples[0])))[:amount]
    return tuple(sample.take(rows) for sample in samples)


# ---------------------------------------------------------------------------------------------- from atlases


def _of_atlas(selection: Selection, card: ModelCard, found: Found, site: str) -> PixelSample:
    if found.atlas is None:
        raise LoupeError(found.why or f"there is no atlas of {card.id} yet")
    categories = [card.classes.index(name) for name in selection.categories] or None
    atlas = found.atlas
    return every_pixel(atlas, found.key, site, categories)


def every_pixel(atlas: Atlas, key: str, site: str, categories: Sequence[int] | None = None) -> PixelSample:
    """All pixels that the atlas has at a site in cells of one category. key: names the atlas's contents."""
    names = None if categories is None else tuple(categories)
    return cache.made(
        ("pixels", key, site, names), lambda: from_atlas(atlas, site, categories=categories, count=EVERY)
    )


def _common(selection: Selection, samples: Sequence[PixelSample]) -> tuple[PixelSample, ...]:
    amount = selection.amount

    def make() -> tuple[PixelSample, ...]:
        return first_of(shared(samples) if len(samples) > 1 else samples, amount)

    return cache.made(("shared", amount, *(sample.key() for sample in samples)), make)


# ---------------------------------------------------------------------------------------------- from images


def images_now(card: ModelCard, drawn: str, picture: Picture) -> list[Picture]:
    """The image chosen now, or the sample images whose labels this model's categories are."""
    if drawn == "image":
        return [picture]
    labelled = [one for one in process.gallery().samples() if one.truth_for(card.classes) is not None]
    return labelled or process.gallery().samples() or [picture]


def _traced(
    card: ModelCard, pictures: Sequence[Picture]
) -> tuple[list[Trace], list[ChosenImage], tuple[str, ...]]:
    traces = [process.engine().trace(card, one.image) for one in pictures]
    images = [
        ChosenImage(one.id, one.image.original_size, one.truth_for(card.classes), one.modes)
        for one in pictures
    ]
    return traces, images, tuple(one.id for one in pictures)


def _of_images(selection: Selection, card: ModelCard, site: str, drawn: str, picture: Picture) -> PixelSample:
    pictures = images_now(card, drawn, picture)
    per_image = -(-selection.amount // len(pictures))

    def make() -> PixelSample:
        traces, images, _ = _traced(card, pictures)
        return from_traces(traces, images, site, per_image=per_image)

    return cache.made(("traced", card.hash, tuple(one.id for one in pictures), site, per_image), make)


def _in_place(
    selection: Selection, whole: Sequence[Panel], drawn: str, picture: Picture
) -> tuple[PixelSample, ...]:
    """Every panel at the pixels of the one with the coarsest grid, which has the fewest."""
    base = max((panel.sample for panel in whole if panel.sample is not None), key=lambda one: one.level)
    key = ("in place", selection.amount, selection.categories, *(p.sample.key() for p in whole if p.sample))

    def make() -> tuple[PixelSample, ...]:
        found = []
        for panel in whole:
            assert panel.card is not None
            if panel.sample is base:
                found.append(base)
                continue
            traces, images, _ = _traced(panel.card, images_now(panel.card, drawn, picture))
            found.append(elsewhere(base, traces, images, panel.site))
        kept = np.logical_and.reduce([one.pure for one in found])
        if selection.categories:
            wanted = [base.classes.index(name) for name in selection.categories]
            kept &= np.isin(base.category, wanted)
        if not kept.any():
            of = f" of {', '.join(selection.categories)}" if selection.categories else ""
            raise LoupeError(f"these images have no pixel{of} whose cells are of one category at every site")
        return first_of([one.take(kept) for one in found], selection.amount)

    return cache.made(key, make)


def of_every_category(
    selection: Selection, whole: Sequence[Panel], drawn: str, picture: Picture
) -> tuple[PixelSample, ...]:
    """The same images' pixels of all categories, of panels that have pixels of some.

    Raises:
        LoupeError: the panels have none in common.
    """
    every = replace(selection, categories=())
    drawn_anew = []
    for panel in whole:
        assert panel.card is not None
        sample = _of_images(every, panel.card, panel.site, drawn, picture)
        drawn_anew.append(replace(panel, sample=sample))
    return _in_place(every, drawn_anew, drawn, picture)


def sites(
    founds: Mapping[str, Found], cards: Mapping[str, ModelCard], drawn: str, picture: Picture
) -> tuple[str, ...]:
    """The sites that any of the models has, in the order in which they follow each other in the first one."""
    found: dict[str, None] = {}
    for name, one in founds.items():
        if drawn == "atlas":
            found |= dict.fromkeys(one.atlas.manifest.sites if one.atlas is not None else ())
        else:
            found |= dict.fromkeys(_traced_sites(cards[name], drawn, picture))
    return tuple(found)


def _traced_sites(card: ModelCard, drawn: str, picture: Picture) -> tuple[str, ...]:
    def make() -> tuple[str, ...]:
        from engine.atlas.sites import site_maps

        first = images_now(card, drawn, picture)[0]
        return tuple(site_maps(process.engine().trace(card, first.image)))

    return cache.made(("sites", card.hash), make)
