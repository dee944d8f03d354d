"""Compare's charts on the page: plotly's, which follow the theme and answer the pointer; and the maps of disagreement.

app.figures_compare prints the same values. A model keeps its colour in all of them; it says which model, never how good it is.
Imports neither streamlit nor torch.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from PIL import Image

MODEL_COLOURS = ("#2f6da8", "#d08a1e", "#7d848b", "#8a5a9e")
CONFIG = {"displayModeBar": False}


@dataclass(frozen=True)
class ModelPoint:
    """One model of the catalogue. place: among the shown ones, None for the others."""

    name: str
    gmacs: float
    miou: float  # percent
    place: int | None


def scatter(points: Sequence[ModelPoint]) -> Any:
    """Plotly: mIoU against multiply-adds; shown models are filled, names stand beside the points."""
    import plotly.graph_objects as go

    figure = go.Figure()
    texts, places = labels_of(points)
    for point, text, place in zip(points, texts, places, strict=True):
        shown = point.place is not None
        colour = MODEL_COLOURS[point.place or 0] if shown else "#8b9198"
        figure.add_scatter(
            x=[point.gmacs],
            y=[point.miou],
            mode="markers+text",
            text=[text],
            textposition=place,
            textfont={"size": 12},
            marker={
                "size": 11,
                "symbol": "circle" if shown else "circle-open",
                "color": colour,
                "line": {"width": 1.5, "color": colour},
            },
            hovertemplate=f"{point.name}<br>%{{y:.3g}} % mIoU<br>%{{x:.3g}} GMACs<extra></extra>",
            showlegend=False,
            cliponaxis=False,
        )
    (x0, x1), (y0, y1) = limits(points)
    figure.update_layout(height=300, margin={"l": 10, "r": 10, "t": 10, "b": 10})
    figure.update_xaxes(title="GMACs, one pass", range=[x0, x1], zeroline=False)
    figure.update_yaxes(title="mIoU, %", range=[y0, y1], zeroline=False)
    return figure


def category_bars(
    rows: Sequence[tuple[str, Sequence[float | None]]], models: Sequence[tuple[str, int]]
) -> Any:
    """Plotly: IoU of each category, a bar for each model (name, place)."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for index, (model, place) in enumerate(models):
        figure.add_bar(
            x=[row[0] for row in rows],
            y=[row[1][index] for row in rows],
            name=model,
            marker={"color": MODEL_COLOURS[place], "line": {"width": 0}},
            hovertemplate=f"%{{x}}, {model}<br>%{{y:.3g}} % IoU<extra></extra>",
        )
    figure.update_layout(
        height=320,
        barmode="group",
        bargap=0.25,
        bargroupgap=0.06,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    figure.update_yaxes(title="IoU, %", rangemode="tozero")
    return figure


def limits(points: Sequence[ModelPoint]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Ranges of both axes, with room for names: GMACs from 0."""
    x = [point.gmacs for point in points] or [1.0]
    y = [point.miou for point in points] or [0.0]
    room = max(1.0, 0.14 * (max(y) - min(y)))
    return (0.0, 1.22 * max(x)), (min(y) - room, max(y) + room)


# Where a name stands beside its point: plotly's word → matplotlib's offset and alignment, and the box in units of its size.
OFFSETS: dict[str, tuple[float, float, str, str]] = {
    "middle right": (6, 0, "left", "center"),
    "top center": (0, 6, "center", "bottom"),
    "bottom center": (0, -6, "center", "top"),
    "middle left": (-6, 0, "right", "center"),
    "top right": (4, 5, "left", "bottom"),
    "bottom right": (4, -5, "left", "top"),
    "top left": (-4, 5, "right", "bottom"),
    "bottom left": (-4, -5, "right", "top"),
}
_HALVES = {
    "left": (0.0, 1.0),
    "center": (-0.5, 0.5),
    "right": (-1.0, 0.0),
    "bottom": (0.0, 1.0),
    "top": (-1.0, 0.0),
}
NEAR = 0.025  # of the chart: points nearer than this share one name


def labels_of(points: Sequence[ModelPoint]) -> tuple[list[str], list[str]]:
    """(names, places): points that nearly coincide share one name, and no name lies on another where that can be had."""
    (x0, x1), (y0, y1) = limits(points)
    at = [((p.gmacs - x0) / (x1 - x0), (p.miou - y0) / (y1 - y0)) for p in points]
    texts = [point.name for point in points]
    for i in range(len(points)):
        for j in range(i):
            if texts[j] and texts[i] and max(abs(at[i][0] - at[j][0]), abs(at[i][1] - at[j][1])) < NEAR:
                texts[j], texts[i] = f"{texts[j]}, {texts[i]}", ""
    taken: list[tuple[float, float, float, float]] = [
        (x - 0.015, y - 0.02, x + 0.015, y + 0.02) for x, y in at
    ]
    places = []
    for (x, y), text in zip(at, texts, strict=True):
        best, least = "middle right", np.inf
        for place in OFFSETS:
            box = _box(place, x, y, text)
            clash = (
                sum(_common(box, other) for other in taken) + 9 * max(0.0, box[2] - 1) + 9 * max(0.0, -box[0])
            )
            if clash < least - 1e-9:
                best, least = place, clash
        places.append(best)
        if text:
            taken.append(_box(best, x, y, text))
    return texts, places


def _box(place: str, x: float, y: float, text: str) -> tuple[float, float, float, float]:
    dx, dy, sideways, upright = OFFSETS[place]
    wide, high = 0.0185 * len(text), 0.062
    (left, right), (low, top) = _HALVES[sideways], _HALVES[upright]
    x, y = x + 0.004 * dx, y + 0.006 * dy
    return x + left * wide, y + low * high, x + right * wide, y + top * high


def _common(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


# ---------------------------------------------------------------------- disagreement


def overlay(photo: np.ndarray, count: np.ndarray, most: int) -> np.ndarray:
    """(H, W, 3) uint8: the photo greyed and lightened, coloured where `count` (H, W) is above 1; 0: not counted, darker."""
    grey = photo.astype(np.float32).mean(axis=2, keepdims=True)
    out = np.repeat(0.55 * grey + 0.45 * 200, 3, axis=2)
    out[count == 0] *= 0.6
    for step in range(2, most + 1):
        rgb = np.array(colormaps["magma"](_at(step, most))[:3]) * 255
        where = count == step
        out[where] = 0.15 * out[where] + 0.85 * rgb
    return out.clip(0, 255).astype(np.uint8)


def overlay_uri(photo: np.ndarray, count: np.ndarray, most: int) -> str:
    buffer = io.BytesIO()
    Image.fromarray(overlay(photo, count, most)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def count_legend(most: int) -> str:
    """The steps of `overlay` as HTML."""
    steps = "".join(
        f'<i style="background:{step_colour(step, most)}"></i>{step}' for step in range(2, most + 1)
    )
    return f'<span class="lp-steps">{steps}</span>'


def _at(step: int, most: int) -> float:
    return 0.72 if most == 2 else 0.5 + 0.48 * (step - 2) / (most - 2)


def step_colour(step: int, most: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(
        *(round(255 * part) for part in colormaps["magma"](_at(step, most))[:3])
    )
