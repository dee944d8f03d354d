"""What the tests of the Prototypes page do with it."""

from __future__ import annotations

import re
from html import unescape

from streamlit.testing.v1 import AppTest

from app import cache, process
from app.views import prototypes_look as looking
from engine.bank import banks
from engine.bank_time import moments_path, read_moments
from tests.app import pages
from tests.app.pages import html_of

STAGE = "stride8"


def opened(**params: str) -> AppTest:
    return pages.opened("prototypes", **params)


def sheet_of(page: AppTest, key: str) -> str:
    """The HTML of one sheet."""
    (found,) = re.findall(rf'<section [^>]*data-sheet="{re.escape(key)}">.*?</section>', html_of(page), re.S)
    return found


def cells_of(page: AppTest, key: str) -> list[str]:
    """What a matrix's cells say, row by row in the order on show."""
    return [unescape(said) for said in re.findall(r'data-said="([^"]*)"', sheet_of(page, key))]


def look_of(page: AppTest) -> looking.Look:
    """What the page showed, made again outside of it."""
    selection = page.session_state["selection"]
    card = process.engine().models()[selection.model]
    segmenter = process.engine().segmenter(card.id)
    found, memory = process.atlases().find(card), {}
    stages: tuple[str, ...] = ()
    moments = None
    if card.sources in ("prototypes", "memory"):
        memory, stages = banks(segmenter), ("stride16", "stride8", "stride4")
        moments = read_moments(moments_path(card.path), memory) if memory else None
    category = card.classes.index(selection.category) if selection.category in card.classes else 0
    tokens = classifier = None
    if card.method == "hfgd":
        tokens, classifier = (
            one.weight.detach().numpy() for one in (segmenter.decoder.tokens, segmenter.decoder.classifier)
        )
    parts = cache.Parts("test", stages, 4, memory, moments, "", tokens, classifier)
    return looking.Look(selection, card, found, parts, category)  # fmt: skip
