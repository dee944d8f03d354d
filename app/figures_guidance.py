"""What the Guidance page's figures show, and between which ends: sheets of arrays and words, and the scales that the page shares.

Drawn by app.figures_guidance_drawing; neither streamlit nor torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DIVERGING = "coolwarm"  # the one map of differences: grey at 0 (app/viewer/luts.py)
Labels = tuple[np.ndarray, str]  # (H, W) and the colour of its outline


@dataclass(frozen=True, eq=False)
class MapSheet:
    """Guide, upsampler and, third, their difference or the outcomes, over one photo.

    guide (y, x), upsampler (h, w), third (h, w): relative logits, or (H, W) outcomes, an index into `words` or 255.
    pins: (row, col) of the original. outlines: for each of the three panes.
    """

    photo: np.ndarray
    original: tuple[int, int]
    guide: np.ndarray
    upsampler: np.ndarray
    third: np.ndarray
    words: tuple[str, ...] | None  # of the outcomes; None: `third` is the difference
    pins: tuple[tuple[int, int], ...]
    outlines: tuple[tuple[Labels, ...], ...]
    category: str
    title: str
    caption: str
    colours: str = "cividis"
    opacity: float = 0.85
    smooth: bool = False


@dataclass(frozen=True, eq=False)
class TokenSheet:
    """Cosines (k, k) in display order of names; angles {"high", "upsampled"}: (k,) degrees, nan where unknown."""

    cosines: np.ndarray
    angles: dict[str, np.ndarray]
    names: tuple[str, ...]
    colours: tuple[str, ...]
    title: str
    caption: str


@dataclass(frozen=True, eq=False)
class GradientSheet:
    """Rows (part, ‖∇L_h‖, ‖∇L_u‖, cosine or None), and the exponents of ten between which norms are drawn."""

    rows: tuple[tuple[str, float, float, float | None], ...]
    limits: tuple[int, int]
    title: str
    caption: str


# ---------------------------------------------------------------------------------------------- scales, shared with the page


def cosine_reach(cosines: np.ndarray) -> float:
    """Where the diverging scale of cosines ends: the least round number that holds all of them but the diagonal's 1."""
    others = np.abs(cosines[~np.eye(len(cosines), dtype=bool)])
    largest = float(others.max(initial=0.0))
    return next((reach for reach in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8) if reach >= largest), 1.0)


def angle_top(values: Sequence[float]) -> int:
    """Where the axis of angles ends: 90° or, where one is larger, 180°."""
    return 90 if all(value <= 90 for value in values if math.isfinite(value)) else 180


def decades(values: Sequence[float]) -> tuple[int, int]:
    """Exponents of ten around all positive values, with one decade below for what a cut makes smaller."""
    logs = [math.log10(value) for value in values if value > 0]
    if not logs:
        return -1, 0
    low, high = math.floor(min(logs)) - 1, math.ceil(max(logs))
    return low, max(high, low + 1)
