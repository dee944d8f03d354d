"""Into which parts sampled pixels are sliced: category, object size, rarity, distance to the boundary, right or wrong.

Borders are fixed  [choice], so that audits of several datasets can be read side by side; slices are closed below, open above.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from engine.audit.records import By

OBJECT = (0.0, 0.005, 0.02, 0.1)
"""Share of the image that the connected object covers."""
RARITY = (0.0, 0.01, 0.03, 0.1)
"""Share of the category in the split's labelled pixels."""
BOUNDARY = (0.0, 2.0, 5.0, 10.0, 20.0)
"""Pixels to the nearest pixel that touches another category."""


def _named(borders: Sequence[float], scale: float, unit: str) -> tuple[str, ...]:
    shown = [f"{scale * border:g}" for border in borders]
    inner = [f"{low}–{high} {unit}" for low, high in pairwise(shown)]
    return (f"< {shown[1]} {unit}", *inner[1:], f"≥ {shown[-1]} {unit}")


SLICES: dict[By, tuple[str, ...]] = {
    "all": ("all",),
    "category": (),  # the dataset's own
    "object": _named(OBJECT, 100, "% of the image"),
    "rarity": _named(RARITY, 100, "% of the split"),
    "boundary": _named(BOUNDARY, 1, "px"),
    "right": ("right", "wrong"),
}
_BORDERS = {
    "object": ("object_share", OBJECT),
    "rarity": ("rarity", RARITY),
    "boundary": ("boundary_distance", BOUNDARY),
}


def groups_of(by: By, columns: Mapping[str, np.ndarray], classes: Sequence[str]) -> dict[str, np.ndarray]:
    """Name of each slice that has pixels → which (r,) bool. Pixels whose quantity is not known are in none."""
    if by == "all":
        found = {"all": np.ones(len(columns["image"]), bool)}
    elif by == "right":
        found = {"right": columns["right"], "wrong": ~columns["right"]}
    elif by == "category":
        found = {name: columns["category"] == c for c, name in enumerate(classes)}
    else:
        name, borders = _BORDERS[by]
        place = band(columns[name], borders)
        found = {title: place == at for at, title in enumerate(SLICES[by])}
    return {title: rows for title, rows in found.items() if rows.any()}


def band(values: np.ndarray, borders: Sequence[float]) -> np.ndarray:
    """(r,) int64: in which of the slices that begin at `borders` each value lies; −1 for nan."""
    place = np.searchsorted(np.asarray(borders), values, side="right") - 1
    return np.where(np.isnan(values), -1, place)
