"""Fences, poles, people and boats: the small and the thin."""

from __future__ import annotations

import numpy as np
from PIL import ImageDraw

from engine.data.canvas import Canvas, Light, drawn
from engine.data.categories import BOAT, FENCE, PERSON, POLE
from engine.data.textures import window

Rng = np.random.Generator

_WOOD = (0.46, 0.36, 0.27)
_CLOTH = (
    (0.72, 0.20, 0.18),
    (0.20, 0.30, 0.55),
    (0.86, 0.72, 0.28),
    (0.26, 0.44, 0.30),
    (0.90, 0.90, 0.88),
    (0.24, 0.22, 0.26),
)
_SKIN = ((0.90, 0.70, 0.56), (0.62, 0.44, 0.32), (0.42, 0.29, 0.22))


def _fill(parts: np.ndarray, colours: dict[int, np.ndarray]) -> np.ndarray:
    table = np.zeros((256, 3), np.float32)
    for part, colour in colours.items():
        table[part] = colour
    return table[parts]


def paint_fence(
    canvas: Canvas, rng: Rng, light: Light, start: tuple[float, float], end: tuple[float, float], mode: int
) -> None:
    """A fence along the ground from (row, col) to (row, col), higher where it is nearer."""
    (row0, col0), (row1, _) = (start, end) if start[1] <= end[1] else (end, start)
    unit, length = canvas.unit, max(4.0, abs(end[1] - start[1]))
    steps = np.arange(int(length) + 1)
    share = steps / length
    foot = row0 + (row1 - row0) * share
    near = (foot - canvas.horizon) / (canvas.size - canvas.horizon)
    high = unit * ((26, 22, 28)[mode] * near + 5)
    top, bottom = int((foot - high).min()) - 2, int(foot.max()) + 2
    rows = np.arange(top, bottom, dtype=np.float32)[:, None]
    level = (foot[None, :] - rows) / high[None, :]
    # Walking along the fence in steps of its own height keeps posts evenly spaced in the world.
    along = np.cumsum(1 / high)[None, :]
    fine = window("fine", rng, *level.shape)
    if mode == 1:
        mask = (level > 0) & (level < 0.92 + 0.10 * window("leaf", rng, *level.shape))
        course = np.floor(level * 4)
        block = np.floor(along * 1.6 + course * 0.5)
        tone = ((block * 7 + course * 13) % 5) / 5
        edge = (level * 4 - course < 0.16) | (along * 1.6 + course * 0.5 - block < 0.09)
        lit = 0.42 + 0.26 * tone + 0.07 * fine - np.where(edge, 0.22, 0.0)
        albedo = np.array((0.60, 0.58, 0.56), np.float32)
    elif mode == 0:
        phase = along * 0.55 - np.floor(along * 0.55)
        thick = np.maximum(0.15, 2.6 * unit / high)[None, :]
        post = (phase < np.maximum(0.10, 0.55 * 2.4 * unit / high)[None, :]) & (level < 1)
        rail = (np.abs(level - 0.40) < thick * 0.62) | (np.abs(level - 0.80) < thick * 0.62)
        mask = (level > 0) & (post | rail)
        lit = 0.55 + 0.10 * fine + np.where(post, 0.14 * light.side, 0.0)
        albedo = np.array(_WOOD, np.float32)
    else:
        phase = along * 3.2 - np.floor(along * 3.2)
        point = 1 - 0.5 * np.abs(phase - 0.5)
        mask = (level > 0) & (level < point + 0.05)
        groove = (phase < 0.20) & (level < 0.75)
        lit = (
            0.60 + 0.05 * fine - np.where(groove, 0.34, 0.0) - np.where(np.abs(level - 0.7) < 0.06, 0.12, 0.0)
        )
        albedo = np.array(((0.93, 0.92, 0.90), (0.62, 0.48, 0.36))[int(rng.integers(0, 2))], np.float32)
    colour = light.on(albedo, np.clip(lit, 0.02, 1.2).astype(np.float32))
    distance = np.broadcast_to((1 / (near + 0.09) - 0.9).astype(np.float32)[None, :], mask.shape)
    canvas.paint(top, int(col0), mask, colour, FENCE, mode, distance)


def paint_pole(
    canvas: Canvas, rng: Rng, light: Light, row: float, col: float, height: float, mode: int
) -> None:
    """A telegraph pole with a cross-arm, or a street lamp (lit at dusk)."""
    width = max(3.0 * canvas.unit, height * 0.052)
    tall, wide = int(height) + 2, int(height * 0.20 + 3 * width) + 2
    side = -1 if rng.random() < 0.5 else 1

    def draw(pen: ImageDraw.ImageDraw) -> None:
        pen.rectangle((wide - width / 2, 2, wide + width / 2, tall), fill=1)
        if mode == 0:
            for share, reach in ((0.10, 0.17), (0.20, 0.12)):
                y = tall * share
                pen.rectangle(
                    (wide - height * reach, y, wide + height * reach, y + max(2.0, width * 0.75) - 1), fill=1
                )
        else:
            arm = height * 0.15
            pen.rectangle(
                (min(wide, wide + side * arm), 1, max(wide, wide + side * arm), 1 + width * 0.75), fill=1
            )
            x, reach = wide + side * arm, max(2.5, height * 0.05)
            pen.rectangle((x - reach, 1, x + reach, 2 + reach * 1.1), fill=2)

    parts = drawn(tall, 2 * wide, draw)
    wood, metal = np.array(_WOOD, np.float32), np.array((0.34, 0.36, 0.38), np.float32)
    across = (np.arange(2 * wide, dtype=np.float32)[None, :] - wide) / max(1.0, width)
    lit = np.clip(0.45 + 0.5 * light.side * across, 0.1, 1.0) + np.zeros(parts.shape, np.float32)
    colour = light.on(wood if mode == 0 else metal, lit)
    lamp = np.array((1.0, 0.86, 0.52), np.float32) if light.period == 3 else light.on((0.75, 0.75, 0.72), 0.5)
    colour = np.where((parts == 2)[..., None], lamp, colour)
    canvas.shadow(row, col - light.side * height * 0.10, height * 0.16, max(2.0, width * 0.8), 0.30)
    distance = canvas.distance_of(canvas.nearness(row))
    canvas.paint(int(row) - tall + 1, int(col) - wide, parts > 0, colour, POLE, mode, distance)


def paint_person(
    canvas: Canvas, rng: Rng, light: Light, row: float, col: float, height: float, mode: int
) -> None:
    """Someone in summer clothes (bare arms and legs) or in a winter coat and hat."""
    tall, half = int(height) + 1, height * 0.20
    wide = int(half * 2) + 3
    stride = rng.uniform(0.3, 1.0) * height * 0.08
    head = height * 0.085
    middle = wide / 2

    def draw(pen: ImageDraw.ImageDraw) -> None:
        leg = max(2, round(height * 0.10))
        hip = tall * 0.55
        pen.line((middle - leg * 0.4, hip, middle - leg * 0.4 - stride, tall), fill=3, width=leg)
        pen.line((middle + leg * 0.4, hip, middle + leg * 0.4 + stride, tall), fill=3, width=leg)
        arm, reach = max(2, round(height * 0.07)), height * 0.14
        pen.line((middle - height * 0.08, tall * 0.24, middle - reach, tall * 0.52), fill=4, width=arm)
        pen.line((middle + height * 0.08, tall * 0.24, middle + reach, tall * 0.52), fill=4, width=arm)
        flare = height * (0.105 if mode == 0 else 0.135)
        base = tall * (0.58 if mode == 0 else 0.70)
        pen.polygon(
            [
                (middle - height * 0.10, tall * 0.19),
                (middle + height * 0.10, tall * 0.19),
                (middle + flare, base),
                (middle - flare, base),
            ],
            fill=2,
        )
        pen.ellipse((middle - head, 0, middle + head, head * 2.1), fill=1)
        if mode == 1:
            pen.pieslice((middle - head * 1.1, 0, middle + head * 1.1, head * 2), 180, 360, fill=5)
        else:
            pen.pieslice((middle - head, 0, middle + head, head * 1.7), 180, 360, fill=6)

    parts = drawn(tall, wide, draw)
    cloth = np.array(_CLOTH, np.float32)
    shirt, trousers, hat = (cloth[int(rng.integers(0, len(cloth)))] for _ in range(3))
    skin = np.array(_SKIN[int(rng.integers(0, 3))], np.float32)
    hair = np.array((0.22, 0.16, 0.12), np.float32)
    limbs = (skin, skin) if mode == 0 else (trousers * np.float32(0.5), shirt * np.float32(0.85))
    albedo = _fill(parts, {1: skin, 2: shirt, 3: limbs[0], 4: limbs[1], 5: hat, 6: hair})
    across = (np.arange(wide, dtype=np.float32)[None, :] - np.float32(middle)) / np.float32(half)
    lit = np.clip(0.55 + 0.40 * light.side * across, 0.1, 1.0) + np.zeros(parts.shape, np.float32)
    canvas.shadow(row, col - light.side * height * 0.25, height * 0.34, max(2.0, height * 0.06), 0.45)
    distance = canvas.distance_of(canvas.nearness(row))
    canvas.paint(
        int(row) - tall + 1, int(col - middle), parts > 0, light.on(albedo, lit), PERSON, mode, distance
    )


def paint_boat(
    canvas: Canvas, rng: Rng, light: Light, row: float, col: float, length: float, mode: int
) -> None:
    """A sailing boat or a rowing boat with someone's bench in it."""
    hull = length * (0.17 if mode == 0 else 0.24)
    mast = length * (1.05 if mode == 0 else 0.0)
    tall, wide = int(hull + mast) + 3, int(length) + 3
    base = tall - 1
    lean = rng.uniform(0.42, 0.56)

    def draw(pen: ImageDraw.ImageDraw) -> None:
        deck = base - hull
        pen.polygon(
            [(0, deck), (length, deck - hull * 0.15), (length * 0.86, base), (length * 0.14, base)], fill=1
        )
        pen.line((0, deck, length, deck - hull * 0.15), fill=2, width=max(1, int(hull * 0.3)))
        if mode == 0:
            x = length * lean
            thin = max(2, round(length * 0.04))
            pen.line((x, deck, x, 1), fill=3, width=thin)
            pen.polygon(
                [(x + thin, 2), (x + thin, deck - hull * 0.5), (length * 0.96, deck - hull * 0.6)], fill=4
            )
            pen.polygon(
                [(x - thin, mast * 0.16), (x - thin, deck - hull * 0.5), (length * 0.06, deck - hull * 0.5)],
                fill=5,
            )
        else:
            pen.line(
                (length * 0.30, deck - hull * 0.2, length * 0.12, base),
                fill=2,
                width=max(2, int(length * 0.04)),
            )
            pen.rectangle((length * 0.44, deck - hull * 0.45, length * 0.60, deck), fill=3)

    parts = drawn(tall, wide, draw)
    if rng.random() < 0.5:
        parts = parts[:, ::-1]
    cloth = np.array(_CLOTH, np.float32)
    paint, sail = cloth[int(rng.integers(0, len(cloth)))], np.array((0.95, 0.94, 0.90), np.float32)
    other = cloth[int(rng.integers(0, len(cloth)))] if rng.random() < 0.4 else sail * np.float32(0.86)
    wood = np.array(_WOOD, np.float32)
    if mode == 1 and rng.random() < 0.6:
        paint = wood
    albedo = _fill(parts, {1: paint, 2: sail * np.float32(0.9), 3: wood, 4: sail, 5: other})
    down = np.arange(tall, dtype=np.float32)[:, None] / tall
    lit = np.clip(0.78 - 0.25 * down + 0.04 * window("fine", rng, tall, wide), 0.1, 1.1)
    canvas.shadow(row + 1, col, length * 0.60, max(2.0, length * 0.10), 0.45)
    distance = canvas.distance_of(canvas.nearness(row))
    canvas.paint(
        int(row) - base,
        int(col - length / 2),
        parts > 0,
        light.on(albedo, lit.astype(np.float32)),
        BOAT,
        mode,
        distance,
    )
