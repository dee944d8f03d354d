"""Compare's downloads. Everything is made when a button is clicked; numbers are the engine's exact ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from app import comparison, exports, figures, figures_compare, process
from app.figures_compare import Row, Viewer
from app.views import compare_numbers as numbers
from app.views.compare_differences import ranking
from app.views.compare_sides import Look, Side
from app.views.compare_words import QUESTION, figure_caption, measured, models_of, provenance
from app.views.keeping import Offer
from app.words import markdown, measured_on, number, size
from engine import LoupeError
from engine.images import cell as cell_of
from engine.influence import Influence
from engine.trace import Stage

KINDS = ("png", "svg", "pdf")


def buttons(look: Look) -> None:
    """A button for each file."""
    stem = ("loupe-compare", "-".join(side.id for side in look.sides), look.picture.title)
    charts: list[tuple[str, str, Callable[[str, Look], bytes]]] = [
        ("The viewers, for the active pin", "viewers", viewers)
    ]
    if len(look.sides) > 1:
        charts += [
            ("Accuracy against cost", "cost", cost),
            ("IoU by category", "categories", categories),
            ("Where they disagree", "disagreement", disagreement),
        ]
    for words, name, make in charts:
        st.caption(markdown(words))
        with st.container(horizontal=True):
            for kind in KINDS:
                _button(
                    kind, exports.file_name(*stem, name, kind=kind), figures.MEDIA[kind], make, look, name
                )
    st.caption("The numbers of everything on the page")
    with st.container(horizontal=True):
        _button("npz", exports.file_name(*stem, kind="npz"), exports.MEDIA["npz"], _npz, look, "numbers")
        _button("csv", exports.file_name(*stem, kind="csv"), exports.MEDIA["csv"], _csv, look, "numbers")


def offer(look: Look) -> Offer:
    """What Keep keeps: the viewers where a pixel is pinned, and what several models are compared by."""
    charts: list[tuple[str, Callable[[str, Look], bytes]]] = [("The viewers", viewers)]
    if len(look.sides) > 1:
        charts += [("IoU by category", categories), ("Where they disagree", disagreement)]
    return Offer(
        title=f"{', '.join(side.id for side in look.sides)} compared · {look.picture.title}",
        cards=[side.card for side in look.sides],
        figures=lambda: [(words, partial(_swapped, make, look)) for words, make in charts],
        data={"npz": lambda: _npz("npz", look), "csv": lambda: _csv("csv", look)},
        picture=look.picture,
    )


def _swapped(make: Callable[[str, Look], bytes], look: Look, kind: str) -> bytes:
    return make(kind, look)


def _button(
    kind: str, name: str, media: str, make: Callable[[str, Look], bytes], look: Look, what: str
) -> None:
    st.download_button(
        kind.upper(),
        data=lambda: make(kind, look),
        file_name=name,
        mime=media,
        on_click="ignore",
        key=f"download {what} {kind}",
    )


# ---------------------------------------------------------------------- what a viewer shows of the active pin


def mode_of(side: Side, asked: str) -> str:
    """ "affinity", "context" or "influence": what a viewer shows of a model, as app/viewer/sources.js has it."""
    guidance = side.trace.guidance
    live = "affinity" if side.trace.stages else None
    if live is None and guidance is not None and guidance.context_query is not None:
        live = "context"
    if asked == "influence" or live is None:
        return "influence"
    return "influence" if asked == "auto" and live == "context" else live


def stage_of(side: Side, name: str) -> Stage:
    """The stage of that name, else the finest."""
    return next((stage for stage in side.trace.stages if stage.name == name), side.trace.stages[-1])


def times_uniform(side: Side, asked: str, look: Look) -> tuple[np.ndarray | None, str, Influence | None]:
    """(map (y, x) in × uniform or None, what it is, the influence where it is one) of the active pin."""
    selection = look.selection
    pin = selection.pin
    if pin is None:
        return None, "Nothing is pinned.", None
    mode = mode_of(side, asked)
    original = look.picture.image.original_size
    if mode == "affinity":
        stage = stage_of(side, selection.stage)
        values = stage.pixel_affinity(*cell_of(*pin, original, stage.grid)).cpu().numpy()
        words = f"Affinity at {stage.name}: {size(stage.grid)} queries, {size(stage.source_grid)} cells ({stage.sources})."
        return values * values.size, words, None
    if mode == "context":
        guidance = side.trace.guidance
        assert guidance is not None
        values = guidance.context_affinity(*cell_of(*pin, original, guidance.grid)).cpu().numpy()
        return values * values.size, f"Affinity of the context encoder, {size(guidance.grid)} cells.", None
    try:
        found = process.influence(side.trace, pin, selection.site)
    except LoupeError:
        return None, f"This decoder does not read {selection.site}.", None
    values = found.shares.cpu().numpy()
    classes = side.card.classes
    words = (
        f"Influence at {found.site}, {size(values.shape)}: margin {number(found.margin)} logits ({classes[found.category]} over "
        f"{classes[found.rival]}), total {number(found.total)} logits."
    )
    return values * values.size, words, found


def row(look: Look) -> Row:
    """The figure of the viewers, as arrays and words."""
    selection = look.selection
    shown = []
    for side, asked in _asked(look):
        values, words, _ = times_uniform(side, asked, look)
        labels, colour, wrong = None, "white", None
        predicted = side.trace.labels.cpu().numpy()
        if selection.marks == "prediction":
            labels = predicted
        elif selection.marks == "truth" and side.truth is not None:
            labels, colour = side.truth, "black"
        elif selection.marks == "error" and side.truth is not None:
            wrong = (predicted != side.truth) & (side.truth != comparison.UNKNOWN)
        shown.append(Viewer(f"{side.id} {side.card.hash[:8]}", words, values, labels, colour, wrong))
    pin = selection.pin
    where = "" if pin is None else f": pixel {selection.active + 1}, row {pin[0]}, col {pin[1]}"
    return Row(
        photo=look.picture.image.pixels,
        original=look.picture.image.original_size,
        pin=pin,
        number=selection.active + 1,
        viewers=tuple(shown),
        title=f"{QUESTION[: QUESTION.index(',')]}{where}",
        unit="× uniform: weight or influence share × number of cells",
        caption=figure_caption(look),
        colours=selection.colours,
        opacity=selection.opacity,
        smooth=selection.smooth,
    )


def _asked(look: Look) -> list[tuple[Side, str]]:
    shows = zip(look.places, look.selection.shows, strict=True)
    return [(place, asked) for place, asked in shows if isinstance(place, Side)]


# ---------------------------------------------------------------------- figures


def viewers(kind: str, look: Look) -> bytes:
    made = row(look)
    return figures_compare.draw(lambda: figures_compare.viewers_figure(made), kind)


def cost(kind: str, look: Look) -> bytes:
    at = size(look.picture.image.size)
    known = numbers.points(look)
    on = measured_on(numbers.drawn_cards(look, known).values())
    caption = f"mIoU: {on}. GMACs of one pass at {at}, torch's counter. Filled: {', '.join(s.id for s in look.sides)}."
    return figures_compare.draw(lambda: figures_compare.cost_figure(known, caption), kind)


def categories(kind: str, look: Look) -> bytes:
    rows = numbers.category_ious(look)
    caption = (
        f"IoU by category, {measured(look)}; largest difference between the models first. {models_of(look)}."
    )
    return figures_compare.draw(lambda: figures_compare.bars_figure(rows, look.marks, caption), kind)


def disagreement(kind: str, look: Look) -> bytes:
    labels = [look.labels[side.id] for side in look.sides]
    maps = [(comparison.distinct(labels), len(labels), "different categories at a pixel")]
    if look.pair is not None and len(labels) > 2:
        a, b = look.pair
        apart = comparison.differs(look.labels[a.id], look.labels[b.id])
        maps.append((1 + apart.astype(np.uint8), 2, f"{a.id} and {b.id} differ"))
    photo = look.picture.image.pixels
    caption = f"Grey: all models predict the same category. {provenance(look)}."
    return figures_compare.draw(lambda: figures_compare.maps_figure(photo, maps, caption), kind)


# ---------------------------------------------------------------------- numbers


def _npz(kind: str, look: Look) -> bytes:
    found: dict[str, np.ndarray] = {"pins": np.array(look.selection.pins or ()).reshape(-1, 2)}
    influences: dict[str, Any] = {}
    for side, asked in _asked(look):
        values, words, _ = times_uniform(side, asked, look)
        found[f"{side.id}/labels"] = side.trace.labels.cpu().numpy()
        if side.truth is not None:
            found[f"{side.id}/truth"] = side.truth
        if values is not None:
            found[f"{side.id}/times_uniform"] = values
        influences[side.id] = words
    if len(look.sides) > 1 and look.names:
        found["distinct"] = comparison.distinct([look.labels[side.id] for side in look.sides])
    return exports.to_npz(found, {**about(look), "shown": influences})


def about(look: Look) -> dict[str, Any]:
    """Where the numbers come from."""
    image = look.picture.image
    return {
        "models": [side.id for side in look.sides],
        "checkpoints": [side.card.hash for side in look.sides],
        "image": image.name,
        "image_hash": image.hash,
        "traced_size": size(image.size),
        "stage": look.selection.stage,
        "site": look.selection.site,
        "common_categories": list(look.names),
        "caption": figure_caption(look),
    }


def _csv(kind: str, look: Look) -> bytes:
    """One number a row."""
    image = look.picture.image
    told = {"image": image.name, "image_hash": image.hash}
    rows: list[dict[str, Any]] = []

    def add(side: Side, quantity: str, value: float | None, unit: str, of: str = "") -> None:
        if value is not None:
            model = {"model": side.id, "checkpoint": side.card.hash}
            rows.append({**model, **told, "quantity": quantity, "of": of, "value": value, "unit": unit})

    for label, _, values, unit in numbers.rows(look):
        for side, value in zip(look.sides, values, strict=True):
            add(side, label, value, unit)
    for name, values in numbers.category_ious(look):
        for side, value in zip(look.sides, values, strict=True):
            add(side, "IoU", value, "%", name)
    for side, asked in _asked(look):
        values, words, influence = times_uniform(side, asked, look)
        if values is not None:
            add(side, "largest × uniform at the active pin", float(values.max()), "times uniform", words)
        if influence is not None:
            add(side, "margin", influence.margin, "logits", side.card.classes[influence.category])
            add(side, "total influence", influence.total, "logits", influence.site)
    if look.pair is not None:
        for picture, known in ranking(look.pair):
            for side, miou in zip(look.pair, known.mious or (None, None), strict=True):
                add(side, "mIoU of a sample", miou, "%", picture.title)
            add(
                look.pair[0],
                f"share of pixels different from {look.pair[1].id}",
                known.share,
                "share",
                picture.title,
            )
    columns = ("model", "checkpoint", *told, "quantity", "of", "value", "unit")
    return exports.table_csv(rows, columns)
