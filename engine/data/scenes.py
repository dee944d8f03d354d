"""The demo world: `render(seed)` paints a landscape with exact labels and planted appearance modes. [choice]

Everything follows from the seed. A scene is painted back to front on a canvas whose colours, labels, modes and
distances move together; then haze, a lens's softness, the camera's colour cast and sensor noise fall on the colours
alone, so that a small neighbourhood says little and the wider context says what a pixel is. Large arrays meet only
sums, products, quotients and table look-ups, which every machine rounds alike.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.data.canvas import Canvas, Light
from engine.data.categories import CATEGORIES, CLASS_NAMES, PALETTE, Category
from engine.data.ground import paint_ground, paint_road, paint_water
from engine.data.landscape import (
    make_light,
    paint_clouds,
    paint_far_trees,
    paint_hills,
    paint_mountains,
    paint_sky,
)
from engine.data.placing import place_things
from engine.data.textures import window
from engine.errors import LoupeError

__all__ = ["CATEGORIES", "CLASS_NAMES", "PALETTE", "VERSION", "Category", "Scene", "render"]

VERSION = "scenes-2"
"""Changes whenever `render` paints anything differently; part of cache folders and of provenance."""


class Scene(NamedTuple):
    """`image` (H, W, 3), `labels` (H, W) index into CATEGORIES, `modes` (H, W) index within the category; all uint8."""

    image: np.ndarray
    labels: np.ndarray
    modes: np.ndarray


def render(seed: int, size: int = 256) -> Scene:
    """The scene of `seed` (0 or more), `size` pixels square (at least 64; 256 is the reference). Raises LoupeError."""
    if seed < 0:
        raise LoupeError(f"scene seed {seed} is negative: seeds start at 0")
    if not 64 <= size <= 4096:
        raise LoupeError(f"scene size {size} is out of range: 64 to 4096 pixels")
    rng = np.random.Generator(np.random.PCG64(seed))
    canvas = Canvas(size, float(rng.uniform(0.36, 0.52)))
    light = make_light(rng)
    paint_sky(canvas, rng, light)
    if rng.random() < 0.88:
        paint_clouds(canvas, rng, light)
    if rng.random() < 0.84:
        paint_mountains(canvas, rng, light, snowy=light.winter or rng.random() < 0.5)
    if rng.random() < 0.5:
        paint_hills(canvas, rng, light)
    if rng.random() < 0.6:
        paint_far_trees(canvas, rng, light)
    ground = paint_ground(canvas, rng, light)
    if rng.random() < 0.74:
        paint_water(canvas, rng, light, ground)
    road = paint_road(canvas, rng, light, ground) if rng.random() < 0.66 else None
    place_things(canvas, rng, light, road)
    return Scene(_photograph(canvas, rng, light), canvas.labels, canvas.modes)


def _photograph(canvas: Canvas, rng: np.random.Generator, light: Light) -> np.ndarray:
    """Haze with distance, softness, colour cast and noise; (H, W, 3) uint8."""
    colour, size = canvas.colour, canvas.size
    haze = np.float32(light.haze_rate) * canvas.distance
    haze = haze / (1 + haze)
    colour += (light.haze - colour) * haze[..., None]
    cast = (1 + rng.uniform(-0.10, 0.10, 3)) * rng.uniform(0.78, 1.15)
    grey = (colour[..., 0] + 2 * colour[..., 1] + colour[..., 2]) * np.float32(0.25)
    colour = grey[..., None] + (colour - grey[..., None]) * np.float32(rng.uniform(0.50, 1.12))
    colour = colour * (cast * 255).astype(np.float32)
    # A lens of [1 4 1] / 6 both ways: it takes the stair off edges and leaves them within a pixel.
    soft = colour.copy()
    soft[1:-1] = (colour[:-2] + 4 * colour[1:-1] + colour[2:]) / 6
    colour = soft.copy()
    colour[:, 1:-1] = (soft[:, :-2] + 4 * soft[:, 1:-1] + soft[:, 2:]) / 6
    noise = float(rng.uniform(2.0, 6.0))
    shared = window("white", rng, size, size)
    for channel in range(3):
        colour[..., channel] += np.float32(noise) * (0.7 * shared + 0.7 * window("white", rng, size, size))
    return np.clip(colour + 0.5, 0, 255).astype(np.uint8)
