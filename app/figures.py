"""Arrays → publication figures (matplotlib): always light, legends with units, a caption that stands alone.

Imports neither streamlit nor torch. Colour maps, scales and the rule of opacity are the viewer's (app/viewer/colour.js,
scale.js); values are the engine's exact ones where the viewer computes in half precision, and all panels share one scale. Text
stays text in SVG and PDF, so that a journal's editor can set it.
"""

from __future__ import annotations

import io
import textwrap
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogFormatter

WIDTH = 7.2  # inches: two columns of a journal page
PICTURE = 2.3  # inches across one picture
MARGIN = 0.06
BARS = ("what the pixel reads: weight, mean", "over heads · share of the update")
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "text.parse_math": False,  # names are other people's text, and may hold dollar signs
    "font.sans-serif": ["Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 7.5,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "#60656c",
    "text.color": "#20242a",
    "axes.labelcolor": "#20242a",
    "xtick.color": "#20242a",
    "ytick.color": "#20242a",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "svg.hashsalt": "loupe",  # the same selection gives the same file
}
UNIFORM = (0.1, 100.0)  # one logarithmic scale for all grids and models, as in the viewer
REACHES = (1.25, 1.5, 2.0, 4.0, 8.0, 16.0, 32.0)  # ratios to an average span ×1/r to ×r, symmetric about ×1
MEDIA = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}
# matplotlib's font cache and text layout are shared between threads and not safe there.
_DRAWING = threading.Lock()


def drawing() -> threading.Lock:
    """Held while a figure is made."""
    return _DRAWING


@dataclass(frozen=True)
class Bar:
    """One source: its name, colour, weight (share of what is read) and signed share of the update."""

    label: str
    colour: str
    weight: float
    share: float


@dataclass(frozen=True, eq=False)
class Panel:
    """One pinned pixel. pixel: (row, col) of the original image. overlay: (y, x) or (h, w), values in the sheet's unit."""

    number: int
    pixel: tuple[int, int]
    overlay: np.ndarray
    bars: tuple[Bar, ...]


@dataclass(frozen=True, eq=False)
class Sheet:
    """Everything a figure shows. photo (H, W, 3) uint8; original (H0, W0); scale: "linear", "uniform" or "relative".

    outlines: maps of labels (H, W) and the colour to draw their borders in.
    """

    photo: np.ndarray
    original: tuple[int, int]
    panels: tuple[Panel, ...]
    title: str
    unit: str
    caption: str
    scale: str = "linear"
    limits: tuple[float, float] = (0.0, 1.0)  # of a linear scale
    colours: str = "cividis"
    opacity: float = 0.85
    smooth: bool = False
    outlines: tuple[tuple[np.ndarray, str], ...] = ()


def follow(t: np.ndarray) -> np.ndarray:
    """Opacity at t in [0, 1], as in the viewer: nothing at 0, then quickly enough to be read as a colour."""
    t = np.clip(t, 0.0, 1.0)
    return np.where(t <= 0, 0.0, np.minimum(1.0, 0.35 * np.minimum(1.0, t / 0.12) + 0.65 * t**0.7))


def opacity_of(t: np.ndarray, scale: str) -> np.ndarray:
    """Opacity of values at t in [0, 1] of their scale, before the sheet's own: on scales of ratios it follows the distance from
    ×1, which leaves the photo as it is.
    """
    if scale == "relative":  # ×1 lies in the middle
        t = np.abs(2 * t - 1)
    elif scale == "uniform":  # ×1 lies at t₀ = 1/3, and the farther end two thirds away
        low, high = np.log(UNIFORM)
        start = -low / (high - low)
        t = np.clip(np.abs(t - start) / max(start, 1 - start), 0.0, 1.0)
    return follow(t)


def norm_of(sheet: Sheet) -> Normalize:
    """The one scale of all panels: the sheet's limits, the fixed logarithmic range, or the least reach that holds all ratios."""
    if sheet.scale == "uniform":
        return LogNorm(*UNIFORM, clip=True)
    if sheet.scale == "relative":
        largest = max((np.nanmax(panel.overlay) for panel in sheet.panels), default=1.0)
        reach = next((one for one in REACHES if one >= largest), REACHES[-1])
        return LogNorm(1 / reach, reach, clip=True)
    low, high = sheet.limits
    return Normalize(low, high if high > low else low + 1.0, clip=True)


def pixel_figure(sheet: Sheet) -> Figure:
    """A row for each pinned pixel: photo with its ring, overlay, and the sources that it reads most.

    The bars are what the pixel reads, mean over heads, whatever the overlay shows; their title says so.
    """
    height, width = sheet.photo.shape[:2]
    tall = min(3.4, PICTURE * height / width)
    lines = textwrap.wrap(sheet.caption, 158)
    head, gap, scale, foot = 0.46, 0.46, 0.5, 0.1 + 0.125 * len(lines)  # inches
    total = head + len(sheet.panels) * (tall + gap) - gap + scale + foot
    figure = Figure(figsize=(WIDTH, total))
    FigureCanvasAgg(figure)

    def axes(left: float, bottom: float, wide: float, high: float):
        return figure.add_axes((left / WIDTH, bottom / total, wide / WIDTH, high / total))

    norm = norm_of(sheet)
    second = MARGIN + PICTURE + 0.1
    for index, panel in enumerate(sheet.panels):
        bottom = total - head - tall - index * (tall + gap)
        _photo(axes(MARGIN, bottom, PICTURE, tall), sheet, panel)
        overlay_onto(axes(second, bottom, PICTURE, tall), sheet, panel, norm)
        _bars(axes(second + PICTURE + 0.88, bottom, 0.8, tall), panel)
    figure.text(MARGIN / WIDTH, 1 - 0.14 / total, sheet.title, fontsize=8.5, fontweight="bold", va="center")
    legend_onto(axes(second, foot + 0.3, PICTURE, 0.07), norm, sheet)
    figure.text(MARGIN / WIDTH, foot / total, "\n".join(lines), fontsize=6.5, va="top", linespacing=1.3)
    return figure


def render(figure: Figure, kind: str, dpi: int = 300) -> bytes:
    """The figure as a file: "png", "svg" or "pdf"."""
    buffer = io.BytesIO()
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with _DRAWING, rc_context(STYLE):
        figure.savefig(buffer, format=kind, dpi=dpi, facecolor="white", metadata=metadata)
    return buffer.getvalue()


def draw(sheet: Sheet, kind: str) -> bytes:
    """`pixel_figure` and `render`, with the publication style."""
    with _DRAWING, rc_context(STYLE):
        figure = pixel_figure(sheet)
    return render(figure, kind)


def _frame(axes, sheet: Sheet) -> None:
    height, width = sheet.photo.shape[:2]
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect("equal")
    for labels, colour in sheet.outlines:
        outline_onto(axes, labels, colour)


def _photo(axes, sheet: Sheet, active: Panel) -> None:
    height, width = sheet.photo.shape[:2]
    axes.imshow(sheet.photo, extent=(0, width, height, 0), interpolation="antialiased")
    _frame(axes, sheet)
    for panel in sheet.panels:
        _ring(axes, sheet, panel, strong=panel is active)
    axes.set_title(f"pixel {active.number}: row {active.pixel[0]}, col {active.pixel[1]}", fontsize=7, pad=3)


def overlay_onto(
    axes, sheet: Sheet, panel: Panel, norm: Normalize, *, ring: bool = True, shown: bool = True
) -> None:
    """One picture with its overlay. ring: mark the panel's pixel; shown: draw the overlay at all."""
    height, width = sheet.photo.shape[:2]
    extent = (0, width, height, 0)
    axes.imshow(sheet.photo, extent=extent, interpolation="antialiased")
    values = np.ma.masked_invalid(panel.overlay.astype(np.float64))
    t = np.asarray(norm(np.ma.filled(values, 0.0)), dtype=np.float64)
    opacity = sheet.opacity * opacity_of(t, sheet.scale) * shown
    axes.imshow(
        values,
        cmap=sheet.colours,
        norm=norm,
        alpha=opacity,
        extent=extent,
        interpolation="bilinear" if sheet.smooth else "nearest",
    )
    _frame(axes, sheet)
    if ring:
        _ring(axes, sheet, panel, strong=True)


def _ring(axes, sheet: Sheet, panel: Panel, strong: bool) -> None:
    scale = (sheet.photo.shape[0] / sheet.original[0], sheet.photo.shape[1] / sheet.original[1])
    y, x = (panel.pixel[0] + 0.5) * scale[0], (panel.pixel[1] + 0.5) * scale[1]
    for width, colour in ((2.2, "black"), (1.0, "white")):
        axes.plot(x, y, "o", ms=7 if strong else 5, mfc="none", mec=colour, mew=width, clip_on=False)
    axes.annotate(
        str(panel.number),
        (x, y),
        xytext=(5, 4),
        textcoords="offset points",
        fontsize=7,
        color="white",
        fontweight="bold" if strong else "normal",
        bbox={"boxstyle": "round,pad=0.15", "fc": "black", "ec": "none", "alpha": 0.65},
    )


def _bars(axes, panel: Panel) -> None:
    places = np.arange(len(panel.bars))
    axes.barh(
        places, [bar.weight for bar in panel.bars], color=[bar.colour for bar in panel.bars], height=0.7
    )
    axes.set_yticks(places, [bar.label for bar in panel.bars], fontsize=6.5)
    axes.set_ylim(max(7.5, len(panel.bars) - 0.5), -0.5)
    top = max((bar.weight for bar in panel.bars), default=1.0) or 1.0
    axes.set_xlim(0, top * 1.02)
    for place, bar in zip(places, panel.bars, strict=True):
        text = f"{bar.weight:.2g} · {100 * bar.share:.0f} %".replace("-", "−")
        axes.text(top * 1.05, place, text, va="center", fontsize=6.5)
    axes.tick_params(length=2, width=0.5, pad=2)
    axes.tick_params(axis="x", labelsize=6)
    axes.locator_params(axis="x", nbins=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.annotate(
        "\n".join(BARS),
        (0, 1),
        xycoords="axes fraction",
        xytext=(-0.72 * 72, 3),  # above the names too: it is wider than the bars
        textcoords="offset points",
        fontsize=6.5,
        va="bottom",
        linespacing=1.1,
    )


def legend_onto(axes, norm: Normalize, sheet: Sheet) -> None:
    """The sheet's scale with ticks and unit."""
    gradient = np.linspace(0, 1, 256)[None]
    low, high = float(norm.vmin or 0.0), float(norm.vmax or 1.0)
    if sheet.scale in ("uniform", "relative"):
        axes.set_xscale("log")
        edges = np.geomspace(low, high, 257)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"×{value:.3g}"))
        axes.set_xticks((0.1, 1, 10, 100) if sheet.scale == "uniform" else (low, 1, high), minor=False)
        axes.set_xticks([], minor=True)
    else:
        edges = np.linspace(low, high, 257)
        axes.locator_params(axis="x", nbins=4)
    axes.pcolormesh(edges, [0, 1], gradient, cmap=colormaps[sheet.colours], rasterized=True)
    axes.set_yticks([])
    axes.tick_params(length=2, width=0.5, labelsize=6, pad=1.5)
    axes.set_xlabel(sheet.unit, fontsize=6.5, labelpad=1.5)


def plain_logarithm(axis: Any) -> None:
    """A logarithmic axis labelled in plain digits, since formulas are not read (STYLE)."""
    axis.set_major_formatter(LogFormatter())
    axis.set_minor_formatter(LogFormatter(labelOnlyBase=False))


def outline_onto(axes, labels: np.ndarray, colour: str) -> None:
    """Borders between categories, exactly along the pixels' edges."""
    lines = [((x0, y), (x1, y)) for y, x0, x1 in _runs(labels[1:] != labels[:-1])]
    lines += [((x, y0), (x, y1)) for x, y0, y1 in _runs((labels[:, 1:] != labels[:, :-1]).T)]
    axes.add_collection(LineCollection(lines, colors=colour, linewidths=0.5))


def _runs(edges: np.ndarray) -> list[tuple[int, int, int]]:
    """Straight stretches of True along rows: (row + 1, first, one past the last)."""
    steps = np.diff(np.pad(edges.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    starts, ends = np.argwhere(steps == 1), np.argwhere(steps == -1)
    return [
        (int(row) + 1, int(first), int(last)) for (row, first), (_, last) in zip(starts, ends, strict=True)
    ]
