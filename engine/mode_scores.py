"""How well a grouping of pixels agrees with their modes: adjusted Rand indices, their intervals over images, and chance.

    index = (Σ C(n_ij, 2) − e) / (½ (Σ C(a_i, 2) + Σ C(b_j, 2)) − e),   e = Σ C(a_i, 2) Σ C(b_j, 2) / C(n, 2)

n_ij: pixels of mode i in group j; a, b its margins (Hubert & Arabie 1985). All follows from counts, which images add up.
"""

from __future__ import annotations

import numpy as np

from engine.resampling import Draws, Estimate, image_sums, normal

EXCHANGES = 999


def adjusted_rand(counts: np.ndarray) -> np.ndarray:
    """(…,) from counts (…, modes, groups). 1 where neither side parts anything or both part alike (scikit-learn's convention)."""
    counts = np.asarray(counts, np.float64)
    return _index(
        _pairs(counts).sum((-1, -2)),
        _pairs(counts.sum(-1)).sum(-1),
        _pairs(counts.sum(-2)).sum(-1),
        _pairs(counts.sum((-1, -2))),
    )


def with_groups(mode: np.ndarray, group: np.ndarray, image: np.ndarray, draws: Draws) -> Estimate:
    """Of pixels (r,) with modes, groups and images numbered from 0."""
    counts = np.zeros((len(mode), int(mode.max()) + 1, int(group.max()) + 1), np.float32)
    counts[np.arange(len(mode)), mode, group] = 1
    value = float(adjusted_rand(counts.sum(0)))
    return normal(value, adjusted_rand(draws.totals(image, counts)), draws.images, most=1)


def by_image(mode: np.ndarray, image: np.ndarray, draws: Draws) -> Estimate:
    """The images as groups. An image drawn twice is two groups: two images that happen to be alike."""
    _, held = image_sums(image, np.eye(int(mode.max()) + 1)[mode])
    sizes = held.sum(1)
    # Of every image: its pairs of one mode, its pairs, and its pixels of each mode, which all add up.
    columns = np.column_stack([_pairs(held).sum(1), _pairs(sizes), held])

    def index(totals: np.ndarray) -> np.ndarray:
        modes = totals[..., 2:]
        return _index(totals[..., 0], _pairs(modes).sum(-1), totals[..., 1], _pairs(modes.sum(-1)))

    drawn = index(draws.weights.astype(np.float64) @ columns)
    return normal(float(index(columns.sum(0))), drawn, draws.images, most=1)


def best_by_image(mode: np.ndarray, image: np.ndarray, draws: Draws) -> Estimate:
    """Each image's pixels as its most frequent mode: what knowing the image alone can give."""
    met, held = image_sums(image, np.eye(int(mode.max()) + 1)[mode])
    return with_groups(mode, held.argmax(1)[np.searchsorted(met, image)], image, draws)


def chance_of(mode: np.ndarray, group: np.ndarray, image: np.ndarray, seed: int) -> tuple[float, float]:
    """(95 % quantile of the index by chance, p): images exchange their modes as a whole, since pixels of one are not independent.

    An image that gets the modes of a smaller one repeats them, of a larger one takes the first.
    """
    random = np.random.default_rng(seed)
    order = np.argsort(image, kind="stable")
    mode, group = mode[order], group[order]
    _, start, place, size = np.unique(
        image[order], return_index=True, return_inverse=True, return_counts=True
    )
    position = np.arange(len(mode)) - start[place]
    groups = int(group.max()) + 1
    shape = (int(mode.max()) + 1, groups)
    drawn = []
    for _ in range(EXCHANGES):
        other = random.permutation(len(start))[place]
        exchanged = mode[start[other] + position % size[other]]
        drawn.append(np.bincount(exchanged * groups + group, minlength=shape[0] * groups).reshape(shape))
    indices = adjusted_rand(np.stack(drawn))
    value = adjusted_rand(np.bincount(mode * groups + group, minlength=shape[0] * groups).reshape(shape))
    # An equal index counts as being as high, also where its last bit is not.
    p = (1 + int((indices >= value - 1e-12).sum())) / (1 + EXCHANGES)
    return float(np.quantile(indices, 0.95)), p


def _pairs(counts: np.ndarray) -> np.ndarray:
    counts = np.asarray(counts, np.float64)
    return counts * (counts - 1) / 2


def _index(both: np.ndarray, rows: np.ndarray, columns: np.ndarray, everything: np.ndarray) -> np.ndarray:
    expected = np.divide(rows * columns, everything, out=np.zeros(np.shape(both)), where=everything > 0)
    most = (rows + columns) / 2
    return np.divide(both - expected, most - expected, out=np.ones(np.shape(both)), where=most != expected)
