"""Sky, clouds, mountains and the far tree line: everything above the ground plane."""

from __future__ import annotations

import numpy as np

from engine.data.canvas import Canvas, Light
from engine.data.categories import CLOUD, GRASS, MOUNTAIN, SKY, SNOW, TREE
from engine.data.textures import ridge, window

Rng = np.random.Generator


def _rgb(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def make_light(rng: Rng) -> Light:
    """Time of day, sun side and haze; the sky's mode is the period: day, sunset, overcast, dusk."""
    period = int(rng.choice(4, p=(0.36, 0.22, 0.24, 0.18)))
    side = float(rng.uniform(0.35, 1.0) * rng.choice((-1.0, 1.0)))
    sun, ambient, top, low, haze = (
        ((0.66, 0.63, 0.55), (0.36, 0.39, 0.45), (0.28, 0.50, 0.82), (0.74, 0.86, 0.95), (0.74, 0.83, 0.92)),
        ((0.74, 0.46, 0.28), (0.36, 0.34, 0.42), (0.36, 0.40, 0.62), (0.99, 0.71, 0.48), (0.90, 0.68, 0.56)),
        ((0.22, 0.22, 0.22), (0.66, 0.67, 0.70), (0.50, 0.55, 0.62), (0.68, 0.71, 0.75), (0.66, 0.69, 0.75)),
        ((0.20, 0.20, 0.28), (0.40, 0.43, 0.57), (0.20, 0.23, 0.42), (0.66, 0.52, 0.62), (0.46, 0.46, 0.60)),
    )[period]
    tint = 1 + rng.uniform(-0.08, 0.08, 3)
    return Light(
        period,
        side,
        _rgb(*sun),
        _rgb(*ambient),
        (_rgb(*top) * tint).astype(np.float32),
        (_rgb(*low) * (1 + rng.uniform(-0.07, 0.05, 3))).astype(np.float32),
        _rgb(*haze),
        float(rng.uniform(0.04, 0.11)),
        bool(rng.random() < 0.30),
    )


def paint_sky(canvas: Canvas, rng: Rng, light: Light) -> None:
    size = canvas.size
    height = np.clip(canvas.rows / max(1, canvas.horizon), 0, 1)
    blend = height * height * np.float32(0.6) + height * np.float32(0.4)
    canvas.colour[:] = light.sky_top * (1 - blend)[..., None] + light.sky_low * blend[..., None]
    canvas.labels[:] = SKY
    canvas.modes[:] = light.period
    canvas.distance[:] = 0
    if light.period != 2:
        col = size * (0.5 + 0.42 * light.side)
        row = canvas.horizon * float(rng.uniform(0.25, 0.75) if light.period == 0 else rng.uniform(0.6, 0.95))
        squared = ((canvas.cols - np.float32(col)) ** 2 + (canvas.rows - np.float32(row)) ** 2) / np.float32(
            size * size
        )
        strength = (0.012, 0.016, 0.0, 0.006)[light.period]
        glow = np.minimum(np.float32(strength) / (squared + np.float32(0.010)), 1) * np.float32(0.7)
        if light.period != 3:
            glow += np.clip(np.float32(1.6) - squared * np.float32(1 / 0.00055), 0, 0.5)
        bright = _rgb(1.0, 0.97, 0.86) if light.period == 0 else _rgb(1.0, 0.82, 0.58)
        canvas.colour += (bright - canvas.colour) * np.minimum(glow, 1)[..., None]


def paint_clouds(canvas: Canvas, rng: Rng, light: Light) -> None:
    """Cumulus heaps, thin streaks or dark storm banks; white ones share their colour and texture with snow."""
    mode = int(
        rng.choice(
            3, p=((0.55, 0.3, 0.15), (0.4, 0.4, 0.2), (0.3, 0.2, 0.5), (0.4, 0.35, 0.25))[light.period]
        )
    )
    size, top = canvas.size, canvas.horizon + 2
    shape = np.full((top, size), -9.0, np.float32)
    body = np.zeros((top, size), np.float32)
    for _ in range(int(rng.integers(2, 5)) + 2 * (mode == 2)):
        col, row = rng.uniform(0, size), canvas.horizon * rng.uniform(0.08, 0.62)
        wide = size * rng.uniform(0.14, 0.30)
        high = wide * (rng.uniform(0.30, 0.46), rng.uniform(0.09, 0.14), rng.uniform(0.24, 0.36))[mode]
        dy = (canvas.rows[:top] - np.float32(row)) / np.float32(high)
        if mode != 1:
            dy = np.where(dy > 0, dy * np.float32(1.9), dy)
        dx = (canvas.cols - np.float32(col)) / np.float32(wide)
        one = 1 - dx * dx - dy * dy
        np.copyto(body, dy, where=one > shape)
        np.maximum(shape, one, out=shape)
    noise = window("streak" if mode == 1 else "cloud", rng, top, size)
    field = shape + noise * np.float32(0.30 if mode == 1 else 0.34) - np.float32(0.12)
    mask = field > 0
    grain = window("cloud", rng, top, size)
    lit = np.clip(0.62 - 0.32 * body + 0.13 * grain + np.float32(0.10 * light.side) * noise, 0, 1.15).astype(
        np.float32
    )
    albedo = ((1.0, 1.0, 1.0), (0.98, 0.98, 1.0), (0.60, 0.62, 0.68))[mode]
    colour = light.on(albedo, lit)
    edge = np.clip(field * 3.0 + 0.45, 0, 1)[..., None]
    colour = canvas.colour[:top] + (colour - canvas.colour[:top]) * edge
    canvas.paint(0, 0, mask, colour, CLOUD, mode, 0.0)


GREEN = np.array(((0.36, 0.52, 0.22), (0.67, 0.58, 0.32), (0.42, 0.56, 0.26)), np.float32)
_STONE = ((0.52, 0.52, 0.56), (0.72, 0.54, 0.40), (0.26, 0.38, 0.28))


def paint_mountains(canvas: Canvas, rng: Rng, light: Light, snowy: bool) -> None:
    """One to three ranges, far to near, with snow caps above a ragged line."""
    size = canvas.size
    first = int(rng.integers(0, 3))
    ranges = int(rng.integers(1, 4))
    for index in range(ranges):
        closeness = (index + 1) / ranges
        mode = first if rng.random() < 0.5 else int(rng.integers(0, 3))
        height = canvas.horizon * float(rng.uniform(0.50, 0.80)) * (1.15 - 0.62 * closeness)
        line = ridge(rng, size, 6, 0.52) * 0.5 + 0.62
        bump = np.arange(size) / size - rng.uniform(0.1, 0.9)
        line = line * (1.12 - 1.3 * bump * bump)
        crest = (canvas.horizon - np.clip(line, 0.08, 1.2) * height).astype(np.float32)
        top = max(0, int(crest.min()))
        rows = canvas.rows[top : canvas.horizon + 1]
        mask = rows >= crest[None, :]
        down = (rows - crest[None, :]) / np.float32(height)
        rock = window("rock", rng, *mask.shape)
        grain = window("leaf" if mode == 2 else "fine", rng, *mask.shape)
        # The rock noise acts as relief: its horizontal slope, seen from the sun's side, is the shading.
        slope = np.empty_like(rock)
        slope[:, 1:] = rock[:, 1:] - rock[:, :-1]
        slope[:, 0] = 0
        lit = np.clip(
            0.62 + np.float32(0.9 * light.side) * slope + 0.10 * grain - 0.10 * rock, 0.05, 1.2
        ).astype(np.float32)
        distance = 9.5 - 4.5 * closeness
        canvas.paint(top, 0, mask, light.on(_STONE[mode], lit), MOUNTAIN, mode, distance)
        if snowy:
            cap = (
                down
                + 0.10 * window("patch", rng, *mask.shape)
                + rock * np.float32(0.03)
                - np.float32(rng.uniform(0.20, 0.52))
            )
            snow_mode = int(rng.integers(0, 2))
            white = light.on(
                (0.98, 0.99, 1.0),
                np.clip(0.60 + np.float32(0.55 * light.side) * slope + 0.08 * grain, 0.1, 1.1),
            )
            if snow_mode:
                white = white * np.where(grain > 1.1, np.float32(0.72), np.float32(0.96))[..., None]
            canvas.paint(top, 0, mask & (cap < 0), white, SNOW, snow_mode, distance)


def paint_hills(canvas: Canvas, rng: Rng, light: Light) -> None:
    """One or two rolling hills in front of the mountains: grass, or snow in winter."""
    size = canvas.size
    for index in range(int(rng.integers(1, 3))):
        height = canvas.horizon * float(rng.uniform(0.10, 0.24)) * (1 - 0.4 * index)
        line = ridge(rng, size, 2, 0.35) * 0.55 + rng.uniform(0.25, 0.7)
        crest = (canvas.horizon - np.clip(line, -0.2, 1.2) * height).astype(np.float32)
        top = max(0, int(crest.min()))
        rows = canvas.rows[top : canvas.horizon + 2]
        mask = rows >= crest[None, :]
        slope = np.gradient(
            np.convolve(np.pad(crest.astype(np.float64), 4, mode="edge"), np.ones(9) / 9, "valid")
        )
        lit = 0.58 - 0.9 * light.side * slope[None, :] + 0.07 * window("leaf", rng, *mask.shape)
        lit = np.clip(lit, 0.2, 1.0).astype(np.float32)
        distance = 5.0 - 1.2 * index
        if light.winter and rng.random() < 0.7:
            canvas.paint(top, 0, mask, light.on((0.97, 0.985, 1.0), lit), SNOW, 0, distance)
        else:
            mode = int(rng.integers(0, 3))
            canvas.paint(top, 0, mask, light.on(GREEN[mode], lit), GRASS, mode, distance)


def paint_far_trees(canvas: Canvas, rng: Rng, light: Light) -> None:
    """A wood along the horizon, of one or two kinds of trees."""
    size, unit = canvas.size, canvas.unit
    kinds = rng.choice(3, 2, p=(0.5, 0.3, 0.2))
    tall = unit * float(rng.uniform(7, 15))
    line = (ridge(rng, size, 3, 0.6) * 0.5 + 0.75) * tall
    phase = np.arange(size) / (unit * rng.uniform(4.5, 7.0))
    teeth = np.abs(phase - np.floor(phase) - 0.5) * 2
    split = np.arange(size) > size * rng.uniform(0.25, 0.75)
    conifer = np.where(split, kinds[1], kinds[0]) == 0
    line = line * np.where(conifer, 0.72 + 0.5 * teeth, 0.90 + 0.20 * teeth * teeth)
    gap = ridge(rng, size, 3, 0.6) + rng.uniform(0.0, 0.8)
    crest = (canvas.horizon + 1 - line * np.clip(gap * 5, 0, 1)).astype(np.float32)
    top = max(0, int(crest.min()))
    rows = canvas.rows[top : canvas.horizon + 2]
    mask = (rows >= crest[None, :]) & (gap > 0)[None, :]
    leaf = window("leaf", rng, *mask.shape)
    albedo = np.array(((0.16, 0.27, 0.20), (0.28, 0.40, 0.18), (0.62, 0.36, 0.14)), np.float32)
    modes = np.broadcast_to(np.where(split, kinds[1], kinds[0]).astype(np.uint8)[None, :], mask.shape)
    base = albedo[np.where(split, kinds[1], kinds[0])][None, :, :]
    lit = np.clip(0.5 + 0.16 * leaf, 0, 1)[..., None]
    colour = base * (lit * light.sun + light.ambient)
    canvas.paint(top, 0, mask, colour, TREE, modes, 4.0)
