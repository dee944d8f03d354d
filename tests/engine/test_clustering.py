"""Clusters of pixels: planted ones are found, numbered by size; what cannot be clustered is one sentence."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from engine.clustering import MOST, clusters
from engine.errors import LoupeError


def planted(sizes: tuple[int, ...], seed: int = 0, noise: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    means = 14 * draw.normal(size=(len(sizes), 6))
    own = np.repeat(np.arange(len(sizes)), sizes)
    x = means[own] + draw.normal(size=(len(own), 6))
    far = draw.uniform(-90, 90, (noise, 6))
    order = draw.permutation(len(own) + noise)
    return np.concatenate([x, far])[order], np.concatenate([own, np.full(noise, -1)])[order]


def test_planted_clusters_are_found_and_numbered_by_size():
    x, own = planted((40, 160, 90), noise=12)
    found = clusters(x, 20)
    assert len(found.sizes) == 3 and list(found.sizes) == sorted(found.sizes, reverse=True)
    assert adjusted_rand_score(own[own >= 0], found.label[own >= 0]) > 0.9
    assert found.left == (found.label == -1).sum() >= 8
    assert sum(found.sizes) + found.left == len(x)
    for cluster, size in enumerate(found.sizes):
        members = found.members(cluster)
        assert len(members) == size and (found.label[np.searchsorted(found.rows, members)] == cluster).all()
        strength = found.strength[np.searchsorted(found.rows, members)]
        assert (np.diff(strength) <= 0).all() and strength.min() >= 0 and strength.max() <= 1


def test_the_order_of_pixels_changes_no_cluster():
    x, _ = planted((60, 100), seed=3)
    order = np.random.default_rng(1).permutation(len(x))
    a, b = clusters(x, 15), clusters(x[order], 15)
    np.testing.assert_array_equal(a.label[order], b.label)


def test_many_pixels_are_thinned_evenly():
    x, _ = planted((3000, 3000))
    found = clusters(x, 50)
    assert len(found.rows) == len(found.label) == MOST
    assert found.rows[0] == 0 and np.diff(found.rows).min() >= 1 and np.diff(found.rows).max() <= 2
    assert len(found.sizes) == 2


@pytest.mark.parametrize(
    ("x", "smallest", "said"),
    [
        (np.zeros((30, 4)), 5, "alike"),
        (np.full((30, 4), np.nan), 5, "finite"),
        (np.random.default_rng(0).normal(size=(9, 4)), 5, "too few"),
        (np.random.default_rng(0).normal(size=(9, 4)), 1, "at least 2"),
    ],
)
def test_what_cannot_be_clustered_is_one_sentence(x, smallest, said):
    with pytest.raises(LoupeError, match=said) as error:
        clusters(x, smallest)
    assert "\n" not in str(error.value)
