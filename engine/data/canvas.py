"""Where a scene is painted, back to front: colour, label, mode and distance move together, so labels are exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw


@dataclass(frozen=True)
class Light:
    """One image's light; colours are (3,) float32 in 0..1 and `side` is the sun's: -1 left … 1 right."""

    period: int
    side: float
    sun: np.ndarray
    ambient: np.ndarray
    sky_top: np.ndarray
    sky_low: np.ndarray
    haze: np.ndarray
    haze_rate: float
    winter: bool

    def on(self, albedo: np.ndarray | tuple[float, float, float], lit: np.ndarray | float) -> np.ndarray:
        """Colour of a surface that catches the share `lit` of the sun; (…, 3) for `lit` of shape (…)."""
        base = np.asarray(albedo, np.float32)
        if isinstance(lit, np.ndarray):
            return lit[..., None] * (base * self.sun) + base * self.ambient
        return base * (np.float32(lit) * self.sun + self.ambient)


class Canvas:
    """`size` square pixels; `unit` is one pixel of the reference size of 256."""

    def __init__(self, size: int, horizon: float) -> None:
        self.size = size
        self.unit = size / 256
        self.horizon = round(horizon * size)
        self.colour = np.zeros((size, size, 3), np.float32)
        self.labels = np.zeros((size, size), np.uint8)
        self.modes = np.zeros((size, size), np.uint8)
        self.distance = np.zeros((size, size), np.float32)
        self.rows = np.arange(size, dtype=np.float32)[:, None]
        self.cols = np.arange(size, dtype=np.float32)[None, :]

    def nearness(self, row: float) -> float:
        """0 at the horizon, 1 at the bottom edge: the size of things standing on that row, relative."""
        return (row - self.horizon) / (self.size - self.horizon)

    def row_of(self, nearness: float) -> float:
        return self.horizon + nearness * (self.size - self.horizon)

    @staticmethod
    def distance_of(nearness: float) -> float:
        return 1 / (nearness + 0.09) - 0.9

    def paint(
        self,
        top: int,
        left: int,
        mask: np.ndarray,
        colour: np.ndarray,
        label: int,
        mode: int | np.ndarray,
        distance: float | np.ndarray,
    ) -> None:
        """Put `colour` (h, w, 3) or (3,) where `mask` (h, w) holds; what falls off the canvas is dropped."""
        height, width = mask.shape
        y0, x0 = max(0, -top), max(0, -left)
        y1, x1 = min(height, self.size - top), min(width, self.size - left)
        if y0 >= y1 or x0 >= x1:
            return
        inner = (slice(y0, y1), slice(x0, x1))
        outer = (slice(top + y0, top + y1), slice(left + x0, left + x1))
        mask = mask[inner]
        shown = colour[inner] if colour.ndim == 3 else colour
        np.copyto(self.colour[outer], shown, where=mask[..., None])
        np.copyto(self.labels[outer], np.uint8(label), where=mask)
        if isinstance(mode, np.ndarray):
            np.copyto(self.modes[outer], mode[inner], where=mask)
        else:
            np.copyto(self.modes[outer], np.uint8(mode), where=mask)
        if isinstance(distance, np.ndarray):
            np.copyto(self.distance[outer], distance[inner], where=mask)
        else:
            np.copyto(self.distance[outer], np.float32(distance), where=mask)

    def shadow(self, row: float, col: float, reach: float, depth: float, strength: float) -> None:
        """Darken an ellipse of the ground (half axes `reach` and `depth`, pixels), fading to its rim."""
        y0, y1 = max(self.horizon, int(row - depth)), min(self.size, int(row + depth) + 1)
        x0, x1 = max(0, int(col - reach)), min(self.size, int(col + reach) + 1)
        if y0 >= y1 or x0 >= x1:
            return
        dy = (self.rows[y0:y1] - np.float32(row)) / np.float32(depth)
        dx = (self.cols[:, x0:x1] - np.float32(col)) / np.float32(reach)
        weight = np.clip(1.4 * (1 - dy * dy - dx * dx), 0, 1) * np.float32(strength)
        self.colour[y0:y1, x0:x1] *= (1 - weight)[..., None]


def drawn(height: int, width: int, draw: Callable[[ImageDraw.ImageDraw], None]) -> np.ndarray:
    """What `draw` paints with fill 1..255 on a (height, width) sheet, uint8 (h, w)."""
    sheet = Image.new("L", (max(1, width), max(1, height)))
    draw(ImageDraw.Draw(sheet))
    return np.asarray(sheet)
