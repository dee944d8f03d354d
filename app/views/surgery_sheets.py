"""What the Surgery page measures over a split, as sheets: one set of numbers for the page, the figures and the table."""

from __future__ import annotations

import numpy as np

from app import process
from app.sheets_prototypes import ChartSheet, Mark, MatrixSheet, Row, Span, round_up
from app.views.surgery_look import Look
from app.views.surgery_words import listed
from app.words import DASH, number, signed
from engine.resampling import Estimate
from engine.surgery import CausalMatrix, Change, Consequences

MARKS = (Mark("IoU", "square"), Mark("boundary IoU", "open"))


def consequences_sheet(look: Look, found: Consequences) -> ChartSheet:
    """The change of IoU and boundary IoU per category, the largest first, with 95 % over images."""
    whole, edges = found.iou, found.boundary_iou
    pairs = [
        (place, *pair) for place, pair in enumerate(zip(whole.categories, edges.categories, strict=True))
    ]
    pairs = [pair for pair in pairs if np.isfinite(pair[1].delta.value)]
    pairs.sort(key=lambda pair: -abs(pair[1].delta.value))
    rows = [_row("mean", None, whole.mean, edges.mean, True)]
    rows += [_row(one.name, place, one, two, False) for place, one, two in pairs]
    ends = [
        abs(end) for row in rows for span in row.spans if span is not None for end in (span.low, span.high)
    ]
    values = [abs(value) for row in rows for value in row.values if value is not None and np.isfinite(value)]
    reach = round_up(max([end for end in ends + values if np.isfinite(end)], default=0.0))
    return ChartSheet(
        key="consequences",
        title="Change of IoU",
        marks=MARKS,
        rows=tuple(rows),
        low=-reach,
        high=reach,
        unit="points of IoU, after − before",
        caption=f"{listed(look)}, over {_walked(found.images, found.wanted)} of {found.data}: change of IoU and "
        "boundary IoU of each category; intervals: 95 % over images (2000 resamples), one training seed; p: two-sided, Holm over "
        f"categories; model {look.card.id} {look.card.hash[:8]}.",
        names=look.names,
        heads=("IoU, %", "change, 95 %", "p"),
        at=(0.0, "no change"),
        span="thin: 95 % over images",
        wide=True,
    )


def _row(label: str, category: int | None, one: Change, two: Change, strong: bool) -> Row:
    p = one.p if category is None else one.p_holm
    return Row(
        label,
        (one.delta.value, two.delta.value),
        (_span(one.delta), _span(two.delta)),
        (
            f"{number(one.before)} → {number(one.after)}",
            f"{signed(one.delta.value)} ({signed(one.delta.low)} to {signed(one.delta.high)})",
            DASH if not np.isfinite(p) else "<0.001" if p < 0.001 else number(p, 2),
        ),
        category,
        strong,
    )


def _span(one: Estimate) -> Span | None:
    return Span(one.low, one.high) if np.isfinite([one.low, one.high]).all() else None


def _walked(images: int, wanted: int) -> str:
    return f"{images} images" if images == wanted else f"the first {images} of {wanted} images"


def causal_sheet(look: Look, found: CausalMatrix) -> MatrixSheet:
    """Category × ablated prototype. Intervals once the walk has ended: they take a moment."""
    hatched, beside = None, {}
    if found.complete:
        low, high = found.interval
        hatched = ~((low > 0) | (high < 0)) & np.isfinite(found.delta)
        beside = {"95 % from": low, "to": high}
    return MatrixSheet(
        key="causal",
        title="What ablating a prototype does",
        values=found.delta,
        order=tuple(range(len(found.classes))),
        names=look.names,
        unit="change of IoU, points",
        caption=f"Change of IoU of each category (row) when a prototype (column) is ablated ({found.meaning}) at every stage, "
        f"over {_walked(found.images, found.wanted)} of {found.data}; one training seed; model {look.card.id} "
        f"{look.card.hash[:8]}.",
        rows="category",
        columns="ablated",
        diverging=True,
        hatched=hatched,
        hatch="the 95 % interval over images holds 0",
        beside=beside,
    )


def affinity_sheet(look: Look, rate: np.ndarray) -> MatrixSheet:
    """Who reads whom, of the model's atlas, on the same axes."""
    atlas = process.atlases().find(look.card).atlas
    assert atlas is not None
    return MatrixSheet(
        key="affinity",
        title="Who reads whose prototype",
        values=rate,
        order=tuple(range(len(rate))),
        names=look.names,
        unit="share of what is read",
        caption=f"Affinity of each category's readers (row) to each prototype (column), mean over heads and over "
        f"{', '.join(look.stages)}, of the atlas over {atlas.manifest.images} images of {atlas.manifest.data}; model "
        f"{look.card.id} {look.card.hash[:8]}.",
        rows="readers",
        columns="sources",
    )
