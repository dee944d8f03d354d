"""The pixels behind the numbers: those on show, and where the map shows too few categories to compare, others beside them.

Distance between categories and a category's neighbours need other categories. An atlas has them: its numbers are always among all
categories, as many pixels of each. Of images that are traced now the chosen categories are compared with each other; one that was
chosen alone is compared with all others in these images.
"""

from __future__ import annotations

from app import cache
from app.views.variance_look import Look
from app.views.variance_panels import Panel, every_pixel, first_of, of_every_category
from engine.errors import LoupeError
from engine.pixels import PixelSample, shared


def measured(look: Look) -> list[tuple[Panel, PixelSample]]:
    """(panel, its pixels of all categories) of every panel with pixels."""
    panels = [look.panels[i] for i in look.shown]
    chosen = look.selection.categories
    if not chosen or (look.drawn != "atlas" and len(chosen) > 1):
        return list(zip(panels, look.samples, strict=True))
    try:
        wider = _of_atlas(look, panels) if look.drawn == "atlas" else _of_images(look, panels)
    except LoupeError:
        wider = look.samples
    return list(zip(panels, wider, strict=True))


def _of_images(look: Look, panels: list[Panel]) -> tuple[PixelSample, ...]:
    return of_every_category(look.selection, panels, look.drawn, look.picture)


def _of_atlas(look: Look, panels: list[Panel]) -> tuple[PixelSample, ...]:
    chosen = look.selection.categories
    k = len(look.card.classes)
    count = -(-look.selection.amount // len(chosen)) * k
    founds = {card.id: found for card, found in zip(look.cards, look.founds, strict=True)}

    def make() -> tuple[PixelSample, ...]:
        whole = []
        for panel in panels:
            atlas = founds[panel.model].atlas
            assert atlas is not None
            whole.append(every_pixel(atlas, founds[panel.model].key, panel.site))
        return first_of(shared(whole) if len(whole) > 1 else whole, count)

    key = ("measured", *look.key, *(founds[panel.model].key for panel in panels), count)
    return cache.made(key, make)
