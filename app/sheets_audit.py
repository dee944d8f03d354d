"""What the Audit page draws, as arrays and words: distributions as strips, curves of deletion.

A sheet is drawn as HTML by app.views.audit_html, as a file by app.figures_audit, and gives its own rows for the CSV: three faces
of one set of numbers. Dots with intervals are app.sheets_prototypes' ChartSheet. Neither streamlit nor torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.sheets_prototypes import Names, round_up, table_row

BINS = 40  # of a strip's density
SMOOTH = np.exp(-0.5 * (np.arange(-3, 4) / 1.2) ** 2)  # bins; a strip is a shape, not a histogram  [choice]
SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)  # quantiles of a strip


@dataclass(frozen=True)
class Scale:
    """One axis. at: a value that a line marks on all strips, and what it means."""

    low: float
    high: float
    unit: str
    at: tuple[float, str] | None = None

    def place(self, value: float) -> float:
        """Where a value lies on the axis, 0..1, inside it."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def ticks(self, most: int = 2) -> list[float]:
        """Ends and round values between them."""
        step = round_up((self.high - self.low) / most, (1, 2, 2.5, 5, 10))
        first = math.ceil(self.low / step - 1e-9)
        return [round(step * i, 10) for i in range(first, first + 12) if step * i <= self.high + 1e-9 * step]


@dataclass(frozen=True, eq=False)
class Strip:
    """The distribution of one model's scores over some pixels.

    model: its place among those shown. density (BINS,): 0..1, over the axis. quantiles: at `SHARES`. mean with low and high: 95 %
    over images, nan below the fewest images. baseline: the mean of the baseline on the same pixels, nan where there is none.
    pixels, images: how many stand behind it; undefined: pixels whose score is not defined.
    """

    model: int
    density: np.ndarray
    quantiles: tuple[float, ...]
    mean: float
    low: float
    high: float
    baseline: float
    pixels: int
    images: int
    undefined: int

    @property
    def median(self) -> float:
        return self.quantiles[2]


@dataclass(frozen=True)
class StripRow:
    """One line: cells[column] are the strips of the models there. category: whose colour stands before the label."""

    label: str
    cells: tuple[tuple[Strip, ...], ...]
    category: int | None = None
    strong: bool = False


@dataclass(frozen=True, eq=False)
class StripSheet:
    """Small multiples: a column for each stage, a row for each slice, a strip for each model, one axis for all."""

    key: str
    title: str
    columns: tuple[str, ...]
    models: tuple[str, ...]
    rows: tuple[StripRow, ...]
    scale: Scale
    caption: str
    names: Names
    baseline: str = ""  # what the strips' baseline is; empty: none
    marked: str = ""  # the column that the rest of the page is about
    note: str = ""

    def rows_of_table(self) -> Iterator[dict[str, Any]]:
        for row in self.rows:
            for column, cell in zip(self.columns, row.cells, strict=True):
                for strip in cell:
                    of = f"{self.models[strip.model]}, {column}, {row.label}"
                    values = {"mean": strip.mean, "mean, low": strip.low, "mean, high": strip.high}
                    values |= {
                        f"quantile {share:g}": value
                        for share, value in zip(SHARES, strip.quantiles, strict=True)
                    }
                    values |= {self.baseline: strip.baseline} if self.baseline else {}
                    values |= {
                        "pixels": strip.pixels,
                        "images": strip.images,
                        "undefined": strip.undefined,
                    }
                    counted = ("pixels", "images", "undefined")
                    for quantity, value in values.items():
                        if math.isfinite(value):
                            unit = "count" if quantity in counted else self.scale.unit
                            yield table_row(self.key, unit, of, quantity, float(value))


@dataclass(frozen=True, eq=False)
class Curve:
    """One way of choosing what is removed. value, low, high (x,): 95 % over images. area: under it, with its interval."""

    name: str
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    area: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class CurveSheet:
    """Curves over one axis; the first is drawn strongest. said: the sentence that they come to."""

    key: str
    title: str
    x: np.ndarray
    across: str
    unit: str
    curves: tuple[Curve, ...]
    caption: str
    said: str = ""

    def rows_of_table(self) -> Iterator[dict[str, Any]]:
        for curve in self.curves:
            for i, x in enumerate(self.x):
                of = f"{curve.name}, {x:g} {self.across}"
                for quantity, values in (
                    ("value", curve.value), ("low", curve.low), ("high", curve.high)
                ):  # fmt: skip
                    if math.isfinite(values[i]):
                        yield table_row(self.key, self.unit, of, quantity, float(values[i]))
            for quantity, value in zip(("area", "area, low", "area, high"), curve.area, strict=True):
                if math.isfinite(value):
                    yield table_row(self.key, self.unit, curve.name, quantity, float(value))


def density(values: np.ndarray, scale: Scale) -> np.ndarray:
    """(BINS,) the density of values (r,) over the axis, its largest 1; zeros without a value. What lies outside counts at
    the end."""
    inside = np.clip(values[np.isfinite(values)], scale.low, scale.high)
    if not len(inside):
        return np.zeros(BINS)
    counts = np.histogram(inside, BINS, (scale.low, scale.high))[0].astype(float)
    reach = len(SMOOTH) // 2
    # Mirrored at the ends: a heap at 1 is not half as high for lying at the end of the axis.
    smooth = np.convolve(np.pad(counts, reach, mode="symmetric"), SMOOTH, mode="valid")
    return smooth / smooth.max()


def quantiles(values: np.ndarray) -> tuple[float, ...]:
    """At `SHARES`; nan without a value."""
    defined = values[np.isfinite(values)]
    if not len(defined):
        return (float("nan"),) * len(SHARES)
    return tuple(float(one) for one in np.quantile(defined, SHARES))


def scale_of(values: Sequence[np.ndarray], unit: str, at: tuple[float, str] | None = None) -> Scale:
    """A round axis that holds the middle 98 % of all values, and 0."""
    found = [v for one in values if len(v := one[np.isfinite(one)])]
    if not found:
        return Scale(0.0, 1.0, unit, at)
    low, high = np.quantile(np.concatenate(found), (0.01, 0.99))
    low = -round_up(-float(low)) if low < 0 else 0.0
    high = round_up(float(high)) if high > 0 else 0.0
    return Scale(low, high if high > low else low + 1.0, unit, at)
