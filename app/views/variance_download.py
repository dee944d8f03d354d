"""The Variance page's downloads: maps and charts as figures, the numbers as tables and arrays. Made when a button is clicked."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from app import exports, figures, figures_variance
from app import figures_prototypes_drawing as drawing
from app.sheets_prototypes import ChartSheet, MatrixSheet
from app.sheets_variance import MapSheet
from app.views import variance_distances as distances
from app.views import variance_numbers as numbers
from app.views import variance_quality as quality
from app.views import variance_substitution as substitution
from app.views import variance_truth as truth
from app.views.keeping import Offer
from app.views.variance_shown import Shown, sheet
from app.views.variance_words import QUESTION
from app.words import markdown
from engine import LoupeError
from engine.pixels import NO_MODE

KINDS = ("png", "svg", "pdf")
COLUMNS = ("sheet", "quantity", "of", "value", "unit")
Sheet = MapSheet | ChartSheet | MatrixSheet


def sheets_of(now: Shown) -> tuple[Sheet, ...]:
    """What the page shows now; what is still being measured is left out, as the page says."""
    look, found = now.look, []
    makers: list[Callable[[], tuple[Sheet, ...]]] = [lambda: (sheet(now),), lambda: numbers.sheets(look)]
    view: dict[str, Callable[[], tuple[Sheet, ...]]] = {
        "distances": lambda: distances.sheets(look),
        "truth": lambda: truth.sheets(look),
        "substitution": lambda: substitution.sheets(look),
    }
    if look.selection.look in view:
        makers.append(view[look.selection.look])
    for make in makers:
        try:
            found += make()
        except LoupeError:
            continue
    return tuple(found)


def buttons(now: Shown) -> None:
    """A button for each file."""
    if now.chosen is None:
        st.caption("There is nothing on show to download.")
        return
    stem = ("loupe-variance", now.look.card.id, now.look.selection.projection)
    for index, one in enumerate(sheets_of(now)):
        st.caption(markdown(one.title))
        with st.container(horizontal=True):
            for kind in KINDS:
                name = exports.file_name(*stem, one.key, kind=kind)
                _button(f"{one.key} {kind}", kind, name, figures.MEDIA[kind], _drawn(now, index, kind))
    st.caption("The points with their places, and the numbers of what is shown")
    with st.container(horizontal=True):
        for kind, written in (("npz", points_npz), ("csv", numbers_csv)):
            name = exports.file_name(*stem, kind=kind)
            _button(f"numbers {kind}", kind, name, exports.MEDIA[kind], _bound(written, now))


def offer(now: Shown) -> Offer | None:
    """What Keep keeps."""
    if now.chosen is None:
        return None
    return Offer(
        title=f"{', '.join(panel.title for panel, _ in now.pairs)} · {now.look.card.title}",
        cards=now.look.cards,
        figures=lambda: [
            (one.title, partial(figure, one, colours=now.look.selection.colours)) for one in sheets_of(now)
        ],
        data={"npz": lambda: points_npz(now), "csv": lambda: numbers_csv(now)},
    )


def _button(key: str, kind: str, name: str, media: str, make: Callable[[], bytes]) -> None:
    st.download_button(
        kind.upper(), data=make, file_name=name, mime=media, on_click="ignore", key=f"variance {key}"
    )


def _drawn(now: Shown, index: int, kind: str) -> Callable[[], bytes]:
    return lambda: figure(sheets_of(now)[index], kind, now.look.selection.colours)


def figure(one: Sheet, kind: str, colours: str) -> bytes:
    """A sheet as a file."""
    if isinstance(one, MapSheet):
        return figures_variance.draw(one, kind, colours)
    return drawing.draw(one, kind, colours)


def _bound(written: Callable[[Shown], bytes], now: Shown) -> Callable[[], bytes]:
    return lambda: written(now)


# ---------------------------------------------------------------------------------------------- numbers


def about(now: Shown) -> dict[str, Any]:
    """Where the numbers come from."""
    sample = now.look.sample
    assert sample is not None
    return {
        "question": QUESTION,
        "models": {card.id: card.hash for card in now.look.cards},
        "sites": [panel.title for panel, _ in now.pairs],
        "data": sample.data,
        "labels": sample.labels,
        "projection": now.method,
        "seeds": 1,
        "classes": list(sample.classes),
        "caption": now.caption,
    }


def numbers_csv(now: Shown) -> bytes:
    """One number a row, of the charts on show and the map's quality."""
    sample = now.look.sample
    assert sample is not None
    few = {"models": " ".join(f"{card.id}:{card.hash}" for card in now.look.cards), "data": sample.data}
    return exports.table_csv(({**few, **row} for row in _rows(now)), (*few, *COLUMNS))


def _rows(now: Shown) -> Iterator[dict[str, Any]]:
    for one in sheets_of(now):
        if not isinstance(one, MapSheet):
            yield from one.rows_of_table()
    for panel, each, _ in numbers.spreads(now.look):
        if each is None:
            continue
        for name in ("within", "between", "ratio", "silhouette", "purity"):
            estimate = getattr(each, name)
            for part in ("value", "low", "high"):
                value = getattr(estimate, part)
                if math.isfinite(value):
                    quantity = name if part == "value" else f"{name}, {part}"
                    yield {
                        "sheet": "site",
                        "quantity": quantity,
                        "of": panel.title,
                        "value": value,
                        "unit": "",
                    }
    yield from quality.rows_of_table(now.look, now.maps)
    if now.look.selection.look == "truth":
        yield from truth.rows_of_table(now.look)
    if now.look.selection.look == "distances":
        yield from distances.rows_of_table(now.look)


def points_npz(now: Shown) -> bytes:
    """Every point: whose pixel it is, what is known of it, its place on each map, and whether it is selected."""
    sample = now.look.sample
    assert sample is not None and now.chosen is not None
    arrays: dict[str, np.ndarray] = {
        "image": np.array([sample.names[i] for i in sample.image.tolist()]),
        "pixel": sample.pixel,
        "category": sample.category,
        "mode": np.where(sample.mode == NO_MODE, -1, sample.mode.astype(np.int16)),
        "selected": now.chosen.mask,
    }
    for (panel, chart), mark in zip(now.pairs, now.marks, strict=True):
        assert panel.sample is not None
        stem = f"{panel.model}/{panel.site}"
        arrays |= {
            f"{stem}/xy": chart.xy,
            f"{stem}/features": panel.sample.features,
            f"{stem}/predicted": panel.sample.predicted,
            f"{stem}/confidence": panel.sample.confidence,
        }
        if mark.apart is not None:
            arrays[f"{stem}/distance to {mark.nearest}"] = mark.apart
        if mark.placed:
            arrays[f"{stem}/markers"] = np.array(mark.placed)
    return exports.to_npz(arrays, about(now))
