"""How far a map of pixels may be trusted: numbers that stand beside every projection.

Trustworthiness T and continuity C (Venna and Kaski 2006), over m asked points i of n, with k neighbours:

    T = 1 − 2 / (m k (2n − 3k − 1)) · Σ_i Σ_{j near i on the map} max(0, rank of j in the features − k)

C is the same with the two spaces exchanged: T falls when strangers stand together, C when neighbours are torn apart. With
m = n this is scikit-learn's `trustworthiness`. Asking every point of 20 000 takes n² log n; asking m of them about all n is
the mean over a sample of the same terms, with the same k and n [choice]. The distance correlation is Spearman's, over the
pairs of a sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NEIGHBOURS = 15
ROWS = 1000  # points that are asked about their neighbours
POINTS = 2000  # whose pairs the distance correlation is over
BLOCK = 2_000_000  # distances held at once


@dataclass(frozen=True)
class Quality:
    """Of one map. All in [0, 1] but the correlation, in [−1, 1]; 1 is a map that keeps everything.

    errors: standard errors of (trustworthiness, continuity) from asking `rows` of `total` points; 0 where all were asked.
    """

    trustworthiness: float
    continuity: float
    correlation: float
    neighbours: int
    rows: int
    total: int
    errors: tuple[float, float]


@dataclass(frozen=True)
class Stability:
    """How much of a map other seeds find again. Means over the seeds.

    similarity: 1 − Procrustes disparity (scipy), 1 where shift, turn, mirror and scale make the maps one.
    overlap: share of a point's nearest neighbours on the map that stay so.
    """

    similarity: float
    overlap: float
    neighbours: int
    seeds: tuple[int, ...]


def measure(x: np.ndarray, xy: np.ndarray, neighbours: int = NEIGHBOURS, rows: int = ROWS) -> Quality:
    """x: (r, c) features, of unit length where the map goes by cosine; xy: (r, 2). Fewer neighbours where r is small."""
    count = len(x)
    k = min(neighbours, (count - 1) // 2)  # the normaliser holds below half of the points
    asked = _sample(count, rows)
    trust, continuity = _misplaced(x, xy, asked, k), _misplaced(xy, x, asked, k)
    scale = 2.0 / (k * (2 * count - 3 * k - 1))
    left_out = 1.0 - len(asked) / count
    errors = [float(scale * np.std(each) * np.sqrt(left_out / len(asked))) for each in (trust, continuity)]
    return Quality(
        float(1 - scale * trust.mean()),
        float(1 - scale * continuity.mean()),
        distance_correlation(x, xy),
        k,
        len(asked),
        count,
        (errors[0], errors[1]),
    )


def distance_correlation(x: np.ndarray, xy: np.ndarray, points: int = POINTS) -> float:
    """Spearman's correlation of the distances between pairs, in the features and on the map; 0 where either is constant."""
    from scipy.spatial.distance import pdist
    from scipy.stats import rankdata

    chosen = _sample(len(x), points)
    first, second = (rankdata(pdist(np.asarray(each[chosen], np.float64))) for each in (x, xy))
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def stability_of(
    xy: np.ndarray, others: Sequence[np.ndarray], seeds: Sequence[int], neighbours: int = NEIGHBOURS
) -> Stability:
    """xy: (r, 2) the map; others: the maps of other seeds, of the same pixels in the same order."""
    from scipy.spatial import procrustes

    k = min(neighbours, len(xy) - 1)
    similar = [1.0 - procrustes(xy.astype(np.float64), one.astype(np.float64))[2] for one in others]
    near = nearest_on_map(xy, k)
    shared = [
        np.mean([len(np.intersect1d(a, b, assume_unique=True)) for a, b in zip(near, again, strict=True)]) / k
        for again in (nearest_on_map(one, k) for one in others)
    ]
    return Stability(float(np.mean(similar)), float(np.mean(shared)), k, tuple(seeds))


def nearest_on_map(xy: np.ndarray, neighbours: int) -> np.ndarray:
    """(m, k) the nearest points of m evenly drawn ones, without themselves."""
    from scipy.spatial import KDTree

    asked = _sample(len(xy), ROWS)
    _, found = KDTree(xy).query(xy[asked], neighbours + 1)
    return _without_itself(np.asarray(found), asked)


def _misplaced(x: np.ndarray, xy: np.ndarray, asked: np.ndarray, k: int) -> np.ndarray:
    """(m,) Σ_j max(0, rank of j in x − k) over the k nearest j in xy of each asked point."""
    total = np.zeros(len(asked))
    step = max(1, BLOCK // len(x))
    for start in range(0, len(asked), step):
        rows = asked[start : start + step]
        near = np.argpartition(_distances(xy, rows), k, axis=1)[:, :k]
        true = _distances(x, rows)
        for column in range(k):
            ranks = 1 + (true < np.take_along_axis(true, near[:, column : column + 1], axis=1)).sum(axis=1)
            total[start : start + step] += np.maximum(0, ranks - k)
    return total


def _distances(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(m, n) squared distances of some points to all; ∞ to themselves."""
    from sklearn.metrics import euclidean_distances

    found = euclidean_distances(x[rows], x, squared=True)
    found[np.arange(len(rows)), rows] = np.inf
    return found


def _without_itself(found: np.ndarray, own: np.ndarray) -> np.ndarray:
    """(m, k + 1) indices → (m, k): each row without its own index, or without the last where many share one place."""
    mine = found == own[:, None]
    mine[~mine.any(axis=1), -1] = True
    return found[~mine].reshape(len(found), -1)


def _sample(count: int, most: int) -> np.ndarray:
    """At most so many of `count` indices, in order; always the same ones."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))
