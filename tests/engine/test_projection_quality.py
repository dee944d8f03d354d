"""Trustworthiness, continuity, correlation of distances and stability: against scikit-learn, scipy and known cases."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from sklearn.manifold import trustworthiness

from engine.projection_quality import distance_correlation, measure, stability_of

SEEDS = (1, 2)


@pytest.fixture(scope="module")
def cloud() -> tuple[np.ndarray, np.ndarray]:
    """Pixels in six dimensions, and a map that keeps two of them, one of them bent."""
    x = np.random.default_rng(0).normal(size=(600, 6)).astype(np.float32)
    return x, np.stack([x[:, 0] ** 3, x[:, 1]], axis=1).astype(np.float32)


@pytest.mark.parametrize("neighbours", [1, 5, 15])
def test_both_are_scikit_learns_where_every_point_is_asked(cloud, neighbours):
    x, xy = cloud
    found = measure(x, xy, neighbours)
    assert found.trustworthiness == pytest.approx(trustworthiness(x, xy, n_neighbors=neighbours), abs=1e-6)
    assert found.continuity == pytest.approx(trustworthiness(xy, x, n_neighbors=neighbours), abs=1e-6)
    assert found.trustworthiness < 0.95 and found.trustworthiness != found.continuity
    assert (found.neighbours, found.rows, found.total, found.errors) == (neighbours, 600, 600, (0.0, 0.0))


def test_asking_some_points_is_near_asking_all_within_the_error_it_states(cloud):
    x, xy = cloud
    exact, some = measure(x, xy), measure(x, xy, rows=150)
    assert some.rows == 150 and some.total == 600 and some.neighbours == exact.neighbours
    for name, error in zip(("trustworthiness", "continuity"), some.errors, strict=True):
        gap = abs(getattr(some, name) - getattr(exact, name))
        assert 0 < gap < 4 * error < 0.05


def test_by_hand():
    """A line of 6, its ends' neighbour exchanged on the map: with k = 1, 2 of 6 stand beside the wrong one."""
    x = np.array([0.0, 1.0, 2.1, 3.3, 4.6, 6.0])[:, None] * [1.0, 0.0]
    xy = x.copy()
    xy[0, 0] = (
        7.0  # the first goes behind the last: its nearest on the map has rank 5 in x, and the last keeps rank 1 → 5
    )
    # On the map: 0 → 5 (rank 5), 1 → 2 (rank 2), 2 → 1, 3 → 2, 4 → 3, 5 → 0 (rank 5). Σ (rank − 1) = 4 + 1 + 0 + 0 + 0 + 4.
    assert measure(x, xy, 1).trustworthiness == pytest.approx(1 - 2 / (6 * 1 * (12 - 3 - 1)) * 9)


def test_a_perfect_map_and_one_by_chance():
    x = np.random.default_rng(1).normal(size=(400, 2)).astype(np.float32)
    turned = x @ np.array([[0.6, -0.8], [0.8, 0.6]], np.float32) * 7
    perfect = measure(x, turned)
    assert perfect.trustworthiness == perfect.continuity == 1.0
    assert perfect.correlation == pytest.approx(1.0, abs=1e-6)
    chance = measure(x, np.random.default_rng(2).normal(size=(400, 2)).astype(np.float32))
    assert 0.4 < chance.trustworthiness < 0.6 and abs(chance.correlation) < 0.1


def test_the_correlation_is_scipys(cloud):
    x, xy = cloud
    assert distance_correlation(x, xy) == pytest.approx(spearmanr(pdist(x), pdist(xy)).statistic, abs=1e-9)
    assert distance_correlation(x, xy, points=200) == pytest.approx(distance_correlation(x, xy), abs=0.1)
    assert distance_correlation(x, np.zeros_like(xy)) == 0.0


def test_few_pixels_and_doubles_have_a_quality():
    x = np.repeat(np.random.default_rng(3).normal(size=(4, 3)), 3, axis=0).astype(np.float32)
    found = measure(x, x[:, :2])
    assert found.neighbours == 5 and 0 <= found.trustworthiness <= 1 and 0 <= found.continuity <= 1


def test_turning_mirroring_and_scaling_a_map_does_not_change_it(cloud):
    _, xy = cloud
    mirrored = xy[:, ::-1] * [[3.0, 3.0]] + 5
    found = stability_of(xy, [mirrored, xy], SEEDS)
    assert found.similarity == pytest.approx(1.0, abs=1e-6) and found.overlap == 1.0
    assert (found.neighbours, found.seeds) == (15, SEEDS)


def test_maps_that_have_nothing_in_common_are_unstable(cloud):
    _, xy = cloud
    other = np.random.default_rng(4).permutation(xy)
    found = stability_of(xy, [other], (1,))
    assert found.similarity < 0.05 and found.overlap < 0.1
    half = stability_of(xy, [xy, other], SEEDS)
    assert half.similarity == pytest.approx((1 + found.similarity) / 2, abs=1e-6)
    assert half.overlap == pytest.approx((1 + found.overlap) / 2, abs=1e-9)
