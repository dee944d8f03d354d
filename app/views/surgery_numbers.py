"""What the edits cause in the image on show: pixels, areas, and IoU where the truth is known."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app.sheets_prototypes import ChartSheet, Mark, Row
from app.views.inspect_words import provenance
from app.views.prototypes_html import chart
from app.views.surgery_look import Look
from app.views.surgery_words import listed
from app.words import html, number, percent, signed
from engine import metrics

MARKS = (Mark("before", "open"), Mark("after", "square"))


def told(look: Look) -> str:
    """What was computed anew, how long it took, what it changed; as HTML."""
    if not look.edits:
        return ""
    anew = ", ".join(look.after.recomputed)
    took = "" if look.after.milliseconds is None else f" in {number(look.after.milliseconds)} ms"
    parts = [
        f"Computed anew: {html(anew)}{took}."
        if anew
        else "Nothing had to be computed anew: no update changed."
    ]
    parts.append(f"<b>{percent(look.changed)}</b> of the pixels have another category.")
    found = ious(look)
    if found is not None:
        before, after = (100 * metrics.mean(values) for values in found)
        parts.append(
            f"mIoU of this image <b>{number(before)} → {number(after)} %</b> ({signed(after - before)} points)."
        )
    else:
        parts.append("Its labels are not known: no IoU.")
    return "<br>".join(parts)


def ious(look: Look) -> tuple[np.ndarray, np.ndarray] | None:
    """IoU per category (k,) of this image before and after; nan where its truth does not hold the category, as over a split."""
    truth, k = look.picture.truth, len(look.card.classes)
    if truth is None or not (truth < k).any():
        return None
    valid = truth < k
    before, after = (_iou(metrics.confusion(truth[valid], one[valid], k)) for one in look.labels)
    return before, after


def _iou(confusion: np.ndarray) -> np.ndarray:
    return np.where(confusion.sum(1) > 0, metrics.iou(confusion), np.nan)


def areas(look: Look) -> tuple[np.ndarray, np.ndarray]:
    """Share of the image per category (k,) before and after."""
    k = len(look.card.classes)
    before, after = (np.bincount(one.ravel(), minlength=k)[:k] / one.size for one in look.labels)
    return before, after


def sheet(look: Look) -> ChartSheet:
    """IoU, else area, of each category before and after."""
    found, shares = ious(look), areas(look)
    values = shares if found is None else found
    what, unit = ("Area", "share of the image, %") if found is None else ("IoU", "IoU, %")
    before, after = (100 * one for one in values)
    shown = [c for c in range(len(before)) if np.isfinite(before[c]) or np.isfinite(after[c])]
    shown = [c for c in shown if found is not None or shares[0][c] or shares[1][c]]
    shown.sort(key=lambda c: -abs(np.nan_to_num(after[c]) - np.nan_to_num(before[c])))
    rows = tuple(
        Row(
            look.card.classes[c],
            (float(before[c]), float(after[c])),
            numbers=(
                f"{number(before[c])} → {number(after[c])}",
                signed(after[c] - before[c]),
            ),
            category=c,
        )
        for c in shown
    )
    top = 100.0 if found is not None else max(1.0, float(np.nanmax([before, after])))
    note = (
        "" if found is not None else "The labels of this image are not known: areas are shown instead of IoU."
    )
    return ChartSheet(
        key="image",
        title=f"{what} in this image",
        marks=MARKS,
        rows=rows,
        low=0.0,
        high=top,
        unit=unit,
        caption=f"{what} of each category before and after: {listed(look)}; largest changes first; "
        f"{provenance(look.before, look.picture)}.",
        names=look.names,
        heads=(unit, "change, points"),
        wide=True,
        note=note,
    )


def section(look: Look) -> None:
    """The chart, when something was edited."""
    if look.edits:
        drawn = sheet(look)
        st.html(chart(drawn) + f'<p class="lp-caption">{html(drawn.caption)}</p>')
