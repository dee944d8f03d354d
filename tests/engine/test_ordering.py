"""An order by likeness: groups stay together, undefined rows come last."""

from __future__ import annotations

import numpy as np

from engine.ordering import alike_order

GROUPS = np.array([0, 1, 0, 2, 1, 2, 0])


def grouped() -> np.ndarray:
    cosines = np.where(GROUPS[:, None] == GROUPS[None], 0.9, -0.2)
    np.fill_diagonal(cosines, 1)
    return cosines


def test_alike_rows_are_neighbours():
    order = alike_order(grouped())
    assert sorted(order) == list(range(7))
    assert np.count_nonzero(np.diff(GROUPS[order])) == 2  # three blocks
    assert alike_order(np.eye(2)) == [0, 1]


def test_undefined_rows_come_last_and_disturb_nothing():
    cosines = grouped()
    cosines[4], cosines[:, 4] = np.nan, np.nan
    order = alike_order(cosines)
    assert sorted(order) == list(range(7)) and order[-1] == 4
    assert np.count_nonzero(np.diff(GROUPS[order[:-1]])) == 2
    assert alike_order(np.full((3, 3), np.nan)) == [0, 1, 2]


def test_one_undefined_cosine_counts_as_zero():
    cosines = grouped()
    cosines[0, 1] = cosines[1, 0] = np.nan
    assert np.count_nonzero(np.diff(GROUPS[alike_order(cosines)])) == 2
