"""Where things stand: chosen on the finished ground, then painted from far to near so that near ones occlude."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine.data.buildings import paint_house
from engine.data.canvas import Canvas, Light
from engine.data.categories import GRASS, ROAD, SAND, SNOW, WATER
from engine.data.things import paint_boat, paint_fence, paint_person, paint_pole
from engine.data.trees import paint_tree

Rng = np.random.Generator
LAND = (GRASS, SNOW, SAND)


@dataclass(frozen=True)
class _Item:
    row: float
    left: float
    right: float
    top: float
    paint: Callable[[], None]
    guarded: bool = True


class _Plan:
    def __init__(self, canvas: Canvas, rng: Rng) -> None:
        self.canvas, self.rng, self.items = canvas, rng, []

    def spot(
        self, allowed: tuple[int, ...], low: float, high: float, tries: int = 14
    ) -> tuple[float, float, float] | None:
        """A random (row, col, nearness) whose ground is one of `allowed`."""
        canvas, rng = self.canvas, self.rng
        for _ in range(tries):
            near = float(rng.uniform(low, high))
            row, col = canvas.row_of(near), float(rng.uniform(0.04, 0.96)) * canvas.size
            y, x = min(canvas.size - 1, int(row)), int(col)
            if canvas.labels[y, x] in allowed:
                return row, col, near
        return None

    def covers(self, item: _Item) -> bool:
        """Whether `item` and something already planned hide one another by more than a third of the smaller."""
        for other in self.items:
            if not (other.guarded or item.guarded):
                continue
            back = other if other.row < item.row else item
            if not back.guarded:
                continue
            wide = min(item.right, other.right) - max(item.left, other.left)
            high = min(item.row, other.row) - max(item.top, other.top)
            if (
                wide > 0
                and high > 0
                and wide * high > 0.30 * (back.right - back.left) * (back.row - back.top)
            ):
                return True
        return False

    def add(
        self,
        row: float,
        left: float,
        right: float,
        top: float,
        paint: Callable[[], None],
        guarded: bool = True,
    ) -> bool:
        item = _Item(row, left, right, top, paint, guarded)
        if self.covers(item):
            return False
        self.items.append(item)
        return True


def place_things(canvas: Canvas, rng: Rng, light: Light, road: tuple[np.ndarray, np.ndarray] | None) -> None:
    plan, unit = _Plan(canvas, rng), canvas.unit
    _boats(plan, light, unit)
    _people(plan, light, unit)
    _houses(plan, light, unit)
    _poles(plan, light, unit, road)
    _fences(plan, light, unit)
    _trees(plan, light, unit)
    for item in sorted(plan.items, key=lambda one: one.row):
        item.paint()


def _boats(plan: _Plan, light: Light, unit: float) -> None:
    canvas, rng = plan.canvas, plan.rng
    for _ in range(int(rng.integers(1, 5))):
        spot = plan.spot((WATER,), 0.10, 0.85)
        if spot is None:
            continue
        row, col, near = spot
        mode = int(rng.integers(0, 2))
        length = unit * (19 + 48 * near) * rng.uniform(0.8, 1.2) * (0.8, 1.0)[mode]
        ends = [int(min(canvas.size - 1, max(0, col + side * length * 0.5))) for side in (-1, 1)]
        if any(canvas.labels[int(row), x] != WATER for x in ends):
            continue
        top = row - length * (1.2, 0.35)[mode]
        plan.add(
            row,
            col - length / 2,
            col + length / 2,
            top,
            lambda a=(row, col, length, mode): paint_boat(canvas, rng, light, *a),
        )


def _people(plan: _Plan, light: Light, unit: float) -> None:
    canvas, rng = plan.canvas, plan.rng
    for _ in range(int(rng.choice((0, 1, 2, 3, 4), p=(0.22, 0.22, 0.24, 0.20, 0.12)))):
        spot = plan.spot((ROAD, GRASS, SAND, SNOW), 0.22, 0.97)
        if spot is None:
            continue
        row, col, near = spot
        height = unit * (14 + 46 * near) * rng.uniform(0.9, 1.1)
        mode = int(rng.integers(0, 2))
        plan.add(
            row,
            col - height * 0.2,
            col + height * 0.2,
            row - height,
            lambda a=(row, col, height, mode): paint_person(canvas, rng, light, *a),
        )


def _houses(plan: _Plan, light: Light, unit: float) -> None:
    canvas, rng = plan.canvas, plan.rng
    for _ in range(int(rng.choice((0, 1, 2, 3), p=(0.18, 0.36, 0.30, 0.16)))):
        spot = plan.spot((GRASS, SNOW), 0.05, 0.62)
        if spot is None:
            continue
        row, col, near = spot
        width = unit * (24 + 110 * near) * rng.uniform(0.85, 1.2)
        mode = int(rng.integers(0, 3))
        plan.add(
            row,
            col - width / 2,
            col + width / 2,
            row - width * 0.75,
            lambda a=(row, col, width, mode): paint_house(canvas, rng, light, *a),
        )


def _poles(plan: _Plan, light: Light, unit: float, road: tuple[np.ndarray, np.ndarray] | None) -> None:
    canvas, rng = plan.canvas, plan.rng
    mode = int(rng.integers(0, 2))

    def put(row: float, col: float, near: float) -> None:
        height = unit * (26 + 92 * near) * (1.0, 0.85)[mode]
        reach = height * 0.10
        plan.add(
            row,
            col - reach,
            col + reach,
            row - height,
            lambda: paint_pole(canvas, rng, light, row, col, height, mode),
        )

    if road is not None and rng.random() < 0.8:
        side = -1 if rng.random() < 0.5 else 1
        near = float(rng.uniform(0.08, 0.14))
        while near < 1.0:
            row = canvas.row_of(near)
            index = min(len(road[0]) - 1, int(row) - canvas.horizon)
            col = float(road[0][index] + side * road[1][index] * 1.18)
            if 4 < col < canvas.size - 4 and canvas.labels[min(canvas.size - 1, int(row)), int(col)] != WATER:
                put(row, col, near)
            near = near * 1.75 + 0.03
    else:
        for _ in range(int(rng.integers(0, 4))):
            spot = plan.spot(LAND, 0.08, 0.9)
            if spot is not None:
                put(*spot)


def _fences(plan: _Plan, light: Light, unit: float) -> None:
    canvas, rng = plan.canvas, plan.rng
    for _ in range(int(rng.choice((0, 1, 2, 3), p=(0.10, 0.34, 0.34, 0.22)))):
        spot = plan.spot(LAND, 0.20, 0.92)
        if spot is None:
            continue
        row, col, near = spot
        length = canvas.size * float(rng.uniform(0.22, 0.55)) * (-1 if col > canvas.size / 2 else 1)
        tilt = unit * float(rng.uniform(-14, 14)) * (0.4 + near)
        # Walk along and stop where the land ends: fences do not stand in water or on the road.
        steps = 24
        reach = 0
        for step in range(1, steps + 1):
            y, x = row + tilt * step / steps, col + length * step / steps
            if (
                not (0 <= x < canvas.size and canvas.horizon + 3 < y < canvas.size)
                or canvas.labels[int(y), int(x)] not in LAND
            ):
                break
            reach = step
        if reach < 6:
            continue
        end = (row + tilt * reach / steps, col + length * reach / steps)
        mode = int(rng.integers(0, 3))
        high = unit * (26 * near + 5)
        plan.add(
            max(row, end[0]),
            min(col, end[1]),
            max(col, end[1]),
            min(row, end[0]) - high,
            lambda a=((row, col), end, mode): paint_fence(canvas, rng, light, *a),
        )


def _trees(plan: _Plan, light: Light, unit: float) -> None:
    canvas, rng = plan.canvas, plan.rng
    common = int(rng.integers(0, 4))
    last: tuple[float, float, float] | None = None
    for _ in range(int(rng.integers(4, 12))):
        spot = plan.spot((GRASS, SNOW), 0.03, 0.80, tries=6)
        if last is not None and rng.random() < 0.55:
            # Trees stand in groves: beside the last one, if there is land.
            near = float(np.clip(last[2] + rng.uniform(-0.06, 0.06), 0.03, 0.85))
            row, col = canvas.row_of(near), last[1] + unit * float(rng.uniform(-1, 1)) * (22 + 70 * near)
            if 0 <= col < canvas.size and canvas.labels[min(canvas.size - 1, int(row)), int(col)] in (
                GRASS,
                SNOW,
            ):
                spot = row, col, near
        if spot is None:
            continue
        last = spot
        row, col, near = spot
        mode = common if rng.random() < 0.5 else int(rng.integers(0, 4))
        height = unit * (24 + 120 * near) * rng.uniform(0.75, 1.15)
        reach = height * 0.3
        plan.add(
            row,
            col - reach,
            col + reach,
            row - height,
            lambda a=(row, col, height, mode): paint_tree(canvas, rng, light, *a),
            guarded=False,
        )
