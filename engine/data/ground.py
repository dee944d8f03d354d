"""The ground plane in perspective: grass, snow and sand, then lake, river or coast, then the road."""

from __future__ import annotations

import numpy as np

from engine.data.canvas import Canvas, Light
from engine.data.categories import GRASS, ROAD, SAND, SNOW, WATER
from engine.data.landscape import GREEN
from engine.data.textures import Kind, lookup, ridge, window

Rng = np.random.Generator

_SAND = np.array(((0.86, 0.80, 0.68), (0.86, 0.68, 0.42)), np.float32)
_ROAD = np.array(((0.42, 0.43, 0.46), (0.68, 0.54, 0.40), (0.56, 0.54, 0.53)), np.float32)
_BLOSSOM = np.array(((0.95, 0.90, 0.45), (0.92, 0.92, 0.95), (0.85, 0.40, 0.50)), np.float32)


class Ground:
    """Ground coordinates of every pixel from the horizon down, all (h, w): world column, depth and nearness."""

    def __init__(self, canvas: Canvas, rng: Rng) -> None:
        self.top = canvas.horizon
        self.near = (canvas.rows[self.top :] - np.float32(self.top) + 1) / np.float32(canvas.size - self.top)
        scale = np.float32(150) / (self.near + np.float32(0.20))
        self.depth = np.broadcast_to(
            np.floor(scale * 1.8 + float(rng.integers(0, 512))).astype(np.int64),
            (self.near.shape[0], canvas.size),
        )
        across = (canvas.cols - np.float32(canvas.size / 2)) / np.float32(canvas.size)
        self.across = np.floor(across * scale * np.float32(1.9) + float(rng.integers(512, 1024))).astype(
            np.int64
        )
        self.shift = rng.integers(0, 512, 2)
        self.distance = np.broadcast_to(
            1 / (self.near + np.float32(0.09)) - np.float32(0.9), self.across.shape
        )

    def noise(self, kind: Kind) -> np.ndarray:
        return lookup(kind, self.depth, self.across)

    def patch(self) -> np.ndarray:
        """Smooth large shapes, calmer toward the horizon where perspective would shred them."""
        shape = lookup("patch", self.depth + int(self.shift[0]), self.across + int(self.shift[1]))
        self.shift = self.shift + 171
        return shape * np.minimum(1, self.near * 2 + np.float32(0.1))


def paint_ground(canvas: Canvas, rng: Rng, light: Light) -> Ground:
    """Grass of one or two modes, and large patches of snow or sand."""
    ground = Ground(canvas, rng)
    top = ground.top
    shape = ground.across.shape
    first, second = (int(v) for v in rng.choice(3, 2, replace=False))
    meadow = ground.patch() + np.float32(rng.uniform(-0.6, 1.2)) > 0
    modes = np.where(meadow, np.uint8(first), np.uint8(second))
    lit = 0.55 + np.float32(0.13) * ground.noise("leaf") + np.float32(0.07) * ground.noise("patch")
    lit = lit + 0.06 * window("fine", rng, *shape)
    albedo = np.where(meadow[..., None], GREEN[first], GREEN[second]) * (
        1 + rng.uniform(-0.12, 0.12, 3)
    ).astype(np.float32)
    colour = albedo * (lit[..., None] * light.sun + light.ambient)
    flowers = (modes == 2) & (ground.noise("leaf") > 1.35)
    colour = np.where(flowers[..., None], light.on(_BLOSSOM[int(rng.integers(0, 3))], 0.7), colour)
    canvas.paint(top, 0, np.ones(shape, bool), colour, GRASS, modes, ground.distance)
    if light.winter or rng.random() < 0.16:
        threshold = float(rng.uniform(-1.2, -0.2)) if light.winter else 0.8
        patch = ground.patch() > np.float32(threshold)
        mode = int(rng.integers(0, 2))
        drift = np.clip(0.58 + 0.12 * ground.noise("ground") + 0.07 * window("fine", rng, *shape), 0.1, 1.1)
        white = light.on((0.97, 0.985, 1.0), drift.astype(np.float32))
        if mode:
            white = (
                white * np.where(ground.noise("leaf") > 1.2, np.float32(0.70), np.float32(0.95))[..., None]
            )
        canvas.paint(top, 0, patch, white, SNOW, mode, ground.distance)
    if rng.random() < 0.34:
        patch = ground.patch() < np.float32(rng.uniform(-0.9, -0.4))
        _sand(canvas, rng, light, ground, patch)
    return ground


def _sand(canvas: Canvas, rng: Rng, light: Light, ground: Ground, mask: np.ndarray) -> None:
    mode = int(rng.integers(0, 2))
    lit = 0.60 + 0.10 * ground.noise("ground") + 0.07 * window("fine", rng, *mask.shape)
    canvas.paint(
        ground.top, 0, mask, light.on(_SAND[mode], lit.astype(np.float32)), SAND, mode, ground.distance
    )


def _winding(canvas: Canvas, rng: Rng, ground: Ground, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Centre and half width per ground row, (h, 1) each: a winding band that narrows to the horizon."""
    near = ground.near
    start, end = rng.uniform(0.25, 0.75), rng.uniform(0.05, 0.95)
    bends = ridge(rng, near.shape[0], 2, 0.4)[:, None]
    squeeze = np.sqrt(near)
    centre = canvas.size * (start + (end - start) * squeeze + 0.22 * bends * squeeze * (1.1 - near))
    return centre.astype(np.float32), (canvas.size * width * (near + np.float32(0.05))).astype(np.float32)


def paint_water(canvas: Canvas, rng: Rng, light: Light, ground: Ground) -> None:
    """River, lake or coast, often with a sandy bank; calm water mirrors what stands above the horizon."""
    kind = int(rng.choice(3, p=(0.34, 0.36, 0.30)))
    near, wobble = ground.near, ground.patch()
    if kind == 0:
        centre, half = _winding(canvas, rng, ground, float(rng.uniform(0.15, 0.24)))
        field = 1 - np.abs(canvas.cols - centre) / half + 0.06 * wobble
    elif kind == 1:
        row, high = float(rng.uniform(0.22, 0.55)), float(rng.uniform(0.14, 0.22))
        col, wide = float(rng.uniform(0.15, 0.85)), float(rng.uniform(0.34, 0.60))
        dy = (near - np.float32(row)) / np.float32(high)
        dx = (canvas.cols / np.float32(canvas.size) - np.float32(col)) / np.float32(wide)
        field = 1 - dx * dx - dy * dy + 0.10 * wobble
    else:
        shore = float(rng.uniform(0.28, 0.55)) + ridge(rng, canvas.size, 3, 0.45)[None, :] * 0.08
        tilt = float(rng.uniform(-0.16, 0.16)) * (canvas.cols / np.float32(canvas.size) - 0.5)
        field = (shore + tilt - near).astype(np.float32) * 3 + 0.03 * wobble
    if rng.random() < 0.75:
        bank = (0.30, 0.45, 0.75)[kind] * float(rng.uniform(0.6, 1.2))
        _sand(canvas, rng, light, ground, field > np.float32(-bank))
    mode = int(rng.integers(0, 2))
    rows = 2 * ground.top - np.arange(ground.top, canvas.size)
    rows = np.clip(rows, 0, ground.top - 1)
    mirror = canvas.colour[rows]
    ripple = window("streak", rng, *field.shape) * (0.35 + 0.65 * near)
    deep = light.on((0.24, 0.40, 0.50), 0.5)
    share = np.clip(
        (0.72, 0.50)[mode] - 0.35 * near + np.float32(0.06) * ripple,
        0,
        1,
    )[..., None]
    colour = deep + (mirror * np.float32(0.94) - deep) * share
    colour = colour * (1 + ripple * np.float32((0.025, 0.13)[mode]))[..., None]
    if mode:
        glint = np.clip(ripple - 0.9, 0, 1) * np.float32(0.45)
        colour = colour + (light.sky_low - colour) * glint[..., None]
    canvas.paint(ground.top, 0, field > 0, colour, WATER, mode, np.minimum(ground.distance, 4.0))


def paint_road(canvas: Canvas, rng: Rng, light: Light, ground: Ground) -> tuple[np.ndarray, np.ndarray]:
    """A winding road; returns its centre and half width per ground row, (h,) each, for what stands beside it."""
    mode = int(rng.integers(0, 3))
    centre, half = _winding(canvas, rng, ground, float(rng.uniform(0.10, 0.19)))
    offset = (canvas.cols - centre) / half
    mask = np.abs(offset) + np.float32((0.010, 0.03, 0.018)[mode]) * ground.noise("leaf") < 1
    lit = 0.55 + 0.07 * ground.noise("fine") + 0.05 * window("fine", rng, *mask.shape)
    if mode == 2:
        stones = (ground.depth // 7 + ground.across // 9) & 1
        lit = lit + np.where(stones > 0, np.float32(0.10), np.float32(-0.12)) * np.clip(
            ground.near * 2, 0.2, 1
        )
    colour = light.on(_ROAD[mode] * np.float32(rng.uniform(0.85, 1.15)), lit.astype(np.float32))
    if mode == 0:
        dash = (np.abs(offset) < 0.06) & ((ground.depth // 26) & 1 > 0)
        rim = (np.abs(offset) > 0.84) & (np.abs(offset) < 0.92)
        colour = np.where((dash | rim)[..., None], light.on((0.92, 0.90, 0.82), 0.6), colour)
    elif mode == 1:
        rut = np.abs(np.abs(offset) - 0.45) < 0.13
        colour = colour * np.where(rut, np.float32(0.84), np.float32(1.0))[..., None]
    canvas.paint(ground.top, 0, mask, colour, ROAD, mode, ground.distance)
    return centre[:, 0], half[:, 0]
