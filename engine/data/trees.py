"""Trees of four kinds: conifer, broadleaf, autumn and bare."""

from __future__ import annotations

import numpy as np
from PIL import ImageDraw

from engine.data.canvas import Canvas, Light, drawn
from engine.data.categories import TREE
from engine.data.textures import window

Rng = np.random.Generator

_BARK = (0.40, 0.31, 0.24)
_LEAF = {
    0: ((0.15, 0.29, 0.21), (0.20, 0.34, 0.20)),
    1: ((0.28, 0.44, 0.17), (0.36, 0.50, 0.22)),
    2: ((0.78, 0.40, 0.12), (0.74, 0.56, 0.16), (0.64, 0.24, 0.14)),
}


def paint_tree(
    canvas: Canvas, rng: Rng, light: Light, row: float, col: float, height: float, mode: int
) -> None:
    """One tree standing at (row, col), `height` pixels tall."""
    distance = canvas.distance_of(canvas.nearness(row))
    spread = height * (0.26, 0.36, 0.36, 0.30)[mode]
    canvas.shadow(
        row,
        col - light.side * spread * 0.7,
        spread * 1.25,
        max(2.0, spread * 0.30),
        0.42 if light.period != 2 else 0.22,
    )
    if mode == 3:
        _bare(canvas, rng, light, row, col, height, distance)
        return
    trunk_width = max(2.0, height * 0.055)
    trunk = height * (0.18, 0.42, 0.42)[mode]
    top, left = int(row - trunk), int(col - trunk_width / 2)
    size = (max(1, int(row) - top + 1), max(2, round(trunk_width)))
    canvas.paint(top, left, np.ones(size, bool), light.on(_BARK, 0.4), TREE, mode, distance)
    choices = _LEAF[mode]
    albedo = np.array(choices[int(rng.integers(0, len(choices)))], np.float32) * (
        1 + rng.uniform(-0.1, 0.1, 3)
    ).astype(np.float32)
    crown = _cone if mode == 0 else _heap
    crown(canvas, rng, light, row, col, height, albedo, mode, distance)


def _cone(canvas, rng, light, row, col, height, albedo, mode, distance) -> None:
    """Tiers of drooping branches."""
    tall, wide = int(height * 0.90), int(height * 0.25) + 2
    top, left = int(row - height), int(col) - wide
    tiers = max(3, min(9, int(height / 9)))
    down = (np.arange(tall, dtype=np.float32) / max(1, tall))[:, None]
    tier = down * tiers
    within = tier - np.floor(tier)
    reach = np.float32(wide) * (down * 0.78 + 0.10 + 0.20 * (within - 0.5) * (down + 0.25))
    across = np.arange(2 * wide + 1, dtype=np.float32)[None, :] - wide
    leaf = window("leaf", rng, tall, 2 * wide + 1)
    mask = np.abs(across) < reach + leaf * np.float32(min(1.6, height / 40))
    lit = 0.46 + 0.30 * light.side * across / wide + 0.16 * leaf + 0.30 * (within - 0.45)
    colour = light.on(albedo, np.clip(lit, 0.0, 1.15).astype(np.float32))
    if light.winter:
        dusted = (within < 0.55) & (leaf > 0.1)
        colour = np.where(dusted[..., None], light.on((0.92, 0.94, 0.97), 0.55), colour)
    canvas.paint(top, left, mask, colour, TREE, mode, distance)


def _heap(canvas, rng, light, row, col, height, albedo, mode, distance) -> None:
    """A crown of overlapping balls, each lit from the sun's side."""
    tall, wide = int(height * 0.74), int(height * 0.38) + 2
    top, left = int(row - height), int(col) - wide
    down = np.arange(tall, dtype=np.float32)[:, None]
    across = np.arange(2 * wide + 1, dtype=np.float32)[None, :] - wide
    surface = np.full((tall, 2 * wide + 1), -9.0, np.float32)
    lit = np.zeros_like(surface)
    for index in range(7):
        angle = index * 0.9 + rng.uniform(0, 0.6)
        far = 0.0 if index == 0 else rng.uniform(0.45, 0.62)
        radius = (0.66 if index == 0 else rng.uniform(0.34, 0.46)) * wide
        dy = (down - np.float32(tall * (0.50 + 0.56 * far * np.sin(angle)))) / np.float32(
            radius * tall / (1.9 * wide)
        )
        dx = (across - np.float32(wide * far * np.cos(angle))) / np.float32(radius)
        one = 1 - dx * dx - dy * dy
        np.copyto(lit, 0.50 + np.float32(0.34 * light.side) * dx - 0.24 * dy, where=one > surface)
        np.maximum(surface, one, out=surface)
    leaf = window("leaf", rng, *surface.shape)
    mask = surface + leaf * np.float32(0.13) > 0.06
    lit = np.clip(lit + 0.20 * leaf, 0.0, 1.2)
    canvas.paint(top, left, mask, light.on(albedo, lit), TREE, mode, distance)


def _bare(canvas, rng, light, row, col, height, distance) -> None:
    """Trunk and forking branches, two pixels wide at least."""
    tall, wide = int(height) + 2, int(height * 0.46) + 3
    thin = max(2, round(1.6 * canvas.unit))

    def draw(pen: ImageDraw.ImageDraw) -> None:
        def grow(x: float, y: float, angle: float, length: float, width: float, level: int) -> None:
            x1, y1 = x + length * np.sin(angle), y - length * np.cos(angle)
            pen.line((x, y, x1, y1), fill=255, width=max(thin, round(width)))
            if level == 0:
                return
            for side in (-1, 1):
                turn = side * rng.uniform(0.32, 0.62)
                grow(x1, y1, angle + turn, length * rng.uniform(0.66, 0.80), width * 0.68, level - 1)

        levels = 4 if height > 55 * canvas.unit else 3
        grow(wide, tall - 1, rng.uniform(-0.06, 0.06), height * 0.32, max(thin, height * 0.075), levels)

    mask = drawn(tall, 2 * wide, draw) > 0
    across = (np.arange(2 * wide, dtype=np.float32)[None, :] - wide) / wide
    lit = np.clip(0.45 + 0.35 * light.side * across + 0.12 * window("fine", rng, *mask.shape), 0, 1)
    canvas.paint(int(row) - tall + 1, int(col) - wide, mask, light.on(_BARK, lit), TREE, 3, distance)
