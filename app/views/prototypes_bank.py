"""The memory bank's part of the Prototypes page as sheets: its rows, and live prototypes against them. No Streamlit here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from app.sheets_prototypes import ChartSheet, Mark, MatrixSheet, Row, Sheet, Span, round_up
from app.views.prototypes_look import Look, Nothing
from app.views.prototypes_sections import Section
from app.views.prototypes_words import no_memory, provenance
from app.words import DASH, number
from engine.bank import LiveSpread, cosine_matrix, live_spread, nearest, norms
from engine.bank_time import drift
from engine.ordering import alike_order

NEIGHBOURS = 3
MEDIAN, LOW, QUARTER, THREE_QUARTERS, HIGH = 2, 0, 1, 3, 4  # places in engine.bank.QUANTILES


def memory(look: Look) -> Section:
    """The rows of the bank among themselves, and live prototypes against them where an atlas knows those."""
    bank = bank_of(look, "are no rows to compare: look at Reads, Shadow and Price")
    cosines = cosine_matrix(bank)
    atlas = look.atlas
    of = provenance(look.card, None if atlas is None else atlas.manifest)
    caption = (
        f"Cosines between the {len(bank)} rows of the bank at {look.stage}, {bank.shape[1]} channels, ordered by average "
        f"linkage of 1 − cosine; {of}."
    )
    matrix = MatrixSheet(
        key="memory",
        title="◆ Cosine between memory rows",
        values=cosines,
        order=tuple(alike_order(cosines)),
        names=look.names,
        unit="cosine",
        caption=caption,
        diverging=True,
        skip=True,
        marked=look.category,
    )
    sheets: list[Sheet] = [matrix, _norms(look, bank, of)]
    spread = spread_of(look)
    if spread is not None:
        sheets.insert(1, _live(look, spread, of))
    return Section(memory_said(look, bank, spread), tuple(sheets), caption)


def _norms(look: Look, bank: np.ndarray, of: str) -> ChartSheet:
    """Lengths of the rows, and of live prototypes where an atlas knows them."""
    length, live = norms(bank), live_norms(look)
    order = sorted(range(len(length)), key=lambda c: (-length[c], c))
    rows = tuple(
        Row(
            look.card.classes[c],
            (float(length[c]), defined(live[c])),
            numbers=(number(float(length[c])), number(defined(live[c]))),
            category=c,
            strong=c == look.category,
        )
        for c in order
    )
    known = np.concatenate([length, live[np.isfinite(live)]])
    return ChartSheet(
        key="norms",
        title="How long rows and live prototypes are",
        marks=(Mark("◆ memory row", "bar"), Mark("live prototype, median image", "star")),
        rows=rows,
        low=0.0,
        high=round_up(float(known.max(initial=0.0))),
        unit="norm",
        caption=f"Norms of the bank's rows and of live prototypes at {look.stage}; {of}.",
        names=look.names,
        heads=("row", "live"),
        note="The bank's prototypes are normalised to length 1 before they are averaged; live ones are not.",
    )


def live_norms(look: Look) -> np.ndarray:
    """(k,) median norm of live prototypes over images; nan without an atlas."""
    if look.atlas is None:
        return np.full(len(look.card.classes), np.nan)
    live = look.atlas.live(look.stage).norm
    return np.array([np.median(v[np.isfinite(v)]) if np.isfinite(v).any() else np.nan for v in live.T])


def spread_of(look: Look) -> LiveSpread | None:
    """Live prototypes against the memory rows over images; None without an atlas or memory."""
    if look.atlas is None or look.bank is None:
        return None
    live = look.atlas.live(look.stage)
    return None if live.cosine is None else live_spread(live.cosine, look.atlas.images.true > 0)


def _live(look: Look, spread: LiveSpread, of: str) -> ChartSheet:
    def parts(values: np.ndarray) -> tuple[float | None, Span | None]:
        if not np.isfinite(values[MEDIAN]):
            return None, None
        inner = (float(values[QUARTER]), float(values[THREE_QUARTERS]))
        return float(values[MEDIAN]), Span(float(values[LOW]), float(values[HIGH]), inner)

    rows = []
    order = sorted(range(len(spread.held)), key=lambda c: (-np.nan_to_num(spread.held[c, MEDIAN], nan=-2), c))
    for c in order:
        (held, held_span), (other, other_span) = parts(spread.held[c]), parts(spread.others[c])
        rows.append(
            Row(
                look.card.classes[c],
                (held, other),
                (held_span, other_span),
                (number(held), number(other), f"{int(spread.held_images[c])}"),
                category=c,
                strong=c == look.category,
            )
        )
    everything = np.concatenate([spread.held.ravel(), spread.others.ravel()])
    low = float(np.nanmin(everything)) if np.isfinite(everything).any() else 0.0
    return ChartSheet(
        key="live",
        title="★ Live prototypes against ◆ their memory row",
        marks=(Mark("in images that hold it", "square"), Mark("in images without it", "open")),
        rows=tuple(rows),
        low=min(0.0, math.floor(5 * low) / 5),
        high=1.0,
        unit="cosine",
        caption=(
            f"Cosine of each image's live prototype with the memory row at {look.stage}, over images; presence by ground truth; "
            f"{of}."
        ),
        names=look.names,
        heads=("with", "without", "images"),
        span="mark: median image · thick: half of them · thin: 90 %",
    )


def memory_said(look: Look, bank: np.ndarray, spread: LiveSpread | None) -> tuple[str, ...]:
    """The chosen category's row in a sentence."""
    cosines = cosine_matrix(bank)
    near = nearest(cosines, NEIGHBOURS)[look.category]
    length = norms(bank)
    own, median = float(length[look.category]), float(np.median(length))
    said = f"The row of {look.name} has norm {number(own)} (median row {number(median)})"
    if near:
        listed = ", ".join(f"{look.card.classes[c]} {number(value)}" for c, value in near)
        said += f"; nearest by cosine: {listed}"
    sentences = [said + "."]
    if spread is not None:
        held, others = spread.held[:, MEDIAN], spread.others[:, MEDIAN]
        both = np.isfinite(held) & np.isfinite(others)
        if both.any():
            closer = int((held > others)[both].sum())
            sentences.append(
                f"Live prototypes are nearer to their row in images that hold the category than in the others for {closer} of "
                f"{int(both.sum())} categories (medians over images)."
            )
    return tuple(sentences)


def memory_table(look: Look) -> dict[str, Sequence[Any]]:
    """Column → a value for each category: the table that can be sorted and downloaded."""
    bank = look.bank
    assert bank is not None
    names = look.card.classes
    near = nearest(cosine_matrix(bank), NEIGHBOURS)
    columns: dict[str, Sequence[Any]] = {"category": list(names), "norm": norms(bank).tolist()}
    for place in range(min(NEIGHBOURS, len(names) - 1)):
        of = [one[place] if len(one) > place else None for one in near]
        columns[f"nearest {place + 1}"] = [DASH if one is None else names[one[0]] for one in of]
        columns[f"cosine {place + 1}"] = [None if one is None else one[1] for one in of]
    spread = spread_of(look)
    if spread is not None:
        columns["live · row, with it"] = _numbers(spread.held[:, MEDIAN])
        columns["live · row, without"] = _numbers(spread.others[:, MEDIAN])
        columns["images with it"] = spread.held_images.tolist()
    if look.atlas is not None:
        columns["live norm, median"] = _numbers(live_norms(look))
    if look.parts.time is not None:
        moved = drift(look.parts.time, look.stage)
        columns["path length"] = _numbers(moved.length)
        columns["late drift"] = _numbers(moved.late)
    return columns


def _numbers(values: np.ndarray) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values]


def defined(value: Any) -> float | None:
    """None for what is no number."""
    return float(value) if np.isfinite(value) else None


def bank_of(look: Look, what: str) -> np.ndarray:
    """The rows of the stage. Raises Nothing where the model keeps none; `what` then is not there."""
    if look.bank is None:
        raise Nothing(no_memory(look.card.id, what).rstrip("."))
    return look.bank
