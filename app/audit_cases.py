"""Cases of an audit as pictures: the photo around a pixel with the pixel's map over it. Neither streamlit nor torch.

The cut-out is the largest square that fits the image, around the pixel as far as the image reaches: an affinity is global, so a
narrow cut-out would hide what the case is about. The map lies over it as a picture of its own, which goes away under the pointer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from PIL import Image

from app.figures import Panel, Sheet, norm_of, opacity_of
from app.patches import data_uri

SIDE = 160  # pixels of a cut-out
QUALITY = 78  # of its JPEG
OPACITY = 0.85
STEPS = 8  # of a legend's ramp


@dataclass(frozen=True)
class Thumb:
    """photo, over: data URIs of squares, over clear where the map says little; at: the pixel, percent from left and top."""

    photo: str
    over: str
    at: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Map:
    """values (rows, cols) over the whole image; scale "linear", "uniform", "relative"; limits: of a linear one; unit in words."""

    values: np.ndarray
    scale: str
    limits: tuple[float, float]
    unit: str


def thumb(
    photo: np.ndarray, pixel: tuple[int, int], size: tuple[int, int], shown: Map, colours: str
) -> Thumb:
    """photo (H, W, 3) uint8; pixel (row, col) of an image of `size`, which may be another than the photo's."""
    height, width = photo.shape[:2]
    y, x = (pixel[0] + 0.5) * height / size[0], (pixel[1] + 0.5) * width / size[1]
    side = min(height, width)
    top = int(np.clip(round(y - side / 2), 0, height - side))
    left = int(np.clip(round(x - side / 2), 0, width - side))
    box = (left, top, left + side, top + side)
    cut = Image.fromarray(photo).crop(box).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    rows, cols = shown.values.shape
    part = (box[0] * cols / width, box[1] * rows / height, box[2] * cols / width, box[3] * rows / height)
    over = Image.fromarray(painted(shown, colours)).resize((SIDE, SIDE), Image.Resampling.NEAREST, part)
    at = 100 * (x - left) / side, 100 * (y - top) / side
    return Thumb(data_uri(cut, "JPEG", quality=QUALITY), data_uri(over, "PNG", optimize=True), at)


def painted(shown: Map, colours: str) -> np.ndarray:
    """(rows, cols, 4) uint8: the map in colour, opacity following; by the scales and the rule of all figures."""
    values = np.nan_to_num(np.asarray(shown.values, np.float64))
    panel = Panel(1, (0, 0), values, ())
    norm = norm_of(
        Sheet(np.zeros((1, 1, 3), np.uint8), (1, 1), (panel,), "", "", "", shown.scale, shown.limits)
    )
    t = np.ma.filled(norm(values), 0.0)
    rgba = np.asarray(colormaps[colours](t))
    rgba[..., 3] = OPACITY * opacity_of(t, shown.scale)
    return np.round(255 * rgba).astype(np.uint8)


def stops(colours: str) -> str:
    """The scale's colours as a CSS gradient's stops."""
    return ", ".join(to_hex(colormaps[colours](i / STEPS)) for i in range(STEPS + 1))
