"""Houses of brick, plaster or timber."""

from __future__ import annotations

import numpy as np
from PIL import ImageDraw

from engine.data.canvas import Canvas, Light, drawn
from engine.data.categories import HOUSE
from engine.data.textures import window

Rng = np.random.Generator

_WALL = (
    ((0.66, 0.34, 0.26), (0.58, 0.40, 0.32)),
    ((0.93, 0.90, 0.83), (0.90, 0.80, 0.62), (0.80, 0.84, 0.86)),
    ((0.50, 0.37, 0.26), (0.62, 0.48, 0.34)),
)
_ROOF = ((0.56, 0.30, 0.22), (0.38, 0.38, 0.42), (0.46, 0.36, 0.28), (0.62, 0.54, 0.34))
# Parts, as fills of the drawing.
_FRONT, _SIDE, _TOP, _GABLE, _PANE, _DOOR, _STACK, _FRAME = 1, 2, 3, 4, 5, 6, 7, 8


def paint_house(
    canvas: Canvas, rng: Rng, light: Light, row: float, col: float, width: float, mode: int
) -> None:
    """A house whose front's foot is at `row`; `width` pixels of front and side together."""
    front = width * rng.uniform(0.50, 0.62)
    side = width - front
    wall, roof = width * rng.uniform(0.34, 0.46), width * rng.uniform(0.24, 0.34)
    tall, wide = int(wall + roof + width * 0.10) + 3, int(width * 1.12) + 4
    pad, base = width * 0.05 + 1, tall - 1
    flip = rng.random() < 0.5
    columns = max(1, int(front / max(9.0, width * 0.17)))
    stack = rng.random() < 0.7

    def draw(pen: ImageDraw.ImageDraw) -> None:
        eave, ridge = base - wall, base - wall - roof
        x0, x1, x2 = pad, pad + front, pad + width
        lift = width * 0.035
        if stack:
            pen.rectangle(
                (x1 + side * 0.35, ridge - width * 0.07, x1 + side * 0.35 + width * 0.09, ridge + roof * 0.6),
                fill=_STACK,
            )
        pen.polygon([(x1, base), (x2, base - lift), (x2, eave), (x1, eave)], fill=_SIDE)
        pen.rectangle((x0, eave, x1, base), fill=_FRONT)
        pen.polygon([(x0, eave), (x1, eave), ((x0 + x1) / 2, ridge)], fill=_GABLE)
        pen.polygon(
            [
                ((x0 + x1) / 2, ridge),
                ((x0 + x1) / 2 + side, ridge + lift),
                (x2 + pad * 0.7, eave + lift),
                (x1 - 1, eave + lift),
            ],
            fill=_TOP,
        )
        pen.line(
            [(x0 - pad * 0.6, eave + 1), ((x0 + x1) / 2, ridge), (x1, eave + 1)],
            fill=_TOP,
            width=max(2, int(width * 0.05)),
        )
        pane, gap = front / columns * 0.42, front / columns
        door = int(columns // 2)
        for index in range(columns):
            left = x0 + gap * (index + 0.5) - pane / 2
            if index == door:
                pen.rectangle((left, base - wall * 0.62, left + pane, base), fill=_DOOR)
            else:
                pen.rectangle(
                    (left - 1, eave + wall * 0.22, left + pane + 1, eave + wall * 0.22 + pane * 1.2),
                    fill=_FRAME,
                )
                pen.rectangle(
                    (left, eave + wall * 0.25, left + pane, eave + wall * 0.22 + pane * 1.1), fill=_PANE
                )
        for index in range(2 if side > front * 0.6 else 1):
            left = x1 + side * (0.22 + 0.42 * index)
            pen.rectangle(
                (left, eave + wall * 0.24, left + side * 0.2, eave + wall * 0.22 + pane * 1.1), fill=_PANE
            )

    parts = drawn(tall, wide, draw)
    if flip:
        parts = parts[:, ::-1]
    walls = np.array(_WALL[mode][int(rng.integers(0, len(_WALL[mode])))], np.float32)
    tiles = np.array(_ROOF[int(rng.integers(0, len(_ROOF)))], np.float32)
    if light.winter and rng.random() < 0.6:
        tiles = np.array((0.93, 0.95, 0.98), np.float32)
    fine = window("fine", rng, tall, wide)
    rows, cols = np.arange(tall)[:, None], np.arange(wide)[None, :]
    grain = 0.05 * fine
    if mode == 0:
        course = max(3, round(width * 0.045))
        joint = (rows % course == 0) | ((cols + (rows // course) % 2 * course) % (2 * course) == 0)
        grain = grain + np.where(joint, 0.16, -0.02 + 0.04 * fine)
    elif mode == 2:
        plank = max(3, round(width * 0.055))
        grain = grain + np.where(cols % plank == 0, -0.22, 0.0) + 0.05 * window("streak", rng, wide, tall).T
    sunny = light.side * (-1 if flip else 1)
    facing = np.select(
        [np.isin(parts, (_FRONT, _GABLE)), parts == _SIDE, parts == _TOP],
        [0.62 - 0.28 * sunny, 0.52 + 0.38 * sunny, 0.70 + 0.16 * sunny],
        0.5,
    )
    albedo = np.zeros((tall, wide, 3), np.float32)
    albedo[:] = walls
    albedo[parts == _TOP] = tiles
    albedo[parts == _STACK] = walls * np.float32(0.8)
    albedo[parts == _DOOR] = (0.34, 0.24, 0.20)
    albedo[parts == _FRAME] = (0.92, 0.91, 0.88)
    seams = np.where(rows % max(3, int(width * 0.05)) == 0, -0.14, 0.03) + 0.05 * fine
    lit = facing + np.where(parts == _TOP, seams, grain)
    colour = light.on(albedo, np.clip(lit, 0.05, 1.2).astype(np.float32))
    glow = light.period == 3 or (light.period == 1 and rng.random() < 0.5)
    pane = np.array((0.98, 0.80, 0.42), np.float32) if glow else light.sky_top * np.float32(0.55)
    colour[parts == _PANE] = pane
    left = int(col - width / 2 - pad)
    canvas.shadow(
        row,
        col - light.side * width * 0.35,
        width * 0.75,
        max(2.0, width * 0.13),
        0.40 if light.period != 2 else 0.22,
    )
    canvas.paint(
        int(row) - base, left, parts > 0, colour, HOUSE, mode, canvas.distance_of(canvas.nearness(row))
    )
