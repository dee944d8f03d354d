"""The Variance page's maps as files: always light, legends with counts and units, a caption that stands alone.

Points are drawn as pixels where there are many (an SVG of 50 000 marks would be of no use), text and axes stay vectors. Neither
streamlit nor torch.
"""

from __future__ import annotations

import math
import textwrap
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from app.figures import MARGIN, STYLE, WIDTH, drawing, render
from app.figures_page import INK, SOFT, Page, printed
from app.sheets_variance import MARKER_NAMES, MARKERS, MapPanel, MapSheet, visible

ACROSS = 2  # maps in a row
MANY = 2000  # points that a vector file may hold as such
DIMMED = 0.12


def draw(sheet: MapSheet, kind: str, colours: str) -> bytes:
    """The sheet as "png", "svg" or "pdf"; colours: of sequential scales."""
    with drawing(), rc_context(STYLE):
        figure = map_figure(sheet, colours)
    return render(figure, kind)


def map_figure(sheet: MapSheet, colours: str) -> Figure:
    """The maps, their legend, and what may not be asked of them."""
    across = min(ACROSS, len(sheet.panels))
    down = math.ceil(len(sheet.panels) / across)
    wide = (WIDTH - 2 * MARGIN - 0.5 * across) / across if across > 1 else 4.6
    names = _legend_entries(sheet)
    columns = 5
    legend = 0.16 * math.ceil(len(names) / columns) + 0.1
    ramped = any(panel.ramp is not None for panel in sheet.panels)
    step = wide + 0.55 + 0.42 * ramped
    notes = textwrap.wrap(printed(sheet.said), 150)
    page = Page(down * step + legend + 0.13 * len(notes) + 0.1, sheet.title, sheet.caption)
    limits = _limits(sheet) if sheet.linked else None
    for i, panel in enumerate(sheet.panels):
        left = MARGIN + 0.45 + (i % across) * (wide + 0.5)
        top = 0.2 + (i // across) * step
        axes = page.axes(left, top, wide, wide)
        _map(axes, panel, sheet, colours, limits)
        if panel.ramp is not None:
            _bar(page.axes(left, top + wide + 0.42, min(2.2, wide), 0.07), panel, colours)
    low = page.axes(MARGIN, down * step + 0.1, WIDTH - 2 * MARGIN, legend + 0.13 * len(notes))
    low.axis("off")
    if names:
        low.legend(
            handles=names, loc="upper left", bbox_to_anchor=(0, 1), ncols=columns, fontsize=6, frameon=False,
            handletextpad=0.2, columnspacing=1.0, borderaxespad=0, labelspacing=0.35,
        )  # fmt: skip
    low.text(0, 0, "\n".join(notes), fontsize=6.2, color=SOFT, va="bottom", transform=low.transAxes)
    return page.figure


def _map(axes: Any, panel: MapPanel, sheet: MapSheet, colours: str, limits: Any) -> None:
    count = len(panel.xy)
    size = float(np.clip(9000 / max(1, count), 1.2, 14))
    raster = count > MANY
    chosen = sheet.selected
    if panel.ramp is not None:
        norm = Normalize(panel.ramp.low, panel.ramp.high, clip=True)
        known = np.isfinite(panel.ramp.values)
        for rows, alpha in _layers(np.arange(count), chosen):
            here = rows[known[rows]]
            gone = rows[~known[rows]]
            axes.scatter(
                *panel.xy[gone].T,
                s=size,
                facecolors="none",
                edgecolors=SOFT,
                lw=0.4,
                alpha=alpha,
                rasterized=raster,
            )
            values = panel.ramp.values[here]
            axes.scatter(
                *panel.xy[here].T,
                s=size,
                c=values,
                cmap=colours,
                norm=norm,
                lw=0,
                alpha=alpha,
                rasterized=raster,
            )
    order = np.random.default_rng(0).permutation(len(panel.groups))  # no category lies on top of all others
    for group in (panel.groups[i] for i in order):
        for rows, alpha in _layers(group.rows, chosen):
            thin = {"lw": 0.6} if group.shape == "x" else {"lw": 0}
            axes.scatter(
                *panel.xy[rows].T, s=size, c=group.colour, marker=group.shape, alpha=alpha, rasterized=raster, **thin
            )  # fmt: skip
    for x, y, kind, category in panel.markers:
        colour = visible(sheet.names.colours[category])
        axes.plot(x, y, MARKERS[kind], ms=7.5 if kind == 0 else 5, mfc=colour, mec="white", mew=1.6, zorder=5)
        axes.plot(x, y, MARKERS[kind], ms=6.5 if kind == 0 else 4, mfc=colour, mec=INK, mew=0.5, zorder=6)
    axes.set_title(printed(panel.title), fontsize=7.5, fontweight="bold", loc="left", pad=3)
    if limits is not None:
        axes.set_xlim(*limits[0])
        axes.set_ylim(*limits[1])
    axes.set_aspect("equal", adjustable="datalim" if limits is None else "box")
    if panel.axes is None:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel("axes have no units", fontsize=6.2, color=SOFT, labelpad=3)
    else:
        axes.set_xlabel(panel.axes[0], fontsize=6.5, labelpad=2)
        axes.set_ylabel(panel.axes[1], fontsize=6.5, labelpad=1)
        axes.tick_params(length=2, width=0.5, labelsize=6)
        axes.locator_params(nbins=5)


def _layers(rows: np.ndarray, chosen: np.ndarray | None) -> list[tuple[np.ndarray, float]]:
    """Unselected points first, dimmed; the selected ones on top."""
    if chosen is None or not chosen.any():
        return [(rows, 0.8)]
    return [(rows[~chosen[rows]], DIMMED), (rows[chosen[rows]], 0.95)]


def _bar(axes: Any, panel: MapPanel, colours: str) -> None:
    assert panel.ramp is not None
    edges = np.linspace(panel.ramp.low, panel.ramp.high, 257)
    axes.pcolormesh(edges, [0, 1], np.linspace(0, 1, 256)[None], cmap=colormaps[colours], rasterized=True)
    axes.set_yticks([])
    axes.locator_params(axis="x", nbins=4)
    axes.tick_params(length=2, width=0.5, labelsize=6, pad=1.5)
    axes.set_xlabel(printed(panel.ramp.name), fontsize=6.2, labelpad=1.5)


def _legend_entries(sheet: MapSheet) -> list[Line2D]:
    first = sheet.panels[0]
    handles = [
        Line2D(
            [],
            [],
            ls="",
            marker=group.shape,
            ms=4,
            mfc=group.colour,
            mec=group.colour,
            mew=0.8,
            label=group.name,
        )
        for group in first.groups
        if group.name
    ]
    kinds = sorted({kind for panel in sheet.panels for _, _, kind, _ in panel.markers})
    handles += [
        Line2D(
            [], [], ls="", marker=MARKERS[kind], ms=5, mfc="white", mec=INK, mew=0.8, label=MARKER_NAMES[kind]
        )
        for kind in kinds
    ]
    return handles


def _limits(sheet: MapSheet) -> tuple[tuple[float, float], tuple[float, float]]:
    """The one square that holds all maps."""
    every = np.concatenate([panel.xy[np.isfinite(panel.xy).all(1)] for panel in sheet.panels])
    low, high = every.min(0), every.max(0)
    half = 0.53 * float((high - low).max() or 1.0)
    middle = (low + high) / 2
    return (middle[0] - half, middle[0] + half), (middle[1] - half, middle[1] + half)
