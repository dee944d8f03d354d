"""The tour's strip above the pages: the card of a step, or the way into the tour. It lies in the room that every page leaves
above its header, so that nothing moves when it comes and goes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.components.v2 import component

from app import process, state, tour

KEY = "lp-tour"
_CSS = """
:host { display: block; }
section { font: 12.5px/1.36 var(--st-font); color: var(--st-text-color); display: flex; align-items: center; gap: 0 18px; }
section.card { min-height: 44px; box-sizing: border-box; padding: 3px 12px; justify-content: space-between;
  background: var(--st-secondary-background-color); border-radius: 5px; }
p { margin: 0; max-width: 80rem; text-wrap: balance; }
small { font-size: inherit; font-variant-numeric: tabular-nums; margin-right: .9em; opacity: .8; white-space: nowrap; }
b { font-weight: 600; margin-right: .35em; }
nav { display: flex; flex: none; align-items: center; gap: 4px; }
a, button, nav span { all: unset; white-space: nowrap; padding: 3px 8px; border-radius: 4px; }
a, button { cursor: pointer; }
nav span { opacity: .4; }
nav a { color: var(--st-link-color); font-weight: 600; }
section.way { min-height: 24px; gap: 4px; }
section.way a { padding-left: 0; text-decoration: underline; text-decoration-thickness: 1px; text-underline-offset: 3px;
  text-decoration-color: color-mix(in srgb, currentColor 40%, transparent); }
section.way button { opacity: .8; }
a:hover, button:hover { text-decoration: underline; opacity: 1; }
a:focus-visible, button:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 1px; }
@media (max-width: 1000px) { section.card { flex-wrap: wrap; } }
"""
# The strip is on every page: with it comes what opens a broken page anew.
_JS = "\n".join(
    Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("reopening.js", "tour_card.js")
)
_card = component("loupe_tour", css=_CSS, js=_JS)


def draw(path: str) -> None:
    """The strip on the page that is shown. path: of its address."""
    images = {picture.title: picture.id for picture in process.gallery().samples()}
    shown = tour.steps(process.engine().models(), images)
    number = tour.number_of(state.asked(tour.PARAMETER), path, shown)
    # The container is there on every page and every run: what stands below keeps its place, and need not be drawn anew.
    with st.container(key="lp-tour-step" if number else "lp-tour-way"):
        _card(data=payload(shown, number, images), key=KEY, height="content", on_ended_change=_end)


def payload(shown: tuple[tour.Step, ...], number: int | None, images: Mapping[str, str]) -> dict[str, Any]:
    """What the browser draws: the step, and the links around it."""
    around = {"first": 1} if number is None else {"first": 1, "back": number - 1, "next": number + 1}
    step = None
    if number is not None:
        now = shown[number - 1]
        step = {"number": number, "count": len(shown), "title": now.title, "said": now.said}
    return {"step": step, "links": {name: tour.link(shown, place, images) for name, place in around.items()}}


def _end() -> None:
    """Out of the tour, on the page as it is: the run that this causes draws no card."""
    state.forget_asked(tour.PARAMETER)
