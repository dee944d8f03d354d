"""The sheets of the Audit page as HTML: strips in small multiples, and cases as cards. Pure: no Streamlit, no tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from app.charts_compare import MODEL_COLOURS
from app.sheets_audit import Scale, Strip, StripRow, StripSheet
from app.words import CORNER, html, number


def strips(sheet: StripSheet) -> str:
    """A table: a row for each slice, a column for each stage, a strip for each model."""
    heads = "".join(
        f'<th scope="col"{" class=lp-strong" if column == sheet.marked else ""}>{html(column)}</th>'
        for column in sheet.columns
    )
    body = "".join(_row(sheet, row) for row in sheet.rows)
    foot = "".join(f"<td>{_ticks(sheet.scale)}</td>" for _ in sheet.columns)
    note = f'<p class="lp-note">{html(sheet.note)}</p>' if sheet.note else ""
    return (
        f'<section class="lp-panel lp-wide" data-sheet="{sheet.key}"><h2>{html(sheet.title)} '
        f'<span class="lp-soft">{html(sheet.scale.unit)}</span></h2>{_keys(sheet)}'
        f'<table class="lp-table lp-strips"><thead><tr>{CORNER}{heads}</tr></thead><tbody>{body}</tbody>'
        f"<tfoot><tr>{CORNER}{foot}</tr></tfoot></table>{note}</section>"
    )


def _keys(sheet: StripSheet) -> str:
    parts = [
        f'<span class="lp-key"><i class="lp-swatch" style="background:{colour_of(place)}"></i>{html(name)}</span>'
        for place, name in enumerate(sheet.models)
        if len(sheet.models) > 1
    ]
    parts.append(
        '<span class="lp-key lp-soft"><i class="lp-mid lp-mid-sample"></i> median · '
        '<i class="lp-dot lp-sample square"></i> mean, 95 % over images</span>'
    )
    if sheet.baseline:
        parts.append(
            f'<span class="lp-key lp-soft"><i class="lp-base lp-base-sample"></i> {html(sheet.baseline)}</span>'
        )
    if sheet.scale.at is not None:
        parts.append(f'<span class="lp-key lp-soft">┆ {html(sheet.scale.at[1])}</span>')
    return f'<div class="lp-keys">{"".join(parts)}</div>'


def colour_of(place: int) -> str:
    """Of a model among those shown."""
    return MODEL_COLOURS[place % len(MODEL_COLOURS)]


def _row(sheet: StripSheet, row: StripRow) -> str:
    label = html(row.label)
    if row.category is not None:
        label = f'<i class="lp-swatch" style="background:{sheet.names.colours[row.category]}"></i>{label}'
    cells = "".join(
        f"<td>{''.join(_strip(sheet, row.label, column, strip, row.strong) for strip in cell) or '–'}</td>"
        for column, cell in zip(sheet.columns, row.cells, strict=True)
    )
    strong = ' class="lp-strong"' if row.strong else ""
    return f'<tr{strong}><th scope="row" title="{html(row.label)}">{label}</th>{cells}</tr>'


def _strip(sheet: StripSheet, label: str, column: str, strip: Strip, numbers: bool) -> str:
    scale, parts = sheet.scale, []
    said = f"{label}, {column}, {sheet.models[strip.model]}: {told(strip)}"
    if not math.isfinite(strip.mean):
        return f'<div class="lp-strip" title="{html(said)}"><span class="lp-soft">not defined</span></div>'
    parts.append(
        f'<i class="lp-violin" style="background:{colour_of(strip.model)};clip-path:polygon({outline(strip.density)})"></i>'
    )
    if scale.at is not None:
        parts.append(f'<i class="lp-at" style="left:{_at(scale, scale.at[0])}"></i>')
    if math.isfinite(strip.baseline):
        parts.append(f'<i class="lp-base" style="left:{_at(scale, strip.baseline)}"></i>')
    parts.append(f'<i class="lp-mid" style="left:{_at(scale, strip.median)}"></i>')
    if math.isfinite(strip.low):
        left, right = scale.place(strip.low), scale.place(strip.high)
        width = max(0.2, 100 * (right - left))
        parts.append(f'<i class="lp-span" style="left:{100 * left:.2f}%;width:{width:.2f}%"></i>')
    parts.append(f'<i class="lp-dot square" style="left:{_at(scale, strip.mean)}"></i>')
    drawn = f'<div class="lp-strip" role="img" title="{html(said)}">{"".join(parts)}</div>'
    return drawn + (f'<div class="lp-strip-said">{html(interval(strip))}</div>' if numbers else "")


def interval(strip: Strip) -> str:
    """The mean with its interval."""
    if not math.isfinite(strip.low):
        return number(strip.mean)
    return f"{number(strip.mean)} ({number(strip.low)} to {number(strip.high)})"


def told(strip: Strip) -> str:
    """A strip in words."""
    parts = [
        f"mean {interval(strip)}",
        f"median {number(strip.median)}",
        f"middle half {number(strip.quantiles[1])} to {number(strip.quantiles[3])}",
        f"{strip.pixels} pixels of {strip.images} images",
    ]
    if math.isfinite(strip.baseline):
        parts.insert(2, f"baseline {number(strip.baseline)}")
    if strip.undefined:
        parts.append(f"{strip.undefined} not defined")
    return ", ".join(parts)


def outline(density: np.ndarray) -> str:
    """The strip's outline as the corners of a CSS polygon: upper edge from left to right, and back below."""
    across = (np.arange(len(density)) + 0.5) / len(density) * 100
    upper = [f"{x:.1f}% {50 - 50 * d:.1f}%" for x, d in zip(across, density, strict=True)]
    lower = [f"{x:.1f}% {50 + 50 * d:.1f}%" for x, d in zip(across[::-1], density[::-1], strict=True)]
    first, last = f"0% {50 - 50 * density[0]:.1f}%", f"100% {50 - 50 * density[-1]:.1f}%"
    back = f"100% {50 + 50 * density[-1]:.1f}%", f"0% {50 + 50 * density[0]:.1f}%"
    return ",".join([first, *upper, last, back[0], *lower, back[1]])


def _at(scale: Scale, value: float) -> str:
    return f"{100 * scale.place(value):.2f}%"


def _ticks(scale: Scale) -> str:
    ticks: Sequence[float] = scale.ticks()
    spans = "".join(f'<span style="left:{_at(scale, tick)}">{html(number(tick, 2))}</span>' for tick in ticks)
    return f'<div class="lp-ticks">{spans}</div>'
