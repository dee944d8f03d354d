"""Compare's figures as files: viewers side by side, accuracy against cost, IoU by category, disagreement.

On the page the charts are plotly's, which follow the theme and answer the pointer; files are matplotlib's, always light. Both are
made from the same values. A model keeps its colour in all of them; it says which model, never how good it is.
Imports neither streamlit nor torch.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from app.charts_compare import MODEL_COLOURS, OFFSETS, ModelPoint, labels_of, limits, overlay, step_colour
from app.figures import (
    STYLE,
    WIDTH,
    Panel,
    Sheet,
    drawing,
    legend_onto,
    norm_of,
    outline_onto,
    overlay_onto,
    render,
)

GAP = 0.12  # inches between two pictures


@dataclass(frozen=True, eq=False)
class Viewer:
    """One viewer as it would be printed. values: (y, x) × uniform, None where nothing is shown; the caption says why."""

    title: str
    caption: str
    values: np.ndarray | None
    labels: np.ndarray | None = None  # outlined
    colour: str = "white"  # of the outline
    wrong: np.ndarray | None = None  # hatched


@dataclass(frozen=True, eq=False)
class Row:
    """Everything that the figure of the viewers shows."""

    photo: np.ndarray
    original: tuple[int, int]
    pin: tuple[int, int] | None
    number: int
    viewers: tuple[Viewer, ...]
    title: str
    unit: str
    caption: str
    colours: str = "cividis"
    opacity: float = 0.85
    smooth: bool = False


# ---------------------------------------------------------------------- files


def draw(make: Callable[[], Figure], kind: str) -> bytes:
    """The figure that `make` makes in the publication style, as "png", "svg" or "pdf"."""
    with drawing(), rc_context(STYLE):
        figure = make()
    return render(figure, kind)


def viewers_figure(row: Row) -> Figure:
    """The viewers side by side on one scale."""
    count = max(1, len(row.viewers))
    height, width = row.photo.shape[:2]
    wide = (WIDTH - 2 * 0.06 - (count - 1) * GAP) / count
    tall = min(3.6, wide * height / width)
    letters = int(wide * 25)
    below = [textwrap.wrap(viewer.caption, letters) for viewer in row.viewers]
    lines = textwrap.wrap(row.caption, 158)
    head, titles = 0.3, 0.2
    notes = 0.06 + 0.105 * max((len(text) for text in below), default=0)
    foot = 0.12 + 0.125 * len(lines)
    total = head + titles + tall + notes + 0.5 + foot
    figure = Figure(figsize=(WIDTH, total))
    FigureCanvasAgg(figure)

    def axes(left: float, bottom: float, across: float, high: float) -> Any:
        return figure.add_axes((left / WIDTH, bottom / total, across / WIDTH, high / total))

    bottom = total - head - titles - tall
    sheet = _sheet(row)
    norm = norm_of(sheet)
    for index, viewer in enumerate(row.viewers):
        left = 0.06 + index * (wide + GAP)
        _viewer(axes(left, bottom, wide, tall), row, sheet, viewer, norm)
        figure.text(
            left / WIDTH,
            (bottom - 0.05) / total,
            "\n".join(below[index]),
            fontsize=5.8,
            va="top",
            linespacing=1.25,
        )
    figure.text(0.06 / WIDTH, 1 - 0.14 / total, row.title, fontsize=8.5, fontweight="bold", va="center")
    legend_onto(axes(0.2, foot + 0.3, min(2.6, wide * 2), 0.07), norm, sheet)
    figure.text(0.06 / WIDTH, foot / total, "\n".join(lines), fontsize=6.5, va="top", linespacing=1.3)
    return figure


def _sheet(row: Row) -> Sheet:
    return Sheet(
        photo=row.photo,
        original=row.original,
        panels=(),
        title=row.title,
        unit=row.unit,
        caption=row.caption,
        scale="uniform",
        colours=row.colours,
        opacity=row.opacity,
        smooth=row.smooth,
    )


def _viewer(axes: Any, row: Row, sheet: Sheet, viewer: Viewer, norm: Any) -> None:
    values = np.zeros((1, 1)) if viewer.values is None else viewer.values
    panel = Panel(row.number, row.pin or (0, 0), values, ())
    overlay_onto(axes, sheet, panel, norm, ring=row.pin is not None, shown=viewer.values is not None)
    if viewer.labels is not None:
        outline_onto(axes, viewer.labels, viewer.colour)
    if viewer.wrong is not None and viewer.wrong.any():
        height, width = viewer.wrong.shape
        rows, cols = np.arange(height) + 0.5, np.arange(width) + 0.5
        with rc_context({"hatch.color": "white", "hatch.linewidth": 0.6}):
            axes.contourf(
                cols, rows, viewer.wrong.astype(float), levels=[0.5, 1.5], colors="none", hatches=["//////"]
            )
    axes.set_title(viewer.title, fontsize=7, pad=3)


def cost_figure(points: Sequence[ModelPoint], caption: str) -> Figure:
    """mIoU against multiply-adds; shown models are filled."""
    figure, axes = _chart(3.4, 2.6, caption)
    texts, places = labels_of(points)
    for point, text, place in zip(points, texts, places, strict=True):
        shown = point.place is not None
        colour = MODEL_COLOURS[point.place or 0] if shown else "#60656c"
        axes.plot(point.gmacs, point.miou, "o", ms=6, mfc=colour if shown else "none", mec=colour, mew=1.2)
        x, y, sideways, upright = OFFSETS[place]
        if text:
            axes.annotate(
                text,
                (point.gmacs, point.miou),
                (x, y),
                textcoords="offset points",
                fontsize=6.5,
                ha=sideways,
                va=upright,
            )
    (x0, x1), (y0, y1) = limits(points)
    axes.set_xlim(x0, x1)
    axes.set_ylim(y0, y1)
    axes.set_xlabel("GMACs, one pass")
    axes.set_ylabel("mIoU, %")
    return figure


def bars_figure(
    rows: Sequence[tuple[str, Sequence[float | None]]], models: Sequence[tuple[str, int]], caption: str
) -> Figure:
    """IoU of each category, a bar for each model (name, place)."""
    figure, axes = _chart(WIDTH, 2.6, caption)
    wide = 0.8 / max(1, len(models))
    for index, (model, place) in enumerate(models):
        heights = [np.nan if row[1][index] is None else row[1][index] for row in rows]
        at = np.arange(len(rows)) - 0.4 + (index + 0.5) * wide
        axes.bar(
            at,
            np.asarray(heights, dtype=float),
            wide * 0.94,
            label=model,
            color=MODEL_COLOURS[place],
        )
    axes.set_xticks(range(len(rows)), [row[0] for row in rows], rotation=35, ha="right")
    axes.set_ylabel("IoU, %")
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.legend(frameon=False, ncols=4, fontsize=6.5, loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def maps_figure(photo: np.ndarray, maps: Sequence[tuple[np.ndarray, int, str]], caption: str) -> Figure:
    """(counts (H, W), most, title): how many different categories are predicted at a pixel."""
    height, width = photo.shape[:2]
    wide = 2.6
    tall = wide * height / width
    lines = textwrap.wrap(caption, 120)
    total = tall + 0.75 + 0.125 * len(lines)
    across = 0.12 + len(maps) * (wide + GAP)
    figure = Figure(figsize=(across, total))
    FigureCanvasAgg(figure)
    for index, (count, most, title) in enumerate(maps):
        left = 0.06 + index * (wide + GAP)
        axes = figure.add_axes((left / across, 1 - (0.25 + tall) / total, wide / across, tall / total))
        axes.imshow(overlay(photo, count, most), interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(title, fontsize=7, pad=3)
        for step in range(2, most + 1):
            at, up = left + 0.4 * (step - 2), (0.28 + 0.125 * len(lines)) / total
            figure.text(at / across, up, "■", color=step_colour(step, most), fontsize=8)
            figure.text((at + 0.13) / across, up, str(step), fontsize=7)
    figure.text(0.06 / across, 0.1 / total, "\n".join(lines), fontsize=6.5, va="bottom", linespacing=1.3)
    return figure


def _chart(across: float, tall: float, caption: str) -> tuple[Figure, Any]:
    lines = textwrap.wrap(caption, int(across * 22))
    foot = 0.1 + 0.125 * len(lines)
    total = tall + foot
    figure = Figure(figsize=(across, total))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.5 / across, (foot + 0.55) / total, 1 - 0.6 / across, (tall - 0.85) / total))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=2, width=0.5, labelsize=6.5)
    figure.text(0.06 / across, foot / total, "\n".join(lines), fontsize=6.5, va="top", linespacing=1.3)
    return figure, axes
