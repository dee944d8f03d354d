"""The Audit page's downloads: what is drawn as figures, the numbers as tables and arrays. Made when a button is clicked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from app import exports, figures, figures_audit
from app import figures_prototypes_drawing as drawing
from app.sheets_audit import CurveSheet, StripSheet
from app.views import audit_cases as cases
from app.views.audit_look import Look
from app.views.audit_shown import Sheet, sheets_of
from app.views.audit_words import QUESTION
from app.views.keeping import Offer
from app.words import markdown
from engine.audit import COLUMNS

KINDS = ("png", "svg", "pdf")
TABLE = ("sheet", "quantity", "of", "value", "unit")


def buttons(look: Look) -> None:
    """A button for each file."""
    if look.audit is None:
        st.caption("There is nothing on show to download.")
        return
    stem = ("loupe-audit", *look.asked.models, look.selection.stage, look.selection.score)
    for index, one in enumerate(sheets_of(look)):
        st.caption(markdown(one.title))
        with st.container(horizontal=True):
            for kind in KINDS:
                name = exports.file_name(*stem, one.key, kind=kind)
                _button(f"{one.key} {kind}", kind, name, figures.MEDIA[kind], _drawn(look, index, kind))
    st.caption("Every pixel with its scores, and the numbers of what is shown")
    with st.container(horizontal=True):
        for kind, written in (("npz", pixels_npz), ("csv", numbers_csv)):
            name = exports.file_name(*stem, kind=kind)
            _button(f"numbers {kind}", kind, name, exports.MEDIA[kind], _bound(written, look))


def offer(look: Look) -> Offer | None:
    """What Keep keeps."""
    if look.audit is None:
        return None
    asked, chosen = look.asked, look.selection
    return Offer(
        title=f"Audit of {', '.join(asked.models)}: {chosen.score} at {chosen.stage}, {len(asked.audit.images)} images",
        cards=asked.cards,
        figures=lambda: [
            (one.title, partial(figure, one, colours=chosen.colours)) for one in sheets_of(look)
        ],
        data={"npz": lambda: pixels_npz(look), "csv": lambda: numbers_csv(look)},
    )


def _button(key: str, kind: str, name: str, media: str, make: Callable[[], bytes]) -> None:
    st.download_button(
        kind.upper(), data=make, file_name=name, mime=media, on_click="ignore", key=f"audit {key}"
    )


def _drawn(look: Look, index: int, kind: str) -> Callable[[], bytes]:
    return lambda: figure(sheets_of(look)[index], kind, look.selection.colours)


def _bound(written: Callable[[Look], bytes], look: Look) -> Callable[[], bytes]:
    return lambda: written(look)


def figure(one: Sheet, kind: str, colours: str) -> bytes:
    """A sheet as a file."""
    if isinstance(one, StripSheet | CurveSheet):
        return figures_audit.draw(one, kind)
    return drawing.draw(one, kind, colours)


# ---------------------------------------------------------------------------------------------- numbers


def about(look: Look) -> dict[str, Any]:
    """Where the numbers come from."""
    audit = look.asked.audit
    return {
        "question": QUESTION,
        "models": {entry.model: entry.checkpoint for entry in audit.entries},
        "data": audit.data,
        "seed": audit.seed,
        "stage": look.selection.stage,
        "score": look.selection.score,
        "pixels": len(audit),
        "images": [image.id for image in audit.images],
        "classes": list(audit.classes),
        "seeds": 1,
        "versions": audit.versions,
        "captions": {sheet.key: sheet.caption for sheet in sheets_of(look)},
    }


def numbers_csv(look: Look) -> bytes:
    """One number a row, of the charts and cases on show."""
    audit = look.asked.audit
    named = " ".join(f"{entry.model}:{entry.checkpoint}" for entry in audit.entries)
    few = {"models": named, "data": audit.data, "seed": audit.seed, "images": len(audit.images)}
    return exports.table_csv(({**few, **row} for row in _rows(look)), (*few, *TABLE))


def _rows(look: Look) -> Iterator[dict[str, Any]]:
    for one in sheets_of(look):
        yield from one.rows_of_table()
    for group in cases.groups_of(look):
        for case in group.cases:
            of = f"{group.which}, image {case.image}, row {case.row}, col {case.col}, {look.names.names[case.category]}"
            yield {
                "sheet": "cases",
                "quantity": look.selection.score,
                "of": of,
                "value": case.score,
                "unit": "",
            }


def pixels_npz(look: Look) -> bytes:
    """Every pixel's columns, by model and stage."""
    audit = look.asked.audit
    arrays: dict[str, np.ndarray] = dict(audit.pixels)
    for model in audit.models:
        for stage in audit.stages(model):
            columns = audit.columns(model, stage)
            kept = [name for name in COLUMNS if name not in audit.pixels]
            arrays |= {f"{model}/{stage}/{name}": columns[name] for name in kept}
    return exports.to_npz(arrays, about(look))
