"""What a person drew, and which points it takes: lassos on a map, strokes on a photo.

Only what was drawn travels from the browser and stands in a link; the points are found again here, by the same arithmetic
as in scatter/polygon.js and scatter/selection.js. Parts act one after the other: each sets the selection, adds to it or
removes from it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, unquote

import numpy as np

from app.scatter.payload import Panel, Points
from app.scatter.polygon import MOST_VERTICES, inside

MOST_PARTS = 8
MODES: dict[str, Mode] = {"s": "set", "a": "add", "r": "remove"}
GROUPS = ("category", "mode", "right")
Mode = Literal["set", "add", "remove"]


@dataclass(frozen=True)
class Lasso:
    """A polygon in the coordinates of the map called `map`: at most 64 vertices, decimals as they were sent.

    only: what was isolated in the legend when it was drawn, as (grouping, codes): points of other groups are not taken.
    """

    map: str
    polygon: tuple[tuple[float, float], ...]
    mode: Mode = "set"
    only: tuple[str, tuple[int, ...]] | None = None


@dataclass(frozen=True)
class Stroke:
    """A line drawn with a round brush on the photo called `image`: (row, col) in pixels of the original, and the radius."""

    image: str
    path: tuple[tuple[int, int], ...]
    radius: int
    mode: Mode = "set"


Part = Lasso | Stroke


def chosen(
    points: Points, panels: Sequence[Panel], parts: Sequence[Part], base: np.ndarray | None = None
) -> np.ndarray:
    """(r,) bool: the points that the parts, one after the other, take, beginning with `base` (r,) bool or with none.

    A lasso on a map that is not among `panels`, or a stroke on an unknown image, takes nothing: see `unknown`.
    """
    found = np.zeros(len(points), dtype=bool) if base is None else np.array(base, dtype=bool)
    maps = {panel.map: panel for panel in reversed(panels)}
    for part in parts:
        taken = _lassoed(part, points, maps) if isinstance(part, Lasso) else _brushed(part, points)
        if taken is None:
            continue
        if part.mode == "set":
            found = taken
        elif part.mode == "add":
            found = found | taken
        else:
            found = found & ~taken
    return found


def unknown(points: Points, panels: Sequence[Panel], parts: Sequence[Part]) -> list[Part]:
    """The parts that were drawn on maps or photos that are not at hand."""
    maps = {panel.map for panel in panels}
    return [
        part
        for part in parts
        if (part.map not in maps if isinstance(part, Lasso) else part.image not in points.images)
    ]


def _lassoed(part: Lasso, points: Points, maps: Mapping[str, Panel]) -> np.ndarray | None:
    panel = maps.get(part.map)
    if panel is None:
        return None
    found = inside(panel.xy, part.polygon)
    if part.only is not None:
        by, codes = part.only
        groups = points.groups(by, panel)
        if groups is not None:
            found &= np.isin(groups, codes)
    return found


def _brushed(part: Stroke, points: Points) -> np.ndarray | None:
    """Points whose distance to the line is at most the radius. In double precision, as the browser does it."""
    if part.image not in points.images or not part.path:
        return None
    here = np.flatnonzero(points.image == points.images.index(part.image))
    row, col = points.pixel[here].T.astype(np.float64)
    near = np.zeros(len(here), dtype=bool)
    reach = float(part.radius) * float(part.radius)
    path = [(float(r), float(c)) for r, c in part.path]
    for (ar, ac), (br, bc) in zip(path, path[1:] or path, strict=False):
        dr, dc = br - ar, bc - ac
        length = dr * dr + dc * dc
        along = ((row - ar) * dr + (col - ac) * dc) / length if length > 0 else np.zeros(len(here))
        along = np.minimum(1.0, np.maximum(0.0, along))
        off_row, off_col = ar + along * dr - row, ac + along * dc - col
        near |= off_row * off_row + off_col * off_col <= reach
    found = np.zeros(len(points), dtype=bool)
    found[here[near]] = True
    return found


# ---------------------------------------------------------------------------------------------- reports and links


def read_report(raw: object) -> tuple[Part, ...]:
    """The parts in what the browser reports; what is malformed is left out."""
    found = []
    for one in raw if isinstance(raw, list) else []:
        part = _part(one) if isinstance(one, Mapping) else None
        if part is not None:
            found.append(part)
    return tuple(found[:MOST_PARTS])


def _part(one: Mapping[str, Any]) -> Part | None:
    mode: Mode | None = next((mode for mode in MODES.values() if mode == one.get("mode")), None)
    if mode is None:
        return None
    try:
        if "polygon" in one:
            polygon = tuple((float(x), float(y)) for x, y in one["polygon"])
            if not 3 <= len(polygon) <= MOST_VERTICES or not all(map(math.isfinite, sum(polygon, ()))):
                return None
            only = one.get("only")
            codes = None if only is None else (str(only["by"]), tuple(int(code) for code in only["codes"]))
            if codes is not None and codes[0] not in GROUPS:
                return None
            return Lasso(str(one["map"]), polygon, mode, codes)
        path = tuple((int(row), int(col)) for row, col in one["path"])
        if not 1 <= len(path) <= MOST_VERTICES:
            return None
        return Stroke(str(one["image"]), path, max(0, int(one["radius"])), mode)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def describe(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """The parts as the browser takes them: the inverse of `read_report`."""
    return [
        {
            "map": part.map,
            "polygon": [list(vertex) for vertex in part.polygon],
            "mode": part.mode,
            "only": None if part.only is None else {"by": part.only[0], "codes": list(part.only[1])},
        }
        if isinstance(part, Lasso)
        else {
            "image": part.image,
            "path": [list(place) for place in part.path],
            "radius": part.radius,
            "mode": part.mode,
        }
        for part in parts
    ]


def write(parts: Sequence[Part]) -> str:
    """The parts as text for a link; exact, since the browser rounded the numbers before either side used them."""
    return ";".join(map(_written, parts))


def _written(part: Part) -> str:
    letter = part.mode[0]
    if isinstance(part, Lasso):
        only = "" if part.only is None else ".".join([part.only[0], *map(str, part.only[1])])
        return f"{letter}l:{quote(part.map, safe='')}:{only}:{','.join(_number(n) for v in part.polygon for n in v)}"
    numbers = ",".join(str(n) for place in part.path for n in place)
    return f"{letter}b:{quote(part.image, safe='')}:{part.radius}:{numbers}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def read(text: str) -> tuple[Part, ...]:
    """The inverse of `write`; ValueError with the half sentence that says what would be right."""
    found = []
    for piece in text.split(";") if text else []:
        fields = piece.split(":")
        part = None
        if len(fields) == 4 and len(fields[0]) == 2:
            (letter, kind), name, third, numbers = fields[0], unquote(fields[1]), fields[2], fields[3]
            try:
                flat = [float(n) for n in numbers.split(",")]
            except ValueError:
                flat = []
            pairs = list(zip(flat[::2], flat[1::2], strict=False)) if len(flat) % 2 == 0 else []
            raw: dict[str, Any] = {"mode": MODES.get(letter)}
            if kind == "l":
                by, *codes = third.split(".")
                only = {"by": by, "codes": codes} if by else None
                part = _part({**raw, "map": name, "polygon": pairs, "only": only})
            elif kind == "b":
                part = _part({**raw, "image": name, "path": pairs, "radius": third})
        if part is None:
            raise ValueError("it must be what was drawn, as a link of this page writes it")
        found.append(part)
    if len(found) > MOST_PARTS:
        raise ValueError(f"at most {MOST_PARTS} strokes make one selection")
    return tuple(found)
