"""The Prototypes page's downloads: what is on show as figures, tables and arrays. Made when a button is clicked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from app import exports, figures
from app import figures_prototypes_drawing as drawing
from app.sheets_prototypes import ChartSheet, MatrixSheet, PatchSheet, Sheet, TimeSheet
from app.views import prototypes_made as made
from app.views import prototypes_plain as plain
from app.views.keeping import Offer
from app.views.prototypes_health import findings_of
from app.views.prototypes_look import Look
from app.views.prototypes_words import QUESTION
from app.words import markdown
from engine import LoupeError

KINDS = ("png", "svg", "pdf")
COLUMNS = ("sheet", "quantity", "of", "value", "unit")


def sheets_of(look: Look) -> tuple[Sheet, ...]:
    """What the page shows now; parts that cannot be had are left out, as the page says why."""
    if not look.stages:
        makers: list[Callable[[], tuple[Sheet, ...]]] = [lambda: plain.sheets(look)]
    else:
        makers = list(_makers(look))
    found: list[Sheet] = []
    for make in makers:
        try:
            found += make()
        except LoupeError:
            continue
    return tuple(found)


def _makers(look: Look) -> Iterator[Callable[[], tuple[Sheet, ...]]]:
    atlas, view = look.atlas, look.selection.section
    if atlas is not None:
        yield lambda: (made.patches(look, atlas),)
        by_view = {"reads": made.reads, "shadow": made.shadow, "price": made.price}
        if (section := by_view.get(view)) is not None:
            yield lambda: section(look, atlas).sheets
    if view == "memory":
        yield lambda: made.memory(look).sheets
    if view == "time":
        yield lambda: _time(look)


def _time(look: Look) -> tuple[Sheet, ...]:
    section, sheet = made.time(look)
    return (sheet, *section.sheets)


def buttons(look: Look) -> None:
    """A button for each file."""
    stem = ("loupe-prototypes", look.card.id)
    stem += (look.stage, look.name, look.selection.section) if look.stages else ()
    for index, sheet in enumerate(sheets_of(look)):
        what = sheet.key
        st.caption(markdown(sheet.title))
        with st.container(horizontal=True):
            for kind in KINDS:
                name = exports.file_name(*stem, what, kind=kind)
                _button(f"{what} {kind}", kind, name, figures.MEDIA[kind], _drawn(look, index, kind))
    st.caption("The numbers of what is shown, and of Health")
    with st.container(horizontal=True):
        for kind in ("npz", "csv"):
            written = _npz if kind == "npz" else _csv
            name = exports.file_name(*stem, kind=kind)
            _button(f"numbers {kind}", kind, name, exports.MEDIA[kind], _bound(written, look))


def offer(look: Look) -> Offer:
    """What Keep keeps."""
    of = f"{look.name}: {look.selection.section} at {look.stage}" if look.stages else "Prototypes"
    return Offer(
        title=f"{of} · {look.card.title}",
        cards=(look.card,),
        figures=lambda: [
            (one.title, partial(drawing.draw, one, colours=look.selection.colours)) for one in sheets_of(look)
        ],
        data={"npz": lambda: _npz(look), "csv": lambda: _csv(look)},
    )


def _button(key: str, kind: str, name: str, media: str, make: Callable[[], bytes]) -> None:
    st.download_button(
        kind.upper(), data=make, file_name=name, mime=media, on_click="ignore", key=f"prototypes {key}"
    )


def _drawn(look: Look, index: int, kind: str) -> Callable[[], bytes]:
    return lambda: drawing.draw(sheets_of(look)[index], kind, look.selection.colours)


def _bound(written: Callable[[Look], bytes], look: Look) -> Callable[[], bytes]:
    return lambda: written(look)


# ---------------------------------------------------------------------------------------------- numbers


def about(look: Look) -> dict[str, Any]:
    """Where the numbers come from."""
    told: dict[str, Any] = {"question": QUESTION, "model": look.card.id, "checkpoint": look.card.hash}
    if look.stages:
        told |= {"stage": look.stage, "category": look.name, "view": look.selection.section}
    if look.atlas is not None:
        manifest = look.atlas.manifest
        told |= {"data": manifest.data, "images": manifest.images, "skipped": len(manifest.skipped)}
    return {**told, "seeds": 1, "classes": list(look.card.classes)}


def _csv(look: Look) -> bytes:
    few = {name: value for name, value in about(look).items() if name not in ("classes", "question", "seeds")}
    rows = [{**few, **row} for sheet in sheets_of(look) for row in sheet.rows_of_table()]
    if look.stages:
        rows += [
            {**few, "sheet": "health", "quantity": one.title, "of": one.level, "value": one.value, "unit": one.unit}
            for one in findings_of(look)
            if one.value is not None
        ]  # fmt: skip
    return exports.table_csv(rows, (*few, *COLUMNS))


def _npz(look: Look) -> bytes:
    found: dict[str, np.ndarray] = {}
    sheets = sheets_of(look)
    for sheet in sheets:
        found |= {f"{sheet.key}/{name}": values for name, values in _arrays(sheet).items()}
    if look.bank is not None:
        found["bank"] = look.bank
    captions = {sheet.key: sheet.caption for sheet in sheets}
    return exports.to_npz(found, {**about(look), "captions": captions})


def _arrays(sheet: Sheet) -> dict[str, np.ndarray]:
    if isinstance(sheet, MatrixSheet):
        return {"values": sheet.values, "order": np.array(sheet.order), **sheet.beside}
    if isinstance(sheet, TimeSheet):
        return {"steps": sheet.steps, "path": sheet.path, "cosine": sheet.cosine}
    if isinstance(sheet, ChartSheet):
        names = np.array([f"{row.group}, {row.label}" if row.group else row.label for row in sheet.rows])
        values = np.array([[np.nan if v is None else v for v in row.values] for row in sheet.rows])
        return {"rows": names, "marks": np.array([mark.name for mark in sheet.marks]), "values": values}
    assert isinstance(sheet, PatchSheet)
    patches = [one.patch for one in sheet.cutouts]
    return {
        "image": np.array([patch.id for patch in patches]),
        "pixel": np.array([patch.pixel for patch in patches]).reshape(-1, 2),
        "logit": np.array([patch.logit for patch in patches]),
        "held": np.array([patch.held for patch in patches]),
    }
