"""The pixels behind the numbers: those on show, and where only some categories are, as many of each of the others.

Distance between categories and a category's neighbours need the other categories, also where a map shows one alone.
"""

from __future__ import annotations

from app import cache
from app.views.variance_look import Look
from app.views.variance_panels import Panel, every_pixel, first_of
from engine.errors import LoupeError
from engine.pixels import PixelSample, shared


def measured(look: Look) -> list[tuple[Panel, PixelSample]]:
    """(panel, its pixels of all categories) of every panel with pixels."""
    panels = [look.panels[i] for i in look.shown]
    chosen = look.selection.categories
    if not chosen or look.drawn != "atlas":
        return list(zip(panels, look.samples, strict=True))
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
    try:
        return list(zip(panels, cache.held(key, make), strict=True))
    except LoupeError:
        return list(zip(panels, look.samples, strict=True))
