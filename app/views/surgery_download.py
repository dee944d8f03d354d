"""The Surgery page's downloads: figures, arrays and tables of what is on show, and the edits. Made when a button is clicked."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from app import exports, figures, figures_surgery, surgery_links
from app import figures_prototypes_drawing as drawing
from app.sheets_prototypes import ChartSheet, MatrixSheet
from app.views import surgery_causal, surgery_consequences, surgery_numbers
from app.views.keeping import Offer
from app.views.surgery_look import Look
from app.views.surgery_sheets import affinity_sheet, causal_sheet, consequences_sheet
from app.views.surgery_words import QUESTION, listed, said, unit
from app.words import markdown
from engine.edits import describe, to_json
from engine.images import cell

KINDS = ("png", "svg", "pdf")
COLUMNS = ("sheet", "quantity", "of", "value", "unit")


def buttons(look: Look) -> None:
    """A button for each file."""
    stem = ("loupe-surgery", look.card.id, look.picture.title)
    st.caption("Before, after and difference, as they would be printed")
    with st.container(horizontal=True):
        for kind in KINDS:
            name = exports.file_name(*stem, look.selection.what, kind=kind)
            _button(f"panes {kind}", kind, name, figures.MEDIA[kind], _panes(look, kind))
    for sheet in sheets_of(look):
        st.caption(markdown(sheet.title))
        with st.container(horizontal=True):
            for kind in KINDS:
                name = exports.file_name(*stem, sheet.key, kind=kind)
                _button(f"{sheet.key} {kind}", kind, name, figures.MEDIA[kind], _chart(look, sheet, kind))
    st.caption("The numbers: maps, areas, IoU, pins, and what was measured over the split")
    with st.container(horizontal=True):
        for kind, make in (("npz", lambda: npz(look)), ("csv", lambda: csv(look))):
            _button(f"numbers {kind}", kind, exports.file_name(*stem, kind=kind), exports.MEDIA[kind], make)
    st.caption("The edits, for this page and the command line")
    name = exports.file_name("loupe-edits", look.card.id, kind="json")
    _button("edits json", "json", name, "application/json", lambda: surgery_links.to_bytes(look.asked))


def offer(look: Look) -> Offer:
    """What Keep keeps; the edits with it."""
    return Offer(
        title=f"Before and after: {listed(look)} · {look.card.title}",
        cards=(look.card,),
        figures=lambda: [
            ("Before, after and difference", lambda kind: _panes(look, kind)()),
            *((sheet.title, partial(_swapped, look, sheet)) for sheet in sheets_of(look)),
        ],
        data={"npz": lambda: npz(look), "csv": lambda: csv(look)},
        picture=look.picture,
        more={"json": lambda: surgery_links.to_bytes(look.asked)},
    )


def _swapped(look: Look, sheet: ChartSheet | MatrixSheet, kind: str) -> bytes:
    return _chart(look, sheet, kind)()


def _button(key: str, kind: str, name: str, media: str, make: Callable[[], bytes]) -> None:
    st.download_button(
        kind.upper(), data=make, file_name=name, mime=media, on_click="ignore", key=f"surgery {key}"
    )


def _panes(look: Look, kind: str) -> Callable[[], bytes]:
    return lambda: figures_surgery.draw(pane_sheet(look), kind)


def _chart(look: Look, sheet: ChartSheet | MatrixSheet, kind: str) -> Callable[[], bytes]:
    return lambda: drawing.draw(sheet, kind, look.selection.colours)


def sheets_of(look: Look) -> list[ChartSheet | MatrixSheet]:
    """What the page shows below the panes."""
    found: list[ChartSheet | MatrixSheet] = [surgery_numbers.sheet(look)]
    over = surgery_consequences.found_of(look)
    if over is not None:
        found.append(consequences_sheet(look, over))
    matrix = surgery_causal.found_of(look)
    if matrix is not None:
        found.append(causal_sheet(look, matrix))
        rate = surgery_causal.rate_of(look)
        if rate is not None:
            found.append(affinity_sheet(look, rate[1]))
    return found


def pane_sheet(look: Look) -> figures_surgery.PaneSheet:
    """The three panes; an affinity is the active pin's."""
    selection, names = look.selection, look.names
    before, after = look.labels
    maps = maps_of(look)
    limits = (0.0, 1.0)
    if selection.what == "logit" and maps is not None:
        limits = (float(min(m.min() for m in maps)), float(max(m.max() for m in maps)))
    drawn: list[list[tuple[np.ndarray, str]]] = [[], [], []]
    if selection.outline in ("truth", "both") and look.picture.truth is not None:
        for pane in drawn:
            pane.append((look.picture.truth, "black"))
    if selection.outline in ("prediction", "both"):
        for pane, labels in zip(drawn, (before, after, after), strict=True):
            pane.append((labels, "white"))
    pins = "; ".join(f"{n}: row {row}, col {col}" for n, (row, col) in enumerate(selection.pins or (), 1))
    return figures_surgery.PaneSheet(
        photo=look.picture.image.pixels,
        original=look.picture.image.original_size,
        labels=(before, after),
        names=names.names,
        palette=names.colours,
        pins=selection.pins or (),
        title=f"Before and after: {listed(look)} · {look.card.title}",
        caption=said(look, plain=True) + (f" Pinned: {pins}." if pins else ""),
        maps=maps,
        unit=unit(look),
        scale="uniform" if selection.what == "affinity" else "linear",
        limits=limits,
        outlines=tuple(tuple(pane) for pane in drawn),
        colours=selection.colours,
        opacity=selection.opacity,
        smooth=selection.smooth,
    )


def maps_of(look: Look) -> tuple[np.ndarray, np.ndarray] | None:
    """What the panes show beside categories: (rows, cols) before and after; None for masks, and without a pin for an affinity."""
    selection = look.selection
    runs = (look.before, look.after)
    if selection.what in ("probability", "logit"):
        index = look.card.classes.index(look.category)
        logits = [run.logits.float() for run in runs]
        planes = (
            [one.softmax(dim=0)[index] for one in logits]
            if selection.what == "probability"
            else [one[index] - one.mean(dim=0) for one in logits]
        )
        return planes[0].cpu().numpy(), planes[1].cpu().numpy()
    if selection.what == "affinity" and look.stages and selection.pin is not None:
        stages = [run.stage(selection.stage) for run in runs]
        at = cell(*selection.pin, look.picture.image.original_size, stages[0].grid)
        planes = [stage.pixel_affinity(*at).cpu().numpy() for stage in stages]
        return planes[0] * planes[0].size, planes[1] * planes[1].size
    return None


# ---------------------------------------------------------------------------------------------- numbers


def about(look: Look) -> dict[str, Any]:
    """Where the numbers come from."""
    image = look.picture.image
    return {
        "question": QUESTION,
        "model": look.card.id,
        "checkpoint": look.card.hash,
        "image": image.name,
        "image_hash": image.hash,
        "edits": to_json(look.edits)["edits"],
        "edits_in_words": [describe(edit) for edit in look.edits],
        "recomputed": list(look.after.recomputed),
        "stage": look.selection.stage if look.stages else None,
        "classes": list(look.card.classes),
        "caption": said(look, plain=True),
    }


def npz(look: Look) -> bytes:
    """Exact arrays of both runs, and the sheets'."""
    found: dict[str, np.ndarray] = {}
    for name, run in (("before", look.before), ("after", look.after)):
        found |= {f"{name}/logits": run.logits.cpu().numpy(), f"{name}/labels": run.labels.cpu().numpy()}
    maps = maps_of(look)
    if maps is not None:
        found |= {"map/before": maps[0], "map/after": maps[1], "map/difference": maps[1] - maps[0]}
    found["pins"] = np.array(look.selection.pins or (), dtype=np.int64).reshape(-1, 2)
    for sheet in sheets_of(look):
        if isinstance(sheet, MatrixSheet):
            found |= {f"{sheet.key}/values": sheet.values}
            found |= {f"{sheet.key}/{name}": values for name, values in sheet.beside.items()}
        else:
            found[f"{sheet.key}/rows"] = np.array([row.label for row in sheet.rows])
            found[f"{sheet.key}/values"] = np.array([row.values for row in sheet.rows], dtype=np.float64)
    return exports.to_npz(found, about(look))


def csv(look: Look) -> bytes:
    """One number a row."""
    few = {name: about(look)[name] for name in ("model", "checkpoint", "image", "image_hash")}
    few["edits"] = listed(look)
    rows = [{**few, **row} for sheet in sheets_of(look) for row in sheet.rows_of_table()]
    rows += [{**few, **row} for row in _pins(look)]
    return exports.table_csv(rows, (*few, *COLUMNS))


def _pins(look: Look) -> list[dict[str, Any]]:
    """What both runs say and read at each pin."""
    rows = []
    size = look.picture.image.original_size
    for place, pin in enumerate(look.selection.pins or (), 1):
        of = f"pin {place}, row {pin[0]}, col {pin[1]}"
        for when, run in (("before", look.before), ("after", look.after)):
            category = look.card.classes[int(run.labels[cell(*pin, size, run.image_size)])]
            rows.append(
                {
                    "sheet": "pins",
                    "quantity": f"predicted {when}",
                    "of": of,
                    "value": category,
                    "unit": "category",
                }
            )
            likely = run.logits.float().softmax(dim=0)[
                (slice(None), *cell(*pin, size, (run.logits.shape[-2], run.logits.shape[-1])))
            ]
            for c, name in enumerate(look.card.classes):
                rows.append(_value(f"softmax {when}", f"{of}, {name}", float(likely[c]), "probability"))
            for stage in run.stages:
                if stage.prototypes is None:
                    continue
                read = stage.affinity(*cell(*pin, size, stage.grid)).mean(dim=0)
                rows += [
                    _value(
                        f"affinity {when}, {stage.name}",
                        f"{of}, {name}",
                        float(read[c]),
                        "share of what is read",
                    )
                    for c, name in enumerate(look.card.classes)
                ]
    return rows


def _value(quantity: str, of: str, value: float, unit_: str) -> dict[str, Any]:
    return {"sheet": "pins", "quantity": quantity, "of": of, "value": value, "unit": unit_}
