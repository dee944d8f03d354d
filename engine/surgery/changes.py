"""Changes of IoU between two predictions of the same images, with 95 % over images. Pure: arrays of counts in, numbers out.

    part_ijc       of image i: j = 0 hits, 1 true, 2 predicted pixels of category c (boundary IoU: the same of the inner bands)
    IoU_c          Σ hits / (Σ true + Σ predicted − Σ hits) over images, for categories that the truth holds
    Δ_c            100 (IoU_c after − IoU_c before), points;  mean: over the categories that the truth holds

Images are drawn with replacement 2000 times, the same for both sides, and Δ is computed anew from each draw's sums (one matrix
product for all categories). Interval: the draws' percentiles. p: twice the smaller share of draws on either side of 0, at least
2 / 2001; Holm's correction over categories. A category that the truth of a draw lacks has no IoU there, whatever is predicted:
were it counted, one pixel of it would put an IoU of 0 into one side's mean alone.  [choice]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.metrics import Counts
from engine.resampling import Draws, Estimate, holm, percentiles


@dataclass(frozen=True)
class Change:
    """Of one category, or of the mean: IoU in percent before and after, the difference in points with its interval.

    p: two-sided, from the draws; p_holm: after Holm's correction over categories (the mean has none). images: how many hold the
    category. nan where the truth holds it nowhere.
    """

    name: str
    before: float
    after: float
    delta: Estimate
    p: float
    p_holm: float
    images: int

    def json(self) -> dict[str, Any]:
        return {
            "before": self.before,
            "after": self.after,
            "delta": self.delta.value,
            "low": self.delta.low,
            "high": self.delta.high,
            "p": self.p,
            "p_holm": self.p_holm,
            "images": self.images,
        }


@dataclass(frozen=True)
class Changes:
    """Of all categories, and their mean."""

    mean: Change
    categories: tuple[Change, ...]

    def json(self) -> dict[str, Any]:
        return {"mean": self.mean.json(), "categories": {each.name: each.json() for each in self.categories}}


def region_parts(counts: Sequence[Counts], categories: int) -> np.ndarray:
    """(i, 3, k) int64 hits, true, predicted pixels of each image."""
    matrices = np.array([each.confusion for each in counts], np.int64).reshape(-1, categories, categories)
    return np.stack([np.diagonal(matrices, axis1=1, axis2=2), matrices.sum(2), matrices.sum(1)], axis=1)


def boundary_parts(counts: Sequence[Counts], categories: int) -> np.ndarray:
    """The same of the inner bands."""
    return np.array([each.boundary for each in counts], np.int64).reshape(-1, 3, categories)


def iou_of(parts: np.ndarray) -> np.ndarray:
    """(…, k) in percent from sums (…, 3, k); nan for categories that the truth lacks."""
    hits, true, predicted = np.moveaxis(parts, -2, 0)
    union = true + predicted - hits
    return 100 * np.divide(hits, union, out=np.full(hits.shape, np.nan), where=true > 0)


def mean_of(iou: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is defined; nan without any."""
    known = np.isfinite(iou)
    number = known.sum(-1)
    total = np.where(known, iou, 0).sum(-1)
    return np.divide(total, number, out=np.full(number.shape, np.nan), where=number > 0)


def drawn_iou(parts: np.ndarray, draws: Draws) -> np.ndarray:
    """(b, k) IoU in percent of every draw of images, from parts (i, 3, k); nan without images."""
    images, _, k = parts.shape
    if not images:
        return np.full((len(draws), k), np.nan)
    sums = draws.weights.astype(np.float64) @ parts.reshape(images, 3 * k).astype(np.float64)
    return iou_of(sums.reshape(len(sums), 3, k))


def drawn_deltas(before: np.ndarray, after: np.ndarray, draws: Draws) -> np.ndarray:
    """(b, k) Δ of every draw; exactly 0 for categories of which no image's counts changed."""
    deltas = drawn_iou(after, draws) - drawn_iou(before, draws)
    return np.where((before == after).all((0, 1)) & np.isfinite(deltas), 0.0, deltas)


def changes(before: np.ndarray, after: np.ndarray, names: Sequence[str], seed: int = 0) -> Changes:
    """From parts (i, 3, k) of the same images; names: k categories."""
    draws = Draws(max(1, len(before)), seed)
    one, two = iou_of(before.sum(0)), iou_of(after.sum(0))
    drawn = drawn_deltas(before, after, draws)
    means = mean_of(drawn)  # of the draw's categories: before and after have the same
    p = np.array([_p_value(column) for column in drawn.T])
    adjusted = holm(p)
    holding = (before[:, 1] > 0).sum(0)
    found = tuple(
        Change(
            name,
            float(one[c]),
            float(two[c]),
            percentiles(float(two[c] - one[c]), drawn[:, c], int(holding[c])),
            float(p[c]),
            float(adjusted[c]),
            int(holding[c]),
        )
        for c, name in enumerate(names)
    )
    whole = int((before[:, 1].sum(1) > 0).sum())
    mean = Change(
        "mean",
        float(mean_of(one)),
        float(mean_of(two)),
        percentiles(float(mean_of(two - one)), means, whole),
        _p_value(means),
        float("nan"),
        whole,
    )
    return Changes(mean, found)


def _p_value(drawn: np.ndarray) -> float:
    """Two-sided, of Δ = 0; nan where nothing is defined."""
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return float("nan")
    least = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return min(1.0, 2 * (least + 1) / (len(drawn) + 1))
