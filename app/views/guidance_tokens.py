"""Class tokens as HTML: their cosines, and the angles to what they classify. Pure: no Streamlit, no tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex

from app.figures_guidance import DIVERGING, angle_top, cosine_reach
from app.views.inspect_panel import Names
from app.words import CORNER, DASH, html, number

SHOWN_TOKENS = 40  # a larger matrix is cut down to the categories of the image


def shown_tokens(order: Sequence[int], present: set[int]) -> tuple[list[int], str]:
    """The tokens to draw, and a sentence where some are left out: a matrix of hundreds says nothing on a page."""
    if len(order) <= SHOWN_TOKENS:
        return list(order), ""
    kept = [c for c in order if c in present][:SHOWN_TOKENS]
    return kept, f"{len(kept)} of {len(order)} categories, those of this image; the download has all of them."


def token_matrix(cosines: np.ndarray, order: Sequence[int], names: Names) -> str:
    """Cosines between class tokens, alike ones beside each other; every cell says its value under the pointer."""
    reach = cosine_reach(cosines)
    paint = colormaps[DIVERGING]
    painted = paint(np.clip(0.5 + 0.5 * cosines / reach, 0.0, 1.0))
    head = "".join(f'<th scope="col"><span>{html(names.names[c])}</span></th>' for c in order)
    rows = []
    for row in order:
        cells = []
        for col in order:
            value = float(cosines[row, col])
            said = f"{html(names.names[row])} · {html(names.names[col])} {number(value)}"
            if row == col:
                cells.append(f'<td class="lp-same" data-said="{said}"></td>')
                continue
            colour = to_hex(painted[row, col])
            cells.append(f'<td style="background:{colour}" data-said="{said}"></td>')
        rows.append(f'<tr><th scope="row">{names.swatch(row)}</th>{"".join(cells)}</tr>')
    stops = ", ".join(to_hex(paint(i / 8)) for i in range(9))
    return (
        f'<section class="lp-panel lp-wide"><h2>Cosine between class tokens</h2><table class="lp-matrix">'
        f"<tbody>{''.join(rows)}</tbody>"
        f'<tfoot><tr>{CORNER}{head}</tr></tfoot></table><div class="lp-legend"><span>−{number(reach, 2)}</span>'
        f'<i style="background:linear-gradient(90deg, {stops})"></i><span>{number(reach, 2)}</span></div></section>'
    )


def angle_rows(
    angles: dict[str, np.ndarray], order: Sequence[int], names: Names, by: str, own_tokens: bool
) -> str:
    """Degrees from each token to the mean of F_h and of F_u over its category's cells: a line of two marks for each category."""
    shown = [c for c in order if np.isfinite(angles["high"][c]) or np.isfinite(angles["upsampled"][c])]
    top = angle_top([angles[site][c] for site in angles for c in shown])
    rows = []
    for category in shown:
        high, upsampled = (float(angles[site][category]) for site in ("high", "upsampled"))
        both = math.isfinite(high) and math.isfinite(upsampled)
        line = f'<i class="lp-join" style="{_span(high, upsampled, top)}"></i>' if both else ""
        marks = "".join(
            f'<i class="lp-mark {kind}" style="left:{100 * value / top:.2f}%"></i>'
            for kind, value in (("lp-high", high), ("lp-up", upsampled))
            if math.isfinite(value)
        )
        rows.append(
            f'<tr><th scope="row">{names.swatch(category)}</th><td><div class="lp-axis">{line}{marks}</div></td>'
            f"<td>{_degrees(high)}</td><td>{_degrees(upsampled)}</td></tr>"
        )
    ticks = "".join(
        f'<span style="left:{100 * tick / top:.2f}%">{tick}°</span>' for tick in range(0, top + 1, top // 3)
    )
    return (
        '<section class="lp-panel lp-wide"><h2>From each token to its category’s features <span class="lp-soft">means of pure '
        f"cells, by {by}</span></h2>"
        f'<table class="lp-table lp-angles"><thead><tr>{CORNER}<th><span class="lp-key"><b>▲</b> token, at 0°</span>'
        '<span class="lp-key"><i class="lp-mark lp-high"></i> mean of F<sub>h</sub></span><span class="lp-key">'
        '<i class="lp-mark lp-up"></i> mean of F<sub>u</sub></span></th><th scope="col">F<sub>h</sub></th>'
        f'<th scope="col">F<sub>u</sub></th></tr></thead><tbody>{"".join(rows)}</tbody><tfoot><tr>{CORNER}<td>'
        f'<div class="lp-ticks">{ticks}</div></td><td></td><td></td></tr></tfoot></table>'
        f'<p class="lp-note">{_summary(angles, shown, names, by, own_tokens)}</p></section>'
    )


def _summary(
    angles: dict[str, np.ndarray], shown: Sequence[int], names: Names, by: str, own_tokens: bool
) -> str:
    high, upsampled = (angles[site] for site in ("high", "upsampled"))
    both = [c for c in shown if np.isfinite(high[c]) and np.isfinite(upsampled[c])]
    said = "F<sub>u</sub> is measured to the upsampler’s own tokens. " if own_tokens else ""
    if both:
        closer = sum(bool(upsampled[c] < high[c]) for c in both)
        said += (
            f"Mean of the {len(both)} categories that have both: F<sub>h</sub> {number(float(high[both].mean()))}°, "
            f"F<sub>u</sub> {number(float(upsampled[both].mean()))}°; F<sub>u</sub> lies closer in {closer} of them. "
        )
    coarse = [c for c in shown if not np.isfinite(high[c])]
    if coarse:
        listed = ", ".join(html(names.names[c]) for c in coarse)
        said += f"No cell of the guide’s grid is 75\u2009% {listed}, by {by}."
    return said


def _span(one: float, other: float, top: int) -> str:
    left, right = sorted((100 * one / top, 100 * other / top))
    return f"left:calc({left:.2f}% + .31em);width:max(0px, calc({right - left:.2f}% - .62em))"  # between the marks


def _degrees(value: float) -> str:
    return f"{number(value)}°" if math.isfinite(value) else DASH
