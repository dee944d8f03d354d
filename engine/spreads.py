"""Second moments of categories and how they move over resampled images: the arithmetic behind engine.variance.

A draw of images is a weighted sum of per-image sums, so 2000 draws are one matrix product for each category. Features are taken
around their category's mean first, so that the sums, in fp32, lose nothing to a large mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.atlas.price import BLOCK_BYTES, NORMAL
from engine.resampling import FEWEST_IMAGES, Draws, Estimate, image_sums

GROUPS = 10  # of images, for the jackknife of the effective rank  [choice]
WIDEST = (
    512  # directions beyond which its interval is left out: each group costs an eigendecomposition  [choice]
)


@dataclass(frozen=True, eq=False)
class Moments:
    """Of n categories in b draws of images. traces (n,): tr Cov; distances (n, n): between means, squared: as they are of these
    pixels, before what resampling says of their bias.

    drawn_traces (b, n), drawn_within (b,), drawn_between (b,): of the draws, nan for a category that a draw does not hold.
    drawn_distance, distance_deviation (n, n): mean and standard deviation of the drawn distances.
    """

    traces: np.ndarray
    within: float
    between: float
    distances: np.ndarray
    drawn_traces: np.ndarray
    drawn_within: np.ndarray
    drawn_between: np.ndarray
    drawn_distance: np.ndarray
    distance_deviation: np.ndarray


def moments_of(
    x: np.ndarray, category: np.ndarray, image: np.ndarray, met: Sequence[int], draws: Draws
) -> Moments:
    """Of features x (r, c) fp64 with a category and an image 0..i−1 each; every one of `met` has rows."""
    groups = [np.flatnonzero(category == c) for c in met]
    means = np.stack([x[g].mean(0) for g in groups])
    middle = means.mean(0)
    apart = means - middle
    centred = [x[g] - mean for g, mean in zip(groups, means, strict=True)]
    traces = np.array([np.square(each).sum(1).mean() for each in centred])
    gram = apart @ apart.T
    # What is summed of each pixel: 1, its squared distance to the mean, and how it lies to it; over images once for all draws.
    parts = [np.column_stack([np.ones(len(d)), np.square(d).sum(1), d]) for d in centred]
    summed = [image_sums(image[g], each) for g, each in zip(groups, parts, strict=True)]
    summed = [(held_by, sums.astype(np.float32)) for held_by, sums in summed]
    n, block = len(met), max(1, BLOCK_BYTES // (8 * len(met) * (x.shape[1] + len(met) + 2)))
    drawn_traces, drawn_between = np.full((len(draws), n), np.nan), np.full(len(draws), np.nan)
    sums = np.zeros((3, n, n))  # how many draws, sum and sum of squares of the distance
    for start in range(0, len(draws), block):
        here = slice(start, start + block)
        totals = np.stack([draws.of_sums(*each, here) for each in summed], axis=1)
        held = totals[..., 0] > 0
        count = np.maximum(totals[..., 0], 1)
        shift = totals[..., 2:]
        shift /= count[..., None]
        trace = totals[..., 1] / count - np.einsum("bnc,bnc->bn", shift, shift)
        drawn_traces[here] = np.where(held, np.maximum(trace, 0), np.nan)
        shift += apart.astype(np.float32)
        both, distance = _distances(shift, held)
        # The mean squared distance to the mean is half the mean squared distance between any two, each with itself too.
        number = held.sum(1)
        drawn_between[here] = np.where(
            number > 1, distance.sum((1, 2)) / (2 * np.square(np.maximum(number, 1))), np.nan
        )
        sums += [both.sum(0), distance.sum(0), np.square(distance).sum(0)]
    there = np.isfinite(drawn_traces)
    within = np.where(there, drawn_traces, 0).sum(1) / np.maximum(there.sum(1), 1)
    diagonal = np.diagonal(gram)
    distances = np.maximum(diagonal[:, None] + diagonal - 2 * gram, 0)
    np.fill_diagonal(distances, 0)
    mean = sums[1] / np.maximum(sums[0], 1)
    deviation = np.sqrt(np.maximum(sums[2] / np.maximum(sums[0], 1) - np.square(mean), 0))
    return Moments(
        traces,
        float(traces.mean()),
        float(np.square(apart).sum(1).mean()),
        distances,
        drawn_traces,
        np.where(there.any(1), within, np.nan),
        drawn_between,
        mean,
        deviation,
    )


def _distances(means: np.ndarray, held: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(which draws (b, n, n) hold both categories, ‖m_a − m_b‖² there and 0 elsewhere) of means (b, n, c) near 0, held (b, n)."""
    gram = means @ means.transpose(0, 2, 1)
    diagonal = np.diagonal(gram, axis1=1, axis2=2)
    both = held[:, :, None] & held[:, None, :]
    distance = diagonal[:, :, None] + diagonal[:, None, :] - 2 * gram
    np.maximum(distance, 0, out=distance)
    distance *= both
    own = np.arange(means.shape[1])
    distance[:, own, own] = 0
    return both, distance.astype(np.float64)


@dataclass(frozen=True, eq=False)
class Distances:
    """‖m_a − m_b‖² between categories: `categories` (n,) name rows and columns; value, low, high (n, n), 0 on the diagonal.

    A value of 0 elsewhere: no further apart than chance puts them.
    """

    categories: tuple[int, ...]
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def distances_of(met: Sequence[int], moments: Moments, images: int) -> Distances:
    """Without their bias (see `engine.resampling.corrected`); 95 % from the draws' standard deviation, cut at 0."""
    plain = 2 * moments.distances - moments.drawn_distance
    half = NORMAL * moments.distance_deviation if images >= FEWEST_IMAGES else np.full(plain.shape, np.nan)
    np.fill_diagonal(half, 0)
    np.fill_diagonal(plain, 0)
    return Distances(tuple(met), *(np.maximum(each, 0) for each in (plain, plain - half, plain + half)))


def rank_of(x: np.ndarray, image: np.ndarray) -> Estimate:
    """Effective rank of centred pixels (r, c), and 95 % from leaving out tenths of the images in turn (the grouped jackknife, on
    the logarithm: Efron and Tibshirani 1993, chapter 11). low, high: nan with few images or more than `WIDEST` directions."""
    value = effective_rank(x)
    met, place = np.unique(image, return_inverse=True)
    groups = min(GROUPS, len(met))
    if len(met) < FEWEST_IMAGES or min(x.shape) > WIDEST or value <= 0:
        return Estimate(value, float("nan"), float("nan"))
    # One after the other into ten groups: the order of the images says nothing of them.
    left = [effective_rank(x[place % groups != g]) for g in range(groups)]
    logs = np.log([each for each in left if each > 0])
    if len(logs) < 2:
        return Estimate(value, float("nan"), float("nan"))
    deviation = np.sqrt((len(logs) - 1) / len(logs) * np.square(logs - logs.mean()).sum())
    factor = float(np.exp(NORMAL * deviation))
    return Estimate(value, value / factor, value * factor)


def effective_rank(x: np.ndarray) -> float:
    """`engine.bank.effective_rank` of x (r, c) minus its mean; the singular values are roots of the smaller Gram matrix's."""
    apart = x - x.mean(0)
    gram = apart.T @ apart if x.shape[1] <= x.shape[0] else apart @ apart.T
    values = np.linalg.eigvalsh(gram)
    # A root halves the digits: what is below rounding in the Gram matrix is rounding.
    values = np.sqrt(values[values > max(x.shape) * np.finfo(np.float64).eps * max(values[-1], 0)])
    if not len(values):
        return 0.0
    share = values / values.sum()
    return float(np.exp(-(share * np.log(share)).sum()))
