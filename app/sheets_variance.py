"""The Variance page's maps as arrays and words, for files: what the scatter draws on the page, in the same colours and shapes.

Colours follow app/scatter/colouring.js: near-white categories are drawn towards the ink until they can be told from the paper,
images take one of 24 hues by a hash of their names, planted modes have shapes within their category's colour. Neither streamlit
nor torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.sheets_prototypes import Names

INK, PAPER, MUTED = "#20242a", "#ffffff", "#9aa0a8"
LEAST_CONTRAST = 1.75
HUES = 24
MODE_SHAPES = ("o", "s", "P", "v", "X", "$○$")  # of the first six modes, as matplotlib's markers
QUALITATIVE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")  # Okabe and Ito's
MARKERS = ("*", "D", "^")  # live prototype, memory row, class token
MARKER_NAMES = ("live prototype", "memory row", "class token")


@dataclass(frozen=True, eq=False)
class Group:
    """Points that look alike: a name for the legend ("": not in it), a colour, a shape, and which of them."""

    name: str
    colour: str
    shape: str
    rows: np.ndarray


@dataclass(frozen=True, eq=False)
class Ramp:
    """Values on a sequential scale instead of groups."""

    values: np.ndarray
    name: str
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class MapPanel:
    """One map. axes: their names, None where they have no units. markers: (x, y, kind, category)."""

    title: str
    xy: np.ndarray
    axes: tuple[str, str] | None
    groups: tuple[Group, ...]
    ramp: Ramp | None
    markers: tuple[tuple[float, float, int, int], ...]
    note: str = ""


@dataclass(frozen=True, eq=False)
class MapSheet:
    """The maps side by side. selected (r,) bool, None where nothing is. linked: one coordinate system."""

    key: str
    title: str
    panels: tuple[MapPanel, ...]
    selected: np.ndarray | None
    names: Names
    caption: str
    linked: bool = False
    said: str = ""  # what may not be asked of it

    def rows_of_table(self) -> Iterator[dict[str, Any]]:
        for panel in self.panels:
            for row, (x, y) in enumerate(panel.xy):
                for axis, value in (("x", x), ("y", y)):
                    if math.isfinite(value):
                        of = f"{panel.title}, point {row}"
                        yield {
                            "sheet": self.key,
                            "quantity": axis,
                            "of": of,
                            "value": float(value),
                            "unit": "",
                        }


# ---------------------------------------------------------------------------------------------- colours


def by_category(category: np.ndarray, names: Names) -> tuple[Group, ...]:
    return tuple(
        Group(f"{names.names[c]} {count}", visible(names.colours[c]), "o", np.flatnonzero(category == c))
        for c in range(len(names.names))
        if (count := int((category == c).sum()))
    )


def by_image(image: np.ndarray, ids: Sequence[str]) -> tuple[Group, ...]:
    hue = np.array([hashed(name) for name in ids])[image]
    return tuple(
        Group("", visible(hue_colour(one)), "o", np.flatnonzero(hue == one))
        for one in np.unique(hue).tolist()
    )


def by_outcome(category: np.ndarray, predicted: np.ndarray) -> tuple[Group, ...]:
    right = category == predicted
    return (
        Group(f"right {int(right.sum())}", MUTED, "o", np.flatnonzero(right)),
        Group(f"wrong {int((~right).sum())}", INK, "x", np.flatnonzero(~right)),
    )


def by_mode(
    category: np.ndarray, mode: np.ndarray, names: Names, modes: dict[int, tuple[str, ...]], none: int
) -> tuple[Group, ...]:
    found = []
    known = np.unique(category[mode != none]).tolist()
    for c in np.unique(category).tolist():
        for m in np.unique(mode[category == c]).tolist():
            rows = np.flatnonzero((category == c) & (mode == m))
            if m == none:
                found.append(Group("", MUTED, ".", rows))
                continue
            words = modes.get(c, ())
            word = words[m] if m < len(words) else f"mode {m + 1}"
            single = len(known) == 1
            colour = QUALITATIVE[m % len(QUALITATIVE)] if single else names.colours[c]
            shape = MODE_SHAPES[m] if m < len(MODE_SHAPES) else "o"
            label = word if single else f"{names.names[c]} · {word}"
            found.append(Group(f"{label} {len(rows)}", visible(colour), shape, rows))
    return tuple(found)


def visible(colour: str) -> str:
    """The colour, drawn towards the ink until it can be told from white paper."""
    rgb, ink = _rgb(colour), _rgb(INK)
    paper = _luminance(_rgb(PAPER))
    for step in range(17):
        mixed = tuple(a + (b - a) * 0.06 * step for a, b in zip(rgb, ink, strict=True))
        if (paper + 0.05) / (_luminance(mixed) + 0.05) >= LEAST_CONTRAST:
            return "#{:02x}{:02x}{:02x}".format(*(round(part) for part in mixed))
    return INK


def hashed(name: str) -> int:
    """One of the hues, by the 32-bit FNV hash that the browser takes."""
    value = 0x811C9DC5
    for letter in name:
        value = ((value ^ ord(letter)) * 0x01000193) & 0xFFFFFFFF
    return (value ^ (value >> 15)) % HUES


def hue_colour(place: int) -> str:
    """A hue of OKLCH at lightness 0.68 and chroma 0.14, in sRGB."""
    angle = 2 * math.pi * place / HUES
    a, b = 0.14 * math.cos(angle), 0.14 * math.sin(angle)
    l, m, s = (  # noqa: E741 the cones' usual names
        v**3
        for v in (
            0.68 + 0.3963377774 * a + 0.2158037573 * b,
            0.68 - 0.1055613458 * a - 0.0638541728 * b,
            0.68 - 0.0894841775 * a - 1.291485548 * b,
        )
    )
    rgb = (
        4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
        -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
        -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
    )
    parts = (12.92 * v if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055 for v in rgb)
    return "#{:02x}{:02x}{:02x}".format(*(round(255 * min(1.0, max(0.0, part))) for part in parts))


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(float(int(colour[at : at + 2], 16)) for at in (1, 3, 5))


def _luminance(rgb: Sequence[float]) -> float:
    parts = [part / 255 for part in rgb]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
