"""Patches as pictures: cut-outs with the assignment over them, small enough to stand in a page. Pure: no Streamlit, no tensors.

A cut-out is the part of the image that the patch's window of source cells covers. The assignment lies over it as a picture of its
own, one pixel a cell, which the browser enlarges: so a page of two dozen patches stays below a few hundred kilobytes. Assignments
range from below uniform to a thousand times uniform, so the scale is logarithmic and begins at ×1, which is clear [choice].
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from PIL import Image

from app.figures import follow
from engine.atlas.records import Patch

SIDE = 168  # pixels of a cut-out on its longer side
QUALITY = 76  # of its JPEG
OPACITY = 0.85
LEAST_TOP = 10.0  # × uniform: the scale of colours ends there or above


@dataclass(frozen=True, eq=False)
class Cutout:
    """One patch as it is drawn. crop: rows and columns of the image, first and one past the last; photo, overlay: data URIs;
    box: the patch's own cell as (left, top, width, height) in percent of the cut-out."""

    patch: Patch
    crop: tuple[int, int, int, int]
    photo: str
    overlay: str
    box: tuple[float, float, float, float]


def crop_of(patch: Patch, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) in pixels of an image of `size`: what the window's cells cover."""
    (height, width), (cells_high, cells_wide) = size, patch.grid
    (y, x), (high, wide) = patch.origin, patch.window.shape
    top, left = y * height // cells_high, x * width // cells_wide
    bottom, right = -(-(y + high) * height // cells_high), -(-(x + wide) * width // cells_wide)
    return top, min(height, bottom), left, min(width, right)


def box_of(patch: Patch) -> tuple[float, float, float, float]:
    """The patch's cell as (left, top, width, height) in percent of its window."""
    (y, x), (high, wide) = patch.origin, patch.window.shape
    return (
        100 * (patch.cell[1] - x) / wide,
        100 * (patch.cell[0] - y) / high,
        100 / wide,
        100 / high,
    )


def top_of(patches: Sequence[Patch]) -> float:
    """Where the one scale of all shown patches ends, × uniform: the power of ten that holds every shown cell."""
    peaks = [float(np.nanmax(patch.window)) for patch in patches if np.isfinite(patch.window).any()]
    return max(LEAST_TOP, 10.0 ** math.ceil(math.log10(max([1.0, *peaks])) - 1e-9))


def painted(window: np.ndarray, top: float, colours: str) -> np.ndarray:
    """(y, x, 4) uint8: the assignment in colour from ×1 to ×top, opacity following; what lies below or is no number is clear."""
    values = np.maximum(1.0, np.nan_to_num(np.asarray(window, np.float64), nan=1.0))
    t = np.clip(np.log(values) / math.log(top), 0.0, 1.0)
    rgba = np.asarray(colormaps[colours](t))
    rgba[..., 3] = OPACITY * follow(t)
    return np.round(255 * rgba).astype(np.uint8)


def concentration(patches: Sequence[Patch]) -> float | None:
    """Share of the assignment that lies in the patch's own cell, 0..1: the median over patches; None without one."""
    shares = [patch.share / (patch.grid[0] * patch.grid[1]) for patch in patches]
    return float(np.median(shares)) if shares else None


def cutouts(
    patches: Sequence[Patch], pixels: Callable[[int], np.ndarray], colours: str, top: float | None = None
) -> tuple[Cutout, ...]:
    """All patches on one scale. pixels: index in the dataset → (H, W, 3) uint8."""
    top = top_of(patches) if top is None else top
    found = []
    for patch in patches:
        image = pixels(patch.index)
        crop = crop_of(patch, (image.shape[0], image.shape[1]))
        cut = Image.fromarray(np.ascontiguousarray(image[crop[0] : crop[1], crop[2] : crop[3]]))
        scale = SIDE / max(cut.size)
        cut = cut.resize(
            (max(1, round(cut.width * scale)), max(1, round(cut.height * scale))), Image.Resampling.LANCZOS
        )
        over = Image.fromarray(painted(patch.window, top, colours))
        found.append(
            Cutout(
                patch,
                crop,
                data_uri(cut, "JPEG", quality=QUALITY, optimize=True),
                data_uri(over, "PNG"),
                box_of(patch),
            )
        )
    return tuple(found)


def data_uri(image: Image.Image, kind: str, **options: object) -> str:
    """The picture as a "JPEG" or "PNG" that can stand in a page."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
