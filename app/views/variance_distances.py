"""How far categories are apart at each site, and which differ in variance: in the original space, over the map's own pixels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import streamlit as st

from app.sheets_prototypes import MatrixSheet
from app.views import prototypes_html as draw
from app.views import variance_numbers as numbers
from app.views.variance_look import Look
from app.views.variance_panels import Panel
from app.words import html, number
from engine.ordering import alike_order
from engine.variance import Comparison, Spread

LEVEL = 0.05
LISTED = 12  # pairs in the table


def section(look: Look) -> None:
    """A matrix for each panel, and the pairs of categories whose variances differ."""
    job = numbers.job_of(look)
    if job.running:
        st.html('<p class="lp-note">They stand here as soon as the numbers beside the map are there …</p>')
        return
    known = known_of(look)
    if not known:
        st.html(
            '<p class="lp-note" data-nothing="1">No distances were measured: the reasons stand beside the map.</p>'
        )
        return
    with st.container(key="lp-wide-distances"):
        columns = st.columns(2, gap="large")
    for i, (panel, one) in enumerate(known):
        columns[i % 2].html(draw.matrix(sheet(look, panel, one), look.selection.colours) + pairs(look, one))
    st.html(f'<p class="lp-caption">{html(numbers.caption(look, known[0][1]))}</p>')


def known_of(look: Look) -> list[tuple[Panel, Spread]]:
    return [(panel, one) for panel, one, _ in numbers.spreads(look) if one is not None]


def sheets(look: Look) -> tuple[MatrixSheet, ...]:
    return tuple(sheet(look, panel, one) for panel, one in known_of(look))


def sheet(look: Look, panel: Panel, one: Spread) -> MatrixSheet:
    """‖m_a − m_b‖² with its interval beside it."""
    k = len(look.card.classes)
    value, low, high = (_whole(one, k, part) for part in ("value", "low", "high"))
    top = np.nanmax(value) if np.isfinite(value).any() else 1.0
    alike = np.where(np.isfinite(value), 1 - value / max(top, 1e-30), 0.0)
    np.fill_diagonal(alike, 1.0)
    met = set(one.distances.categories)
    order = [c for c in alike_order(alike) if c in met]
    return MatrixSheet(
        key=f"distances-{panel.model}-{panel.site}", title=f"Squared distance between category means at {panel.title}",
        values=value, order=tuple(order), names=look.names, unit="squared units of the site",
        caption=numbers.caption(look, one), skip=True, beside={"low": low, "high": high},
    )  # fmt: skip


def _whole(one: Spread, k: int, part: str) -> np.ndarray:
    found = np.full((k, k), np.nan)
    at = np.array(one.distances.categories)
    found[np.ix_(at, at)] = getattr(one.distances, part)
    return found


def pairs(look: Look, one: Spread) -> str:
    """Which categories differ in variance, after Holm's correction over all pairs."""
    chosen = set(look.selection.categories)
    shown: list[Comparison] = [
        c for c in one.comparisons if not chosen or {one.classes[c.first], one.classes[c.second]} & chosen
    ]
    if not shown:
        return '<p class="lp-note">Too few images to compare variances.</p>'
    differ = [c for c in shown if c.p_holm < LEVEL]
    rows = "".join(
        f'<tr><th scope="row">{html(one.classes[c.first])} ÷ {html(one.classes[c.second])}</th>'
        f"<td>×{html(numbers.said(c.ratio))}</td><td>{number(c.p_holm, 2)}</td></tr>"
        for c in sorted(differ, key=lambda c: -abs(math.log(c.ratio.value)))[:LISTED]
    )
    said = (
        f"Variances differ between {len(differ)} of {len(shown)} pairs of categories (p < {LEVEL} after Holm's correction over "
        f"all {len(one.comparisons)}){'; the most different:' if differ else '.'}"
    )
    table = (
        '<table class="lp-table lp-rows"><thead><tr><th>variance of</th><th>ratio (95 %)</th><th>p, Holm</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )
    return f'<p class="lp-note">{html(said)}</p>{table if differ else ""}'


def rows_of_table(look: Look) -> list[dict[str, Any]]:
    """Pairs of categories, for the download."""
    found = []
    for panel, one in known_of(look):
        for c in one.comparisons:
            of = f"{one.classes[c.first]} ÷ {one.classes[c.second]}, {panel.title}"
            values = {
                "variance ratio": c.ratio.value,
                "low": c.ratio.low,
                "high": c.ratio.high,
                "p": c.p,
                "p, Holm": c.p_holm,
            }
            found += [
                {"sheet": "comparisons", "quantity": name, "of": of, "value": value, "unit": ""}
                for name, value in values.items()
                if math.isfinite(value)
            ]
    return found
