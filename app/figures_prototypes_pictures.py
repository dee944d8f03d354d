"""The Prototypes page's pictures as files: the bank over training, and patches. See app.figures_prototypes_drawing."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from app.figures import MARGIN, WIDTH, plain_logarithm
from app.figures_page import INK, SOFT, Page
from app.patches import Cutout, painted
from app.sheets_prototypes import PatchSheet, TimeSheet
from app.words import number

ACROSS = 6  # patches in a row


# ---------------------------------------------------------------------------------------------- time


def time_figure(sheet: TimeSheet) -> Figure:
    """The plane and the curves, one moment marked."""
    high = 2.9
    step = int(sheet.steps[sheet.moment])
    page = Page(high + 0.55, f"{sheet.title}, step {step} marked", sheet.caption)
    plane = page.axes(MARGIN + 0.4, 0.1, 3.2, high)
    curves = page.axes(MARGIN + 4.25, 0.1, WIDTH - 4.25 - 0.25, high)
    for c, name in enumerate(sheet.names.names):
        colour, strong = sheet.names.colours[c], c == sheet.marked
        path = sheet.path[:, c]
        plane.plot(path[:, 0], path[:, 1], color=colour, lw=0.5, alpha=0.4)
        gone = path[: sheet.moment + 1]
        plane.plot(gone[:, 0], gone[:, 1], color=colour, lw=1.6 if strong else 0.9)
        plane.plot(*gone[-1], "D", ms=5.5 if strong else 3.6, mfc=colour, mec=INK, mew=0.8 if strong else 0.3)
        plane.annotate(
            name,
            gone[-1],
            xytext=(4, 2),
            textcoords="offset points",
            fontsize=6,
            fontweight="bold" if strong else None,
        )
        curves.plot(
            np.sqrt(sheet.steps), sheet.cosine[:, c], color=colour, lw=1.8 if strong else 0.7, label=name
        )
    plane.set_aspect("equal", adjustable="datalim")
    plane.set_xlabel(
        f"component 1, {number(100 * sheet.explained[0])} % of the variance", fontsize=6.5, labelpad=2
    )
    plane.set_ylabel(f"component 2, {number(100 * sheet.explained[1])} %", fontsize=6.5, labelpad=2)
    curves.axvline(math.sqrt(step), color=SOFT, lw=0.8, ls="--")
    ends = sheet.steps[[0, len(sheet.steps) // 4, len(sheet.steps) // 2, 3 * len(sheet.steps) // 4, -1]]
    curves.set_xticks(np.sqrt(ends), [str(int(one)) for one in ends])
    curves.set_xlabel("training step (square-root axis)", fontsize=6.5, labelpad=2)
    curves.set_ylabel(sheet.quantity, fontsize=6.5, labelpad=2)
    for axes in (plane, curves):
        axes.tick_params(length=2, width=0.5, labelsize=6)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    return page.figure


# ---------------------------------------------------------------------------------------------- patches


def patch_figure(sheet: PatchSheet) -> Figure:
    """Cut-outs in rows, each with its rank, logit and image."""
    side, gap, foot = (WIDTH - 2 * MARGIN - (ACROSS - 1) * 0.08) / ACROSS, 0.08, 0.3
    rows = [(heading, math.ceil(len(group) / ACROSS)) for heading, group, _ in sheet.groups]
    tall = sum((0.22 if heading else 0.0) + count * (side + foot) for heading, count in rows)
    page = Page(tall + 0.5, sheet.title, sheet.caption)
    top = 0.0
    for heading, group, _ in sheet.groups:
        if heading:
            axes = page.axes(MARGIN, top + 0.02, 4, 0.18)
            _bare(axes)
            axes.text(0, 0.5, heading, fontsize=7, fontweight="bold", va="center")
            top += 0.22
        for index, one in enumerate(group):
            left = MARGIN + (index % ACROSS) * (side + gap)
            _cut(page.axes(left, top + (index // ACROSS) * (side + foot), side, side), sheet, one)
        top += math.ceil(len(group) / ACROSS) * (side + foot)
    bar = page.axes(MARGIN, tall + 0.1, 2.0, 0.07)
    norm = LogNorm(1, sheet.top)
    edges = np.geomspace(1, sheet.top, 257)
    bar.set_xscale("log")
    plain_logarithm(bar.xaxis)
    bar.pcolormesh(
        edges,
        [0, 1],
        np.asarray(norm(np.sqrt(edges[:-1] * edges[1:])))[None],
        cmap=sheet.colours,
        rasterized=True,
    )
    bar.set_yticks([])
    bar.tick_params(length=2, width=0.5, labelsize=6, pad=1.5)
    bar.set_xlabel("assignment, × uniform (clear below ×1)", fontsize=6.5, labelpad=1.5)
    return page.figure


def _cut(axes: Any, sheet: PatchSheet, one: Cutout) -> None:
    photo = np.asarray(Image.open(io.BytesIO(base64.b64decode(one.photo.partition(",")[2]))))
    over = painted(one.patch.window, sheet.top, sheet.colours)
    extent = (0, 100, 100, 0)
    for values, how in ((photo, "antialiased"), (over, "nearest")):
        axes.imshow(values, extent=extent, interpolation=how, aspect="auto")
    left, top, wide, high = one.box
    for width, colour in ((2.2, "black"), (1.0, "white")):
        axes.add_patch(Rectangle((left, top), wide, high, fill=False, edgecolor=colour, linewidth=width))
    _bare(axes)
    shape = "holds" if one.patch.held else "without"
    words = f"{sheet.ranks[one.patch.index]} · logit {number(one.patch.logit)}\n{one.patch.id} · {shape} {sheet.category}"
    axes.set_xlabel(words, fontsize=5.6, labelpad=2, linespacing=1.2)


def _bare(axes: Any) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)
