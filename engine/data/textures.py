"""Seamless noise, made once: a scene takes windows of it, which costs a slice instead of a filter.

Values are rounded to 1/4096, so that the last bit of a filter on another machine cannot reach a label.
"""

from __future__ import annotations

import threading
from typing import Literal

import numpy as np
from scipy import ndimage

TILE = 512
Kind = Literal["cloud", "ground", "patch", "rock", "fine", "leaf", "streak", "white"]


def _smooth(rng: np.random.Generator, sigma: float | tuple[float, float]) -> np.ndarray:
    field = ndimage.gaussian_filter(rng.standard_normal((TILE, TILE)), sigma, mode="wrap")
    return field / field.std()


def _octaves(rng: np.random.Generator, sigmas: tuple[float, ...], roughness: float) -> np.ndarray:
    return sum((sigma**roughness * _smooth(rng, sigma) for sigma in sigmas), np.zeros((TILE, TILE)))


_bank_made: list[dict[str, np.ndarray]] = []
_making = threading.Lock()


def _bank() -> dict[str, np.ndarray]:
    """Made by one thread while the others wait: it takes as long as two dozen scenes."""
    if not _bank_made:
        with _making:
            if not _bank_made:
                _bank_made.append(_make_bank())
    return _bank_made[0]


def _make_bank() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(20_250_118)
    fields = {
        "cloud": _octaves(rng, (24, 12, 6, 3, 1.5), 0.9),
        "ground": _octaves(rng, (20, 10, 5, 2.5, 1.2), 0.5),
        "patch": _octaves(rng, (32, 16, 8, 3.5), 1.2),
        "rock": np.abs(_octaves(rng, (12, 6, 3, 1.5, 0.8), 0.7)),
        "fine": _octaves(rng, (2.0, 1.0, 0.6), 0.0),
        "leaf": _smooth(rng, 1.3) + 0.8 * _smooth(rng, 2.6) + 0.5 * _smooth(rng, 0.6),
        "streak": _smooth(rng, (0.9, 7)) + 0.7 * _smooth(rng, (1.8, 16)),
        "white": rng.standard_normal((TILE, TILE)),
    }
    bank = {}
    for name, field in fields.items():
        field = (field - field.mean()) / field.std()
        exact = (np.round(field * 4096) / 4096).astype(np.float32)
        bank[name] = np.tile(exact, (2, 2))
    return bank


def window(kind: Kind, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A random (height, width) window of zero-mean, unit-variance noise, float32; often a view: do not write."""
    top, left = (int(v) for v in rng.integers(0, TILE, 2))
    if height <= TILE and width <= TILE:
        return _bank()[kind][top : top + height, left : left + width]
    rows, cols = (top + np.arange(height)) % TILE, (left + np.arange(width)) % TILE
    return _bank()[kind][rows[:, None], cols]


def lookup(kind: Kind, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Noise at integer positions that may lie anywhere (the pattern repeats every 512)."""
    return _bank()[kind][rows & (TILE - 1), cols & (TILE - 1)]


def ridge(rng: np.random.Generator, count: int, octaves: int, roughness: float) -> np.ndarray:
    """A rugged line of `count` values in about [-1, 1], (count,) float64: sums of linear interpolations."""
    line = np.zeros(count)
    total = 0.0
    for octave in range(octaves):
        knots = 3 * 2**octave + 1
        amplitude = roughness**octave
        line += amplitude * np.interp(
            np.linspace(0, knots - 1, count), np.arange(knots), rng.uniform(-1, 1, knots)
        )
        total += amplitude
    return line / total * 1.6
