"""The Prototypes page's sections, made once for each selection: the page and its downloads take the same ones from here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from app import cache, datasets
from app.sheets_prototypes import PatchSheet, TimeSheet
from app.views import prototypes_bank, prototypes_history, prototypes_price, prototypes_sections
from app.views.prototypes_look import Look
from app.views.prototypes_sections import Section
from engine.atlas import Atlas


def patches(look: Look, atlas: Atlas) -> PatchSheet:
    """An image is often among the strongest of several categories: it is read once for all."""

    def make() -> PatchSheet:
        dataset = datasets.opened(atlas.manifest.data)

        def image(index: int) -> np.ndarray:
            return cache.made(("image", look.found.key, index), lambda: dataset[index].image)

        return prototypes_sections.patches(look, atlas, image)

    return cache.made(("patches", *_chosen(look), look.selection.patches, look.selection.colours), make)


def reads(look: Look, atlas: Atlas) -> Section:
    key = ("reads", *_chosen(look), look.selection.head)
    return cache.made(key, lambda: prototypes_sections.reads(look, atlas))


def memory(look: Look) -> Section:
    return cache.made(("memory", *_chosen(look)), lambda: prototypes_bank.memory(look))


def shadow(look: Look, atlas: Atlas) -> Section:
    return cache.made(("shadow", *_chosen(look)), lambda: prototypes_history.shadow_section(look, atlas))


def time(look: Look) -> tuple[Section, TimeSheet]:
    """The sheet stands at the chosen moment; everything else of it is the same at all of them."""
    key = ("time", *_chosen(look), look.selection.bank)
    section, sheet = cache.made(key, lambda: prototypes_history.time_section(look))
    moment = look.selection.moment
    return section, replace(sheet, moment=len(sheet.steps) - 1 if moment is None else moment)


def price(look: Look, atlas: Atlas) -> Section:
    return cache.made(("price", *_chosen(look)), lambda: prototypes_price.price(look, atlas))


def _chosen(look: Look) -> tuple[str | int, ...]:
    return (*look.key, look.stage, look.category)
