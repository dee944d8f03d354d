"""Keep: what is shown goes to the list of findings, with a note. One control for the header of every page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import streamlit as st

from app import process, state
from app.findings import MOST
from app.findings_records import NOTE, Draft, Figure
from app.gallery import Picture
from app.selection import INSPECT, Page, Selection
from app.words import markdown
from engine import LoupeError
from engine.runtime import ModelCard

FIGURES = 8  # of one finding
Drawn = tuple[str, Callable[[str], bytes]]  # title, and the figure as "svg" or "png"


@dataclass(frozen=True, eq=False)
class Offer:
    """What a page has to be kept; figures and data are made then. figures: what Download offers, the first on the card."""

    title: str
    cards: Sequence[ModelCard]
    figures: Callable[[], Sequence[Drawn]]
    data: Mapping[str, Callable[[], bytes]]
    picture: Picture | None = None
    more: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)


def control(page: Page, selection: Selection, offer: Offer | None) -> None:
    """A popover: a note, the button, how many are kept. Without an offer it says that nothing is there yet."""
    with st.popover("Keep"):
        _said(page, selection)
        if offer is None:
            st.caption("There is nothing on show to keep yet.")
            return
        note = f"keep note {page.key}"
        st.text_area(
            "Note",
            key=note,
            max_chars=NOTE,
            placeholder="What does it show? You can change this later.",
            height=160,
        )
        st.button(
            "Keep this",
            key=f"keep {page.key}",
            icon=":material/bookmark_add:",
            on_click=_keep,
            args=(page, selection, offer, note),
        )


def _said(page: Page, selection: Selection) -> None:
    """How many are kept, and what came of keeping what is on show: said until something else is, however often a page that
    measures or counts beside it is drawn again."""
    try:
        count = len(process.findings().read(state.visitor()).findings)
        held = f"{count} of at most {MOST} kept, on the page Findings." if count else "Nothing is kept yet."
    except LoupeError as error:
        held = f"{error}."
    of, said = state.kept(_key(page)) or (None, "")
    st.caption(markdown(f"{said} {held}" if of == selection else held))


def _keep(page: Page, selection: Selection, offer: Offer, note: str) -> None:
    try:
        made = draft(page, selection, offer, state.typed(note))
        process.findings().keep(state.visitor(), made)
    except LoupeError as error:
        # The note stays: nothing that was written is lost.
        state.keep(_key(page), (selection, f"Not kept: {error}."))
        return
    state.set_text(note, "")
    state.keep(_key(page), (selection, "Kept."))


def draft(page: Page, selection: Selection, offer: Offer, note: str) -> Draft:
    """The state as it is kept."""
    name = "inspect" if page is INSPECT else page.key
    place = "./" if page is INSPECT else f"./{name}"  # Inspect is what opens without a path
    figures = [
        Figure(title, make("svg"), make("png") if index == 0 else None)
        for index, (title, make) in enumerate(offer.figures()[:FIGURES])
    ]
    picture = offer.picture
    return Draft(
        page=name,
        title=offer.title,
        link=state.address(selection, place, page),
        note=note,
        models=tuple((card.id, card.hash) for card in offer.cards),
        image=picture.title if picture else "",
        image_hash=picture.image.hash if picture else "",
        figures=tuple(figures),
        data={kind: make() for kind, make in {**offer.data, **offer.more}.items()},
    )


def _key(page: Page) -> str:
    return f"said of keeping {page.key}"
