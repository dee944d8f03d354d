"""The Prototypes page's sheets as files: always light, a caption that stands alone.

The page draws the same sheets as HTML (app.views.prototypes_html). Neither streamlit nor torch.
"""

from __future__ import annotations

import math
import textwrap
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch as Box
from matplotlib.patches import Rectangle

from app.figures import MARGIN, STYLE, WIDTH, drawing, plain_logarithm, render
from app.figures_guidance import DIVERGING
from app.figures_page import FAINT, INK, SOFT, Page, printed
from app.figures_prototypes_pictures import patch_figure, time_figure
from app.sheets_prototypes import ChartSheet, MatrixSheet, Row, Sheet, TimeSheet
from app.words import number

MARKERS = {
    "star": "*",
    "diamond": "D",
    "triangle": "^",
    "disc": "o",
    "square": "s",
    "open": "s",
    "cross": "x",
}


def draw(sheet: Sheet, kind: str, colours: str) -> bytes:
    """The sheet as "png", "svg" or "pdf"; colours: of sequential scales."""
    with drawing(), rc_context(STYLE):
        figure = figure_of(sheet, colours)
    return render(figure, kind)


def figure_of(sheet: Sheet, colours: str) -> Figure:
    """What is drawn of a sheet, in the style that is in force."""
    if isinstance(sheet, MatrixSheet):
        return matrix_figure(sheet, colours)
    if isinstance(sheet, ChartSheet):
        return chart_figure(sheet)
    return time_figure(sheet) if isinstance(sheet, TimeSheet) else patch_figure(sheet)


# ---------------------------------------------------------------------------------------------- matrices


def matrix_figure(sheet: MatrixSheet, colours: str) -> Figure:
    """A square of cells, with its scale beside it."""
    count = len(sheet.order)
    cell = min(0.22, 5.2 / max(1, count))
    side, names = cell * count, 0.9
    page = Page(0.1 + side + 0.95, sheet.title, f"{sheet.caption} {sheet.note}".strip())
    order = np.array(sheet.order)
    values = sheet.values[np.ix_(order, order)]
    hidden = ~np.isfinite(values) | (np.eye(count, dtype=bool) if sheet.skip else False)
    norm = Normalize(-sheet.reach if sheet.diverging else 0.0, sheet.reach)
    paint = DIVERGING if sheet.diverging else colours
    axes = page.axes(MARGIN + names, 0.1, side, side)
    axes.imshow(np.ma.masked_where(hidden, values), cmap=paint, norm=norm, interpolation="nearest")
    size = min(6.5, 60 * cell)
    labels = [sheet.names.names[c] for c in order]
    axes.set_yticks(range(count), labels, fontsize=size)
    axes.set_xticks(range(count), labels, fontsize=size, rotation=90)
    axes.tick_params(length=0, pad=2)
    if sheet.rows:
        axes.set_ylabel(sheet.rows, fontsize=6.5, color=SOFT)
        axes.set_xlabel(sheet.columns, fontsize=6.5, color=SOFT)
    if sheet.hatched is not None:
        _hatch(axes, sheet.hatched[np.ix_(order, order)] & ~hidden)
    left = MARGIN + names + side + 0.3
    bar = page.axes(left, 0.1, 1.6, 0.08)
    low, high = float(norm.vmin or 0.0), float(norm.vmax or 0.0)
    bar.pcolormesh(
        np.linspace(low, high, 257), [0, 1], np.linspace(0, 1, 256)[None], cmap=paint, rasterized=True
    )
    bar.set_yticks([])
    bar.locator_params(axis="x", nbins=4)
    bar.tick_params(length=2, width=0.5, labelsize=6, pad=1.5)
    bar.set_xlabel(sheet.unit, fontsize=6.5, labelpad=1.5)
    if sheet.hatched is not None:
        note = page.axes(left, 0.5, 1.6, 0.4)
        note.axis("off")
        words = "\n".join(textwrap.wrap(sheet.hatch, 30))
        box = Box(facecolor="#b9bdc3", edgecolor=INK, hatch="/////", linewidth=0.4, label=words)
        note.legend(
            handles=[box], loc="upper left", fontsize=6, frameon=False, borderaxespad=0, handlelength=2.0
        )
    return page.figure


def _hatch(axes: Any, mask: np.ndarray) -> None:
    for row, col in np.argwhere(mask):
        axes.add_patch(
            Rectangle((col - 0.5, row - 0.5), 1, 1, fill=False, hatch="/////", edgecolor="white", linewidth=0)
        )


# ---------------------------------------------------------------------------------------------- charts


def chart_figure(sheet: ChartSheet) -> Figure:
    """Rows on one axis, numbers behind them."""
    lines = _lines(sheet)
    step = 0.155
    high = step * max(1, len(lines))
    names = 1.15
    further = 0.95 * len(sheet.heads)
    page = Page(high + 0.75, sheet.title, f"{sheet.caption} {sheet.note}".strip())
    axes = page.axes(MARGIN + names, 0.3, WIDTH - names - further - 2 * MARGIN - 0.1, high)
    if sheet.log:
        axes.set_xscale("log")
        plain_logarithm(axes.xaxis)
    axes.set_xlim(sheet.low, sheet.high)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    for place, (row, text) in enumerate(lines):
        if row is None:
            axes.annotate(
                text, (0, place), xycoords=("axes fraction", "data"), xytext=(-names * 72 + 4, 0),
                textcoords="offset points", fontsize=6.8, fontweight="bold", va="center",
            )  # fmt: skip
        else:
            _line(axes, sheet, row, place, further)
    axes.set_yticks(
        [place for place, (row, _) in enumerate(lines) if row is not None],
        [row.label for row, _ in lines if row is not None],
        fontsize=6.5,
    )
    axes.set_xticks(sheet.ticks(), [number(tick, 2) for tick in sheet.ticks()])
    axes.minorticks_off()
    axes.tick_params(length=2, width=0.5, labelsize=6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(sheet.unit, fontsize=6.5, labelpad=2)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    if sheet.at is not None:
        axes.axvline(sheet.at[0], color=SOFT, lw=0.6, ls="--", zorder=0)
    for index, head in enumerate(sheet.heads):
        _beside(axes, index, -0.9, head, SOFT)
    _legend(axes, sheet)
    return page.figure


def _lines(sheet: ChartSheet) -> list[tuple[Row | None, str]]:
    """Rows, with a line for each group's name before its first row."""
    found: list[tuple[Row | None, str]] = []
    group = ""
    for row in sheet.rows:
        if row.group and row.group != group:
            group = row.group
            found.append((None, group))
        found.append((row, ""))
    return found


def _line(axes: Any, sheet: ChartSheet, row: Row, place: int, further: float) -> None:
    axes.axhline(place, color=FAINT, lw=0.35, zorder=0)
    for index, (mark, value) in enumerate(zip(sheet.marks, row.values, strict=True)):
        span = row.spans[index] if index < len(row.spans) else None
        style = "--" if mark.shape in ("open", "cross") else "-"
        if span is not None:
            axes.plot([span.low, span.high], [place, place], color=INK, lw=0.7, ls=style, zorder=1)
            if span.inner is not None:
                axes.plot(
                    span.inner, [place, place], color="#9aa0a8", lw=3.4, zorder=1.5, solid_capstyle="butt"
                )
        if value is None or not math.isfinite(value):
            continue
        if mark.shape in ("bar", "hatched"):
            start = sheet.low if sheet.log else 0.0
            options = {"fill": False, "hatch": "//////"} if mark.shape == "hatched" else {"color": "#a4aab2"}
            axes.barh(place, value - start, left=start, height=0.6, edgecolor=INK, lw=0.3, **options)
        else:
            face = "white" if mark.shape == "open" else INK
            axes.plot(
                value, place, MARKERS[mark.shape], ms=3.6, mfc=face, mec=INK, mew=0.7, clip_on=False, zorder=3
            )
    for index, text in enumerate(row.numbers):
        _beside(axes, index, place, text, INK)


def _beside(axes: Any, index: int, place: float, text: str, colour: str) -> None:
    axes.annotate(
        text, (1, place), xycoords=("axes fraction", "data"), xytext=(0.95 * 72 * (index + 1) - 4, 0),
        textcoords="offset points", fontsize=6.2, va="center", ha="right", color=colour, annotation_clip=False,
    )  # fmt: skip


def _legend(axes: Any, sheet: ChartSheet) -> None:
    handles = []
    for mark in sheet.marks:
        if mark.shape in ("bar", "hatched"):
            hatch = "//////" if mark.shape == "hatched" else None
            face = "white" if hatch else "#a4aab2"
            handles.append(
                Box(facecolor=face, edgecolor=INK, hatch=hatch, linewidth=0.3, label=printed(mark.name))
            )
        else:
            face = "white" if mark.shape == "open" else INK
            options = {"ms": 3.6, "mfc": face, "mec": INK, "mew": 0.7, "ls": "", "label": printed(mark.name)}
            handles += axes.plot([], [], MARKERS[mark.shape], **options)
    words = [f" · {part}" if part else "" for part in (sheet.span, sheet.at[1] if sheet.at else "")]
    if sheet.at is not None:
        handles += axes.plot([], [], color=SOFT, lw=0.6, ls="--", label=words[1].strip(" ·"))
    if len(handles) > 1 or sheet.span:
        axes.legend(
            handles=handles, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4, fontsize=6, frameon=False,
            handletextpad=0.3, columnspacing=1.2, borderaxespad=0.2,
            title=sheet.span or None, title_fontsize=5.5, alignment="left",
        )  # fmt: skip
