"""Tables of an audit's columns: pure functions of arrays, every number with an interval over images.

    summary      distribution and mean of each slice
    paired       differences of two models on the same pixels
    correctness  does a score tell right from wrong, and does it beyond category and distance to the boundary?
    chosen       pixels to look at
    deletion     how far margins fall

image (r,) places of images, 0..i−1; draws: resamples of those i images. Scores that are nan are left out and counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from engine.atlas.hashing import pixel_hashes
from engine.audit.records import (
    MAPS,
    QUANTILES,
    SCORES,
    SHARES,
    Bin,
    Correctness,
    Curve,
    Deletion,
    DeletionRows,
    PairedRow,
    SummaryRow,
    Which,
)
from engine.audit.slices import BOUNDARY, band
from engine.errors import LoupeError
from engine.resampling import Draws, Estimate, holm, percentiles

BINS = 10


def summary(
    draws: Draws, image: np.ndarray, values: np.ndarray, groups: Mapping[str, np.ndarray]
) -> list[SummaryRow]:
    """One row a group (r,) bool, in their order."""
    kept = {key: group & np.isfinite(values) for key, group in groups.items()}
    means = _means(draws, [(image[rows], values[rows]) for rows in kept.values()])
    rows = []
    for (key, group), mean in zip(groups.items(), means, strict=True):
        found = values[kept[key]]
        quantiles = np.quantile(found, QUANTILES) if len(found) else np.full(len(QUANTILES), np.nan)
        rows.append(
            SummaryRow(
                key,
                pixels=len(found),
                undefined=int(group.sum()) - len(found),
                images=mean.images,
                mean=mean.estimate,
                quantiles=tuple(float(q) for q in quantiles),
            )
        )
    return rows


class Mean(NamedTuple):
    """Of some pixels' scores. drawn (b,): how it moves over the draws; images: that hold the pixels."""

    value: float
    drawn: np.ndarray
    images: int

    @property
    def estimate(self) -> Estimate:
        return percentiles(self.value, self.drawn, self.images)


def _means(draws: Draws, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[Mean]:
    """Of parts (image (r,), scores (r,) without nan), as `Draws.mean` gives each, from one product for all of them."""
    sums = np.zeros((draws.images, len(parts), 2))
    middles = [float(scores.mean()) if len(scores) else math.nan for _, scores in parts]
    for at, ((image, scores), middle) in enumerate(zip(parts, middles, strict=True)):
        if len(scores):  # the middle is taken off first: what is left is summed in fp32
            sums[:, at, 0] = np.bincount(image, scores - middle, draws.images)
            sums[:, at, 1] = np.bincount(image, minlength=draws.images)
    totals = draws.of_sums(np.arange(draws.images), sums).astype(np.float64)
    nothing = np.full(totals.shape[:2], np.nan)
    apart = np.divide(totals[..., 0], totals[..., 1], out=nothing, where=totals[..., 1] > 0)
    met = (sums[..., 1] > 0).sum(axis=0)
    found = []
    for at, ((_, scores), middle) in enumerate(zip(parts, middles, strict=True)):
        drawn = middle + apart[:, at]
        if len(scores):  # a share is not above 1 by rounding
            drawn = np.clip(drawn, scores.min(), scores.max())
        found.append(Mean(middle, drawn, int(met[at])))
    return found


def paired(
    draws: Draws, image: np.ndarray, a: np.ndarray, b: np.ndarray, groups: Mapping[str, np.ndarray]
) -> list[PairedRow]:
    """a − b where both are defined: of all pixels, then of each group."""
    whole = {"all": np.ones(len(image), bool), **groups}
    both = np.isfinite(a) & np.isfinite(b)
    kept = {key: group & both for key, group in whole.items()}
    means = _means(draws, [(image[rows], a[rows] - b[rows]) for rows in kept.values()])
    p = np.array([_two_sided(mean) for mean in means])
    adjusted = [p[0], *holm(p[1:])]
    return [
        PairedRow(
            key,
            pixels=int(rows.sum()),
            undefined=int((whole[key] & ~both).sum()),
            images=mean.images,
            a=float(a[rows].mean()) if rows.any() else math.nan,
            b=float(b[rows].mean()) if rows.any() else math.nan,
            difference=mean.estimate,
            p=float(p[at]),
            p_holm=float(adjusted[at]),
        )
        for at, ((key, rows), mean) in enumerate(zip(kept.items(), means, strict=True))
    ]


def _two_sided(mean: Mean) -> float:
    """p of no difference, by the normal distribution with the draws' spread; nan where there is no interval."""
    if math.isnan(mean.estimate.low):
        return math.nan
    spread = float(np.nanstd(mean.drawn))
    if spread == 0:
        return 1.0 if mean.value == 0 else 0.0
    return math.erfc(abs(mean.value) / spread / math.sqrt(2))


# ---------------------------------------------------------------- right and wrong


def correctness(draws: Draws, columns: Mapping[str, np.ndarray], values: np.ndarray) -> Correctness:
    """Of the pixels with a score. columns: image, right, category, boundary_distance, confidence."""
    defined = np.isfinite(values)
    image, right, category, boundary, confidence = (
        columns[name][defined] for name in ("image", "right", "category", "boundary_distance", "confidence")
    )
    values = values[defined]
    near = band(boundary, BOUNDARY)
    strata = category.astype(np.int64) * (len(BOUNDARY) + 1) + near + 1
    return Correctness(
        right=int(right.sum()),
        wrong=int((~right).sum()),
        undefined=int((~defined).sum()),
        bins=_bins(draws, image, right, values),
        area=_area(draws, image, right, values),
        area_confidence=_area(draws, image, right, confidence.astype(np.float64)),
        area_boundary=_area(draws, image, right, boundary.astype(np.float64)),
        difference=_difference(draws, image, right, values, np.zeros(len(values), np.int64)),
        within_category=_difference(draws, image, right, values, category),
        within_both=_difference(draws, image, right, values, strata),
    )


def _bins(draws: Draws, image: np.ndarray, right: np.ndarray, values: np.ndarray) -> tuple[Bin, ...]:
    """Deciles; equal scores stay together, so that there may be fewer."""
    if not len(values):
        return ()
    borders = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)))
    inner = borders[1:-1]
    place = np.searchsorted(inner, values, side="right")
    kept = [rows for at in range(len(inner) + 1) if (rows := place == at).any()]
    shares = _means(draws, [(image[rows], right[rows].astype(np.float64)) for rows in kept])
    return tuple(
        Bin(float(values[rows].min()), float(values[rows].max()), int(rows.sum()), share.estimate)
        for rows, share in zip(kept, shares, strict=True)
    )


def _area(draws: Draws, image: np.ndarray, right: np.ndarray, values: np.ndarray) -> Estimate:
    """P(right pixel > wrong pixel) + ½ P(equal). Pairs are counted by image × image, so that a draw is a product."""
    known = np.isfinite(values)
    image, right, values = image[known], right[known], values[known]
    images, size = len(np.unique(image)), draws.images
    over, level = image[right], values[right]
    under, low = image[~right], values[~right]
    if not len(over) or not len(under):
        return Estimate(math.nan, math.nan, math.nan)
    won = np.zeros((size, size), np.float64)  # right pixels' image, wrong pixels' image
    order = np.argsort(under, kind="stable")
    met, start = np.unique(under[order], return_index=True)
    for place, each in zip(met, np.split(low[order], start[1:]), strict=True):
        each = np.sort(each)
        beaten = (np.searchsorted(each, level, "left") + np.searchsorted(each, level, "right")) / 2
        won[:, place] = np.bincount(over, beaten, size)
    counts = np.bincount(over, minlength=size), np.bincount(under, minlength=size)
    value = won.sum() / (counts[0].sum() * counts[1].sum())
    weights = draws.weights.astype(np.float64)
    pairs = (weights @ counts[0]) * (weights @ counts[1])
    total = ((weights @ won) * weights).sum(1)
    drawn = np.divide(total, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    return percentiles(float(value), drawn, images)


def _difference(
    draws: Draws, image: np.ndarray, right: np.ndarray, values: np.ndarray, stratum: np.ndarray
) -> Estimate:
    """Mean of right pixels minus mean of wrong ones within strata, weighted by n⁺n⁻/(n⁺ + n⁻): the coefficient of "right" in a
    least-squares fit with one constant a stratum."""
    if not len(values):
        return Estimate(math.nan, math.nan, math.nan)
    names, place = np.unique(stratum, return_inverse=True)
    middle = values.mean()
    met = np.unique(image)
    table = np.zeros((draws.images, len(names), 4))  # n⁺, n⁻, Σ⁺, Σ⁻
    for column, which in enumerate((right, ~right)):
        at = image[which], place[which]
        np.add.at(table[..., column], at, 1)
        np.add.at(table[..., 2 + column], at, values[which] - middle)
    value = float(_within(table[met].sum(0)[None])[0])
    drawn = _within(draws.of_sums(met, table[met]).astype(np.float64))
    return percentiles(value, drawn, len(met))


def _within(table: np.ndarray) -> np.ndarray:
    """(b,) of (b, strata, 4)."""
    over, under, up, down = (table[..., column] for column in range(4))
    both = (over > 0.5) & (under > 0.5)
    over, under = np.where(both, over, 1), np.where(both, under, 1)
    weight = np.where(both, over * under / (over + under), 0)
    total = weight.sum(-1)
    found = (weight * (up / over - down / under)).sum(-1)
    return np.divide(found, total, out=np.full(len(total), np.nan), where=total > 0)


# ---------------------------------------------------------------- pixels to look at


def chosen(
    columns: Mapping[str, np.ndarray], values: np.ndarray, score: str, which: Which, count: int, seed: int
) -> np.ndarray:
    """(≤ count,) places in the columns; at most one of each image and category.

    Raises:
        LoupeError: fewer than one asked for, or another `which`.
    """
    if count < 1:
        raise LoupeError(f"{count} cases: ask for at least 1")
    if which not in ("worst", "best", "random"):
        raise LoupeError(f'no cases called "{which}": there are worst, best, random')
    kept = np.flatnonzero(np.isfinite(values))
    draw = pixel_hashes(seed, "cases", len(values))[kept]
    if which == "random":
        order = np.argsort(draw, kind="stable")
    else:
        known = SCORES.get(score)
        less_is_better = known is not None and known.better < 0
        rising = (which == "worst") != less_is_better
        order = np.lexsort((draw, values[kept] if rising else -values[kept]))
    kept = kept[order]
    group = columns["image"][kept].astype(np.int64) * 65536 + columns["category"][kept]
    _, first = np.unique(group, return_index=True)
    return kept[np.sort(first)][:count]


# ---------------------------------------------------------------- deletion


def deletion(draws: Draws, model: str, stage: str, image: np.ndarray, rows: DeletionRows) -> Deletion:
    """Curves of every map, over the pixels of `rows`; image (d,) theirs."""
    margins = rows.margins.astype(np.float64)
    drop = margins[:, :, :1] - margins
    area = np.asarray(np.trapezoid(drop, SHARES, axis=-1)) / (SHARES[-1] - SHARES[0])
    against = area - area[:, [MAPS.index("random")]]
    flips = (margins < 0).astype(np.float64)
    each = [*drop.transpose(1, 2, 0), *flips.transpose(1, 2, 0)]
    columns = [column for block in each for column in block] + [*area.T, *against.T, margins[:, 0, 0]]
    means = _means(draws, [(image, column) for column in columns])
    found = [mean.estimate for mean in means]
    n, p = len(MAPS), len(SHARES)
    curves = tuple(
        Curve(
            map=name,
            drop=tuple(found[at * p : (at + 1) * p]),
            flipped=tuple(found[(n + at) * p : (n + at + 1) * p]),
            area=found[2 * n * p + at],
            against_random=found[2 * n * p + n + at],
        )
        for at, name in enumerate(MAPS)
    )
    images = means[0].images
    hidden = tuple(float(share) for share in rows.hidden.mean(axis=0))
    return Deletion(model, stage, len(image), images, found[-1], SHARES, hidden, curves)
