"""What the Prototypes page draws, as arrays and words: one sheet for the page, the figure's file and the table.

A sheet is drawn as HTML by app.views.prototypes_html, as a file by app.figures_prototypes_drawing, and gives its own rows for the
CSV: three faces of one set of numbers. Neither streamlit nor torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from app.patches import Cutout

# How a value is marked. star, diamond, triangle and disc are the page-wide marks of live prototype, memory row, token and pixel.
Shape = Literal["star", "diamond", "triangle", "disc", "square", "open", "cross", "bar", "hatched"]
GLYPHS: dict[str, str] = {"star": "★", "diamond": "◆", "triangle": "▲", "disc": "●", "cross": "✕"}
LARGEST = 40  # a larger matrix is cut down on the page; files and tables have all of it


@dataclass(frozen=True)
class Names:
    """Names and colours ("#rrggbb") of a model's categories."""

    names: tuple[str, ...]
    colours: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class MatrixSheet:
    """A (k, k) matrix over categories. order: in which both axes show them. marked: a category that is pointed out.

    diverging: symmetric about 0, else from 0. hatched (k, k) bool: see `hatch`. beside: further values that are said with each
    cell: name → (k, k). skip: the diagonal says nothing (a cosine with itself).
    """

    key: str
    title: str
    values: np.ndarray
    order: tuple[int, ...]
    names: Names
    unit: str
    caption: str
    rows: str = ""
    columns: str = ""
    diverging: bool = False
    skip: bool = False
    hatched: np.ndarray | None = None
    hatch: str = ""
    marked: int | None = None
    beside: dict[str, np.ndarray] = field(default_factory=dict)
    note: str = ""

    @property
    def reach(self) -> float:
        """Where the scale ends: the least round number that holds every shown value."""
        shown = np.abs(self.values[~np.eye(len(self.values), dtype=bool)] if self.skip else self.values)
        return round_up(float(np.nanmax(shown)) if np.isfinite(shown).any() else 1.0)

    def rows_of_table(self) -> Iterator[dict[str, Any]]:
        names = self.names.names
        for (row, col), value in np.ndenumerate(self.values):
            if math.isfinite(value) and not (self.skip and row == col):
                yield table_row(self.key, self.unit, f"{names[row]} · {names[col]}", self.title, float(value))
                for name, more in self.beside.items():
                    if math.isfinite(more[row, col]):
                        said = f"{names[row]} · {names[col]}"
                        yield table_row(self.key, self.unit, said, name, float(more[row, col]))


@dataclass(frozen=True)
class Mark:
    """One kind of value in a chart."""

    name: str
    shape: Shape


@dataclass(frozen=True)
class Span:
    """An interval: thin from low to high, thick from inner_low to inner_high where given."""

    low: float
    high: float
    inner: tuple[float, float] | None = None


@dataclass(frozen=True)
class Row:
    """One line of a chart. values and spans: one for each of the chart's marks, None or nan where there is none.

    numbers: for people, in the chart's further columns. strong: pointed out. category: whose colour stands before the label.
    """

    label: str
    values: tuple[float | None, ...]
    spans: tuple[Span | None, ...] = ()
    numbers: tuple[str, ...] = ()
    category: int | None = None
    strong: bool = False
    group: str = ""


@dataclass(frozen=True, eq=False)
class ChartSheet:
    """Rows on one axis from low to high. log: a logarithmic one. at: a value that a line marks, and what it means."""

    key: str
    title: str
    marks: tuple[Mark, ...]
    rows: tuple[Row, ...]
    low: float
    high: float
    unit: str
    caption: str
    names: Names
    heads: tuple[str, ...] = ()  # of the further columns
    log: bool = False
    at: tuple[float, str] | None = None
    note: str = ""
    span: str = ""  # what thin and thick mean
    wide: bool = False  # the numbers behind the rows are long

    def place(self, value: float) -> float:
        """Where a value lies on the axis, 0..1, inside it."""
        if self.log:
            low, high, value = math.log(self.low), math.log(self.high), math.log(max(value, 1e-300))
        else:
            low, high = self.low, self.high
        return min(1.0, max(0.0, (value - low) / (high - low)))

    def ticks(self) -> list[float]:
        """A few round values of the axis."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            tens = [10.0**power for power in range(first, last + 1)]
            if len(tens) >= 2:
                return tens[:: max(1, len(tens) // 4)]
            found = [m * 10.0**p for p in range(first - 1, last + 2) for m in (1, 2, 5)]
            return [value for value in found if self.low <= value <= self.high] or [self.low, self.high]
        step = round_up((self.high - self.low) / 5, (1, 2, 5, 10))
        first = math.ceil(self.low / step - 1e-9)
        return [round(step * i, 10) for i in range(first, first + 12) if step * i <= self.high + 1e-9 * step]

    def rows_of_table(self) -> Iterator[dict[str, Any]]:
        for row in self.rows:
            of = f"{row.group}, {row.label}" if row.group else row.label
            for index, (mark, value) in enumerate(zip(self.marks, row.values, strict=True)):
                if value is not None and math.isfinite(value):
                    yield table_row(self.key, self.unit, of, mark.name, value)
                span = row.spans[index] if index < len(row.spans) else None
                if span is not None:
                    yield table_row(self.key, self.unit, of, f"{mark.name}, low", span.low)
                    yield table_row(self.key, self.unit, of, f"{mark.name}, high", span.high)
                    if span.inner is not None:
                        yield table_row(self.key, self.unit, of, f"{mark.name}, inner low", span.inner[0])
                        yield table_row(self.key, self.unit, of, f"{mark.name}, inner high", span.inner[1])


@dataclass(frozen=True, eq=False)
class TimeSheet:
    """The bank over training. steps (t,); path (t, k, 2) in one fixed projection of `explained` shares of the variance;
    cosine (t, k) to the end; moment: index into steps that is marked."""

    key: str
    title: str
    steps: np.ndarray
    path: np.ndarray
    explained: tuple[float, float]
    cosine: np.ndarray
    moment: int
    names: Names
    caption: str
    marked: int | None = None
    quantity: str = "cosine to the final row"

    def rows_of_table(self) -> Iterator[dict[str, Any]]:
        for t, step in enumerate(self.steps):
            for c, name in enumerate(self.names.names):
                of = f"{name}, step {int(step)}"
                yield table_row(self.key, "cosine", of, self.quantity, float(self.cosine[t, c]))
                for axis in (0, 1):
                    what = f"component {axis + 1}"
                    yield table_row(self.key, "feature units", of, what, float(self.path[t, c, axis]))


@dataclass(frozen=True, eq=False)
class PatchSheet:
    """Strongest patches of one prototype. rows of cut-outs: (heading, cut-outs, hatched); top: end of the scale, × uniform."""

    key: str
    title: str
    groups: tuple[tuple[str, tuple[Cutout, ...], bool], ...]
    ranks: dict[int, int]  # index of the image in the dataset → rank, from 1
    top: float
    colours: str
    category: str
    caption: str
    names: Names

    @property
    def cutouts(self) -> list[Cutout]:
        return [one for _, group, _ in self.groups for one in group]

    def rows_of_table(self) -> Iterator[dict[str, Any]]:
        for one in self.cutouts:
            patch = one.patch
            of = f"{self.category}, image {patch.id}, row {patch.pixel[0]}, col {patch.pixel[1]}"
            yield table_row(self.key, "rank", of, "rank by mask logit", self.ranks[patch.index])
            yield table_row(self.key, "logits", of, "mask logit", patch.logit)
            yield table_row(self.key, "× uniform", of, "share of the assignment in the cell", patch.share)
            yield table_row(self.key, "0 or 1", of, "image holds the category", int(patch.held))


Sheet = MatrixSheet | ChartSheet | TimeSheet | PatchSheet


def round_up(value: float, figures: tuple[float, ...] = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)) -> float:
    """The least of a few round figures × a power of ten that is at least `value`; 1 for 0 and what is no number."""
    if not math.isfinite(value) or value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(round(m * power, 12) for m in figures if m * power >= value * (1 - 1e-9))


def log_axis(values: Sequence[float]) -> tuple[float, float]:
    """Ends of a logarithmic axis that holds positive values and has two round ticks: 1, 2 and 5 times powers of ten."""
    if not values:
        return 0.1, 10.0
    low, high = min(values) / 1.1, max(values) * 1.1
    first = math.floor(math.log10(low)) - 1
    steps = [m * 10.0**p for p in range(first, first + 40) for m in (1, 2, 5)]
    inside = [step for step in steps if low <= step <= high]
    if len(inside) < 2:
        low = max(step for step in steps if step <= low)
        high = min(step for step in steps if step >= high and step > low)
    return low, high


def shown_order(order: Sequence[int], first: Sequence[int] = ()) -> tuple[list[int], str]:
    """The categories that a page's matrix shows, and a sentence where some are left out: those in `first` before all others."""
    if len(order) <= LARGEST:
        return list(order), ""
    kept = set([*dict.fromkeys(first), *(c for c in order if c not in set(first))][:LARGEST])
    said = f"{len(kept)} of {len(order)} categories are drawn; the download has all of them."
    return [c for c in order if c in kept], said


def table_row(sheet: str, unit: str, of: str, quantity: str, value: float) -> dict[str, Any]:
    """One number of a sheet, as a row of its table."""
    return {"sheet": sheet, "quantity": quantity, "of": of, "value": value, "unit": unit}
