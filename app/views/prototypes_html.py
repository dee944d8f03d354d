"""The sheets of the Prototypes page as HTML: matrices, charts, patches. Pure: no Streamlit, no tensors."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex

from app.figures_guidance import DIVERGING
from app.patches import Cutout
from app.sheets_prototypes import GLYPHS, ChartSheet, Mark, MatrixSheet, PatchSheet, Row, shown_order
from app.words import CORNER, html, number

STEPS = 8  # of a legend's ramp


def swatch(sheet: MatrixSheet | ChartSheet, category: int) -> str:
    """The category's colour and name."""
    names = sheet.names
    colour = f'<i class="lp-swatch" style="background:{names.colours[category]}"></i>'
    return f"{colour}{html(names.names[category])}"


def matrix(sheet: MatrixSheet, colours: str) -> str:
    """A table of coloured cells, each of which says its value under the pointer.

    A value that is not defined leaves its cell bare.
    """
    order, left_out = shown_order(sheet.order, () if sheet.marked is None else (sheet.marked,))
    low = -sheet.reach if sheet.diverging else 0.0
    paint = colormaps[DIVERGING if sheet.diverging else colours]
    painted = paint(np.clip((np.nan_to_num(sheet.values) - low) / (sheet.reach - low), 0.0, 1.0))
    rows = []
    for row in order:
        cells = []
        for col in order:
            value = float(sheet.values[row, col])
            said = f"{sheet.names.names[row]} → {sheet.names.names[col]}" if sheet.rows else ""
            said = said or f"{sheet.names.names[row]} · {sheet.names.names[col]}"
            kind = _kind(sheet, row, col)
            if (sheet.skip and row == col) or not math.isfinite(value):
                itself = sheet.skip and row == col
                word, look = ("itself", "lp-same") if itself else ("not defined", "lp-bare")
                cells.append(f'<td class="{look} {kind}" data-said="{html(f"{said}: {word}")}"></td>')
                continue
            more = "".join(
                f", {name} {number(float(values[row, col]))}"
                for name, values in sheet.beside.items()
                if math.isfinite(values[row, col])
            )
            hatch = " lp-hatched" if sheet.hatched is not None and sheet.hatched[row, col] else ""
            cells.append(
                f'<td class="{kind}{hatch}" style="background-color:{to_hex(painted[row, col])}" '
                f'data-said="{html(f"{said} {number(value)}{more}")}"></td>'
            )
        strong = ' class="lp-strong"' if row == sheet.marked else ""
        rows.append(f'<tr{strong}><th scope="row">{swatch(sheet, row)}</th>{"".join(cells)}</tr>')
    heads = "".join(
        f'<th scope="col"{_strong(col == sheet.marked)}><span>{html(sheet.names.names[col])}</span></th>'
        for col in order
    )
    axes = f"rows: {sheet.rows} · columns: {sheet.columns}" if sheet.rows else ""
    return (
        f'<section class="lp-panel lp-wide" data-sheet="{sheet.key}"><h2>{html(sheet.title)} '
        f'<span class="lp-soft">{html(axes)}</span></h2><table class="lp-matrix lp-proto">'
        f"<tbody>{''.join(rows)}</tbody><tfoot><tr>{CORNER}{heads}</tr></tfoot></table>"
        f"{_ramp(sheet, colours, low)}{_notes(sheet.note, left_out)}</section>"
    )


def _kind(sheet: MatrixSheet, row: int, col: int) -> str:
    return "lp-cross" if sheet.marked in (row, col) else ""


def _strong(yes: bool) -> str:
    return ' class="lp-strong"' if yes else ""


def _ramp(sheet: MatrixSheet, colours: str, low: float) -> str:
    paint = colormaps[DIVERGING if sheet.diverging else colours]
    stops = ", ".join(to_hex(paint(i / STEPS)) for i in range(STEPS + 1))
    hatch = (
        f'<p class="lp-note"><i class="lp-hatch lp-hatch-1"></i>{html(sheet.hatch)}</p>'
        if sheet.hatched is not None
        else ""
    )
    return (
        f'<div class="lp-legend"><span>{number(low, 2) if low else "0"}</span>'
        f'<i style="background:linear-gradient(90deg, {stops})"></i><span>{number(sheet.reach, 2)}</span>'
        f'<span class="lp-soft lp-unit">{html(sheet.unit)}</span></div>{hatch}'
    )


def _notes(*notes: str) -> str:
    return "".join(f'<p class="lp-note">{html(note)}</p>' for note in notes if note)


# ---------------------------------------------------------------------------------------------- charts


def chart(sheet: ChartSheet) -> str:
    """A table with an axis in its middle: a row for each line, marks and intervals, numbers behind."""
    several = len(sheet.marks) > 1 or bool(sheet.span)
    keys = "".join(f'<span class="lp-key">{_glyph(mark)} {html(mark.name)}</span>' for mark in sheet.marks)
    span = f'<span class="lp-key lp-soft">{html(sheet.span)}</span>' if sheet.span else ""
    heads = "".join(f'<th scope="col">{html(head)}</th>' for head in sheet.heads)
    body, group = [], ""
    for row in sheet.rows:
        if row.group and row.group != group:
            group = row.group
            wide = 2 + len(sheet.heads)
            body.append(f'<tr class="lp-group"><th scope="rowgroup" colspan="{wide}">{html(group)}</th></tr>')
        body.append(_row(sheet, row))
    ticks = "".join(
        f'<span style="left:{100 * sheet.place(tick):.2f}%">{number(tick, 2)}</span>'
        for tick in sheet.ticks()
    )
    empty = "<td></td>" * len(sheet.heads)
    far = " lp-far" if sheet.wide else ""
    line = f'<span class="lp-key lp-soft">┆ {html(sheet.at[1])}</span>' if sheet.at else ""
    key_row = f"{keys if several else ''}{span}{line}"
    key_row = f'<div class="lp-keys">{key_row}</div>' if key_row else ""
    return (
        f'<section class="lp-panel lp-wide" data-sheet="{sheet.key}"><h2>{html(sheet.title)} '
        f'<span class="lp-soft">{html(sheet.unit)}</span></h2>'
        f'{key_row}<table class="lp-table lp-chart{far}"><thead><tr>{CORNER}{CORNER}{heads}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody><tfoot><tr>{CORNER}<td><div class='lp-ticks'>{ticks}</div></td>{empty}</tr></tfoot>"
        f"</table>{_notes(sheet.note)}</section>"
    )


def _row(sheet: ChartSheet, row: Row) -> str:
    parts = []
    if sheet.at is not None:
        parts.append(f'<i class="lp-at" style="left:{100 * sheet.place(sheet.at[0]):.2f}%"></i>')
    for index, (mark, value) in enumerate(zip(sheet.marks, row.values, strict=True)):
        span = row.spans[index] if index < len(row.spans) else None
        if span is not None:
            parts.append(
                f'<i class="lp-span {mark.shape}" style="{_stretch(sheet, span.low, span.high)}"></i>'
            )
            if span.inner is not None:
                parts.append(
                    f'<i class="lp-span lp-thick {mark.shape}" style="{_stretch(sheet, *span.inner)}"></i>'
                )
        if value is None or not math.isfinite(value):
            continue
        said = html(f"{row.label}: {mark.name} {number(value)}")
        if mark.shape in ("bar", "hatched"):
            start = sheet.low if sheet.log else 0.0
            parts.append(
                f'<i class="lp-rod {mark.shape}" style="{_stretch(sheet, start, value)}" title="{said}"></i>'
            )
        else:
            parts.append(
                f'<i class="lp-dot {mark.shape}" style="left:{100 * sheet.place(value):.2f}%" title="{said}">'
                f"{GLYPHS.get(mark.shape, '')}</i>"
            )
    label = swatch(sheet, row.category) if row.category is not None else html(row.label)
    numbers = "".join(f"<td>{html(text)}</td>" for text in row.numbers)
    strong = ' class="lp-strong"' if row.strong else ""
    return (
        f'<tr{strong}><th scope="row">{label}</th><td><div class="lp-line">{"".join(parts)}</div></td>'
        f"{numbers}</tr>"
    )


def _stretch(sheet: ChartSheet, low: float, high: float) -> str:
    left, right = sorted((sheet.place(low), sheet.place(high)))
    return f"left:{100 * left:.2f}%;width:{max(0.2, 100 * (right - left)):.2f}%"


def _glyph(mark: Mark) -> str:
    if mark.shape in ("bar", "hatched"):
        return f'<i class="lp-rod lp-sample {mark.shape}"></i>'
    return f'<i class="lp-dot lp-sample {mark.shape}">{GLYPHS.get(mark.shape, "")}</i>'


# ---------------------------------------------------------------------------------------------- patches


def patches(sheet: PatchSheet, link: Callable[[Cutout], str]) -> str:
    """The cut-outs, each a link; `link` gives its address."""
    parts = []
    for heading, cutouts, hatched in sheet.groups:
        if heading:
            parts.append(f'<h3 class="lp-part">{html(heading)}</h3>')
        cards = "".join(_card(sheet, one, link(one), hatched) for one in cutouts)
        parts.append(f'<div class="lp-patches">{cards}</div>')
    stops = ", ".join(to_hex(colormaps[sheet.colours](i / STEPS)) for i in range(STEPS + 1))
    legend = (
        f'<div class="lp-legend lp-left"><span>×1</span><i style="background:linear-gradient(90deg, {stops})"></i>'
        f'<span>×{sheet.top:.0f}</span><span class="lp-soft lp-unit">assignment, × uniform, logarithmic</span></div>'
    )
    return f'<section class="lp-panel lp-wide" data-sheet="{sheet.key}">{"".join(parts)}{legend}</section>'


def _card(sheet: PatchSheet, one: Cutout, address: str, hatched: bool) -> str:
    patch, names = one.patch, sheet.names.names
    left, top, wide, high = one.box
    held = f"holds {sheet.category}" if patch.held else f"no {sheet.category} in it"
    shape = "■" if patch.held else "□"
    high_share = f"{number(patch.share)} × uniform"
    label = _label(patch.true, names)
    title = (
        f"image {patch.id}, row {patch.pixel[0]}, col {patch.pixel[1]}: mask logit {number(patch.logit)}, assignment "
        f"{high_share}; labelled {label}, predicted {_label(patch.predicted, names)}. Opens in Inspect."
    )
    tall = (one.crop[1] - one.crop[0]) / max(1, one.crop[3] - one.crop[2])
    return (
        f'<a class="lp-patch{" lp-absent" if hatched else ""}" href="{html(address)}" title="{html(title)}">'
        f'<span class="lp-cut" style="aspect-ratio:{1 / tall:.4f}"><img src="{one.photo}" alt="{html(title)}">'
        f'<img class="lp-over" src="{one.overlay}" alt="">'
        f'<i class="lp-cell" style="left:{left:.2f}%;top:{top:.2f}%;width:{wide:.2f}%;height:{high:.2f}%"></i></span>'
        f"<b>{sheet.ranks[patch.index]} · logit {number(patch.logit)}</b>"
        f"<span>{shape} {html(held)}</span><span>{html(patch.id)} · cell: {html(label)}</span></a>"
    )


def _label(category: int, names: tuple[str, ...]) -> str:
    return names[category] if category < len(names) else "mixed"
