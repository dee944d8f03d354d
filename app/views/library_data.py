"""The Library's datasets: which there are, a look at all their files, and leafing through them with labels drawn."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any
from urllib.parse import urlencode

import numpy as np
import streamlit as st

from app import datasets, process, state
from app.gallery import data_id
from app.palette import colours
from app.selection import INSPECT, to_params
from app.tiles import tile
from app.views import library_check
from app.views.library_frame import Look
from app.views.polling import watch
from app.views.subject import opening_of
from app.words import html, markdown, place
from engine import LoupeError
from engine.data.categories import CLASS_NAMES
from engine.data.datasets import SPLITS, data_root
from engine.data.descriptions import describe, found
from engine.data.folders import home_of

TILES = 18  # on a sheet


def section(look: Look) -> None:
    """All datasets, then the chosen one."""
    where = html(place(data_root()))
    st.html(
        f'<h2 class="lp-heading">Datasets <span class="lp-soft">looked for in {where}</span></h2>{table()}'
    )
    st.html(f'<h2 class="lp-heading">{html(look.split)}</h2>')
    library_check.section(look.split)
    _leaf(look)


def table() -> str:
    """Every known dataset: whether it is here, and where it should be."""
    demo = html(", ".join(name.removeprefix("scenes-") for name in SPLITS))
    rows = [
        f'<tr data-set="scenes"><th>scenes</th><td>the demo world</td><td>{len(CLASS_NAMES)}</td><td>{demo}</td>'
        "<td>painted when asked for</td></tr>"
    ]
    for name in found():
        try:
            about = describe(name)
        except LoupeError as error:
            rows.append(
                f'<tr data-set="{html(name)}"><th>{html(name)}</th><td colspan="4">{html(error)}</td></tr>'
            )
            continue
        try:
            where = f"here: {home_of(about)}"
        except LoupeError:
            where = f"not here: unpack it as {about.home}" if about.home else "not here"
        title = (
            f'<a class="lp-away" href="{html(about.url)}">{html(about.title)}</a>'
            if about.url.startswith("http")
            else html(about.title)
        )
        rows.append(
            f'<tr data-set="{html(name)}"><th>{html(name)}</th><td>{title}</td><td>{len(about.classes)}</td>'
            f"<td>{html(', '.join(about.splits))}</td><td>{html(where)}</td></tr>"
        )
    heads = "<th>name</th><th>title</th><th>categories</th><th>splits</th><th>where</th>"
    return (
        f'<div class="lp-panel lp-wide"><table class="lp-table lp-rows"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


# ---------------------------------------------------------------------------------------------- leafing through


def _leaf(look: Look) -> None:
    """A sheet of images with their labels, each one click from Inspect."""
    try:
        dataset = datasets.opened(look.split)
    except (LoupeError, OSError) as error:
        st.warning(markdown(f"{error}."), icon=":material/info:")
        return
    count = datasets.size(look.split)
    sheets = max(1, -(-count // TILES))
    sheet = min(look.selection.sheet, sheets - 1)
    job = process.jobs().start(
        ("library tiles", look.split, sheet), _steps(look.split, dataset, sheet, count)
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        _turn("‹", "The sheet before", sheet - 1, sheet > 0)
        st.html(
            f'<span class="lp-note" data-sheet-of="{sheets}">sheet {sheet + 1} of {sheets}, {count} images</span>'
        )
        _turn("›", "The next sheet", sheet + 1, sheet + 1 < sheets)
    watch(
        lambda: job.running,
        lambda: job.done / max(1, job.total),
        lambda: f"Reading {job.done} of {job.total} images …",
        "tiles",
    )
    shades = colours(dataset.classes)
    cards = [
        _card(look, dataset, sheet * TILES + place, job.results.get(key), job.errors.get(key, ""), shades)
        for place, key in enumerate(job.keys)
    ]
    st.html(
        f'<section class="lp-panel lp-wide"><div class="lp-cases" data-tiles="{len(cards)}">{"".join(cards)}</div></section>'
    )
    st.html(
        '<p class="lp-caption">Labels over images, in the categories’ colours; under the pointer the image alone. '
        "Clear: no label. A click opens the image in Inspect.</p>"
    )


def _turn(label: str, hint: str, sheet: int, there: bool) -> None:
    st.button(
        label,
        key=f"sheet {hint}",
        disabled=not there,
        on_click=state.choose,
        kwargs={"sheet": sheet},
        help=hint,
    )


def _steps(split: str, dataset: Any, sheet: int, count: int) -> dict[Hashable, Callable[[], Any]]:
    shades = np.array(
        [[int(shade[i : i + 2], 16) for i in (1, 3, 5)] for shade in colours(dataset.classes)], np.uint8
    )

    def step(index: int) -> Any:
        sample = dataset[index]
        return tile(sample.image, sample.labels, shades)

    # A folder that is listed anew is another object: what was read of the files before does not stand for it.
    here = range(sheet * TILES, min((sheet + 1) * TILES, count))
    return {
        ("tile", split, id(dataset) if split not in SPLITS else 0, dataset.id_of(i)): partial(step, i)
        for i in here
    }


def _card(look: Look, dataset: Any, index: int, made: Any, why: str, shades: list[str]) -> str:
    name = dataset.id_of(index)
    if made is None:
        inside, said, swatches = f'<span class="lp-case-none">{html(why or "reading …")}</span>', "", ""
    else:
        named = [dataset.classes[k] for k in made.categories]
        said = ", ".join(named)
        fit = "object-fit:contain"
        inside = (
            f'<img style="{fit}" src="{made.photo}" alt="{html(f"{name}: {said}")}"><img class="lp-over" style="{fit}" '
            f'src="{made.over}" alt="">'
        )
        swatches = "".join(
            f'<i class="lp-swatch" style="background:{shades[k]}" title="{html(dataset.classes[k])}"></i>'
            for k in made.categories[:9]
        )
    return (
        f'<a class="lp-patch lp-case" href="{html(link(look, name))}" title="{html(said)}" data-image="{html(name)}">'
        f'<span class="lp-cut">{inside}</span><b>{swatches or "&nbsp;"}</b><span>{html(name)}</span></a>'
    )


def link(look: Look, name: str) -> str:
    """The image in Inspect, with a model of its categories where there is one."""
    from dataclasses import replace

    fitting = [card.id for card in look.cards.values() if card.classes == look.splits[look.split]]
    model = fitting[0] if fitting else next(iter(look.cards), "")
    chosen = replace(opening_of(model), image=data_id(look.split, name), pins=None)
    return f"./?{urlencode(to_params(chosen, INSPECT), safe=',;')}"
