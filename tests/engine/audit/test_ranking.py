"""Areas under the ROC curve: scikit-learn's, ties and all; rings against pairs counted one by one; undefined ones are nan."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from engine.audit.ranking import roc_areas


def made(seed: int, levels: int | None = None, p: int = 30, s: int = 60):
    random = np.random.default_rng(seed)
    values = random.normal(0, 1, (p, s)).astype(np.float32)
    if levels:
        values = (np.round(values * levels) / levels).astype(np.float32)
    return values, random.random((p, s)) < 0.3, random.random((p, s)) < 0.8, random.integers(0, 4, (p, s))


@pytest.mark.parametrize("levels", [None, 3, 1])
def test_areas_are_those_of_scikit_learn(levels):
    values, positive, valid, _ = made(0, levels)
    assert levels is None or len(np.unique(values)) < 30  # there are ties, of −0 and 0 too
    found = roc_areas(values, positive, valid)
    expected = [roc_auc_score(p[v], x[v]) for x, p, v in zip(values, positive, valid, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("levels", [None, 2])
def test_rings_count_only_the_pairs_inside_them(levels):
    values, positive, valid, ring = made(1, levels)
    found = roc_areas(values, positive, valid, ring)
    for row in range(len(values)):
        won = pairs = 0.0
        for i in np.flatnonzero(positive[row] & valid[row]):
            for j in np.flatnonzero(~positive[row] & valid[row] & (ring[row] == ring[row, i])):
                pairs += 1
                won += (values[row, i] > values[row, j]) + (values[row, i] == values[row, j]) / 2
        assert found[row] == pytest.approx(won / pairs)


def test_order_is_reversed_with_the_sign_and_untouched_by_scale():
    values, positive, valid, ring = made(2)
    found = roc_areas(values, positive, valid, ring)
    np.testing.assert_allclose(roc_areas(-values, positive, valid, ring), 1 - found)
    np.testing.assert_array_equal(roc_areas(1e-30 * values, positive, valid, ring), found)


def test_areas_without_a_pair_are_undefined():
    values, positive, valid, ring = made(3, p=5)
    positive[0], positive[1], valid[2] = True, False, False
    ring[3] = np.arange(values.shape[1])  # each cell a ring of its own
    found = roc_areas(values, positive, valid, ring)
    assert np.isnan(found[:4]).all() and np.isfinite(found[4])
    assert roc_areas(values[:, :0], positive[:, :0], valid[:, :0]).shape == (5,)
