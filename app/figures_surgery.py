"""The Surgery page's printed figure: before, after and their difference over one photo.

As app.figures: always light, one scale for what is compared, a caption that stands alone; neither streamlit nor torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.colors import LogNorm, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from app.figures import MARGIN, STYLE, UNIFORM, WIDTH, drawing, outline_onto, render
from app.figures_guidance import DIVERGING, Labels
from app.figures_page import INK, Page
from app.figures_panes import hatch_onto, overlay_onto, ramp_onto, rings_onto

HATCH = "//////"
LABELS = 0.72  # of the opacity, as in the viewer
LISTED = 18  # categories in the legend


@dataclass(frozen=True, eq=False)
class PaneSheet:
    """Two runs of one image.

    labels: (H, W) each, predicted before and after. maps: (rows, cols) each, before and after, None where categories are shown.
    scale: "linear" within `limits`, or "uniform". pins: (row, col) of the original. outlines: for each of the three panes.
    """

    photo: np.ndarray
    original: tuple[int, int]
    labels: tuple[np.ndarray, np.ndarray]
    names: tuple[str, ...]
    palette: tuple[str, ...]
    pins: tuple[tuple[int, int], ...]
    title: str
    caption: str
    maps: tuple[np.ndarray, np.ndarray] | None = None
    unit: str = ""
    scale: str = "linear"
    limits: tuple[float, float] = (0.0, 1.0)
    outlines: tuple[tuple[Labels, ...], ...] = ((), (), ())
    colours: str = "cividis"
    opacity: float = 0.85
    smooth: bool = False


def draw(sheet: PaneSheet, kind: str) -> bytes:
    """The figure as "png", "svg" or "pdf"."""
    with drawing(), rc_context(STYLE):
        figure = pane_figure(sheet)
    return render(figure, kind)


def pane_figure(sheet: PaneSheet) -> Figure:
    """Three panes side by side; changed pixels are hatched in the third."""
    height, width = sheet.photo.shape[:2]
    gap = 0.1
    wide = (WIDTH - 2 * MARGIN - 2 * gap) / 3
    tall = min(3.6, wide * height / width)
    page = Page(tall + (0.62 if sheet.maps is None else 0.92), sheet.title, sheet.caption)
    lefts = [MARGIN + i * (wide + gap) for i in range(3)]
    before, after = sheet.labels
    changed = before != after
    shared, apart, difference = _scales(sheet)
    for index, left in enumerate(lefts):
        axes = page.axes(left, 0.16, wide, tall)
        axes.imshow(sheet.photo, extent=(0, width, height, 0), interpolation="antialiased")
        if sheet.maps is None:
            _categories(axes, sheet, after if index else before, changed if index == 2 else None)
        elif index < 2:
            overlay_onto(axes, sheet.maps[index], shared, sheet.colours, sheet, (height, width))
        else:
            overlay_onto(axes, difference, apart, DIVERGING, sheet, (height, width))
        if index == 2:
            hatch_onto(axes, changed, HATCH, (height, width))
        for labels, colour in sheet.outlines[index]:
            outline_onto(axes, labels, colour)
        rings_onto(axes, sheet)
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(("before", "after", "after − before")[index], fontsize=7, pad=3)
    if sheet.maps is not None:
        both = page.axes(lefts[0], tall + 0.26, 2 * wide + gap, 0.07)
        ramp_onto(both, shared, sheet.colours, f"{sheet.unit} (one scale)")
        ramp_onto(page.axes(lefts[2], tall + 0.26, wide, 0.07), apart, DIVERGING, "difference of the two")
    _legend(page, sheet, changed, lefts[0] if sheet.maps is None else lefts[2], tall)
    return page.figure


def _scales(sheet: PaneSheet) -> tuple[Normalize, Normalize, np.ndarray]:
    """One scale for both runs, one that is symmetric about 0 for their difference, and the difference."""
    low, high = sheet.limits
    linear = Normalize(low, high if high > low else low + 1, clip=True)
    shared = LogNorm(*UNIFORM, clip=True) if sheet.scale == "uniform" else linear
    if sheet.maps is None:
        return shared, Normalize(-1, 1), np.zeros((1, 1))
    difference = sheet.maps[1].astype(np.float64) - sheet.maps[0]
    reach = float(np.abs(difference).max(initial=0.0)) or 1.0
    return shared, Normalize(-reach, reach, clip=True), difference


def _categories(axes, sheet: PaneSheet, labels: np.ndarray, mask: np.ndarray | None) -> None:
    table = np.array([to_rgb(colour) for colour in sheet.palette])
    painted = np.empty((*labels.shape, 4))
    painted[..., :3] = table[labels]
    painted[..., 3] = sheet.opacity * (LABELS if mask is None else mask)
    height, width = sheet.photo.shape[:2]
    axes.imshow(painted, extent=(0, width, height, 0), interpolation="nearest")


def _legend(page: Page, sheet: PaneSheet, changed: np.ndarray, left: float, tall: float) -> None:
    """Names of what is coloured, and what hatching means."""
    handles = []
    if sheet.maps is None:
        present = [c for c in range(len(sheet.names)) if any((labels == c).any() for labels in sheet.labels)]
        handles = [
            Patch(facecolor=sheet.palette[c], edgecolor=INK, linewidth=0.3, label=sheet.names[c])
            for c in present[:LISTED]
        ]
    said = f"another category: {100 * changed.mean():.3g} % of the pixels"
    handles.append(Patch(facecolor="white", edgecolor=INK, hatch=HATCH, linewidth=0.4, label=said))
    axes = page.axes(left, tall + (0.24 if sheet.maps is None else 0.7), WIDTH - left - MARGIN, 0.3)
    axes.axis("off")
    axes.legend(
        handles=handles, loc="upper left", ncols=7, fontsize=6, frameon=False, borderpad=0, borderaxespad=0,
        handlelength=1.5, labelspacing=0.25, columnspacing=1.2,
    )  # fmt: skip
