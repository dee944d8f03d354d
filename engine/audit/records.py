"""What an audit holds, as frozen data: the scores there are, the images, a model's columns, and the rows of every table."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from engine.resampling import Estimate

By = Literal["all", "category", "object", "rarity", "boundary", "right"]
Which = Literal["worst", "best", "random"]


@dataclass(frozen=True)
class Score:
    """One column of numbers. unit: "" for shares and areas. better: 1 where more is better, −1 where less is, 0 where neither."""

    title: str
    unit: str = ""
    better: int = 0


SCORES: dict[str, Score] = {
    "auc": Score("same category, affinity", better=1),
    "auc_relative": Score("same category, relative affinity", better=1),
    "auc_profile": Score("same category, profile similarity", better=1),
    "auc_distance": Score("same category, distance alone"),
    "auc_rings": Score("same category within rings, affinity", better=1),
    "auc_relative_rings": Score("same category within rings, relative affinity", better=1),
    "auc_profile_rings": Score("same category within rings, profile similarity", better=1),
    "entropy": Score("entropy ÷ log m"),
    "prototype_weight": Score("weight on the own prototype", better=1),
    "pixel_mass": Score("pixel affinity on the own category", better=1),
    "memory_share": Score("memory share of the update"),
    "mean_distance": Score("mean distance read", "px"),
}
"""Of every (pixel, stage); see `engine.audit.scores`."""

OF_PIXELS = ("image", "row", "col", "category", "boundary_distance", "object_share", "rarity")
OF_MODELS = ("predicted", "right", "confidence")
OF_STAGES = (*SCORES, "leaks_to")
COLUMNS = (*OF_PIXELS, *OF_MODELS, *OF_STAGES)

MAPS = ("affinity", "relative", "contribution", "influence", "distance", "random")
"""By which source cells are hidden, first those with most; "distance": the nearest first."""

SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Of the source cells that are hidden."""


@dataclass(frozen=True)
class AuditedImage:
    """index: its place in the dataset. size: (H, W) in pixels."""

    id: str
    index: int
    size: tuple[int, int]


@dataclass(frozen=True)
class StageInfo:
    """Where scores come from. Grids (rows, columns) are those of the first image. sources: as `engine.stage`, or "context"."""

    sources: str
    grid: tuple[int, int]
    source_grid: tuple[int, int]
    heads: int


@dataclass(frozen=True, eq=False)
class DeletionRows:
    """Margins of d pixels while source cells of one stage are hidden.

    row (d,) places in the audit's columns · margins (d, maps, shares) logits of the shown category minus the best other, in the
    order of `MAPS` and `SHARES` · hidden (d, shares) the share of cells that was truly hidden: at least one cell, where any.
    """

    row: np.ndarray
    margins: np.ndarray
    hidden: np.ndarray


@dataclass(frozen=True, eq=False)
class ModelAudit:
    """One model's columns. predicted (r,) int16 · right (r,) bool · confidence (r,) float32 · scores: stage → column → (r,).

    deletion: stage → rows; undeletable: stage → one sentence where nothing could be hidden.
    """

    model: str
    checkpoint: str  # SHA-256 of its file, hex
    method: str
    sources: str
    predicted: np.ndarray
    right: np.ndarray
    confidence: np.ndarray
    stages: dict[str, StageInfo]
    scores: dict[str, dict[str, np.ndarray]]
    deletion: dict[str, DeletionRows] = field(default_factory=dict)
    undeletable: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """Base of the tables' rows: `json()` gives plain values."""

    def json(self) -> dict[str, Any]:
        return asdict(self)


QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class SummaryRow(Row):
    """One category's or slice's distribution of one score.

    pixels: with a score; undefined: without one; images: that hold the former. quantiles: those of `QUANTILES`; nan where
    there is no pixel.
    """

    key: str
    pixels: int
    undefined: int
    images: int
    mean: Estimate
    quantiles: tuple[float, ...]


@dataclass(frozen=True)
class PairedRow(Row):
    """Two models on the same pixels: difference = a − b, p two-sided from the draws' spread, p_holm after Holm's correction over
    the rows of its table (the first row, "all", stands alone)."""

    key: str
    pixels: int
    undefined: int
    images: int
    a: float
    b: float
    difference: Estimate
    p: float
    p_holm: float


@dataclass(frozen=True)
class Bin(Row):
    """Pixels whose scores run from low to high: how many of them are right, 0..1."""

    low: float
    high: float
    pixels: int
    right: Estimate


@dataclass(frozen=True)
class Correctness(Row):
    """Does the score tell right decisions from wrong ones?

    bins: ten of about equally many pixels, fewer where scores are equal. area: P(a right pixel scores above a wrong one), ties
    half; area_confidence, area_boundary: the same of the confidence and of the distance to the boundary, for comparison.
    difference: mean score of right pixels minus wrong ones; within_category: the same between pixels of one category;
    within_both: of one category and one band of distance to the boundary; strata weighted by n⁺n⁻/(n⁺ + n⁻).
    right, wrong: pixels with a score; undefined: without.
    """

    right: int
    wrong: int
    undefined: int
    bins: tuple[Bin, ...]
    area: Estimate
    area_confidence: Estimate
    area_boundary: Estimate
    difference: Estimate
    within_category: Estimate
    within_both: Estimate


@dataclass(frozen=True)
class Case(Row):
    """One pixel to look at. image: its id; index: its place in the dataset; at: its place in the audit's columns."""

    image: str
    index: int
    row: int
    col: int
    stage: str
    score: float
    category: int
    predicted: int
    right: bool
    confidence: float
    at: int


@dataclass(frozen=True)
class Curve(Row):
    """drop: how far the margin has fallen at each share, mean over pixels, logits. flipped: share of pixels that are decided
    otherwise. area: mean drop over the shares from 0 to the last (trapezoids). against_random: area minus random's, paired."""

    map: str
    drop: tuple[Estimate, ...]
    flipped: tuple[Estimate, ...]
    area: Estimate
    against_random: Estimate


@dataclass(frozen=True)
class Deletion(Row):
    """shares: of cells hidden, as asked; hidden: as done, mean over pixels. margin: mean of the unedited ones, logits."""

    model: str
    stage: str
    pixels: int
    images: int
    margin: Estimate
    shares: tuple[float, ...]
    hidden: tuple[float, ...]
    curves: tuple[Curve, ...]
