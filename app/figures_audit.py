"""The Audit page's sheets as files: always light, a caption that stands alone.

The page draws the same strips as HTML (app.views.audit_html) and the same curves by plotly (`curves`, which follow the theme).
Neither streamlit nor torch.
"""

from __future__ import annotations

import math
import textwrap
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from app.charts_compare import MODEL_COLOURS
from app.figures import MARGIN, STYLE, WIDTH, drawing, render
from app.figures_page import FAINT, INK, SOFT, Page, printed
from app.sheets_audit import CurveSheet, Strip, StripRow, StripSheet
from app.words import number

# line and marker of each curve: what tells them apart without colour
DASHES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2.5)))
MARKS = ("o", "s", "^", "D", "v", "x")
CURVES = ("#2f6da8", "#d08a1e", "#8a5a9e", "#2c8c7c", "#a0522d", "#7d848b")
ON_PAGE = (("solid", "circle"), ("dash", "square"), ("dot", "triangle-up"), ("dashdot", "diamond"),
           ("longdashdot", "triangle-down"), ("longdash", "x"))  # plotly's words for the same  # fmt: skip
STEP, GAP = 0.15, 0.05  # inches: a strip, and between two rows


def draw(sheet: StripSheet | CurveSheet, kind: str) -> bytes:
    """The sheet as "png", "svg" or "pdf"."""
    with drawing(), rc_context(STYLE):
        figure = strip_figure(sheet) if isinstance(sheet, StripSheet) else curve_figure(sheet)
    return render(figure, kind)


# ---------------------------------------------------------------------------------------------- strips


def strip_figure(sheet: StripSheet) -> Figure:
    """A column of axes for each stage, strips below one another."""
    tall = [STEP * max(1, *(len(cell) for cell in row.cells)) + GAP for row in sheet.rows]
    high, names = sum(tall), 1.05
    count = len(sheet.columns)
    wide = (WIDTH - 2 * MARGIN - names - 0.16 * (count - 1)) / count
    page = Page(high + 0.85, sheet.title, f"{sheet.caption} {sheet.note}".strip())
    for index, column in enumerate(sheet.columns):
        axes = page.axes(MARGIN + names + index * (wide + 0.16), 0.42, wide, high)
        axes.set_xlim(sheet.scale.low, sheet.scale.high)
        axes.set_ylim(high, 0)
        axes.set_title(printed(column), fontsize=7, fontweight="bold", loc="left", pad=3)
        _column(axes, sheet, index, tall)
        axes.set_xticks(sheet.scale.ticks(4), [number(tick, 2) for tick in sheet.scale.ticks(4)])
        axes.tick_params(length=2, width=0.5, labelsize=6)
        axes.set_xlabel("\n".join(textwrap.wrap(sheet.scale.unit, 46)), fontsize=6.2, labelpad=2)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        middles = np.cumsum(tall) - np.array(tall) / 2
        axes.set_yticks(middles, [row.label for row in sheet.rows] if index == 0 else [], fontsize=6.5)
        axes.tick_params(axis="y", length=0)
        if sheet.scale.at is not None:
            axes.axvline(sheet.scale.at[0], color=SOFT, lw=0.5, ls=":", zorder=0)
    _legend(page, sheet)
    return page.figure


def _column(axes: Any, sheet: StripSheet, index: int, tall: list[float]) -> None:
    top = 0.0
    for row, high in zip(sheet.rows, tall, strict=True):
        axes.axhline(top + high, color=FAINT, lw=0.3, zorder=0)
        for place, strip in enumerate(row.cells[index]):
            _strip(axes, sheet, strip, top + GAP / 2 + STEP * (place + 0.5), row)
        top += high


def _strip(axes: Any, sheet: StripSheet, strip: Strip, middle: float, row: StripRow) -> None:
    if not math.isfinite(strip.mean):
        return
    low, high = sheet.scale.low, sheet.scale.high
    across = np.linspace(low, high, 2 * len(strip.density) + 1)[1::2]
    half = 0.5 * 0.92 * STEP * strip.density
    colour = MODEL_COLOURS[strip.model % len(MODEL_COLOURS)]
    axes.fill_between(
        np.r_[low, across, high],
        np.r_[middle - half[0], middle - half, middle - half[-1]],
        np.r_[middle + half[0], middle + half, middle + half[-1]],
        color=colour,
        alpha=0.4,
        lw=0,
    )
    reach = 0.44 * STEP
    clip = lambda value: min(high, max(low, value))  # noqa: E731
    axes.plot([clip(strip.median)] * 2, [middle - reach, middle + reach], color=INK, lw=0.9)
    if math.isfinite(strip.baseline):
        axes.plot(
            [clip(strip.baseline)] * 2, [middle - reach, middle + reach], color=INK, lw=0.9, ls=(0, (1, 1))
        )
    if math.isfinite(strip.low):
        axes.plot([clip(strip.low), clip(strip.high)], [middle, middle], color=INK, lw=0.8)
    axes.plot(
        clip(strip.mean), middle, "s", ms=3.2 if row.strong else 2.6, mfc=INK, mec="white", mew=0.4, zorder=3
    )


def _legend(page: Page, sheet: StripSheet) -> None:
    handles: list[Any] = [
        Line2D([], [], color=MODEL_COLOURS[place % len(MODEL_COLOURS)], lw=5, alpha=0.4, label=name)
        for place, name in enumerate(sheet.models)
    ]
    handles.append(Line2D([], [], color=INK, lw=0, marker="|", ms=6, mew=0.9, label="median"))
    handles.append(
        Line2D(
            [], [], color=INK, lw=0.8, marker="s", ms=3, mec="white", mew=0.4, label="mean, 95 % over images"
        )
    )
    if sheet.baseline:
        handles.append(Line2D([], [], color=INK, lw=0.9, ls=(0, (1, 1)), label=sheet.baseline))
    if sheet.scale.at is not None:
        handles.append(Line2D([], [], color=SOFT, lw=0.5, ls=":", label=sheet.scale.at[1]))
    axes = page.axes(MARGIN, 0.0, WIDTH - 2 * MARGIN, 0.2)
    axes.axis("off")
    axes.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0, 1), ncols=7, fontsize=6, frameon=False,
        handletextpad=0.4, columnspacing=1.2, borderaxespad=0,
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------- curves


def curve_figure(sheet: CurveSheet) -> Figure:
    """Curves with bands, names and areas at the side."""
    page = Page(2.9, sheet.title, f"{sheet.said} {sheet.caption}".strip())
    axes = page.axes(MARGIN + 0.5, 0.15, 4.2, 2.3)
    places = np.arange(len(sheet.x))
    for index, curve in enumerate(sheet.curves):
        colour = CURVES[index % len(CURVES)]
        axes.fill_between(places, curve.low, curve.high, color=colour, alpha=0.16, lw=0)
        low, high, area = curve.area[1], curve.area[2], number(curve.area[0])
        span = f" ({number(low)} to {number(high)})" if math.isfinite(low) else ""
        axes.plot(
            places, curve.value, ls=DASHES[index % len(DASHES)], marker=MARKS[index % len(MARKS)], ms=3.4,
            lw=1.1, color=colour, label=f"{curve.name}: area {area}{span}",
        )  # fmt: skip
    axes.axhline(0, color=SOFT, lw=0.5, zorder=0)
    axes.set_xticks(places, [f"{x:g}" for x in sheet.x])
    axes.tick_params(length=2, width=0.5, labelsize=6)
    axes.set_xlabel(sheet.across, fontsize=6.5, labelpad=2)
    axes.set_ylabel(sheet.unit, fontsize=6.5, labelpad=2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(1.02, 1),
        fontsize=6,
        frameon=False,
        borderaxespad=0,
        handlelength=2.6,
    )
    return page.figure


def curves(sheet: CurveSheet) -> Any:
    """Plotly: the same curves on the page. The axis has one step for each share: they lie close together where it matters."""
    import plotly.graph_objects as go

    figure = go.Figure()
    ticks = [f"{x:g}" for x in sheet.x]
    for index, curve in enumerate(sheet.curves):
        colour = CURVES[index % len(CURVES)]
        dash, symbol = ON_PAGE[index % len(ON_PAGE)]
        if np.isfinite(curve.low).any():
            band = np.concatenate([curve.high, curve.low[::-1]])
            figure.add_scatter(
                x=ticks + ticks[::-1], y=band, mode="lines", fill="toself", line={"width": 0}, fillcolor=_clear(colour),
                hoverinfo="skip", showlegend=False, legendgroup=curve.name,
            )  # fmt: skip
        figure.add_scatter(
            x=ticks, y=curve.value, mode="lines+markers", name=curve.name, legendgroup=curve.name,
            line={"color": colour, "dash": dash, "width": 2},
            marker={"symbol": symbol, "size": 7, "color": colour},
            hovertemplate=f"{curve.name}, %{{x}} %<br>%{{y:.3g}}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(
        height=300,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    figure.update_xaxes(title=sheet.across, type="category", zeroline=False)
    figure.update_yaxes(title=sheet.unit, rangemode="tozero", zeroline=False)
    return figure


def _clear(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.16)"
