"""Inspect's downloads. Everything is made when a button is clicked, so that a click on the picture stays quick."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import streamlit as st

from app import exports, figures, process
from app.gallery import Picture
from app.palette import colours
from app.selection import Selection
from app.views.inspect_words import ask_of, headline, lines, provenance, site
from app.views.keeping import Offer
from app.words import size
from engine.affinity import Reading, reading
from engine.images import cell as cell_of
from engine.overlays import Overlay, overlay
from engine.trace import Trace

FIGURES = ("png", "svg", "pdf")
NUMBERS = ("npz", "csv")


def buttons(selection: Selection, picture: Picture, trace: Trace) -> None:
    """A button for each file. They hold the selection only: the trace comes from the engine's cache when one is clicked."""
    assert trace.model is not None
    if not selection.pins:
        st.caption("Pin a pixel first: figures and numbers are of pinned pixels.")
        return
    stem = ("loupe", trace.model.id, picture.title, selection.stage)
    st.caption("The figure, as it would be printed")
    with st.container(horizontal=True):
        for kind in FIGURES:
            _button(
                kind, exports.file_name(*stem, kind=kind), figures.MEDIA[kind], _figure, selection, picture
            )
    st.caption("The numbers, for every pin and stage")
    with st.container(horizontal=True):
        for kind in NUMBERS:
            _button(
                kind, exports.file_name(*stem, kind=kind), exports.MEDIA[kind], _numbers, selection, picture
            )


def offer(selection: Selection, picture: Picture, trace: Trace) -> Offer | None:
    """What Keep keeps."""
    if not selection.pins or trace.model is None:
        return None
    return Offer(
        title=f"{headline(selection, trace)} at {selection.stage} · {trace.model.title}",
        cards=(trace.model,),
        figures=lambda: (("Affinity of the pinned pixels", lambda kind: _figure(kind, selection, picture)),),
        data={
            "npz": lambda: _numbers("npz", selection, picture),
            "csv": lambda: _numbers("csv", selection, picture),
        },
        picture=picture,
    )


def _button(
    kind: str,
    name: str,
    media: str,
    make: Callable[[str, Selection, Picture], bytes],
    selection: Selection,
    picture: Picture,
) -> None:
    st.download_button(
        kind.upper(),
        data=lambda: make(kind, selection, picture),
        file_name=name,
        mime=media,
        on_click="ignore",
        key=f"download {kind}",
    )


def _figure(kind: str, selection: Selection, picture: Picture) -> bytes:
    trace = process.engine().trace(selection.model, picture.image)
    return figures.draw(sheet(selection, picture, trace), kind)


def _numbers(kind: str, selection: Selection, picture: Picture) -> bytes:
    trace = process.engine().trace(selection.model, picture.image)
    about = about_of(selection, picture, trace)
    found = readings(selection, picture, trace)
    assert trace.model is not None
    if kind == "npz":
        return exports.to_npz(
            arrays(selection, picture, trace), {**about, "readings": [r.json() for _, r in found]}
        )
    rows = [row for pin, one in found for row in exports.rows_of(pin, one.json(), trace.model.classes)]
    return exports.to_csv(rows, {key: about[key] for key in ("model", "checkpoint", "image", "image_hash")})


def sheet(selection: Selection, picture: Picture, trace: Trace) -> figures.Sheet:
    """Everything that the figure shows, as arrays and words."""
    assert trace.model is not None and trace.image is not None
    palette = colours(trace.model.classes)
    maps = [overlay(trace, selection.stage, pin, ask_of(selection)) for pin in selection.pins or ()]
    panels = tuple(
        figures.Panel(
            index + 1,
            pin,
            one.values,
            _bars(reading(trace, selection.stage, pixel=pin, truth=picture.truth), trace, palette),
        )
        for index, (pin, one) in enumerate(zip(selection.pins or (), maps, strict=True))
    )
    outlines = []
    if selection.outline in ("prediction", "both"):
        outlines.append((trace.labels.cpu().numpy(), "white"))
    if selection.outline in ("truth", "both") and picture.truth is not None:
        outlines.append((picture.truth, "black"))
    first = maps[0] if maps else Overlay(np.zeros((1, 1)), "linear", (0.0, 1.0), "")
    caption = (
        f"{site(selection, trace, every=True)}; {provenance(trace, picture)}. Overlay: {first.unit}. "
        f"{lines(selection, picture)}The affinity is held fixed."
    )
    title = f"{headline(selection, trace)} at {selection.stage} · {trace.model.title}"
    return figures.Sheet(
        photo=trace.image.pixels,
        original=trace.image.original_size,
        panels=panels,
        title=title,
        unit=first.unit,
        caption=caption,
        scale=first.scale,
        limits=(min((m.limits[0] for m in maps), default=0.0), max((m.limits[1] for m in maps), default=1.0)),
        colours=selection.colours,
        opacity=selection.opacity,
        smooth=selection.smooth,
        outlines=tuple(outlines),
    )


def _bars(one: Reading, trace: Trace, palette: list[str]) -> tuple[figures.Bar, ...]:
    assert trace.model is not None
    labels = trace.labels.cpu().numpy()
    bars = []
    for source in one.by_weight:
        category = source.category
        if category is None and source.cell is not None:
            # A pixel source wears the colour of what is predicted at its centre.
            y, x = ((2 * source.cell[i] + 1) * labels.shape[i] // (2 * one.source_grid[i]) for i in (0, 1))
            category = int(labels[y, x])
        name = exports.source_name({"category": source.category, "cell": source.cell}, trace.model.classes)
        bars.append(figures.Bar(name, palette[category or 0], source.weight, source.share))
    return tuple(bars)


def readings(selection: Selection, picture: Picture, trace: Trace) -> list[tuple[int, Reading]]:
    """(pin's number, reading) for every pin and stage."""
    return [
        (index + 1, reading(trace, stage, pixel=pin, truth=picture.truth))
        for index, pin in enumerate(selection.pins or ())
        for stage in trace.stages
    ]


def arrays(selection: Selection, picture: Picture, trace: Trace) -> dict[str, np.ndarray]:
    """Exact arrays, named pin/stage/what: affinity (n, m), pixel_affinity (y, x), contribution_norm and _share (m), and for
    the stage on show the overlay as it is drawn.
    """
    found: dict[str, np.ndarray] = {
        "labels": trace.labels.cpu().numpy(),
        "pins": np.array(selection.pins or ()).reshape(-1, 2),
    }
    if picture.truth is not None:
        found["truth"] = picture.truth
    for index, pin in enumerate(selection.pins or ()):
        for stage in trace.stages:
            name = f"pin{index + 1}/{stage.name}"
            cell = cell_of(*pin, picture.image.original_size, stage.grid)
            added = stage.contribution(*cell)
            found[f"{name}/affinity"] = stage.affinity(*cell).cpu().numpy()
            found[f"{name}/pixel_affinity"] = stage.pixel_affinity(*cell).cpu().numpy()
            found[f"{name}/contribution_norm"] = added.norm.cpu().numpy()
            found[f"{name}/contribution_share"] = added.signed.cpu().numpy()
            if stage.name == selection.stage:
                found[f"{name}/overlay"] = overlay(trace, stage, pin, ask_of(selection)).values
    return found


def about_of(selection: Selection, picture: Picture, trace: Trace) -> dict[str, Any]:
    """Where the numbers come from."""
    assert trace.model is not None
    return {
        "model": trace.model.id,
        "checkpoint": trace.model.hash,
        "image": picture.image.name,
        "image_hash": picture.image.hash,
        "original_size": size(picture.image.original_size),
        "traced_size": size(picture.image.size),
        "classes": list(trace.model.classes),
        "stage": selection.stage,
        "reading": selection.reading,
        "head": "mean" if selection.head is None else selection.head + 1,  # for people: from 1
        "measure": selection.measure,
        "relative": selection.relative,
        "scale": selection.scale,
        "caption": f"{site(selection, trace, every=True)}; {provenance(trace, picture)}.",
    }
