"""Prototypes: what has a prototype learned?

Patches of the chosen category and the model's health are always there; below them one of five views. Everything comes from an
atlas of the model, which is made in the background where there is none; what needs none is shown meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import streamlit as st

from app import cache, process, state
from app.gallery import data_id
from app.patches import Cutout
from app.selection import FEW, INSPECT, MANY, PROTOTYPES, SECTIONS, Selection, to_params
from app.sheets_prototypes import ChartSheet, MatrixSheet, Sheet
from app.views import page, walking
from app.views import prototypes_bank as bank
from app.views import prototypes_frame as frame
from app.views import prototypes_html as draw
from app.views import prototypes_look as looking
from app.views import prototypes_made as made
from app.views import prototypes_plain as plain
from app.views import prototypes_sections as sections
from app.views import prototypes_time as time
from app.views.prototypes_health import panel
from app.views.prototypes_look import Look, Nothing
from app.views.prototypes_sections import Section
from app.words import html, markdown
from engine import LoupeError
from engine.health import findings
from engine.ordering import alike_order

OPENING_MODEL = looking.OPENING_MODEL
MEAN = -1  # stands for the mean over heads in the control: None would be no choice
AROUND = 5  # rows that a sheet's heading, legend and notes are as high as
WHOLE = 24  # categories up to which a table shows all its rows at once
VIEWS = {"reads": "→ Reads", "memory": "◆ Memory", "shadow": "Shadow", "time": "Time", "price": "Price"}


def render() -> None:
    """The page. Streamlit calls it on every full run; what is chosen in the page itself runs `_main` alone."""
    page.render(looking.look, frame.sidebar, _main)


def warm_up() -> None:
    """Reads what the first visitor needs, and loads what only this page uses. Raises LoupeError for a damaged atlas."""
    alike_order(np.eye(4))
    card = process.engine().models().get(OPENING_MODEL)
    if card is None or (atlas := process.atlases().find(card).atlas) is None:
        return
    for stage in atlas.manifest.stages:
        atlas.patches(stage, 0)
        findings(stage, card.classes, usage=atlas.usage(stage), images=atlas.images)


@st.fragment
def _main() -> None:
    now = looking.look(whole_run=False)
    if now is None:
        return
    frame.header(now)
    page.sentences()
    walking.walk(now)
    if now.stages:
        _prototypes(now)
    else:
        plain.render(now, guarded)
    state.commit(now.selection, page=PROTOTYPES)


def _prototypes(now: Look) -> None:
    with st.container(key="lp-wide-prototypes"):
        left, right = st.columns([5, 3], gap="large")
    with left:
        guarded(now, _patches)
    with right:
        guarded(now, _health)
    with st.container(key="prototype-views"):
        st.segmented_control(
            "View",
            SECTIONS,
            format_func=VIEWS.__getitem__,
            required=True,
            label_visibility="collapsed",
            **state.bound("section", now.selection.section),
        )
    shown: dict[str, Callable[[Look], None]] = {
        "reads": _reads,
        "memory": _memory,
        "shadow": _shadow,
        "time": _time,
        "price": _price,
    }
    guarded(now, shown[now.selection.section])


def _health(now: Look) -> None:
    st.html(cache.made(("health", *now.key, now.stage), lambda: panel(now)))


def guarded(now: Look, part: Callable[[Look], None]) -> None:
    """Draws a part of the page; where it cannot be had, one sentence stands there, and a damaged atlas can be made again."""
    try:
        part(now)
    except Nothing as error:
        st.html(f'<p class="lp-note" data-nothing="1">{html(error)}.</p>')
    except LoupeError as error:
        st.warning(markdown(f"{error}."), icon=":material/info:")
        walking.again(now, part.__name__)


# ---------------------------------------------------------------------------------------------- patches


def _patches(now: Look) -> None:
    if now.atlas is None and now.bank is not None and now.selection.section != "memory":
        _meanwhile(now)
        return
    atlas = looking.atlas_of(now, f"The strongest patches of {now.name}")
    stage, category = now.stage, now.category
    sheet = made.patches(now, atlas)
    swatch = f'<i class="lp-swatch" style="background:{now.names.colours[category]}"></i>'
    st.html(
        f'<h2 class="lp-heading">What the prototype of {swatch}{html(now.name)} answers to '
        f'<span class="lp-soft">strongest patches at {html(stage)}</span></h2>'
        f'<p class="lp-note">{html(sections.patches_said(now, atlas))}</p>'
    )
    st.html(draw.patches(sheet, lambda one: inspect_link(now.selection, category, one, atlas.manifest.data)))
    found = len(atlas.patches(stage, category))
    with st.container(horizontal=True, key="patch-count"):
        if now.selection.patches == FEW and found > FEW:
            st.button(f"Show {found}", on_click=state.choose, kwargs={"patches": MANY}, key="more patches")
        elif now.selection.patches == MANY and found > FEW:
            st.button(f"Show {FEW}", on_click=state.choose, kwargs={"patches": FEW}, key="fewer patches")
    st.html(f'<p class="lp-caption">{html(sheet.caption)}</p>')


def _meanwhile(now: Look) -> None:
    """Where the patches will be: what needs no atlas, so that the page is never empty."""
    section = made.memory(now)
    st.html(
        f'<p class="lp-note" data-nothing="1">The strongest patches of {html(now.name)} will stand here once there is an '
        f"atlas of {html(now.card.id)}. Meanwhile, what the memory bank holds:</p>"
    )
    st.html(drawn_sheet(section.sheets[0], now.selection.colours))
    st.html(f'<p class="lp-caption">{html(section.caption)}</p>')


def inspect_link(selection: Selection, category: int, one: Cutout, data: str) -> str:
    """Inspect at the patch's image and pixel, showing what this prototype averages there; relative to this page's address."""
    from urllib.parse import urlencode

    chosen = replace(
        selection,
        image=data_id(data, one.patch.id),
        pins=(one.patch.pixel,),
        active=0,
        reading="made of",
        source=category,
        relative="raw",
        head=None,
    )
    return f"./?{urlencode(to_params(chosen, INSPECT), safe=',;')}"


# ---------------------------------------------------------------------------------------------- views


def _reads(now: Look) -> None:
    atlas = looking.atlas_of(now, "Who reads which prototype")
    if now.parts.heads > 1:
        words = {MEAN: "mean over heads"} | {head: f"head {head + 1}" for head in range(now.parts.heads)}
        st.segmented_control(
            "Heads",
            list(words),
            format_func=words.__getitem__,
            required=True,
            label_visibility="collapsed",
            **state.bound(
                "head",
                MEAN if now.selection.head is None else now.selection.head,
                lambda head: {"head": None if head == MEAN else head},
            ),
        )
    _section(now, made.reads(now, atlas))


def _memory(now: Look) -> None:
    _section(now, made.memory(now))
    table = cache.made(("memory table", *now.key, now.stage), lambda: bank.memory_table(now))
    st.html(
        '<h2 class="lp-heading">The rows as a table <span class="lp-soft">click a heading to sort</span></h2>'
    )
    digits = st.column_config.NumberColumn(format="%.3g")
    formats = {name: digits for name, values in table.items() if any(isinstance(v, float) for v in values)}
    tall = "content" if len(now.card.classes) <= WHOLE else "auto"
    st.dataframe(table, hide_index=True, column_config=formats, height=tall, key="memory table")


def _shadow(now: Look) -> None:
    atlas = looking.atlas_of(now, "The presence-weighted bank")
    _section(now, made.shadow(now, atlas))


def _time(now: Look) -> None:
    chosen = now.selection
    section, sheet = made.time(now)
    assert now.parts.time is not None
    words = {"bank": "the bank as it was", "mean": f"its mean over {now.parts.time.window} steps"}
    st.segmented_control(
        "Series",
        list(words),
        format_func=words.__getitem__,
        required=True,
        label_visibility="collapsed",
        **state.bound("bank", chosen.bank),
    )
    st.html("".join(f'<p class="lp-note lp-said">{html(sentence)}</p>' for sentence in section.said))
    time.player(sheet, _moved)
    _sheets(now, section.sheets)
    st.html(f'<p class="lp-caption">{html(section.caption)}</p>')


def _moved() -> None:
    moment = state.picked(time.KEY)
    if isinstance(moment, int) and not isinstance(moment, bool) and moment >= 0:
        state.choose(moment=moment)


def _price(now: Look) -> None:
    atlas = looking.atlas_of(now, "The prototypes' price")
    _section(now, made.price(now, atlas))


def _section(now: Look, section: Section) -> None:
    st.html("".join(f'<p class="lp-note lp-said">{html(sentence)}</p>' for sentence in section.said))
    _sheets(now, section.sheets)
    st.html(f'<p class="lp-caption">{html(section.caption)}</p>')


def _sheets(now: Look, sheets: tuple[Sheet, ...]) -> None:
    """In two columns, each in the one that is shorter so far; one alone takes the whole width."""
    drawn = [drawn_sheet(sheet, now.selection.colours) for sheet in sheets]
    if len(drawn) < 2:
        st.html("".join(drawn))
        return
    columns, heights = ["", ""], [0, 0]
    for text in drawn:
        shorter = int(heights[1] < heights[0])
        columns[shorter] += text
        heights[shorter] += AROUND + text.count("<tr")
    with st.container(key="lp-wide-sheets"):
        places = st.columns(2, gap="large")
    for place, text in zip(places, columns, strict=True):
        place.html(text)


def drawn_sheet(sheet: Sheet, colours: str) -> str:
    """A matrix or a chart as HTML."""
    if isinstance(sheet, MatrixSheet):
        return draw.matrix(sheet, colours)
    if isinstance(sheet, ChartSheet):
        return draw.chart(sheet)
    raise TypeError(f"a {type(sheet).__name__} is drawn elsewhere")
