"""What was made fast says what the plain formula says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from engine.atlas.grids import LabelGrids
from engine.attention import FEW, attention_weights
from engine.cell_labels import PURE, counts_of, majority_labels, pooled_counts
from engine.images import cell
from engine.resample import bilinear_labels, bilinear_square_lengths, first_largest

SIDE = st.integers(1, 9)


@given(st.integers(0, 10_000), st.integers(1, 9) | st.integers(60, 70), SIDE, SIDE, st.integers(1, 4))
def test_first_largest_is_argmax_and_ties_go_to_the_first(seed: int, k: int, h: int, w: int, levels: int):
    values = torch.from_numpy(np.random.default_rng(seed).integers(0, levels, (2, k, h, w))).float()
    found = first_largest(values).long()
    plain = values.numpy().argmax(1)  # numpy's: the first of equals
    np.testing.assert_array_equal(found.numpy(), plain)
    infinite = torch.where(values == 0, -torch.inf, values)
    np.testing.assert_array_equal(first_largest(infinite).numpy(), infinite.numpy().argmax(1))


@pytest.mark.parametrize(
    ("grid", "size", "k"),
    [
        ((5, 7), (37, 53), 5),
        ((16, 21), (61, 83), 14),
        ((9, 3), (9, 3), 4),
        ((13, 40), (7, 20), 3),
        ((2, 2), (300, 1), 2),
    ],
)
def test_labels_are_the_argmax_of_interpolated_logits(grid: tuple[int, int], size: tuple[int, int], k: int):
    logits = torch.randn(3, k, *grid, generator=torch.Generator().manual_seed(0)) * 4
    full = F.interpolate(logits, size, mode="bilinear", align_corners=False)
    top = full.topk(2, dim=1).values
    clear = top[:, 0] - top[:, 1] > 1e-4
    found = bilinear_labels(logits, size)
    assert found.dtype == torch.uint8 and found.shape == (3, *size) and clear.float().mean() > 0.99
    assert (found.long() == full.argmax(1))[clear].all()
    for band in (1, 5, 1000):
        assert (bilinear_labels(logits, size, band) == found).all()


def test_labels_of_many_categories_have_room():
    logits = torch.zeros(1, 300, 2, 2)
    logits[:, 299] = 1
    assert (bilinear_labels(logits, (4, 4)) == 299).all()


@pytest.mark.parametrize("m", [1, 5, FEW - 1, FEW, FEW + 1])
@pytest.mark.parametrize("lead", [(), (2,), (2, 4)])
def test_few_sources_have_the_plain_softmax(m: int, lead: tuple[int, ...]):
    random = torch.Generator().manual_seed(m)
    query = torch.randn(*lead, 11, 6, generator=random) * 6
    key = torch.randn(*lead, m, 6, generator=random) * 6
    found = attention_weights(query, key)
    plain = (query.double() @ key.double().transpose(-1, -2)).softmax(-1)
    assert found.shape == (*lead, 11, m) and found.dtype == torch.float32
    torch.testing.assert_close(found.double(), plain, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.sum(-1), torch.ones(*lead, 11))
    assert attention_weights(query.half(), key.half()).dtype == torch.float32


# ── labels of cells ─────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 40), SIDE, SIDE)
def test_counts_are_those_of_the_cells_that_hold_the_centres(
    seed: int, height: int, width: int, y: int, x: int
):
    k = 3
    known = np.random.default_rng(seed).choice([0, 1, 2, 3, 255], (height, width)).astype(np.uint8)
    counts = np.zeros((y, x, k), int)
    sizes = np.zeros((y, x), int)
    for row in range(height):
        for col in range(width):
            at = cell(row, col, (height, width), (y, x))
            sizes[at] += 1
            if known[row, col] < k:
                counts[(*at, known[row, col])] += 1
    found = counts_of(known, (y, x), k)
    np.testing.assert_array_equal(found[0], counts.reshape(-1, k))
    np.testing.assert_array_equal(found[1], sizes.ravel())
    pure = (counts.max(-1) >= PURE * sizes) & (sizes > 0)
    np.testing.assert_array_equal(majority_labels(known, (y, x), k), np.where(pure, counts.argmax(-1), 255))


@given(
    st.integers(0, 10_000),
    st.integers(1, 70),
    st.integers(1, 70),
    st.tuples(SIDE, SIDE),
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_pooled_counts_are_the_coarse_grids_own(seed, height, width, grid, tall, wide):
    known = np.random.default_rng(seed).choice([0, 1, 2, 3, 255], (height, width)).astype(np.uint8)
    fine = (grid[0] * tall, grid[1] * wide)
    pooled = pooled_counts(*counts_of(known, fine, 3), fine, grid)
    for mine, yours in zip(pooled, counts_of(known, grid, 3), strict=True):
        np.testing.assert_array_equal(mine, yours)


@given(
    st.integers(0, 10_000),
    st.lists(st.tuples(st.integers(1, 16), st.integers(1, 16)), min_size=2, max_size=6),
)
def test_majorities_do_not_depend_on_which_grid_was_asked_first(seed: int, grids: list[tuple[int, int]]):
    truth = np.random.default_rng(seed).choice([0, 0, 0, 1, 255], (2, 23, 31)).astype(np.uint8)
    held = LabelGrids(truth, 3, torch.device("cpu"))
    for grid in grids:
        expected = np.stack([majority_labels(labels, grid, 3) for labels in truth])
        np.testing.assert_array_equal(held.majority(grid), expected)
        one_hot = held.one_hot(grid).numpy().reshape(2, 3, *grid)
        for category in range(3):
            np.testing.assert_array_equal(one_hot[:, category], expected == category)


@pytest.mark.parametrize(
    ("small", "size"),
    [((5, 7), (10, 14)), ((5, 7), (5, 7)), ((4, 6), (13, 9)), ((9, 3), (4, 8)), ((1, 1), (6, 5))],
)
def test_square_lengths_without_resizing(small, size):
    x = torch.randn(2, 11, *small, generator=torch.Generator().manual_seed(5))
    expected = F.interpolate(x, size=size, mode="bilinear", align_corners=False).square().sum(1)
    torch.testing.assert_close(bilinear_square_lengths(x, size), expected, rtol=1e-5, atol=1e-5)
