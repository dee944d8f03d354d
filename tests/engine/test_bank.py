"""The bank's contents: laws, and small cases worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine import bank
from engine.atlas.records import PrototypeMeans

MODELS = Path(__file__).resolve().parents[2] / "assets" / "models"


def rows_of(k: int = 6, channels: int = 9, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(k, channels))


def means_of(present: np.ndarray, prototypes: np.ndarray, predicted: np.ndarray | None = None):
    """PrototypeMeans of prototypes (i, k, c) of images that hold categories `present` (i, k)."""

    def mean(held: np.ndarray) -> np.ndarray:
        sums = np.einsum("ik,ikc->kc", held.astype(float), prototypes)
        return sums / np.maximum(held.sum(0), 1)[:, None]

    predicted = present if predicted is None else predicted
    return PrototypeMeans(
        everywhere=prototypes.mean(0),
        true=mean(present),
        predicted=mean(predicted),
        images=len(present),
        true_images=present.sum(0),
        predicted_images=predicted.sum(0),
    )


# ── cosine, norms, neighbours ───────────────────────────────────────────────────────────────────────────────────────────


def test_cosine_matrix_by_hand():
    found = bank.cosine_matrix(np.array([[2.0, 0], [0, 5], [1, 1], [-3, 0]]))
    half = np.sqrt(0.5)
    expected = [[1, 0, half, -1], [0, 1, half, 0], [half, half, 1, -half], [-1, 0, -half, 1]]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert (np.diagonal(found) == 1).all()


def test_cosines_do_not_depend_on_norms_and_follow_a_permutation():
    rows, order = rows_of(), np.array([3, 0, 5, 1, 4, 2])
    cosines = bank.cosine_matrix(rows)
    np.testing.assert_allclose(bank.cosine_matrix(rows * np.arange(1, 7)[:, None]), cosines, atol=1e-12)
    np.testing.assert_allclose(bank.cosine_matrix(rows[order]), cosines[np.ix_(order, order)], atol=1e-12)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_a_row_without_a_direction_has_no_cosine(bad):
    rows = rows_of(4)
    rows[2] = bad
    cosines = bank.cosine_matrix(rows)
    assert np.isnan(cosines[2]).all() and np.isnan(cosines[:, 2]).all()
    assert np.isfinite(cosines[np.ix_([0, 1, 3], [0, 1, 3])]).all()
    assert np.isnan(bank.cosine(rows[2], rows[0])) and bank.cosine(rows[0], rows[0]) == pytest.approx(1)
    nearest = bank.nearest(cosines)
    assert nearest[2] == () and all(c != 2 for row in nearest for c, _ in row)


def test_norms_and_nearest_by_hand():
    rows = np.array([[3.0, 4], [1, 0], [0, 2]])
    assert bank.norms(rows).tolist() == [5, 1, 2]
    nearest = bank.nearest(bank.cosine_matrix(rows), most=2)
    assert [[c for c, _ in row] for row in nearest] == [[2, 1], [0, 2], [0, 1]]
    assert nearest[0][0][1] == pytest.approx(0.8) and nearest[1][1][1] == pytest.approx(0)
    assert [len(row) for row in bank.nearest(bank.cosine_matrix(rows), most=9)] == [2, 2, 2]


# ── effective rank ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("k", [1, 2, 5, 14])
def test_effective_rank_of_the_identity_is_its_size_and_of_equal_rows_is_one(k):
    assert bank.effective_rank(np.eye(k)) == pytest.approx(k)
    assert bank.effective_rank(np.tile(rows_of(1), (k, 1))) == pytest.approx(1)
    assert bank.effective_rank(np.zeros((k, 3))) == 0


def test_effective_rank_by_hand():
    # singular values 3 and 1: shares 3/4, 1/4
    expected = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert bank.effective_rank(np.diag([3.0, -1.0])) == pytest.approx(expected)
    rotation, _ = np.linalg.qr(rows_of(2, 2))
    assert bank.effective_rank(7 * np.diag([3.0, 1.0]) @ rotation) == pytest.approx(expected)
    assert np.isnan(bank.effective_rank(np.array([[1.0, np.nan]])))


def test_ranks_count_directions_with_and_without_the_common_part():
    orthonormal = bank.ranks(np.eye(5, 8))
    assert orthonormal.rows == pytest.approx(5) and orthonormal.centred == pytest.approx(4)
    assert (orthonormal.most, orthonormal.most_centred) == (5, 4)
    # A large common part hides the differences from the first number, and from the second not at all.
    shifted = bank.ranks(np.eye(5, 8) + 100)
    assert shifted.rows < 1.5 and shifted.centred == pytest.approx(4)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_equal_rows_differ_in_no_direction(dtype):
    found = bank.ranks(np.tile(rows_of(1, 33).astype(dtype), (7, 1)))
    assert found.rows == pytest.approx(1) and found.centred == 0


def test_ranks_do_not_depend_on_the_order_of_rows_and_bear_any_bank():
    rows, order = rows_of(), np.array([3, 0, 5, 1, 4, 2])
    assert bank.ranks(rows[order]).centred == pytest.approx(bank.ranks(rows).centred)
    assert bank.ranks(np.zeros((3, 4))).rows == 0
    broken = bank.ranks(np.array([[1.0, np.nan], [0, 1]]))
    assert np.isnan(broken.rows) and np.isnan(broken.centred)
    wide = bank.ranks(rows_of(2, 9))
    assert wide.most_centred == 1 and wide.centred == pytest.approx(1)


def test_what_all_rows_share_is_invisible_to_the_softmax():
    """The reason for the centred rank: scores shift alike, outputs shift alike."""
    rows, query = rows_of(5, 4), rows_of(3, 4, seed=1)

    def weights(keys: np.ndarray) -> np.ndarray:
        exponentials = np.exp(-(query @ keys.T))
        return exponentials / exponentials.sum(1, keepdims=True)

    common = rows_of(1, 4, seed=2)
    np.testing.assert_allclose(weights(rows + common), weights(rows), atol=1e-12)
    moved = weights(rows) @ (rows + common) - weights(rows) @ rows
    np.testing.assert_allclose(moved, np.tile(common, (3, 1)), atol=1e-12)


# ── the shadow memory ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_noise_share_by_hand():
    """Two of four images hold the category: (2, 0) there, (0, 1) elsewhere. m = (1, ½); noise part (0, ½): ¼ of 1¼."""
    prototypes = np.array([[[2.0, 0]], [[2.0, 0]], [[0, 1.0]], [[0, 1.0]]])
    present = np.array([[True], [True], [False], [False]])
    found = bank.shadow(means_of(present, prototypes), np.array([[0.0, 3.0]]))
    assert (
        found.presence[0] == 0.5
        and found.noise[0] == pytest.approx(0.2)
        and found.own[0] == pytest.approx(0.8)
    )
    assert found.everywhere[0] == pytest.approx(0.5 / np.sqrt(1.25)) and found.true[0] == pytest.approx(0)
    assert found.means[0] == pytest.approx(1 / np.sqrt(1.25))
    assert found.reason == ("",)


def test_noise_and_own_share_sum_to_one_and_are_what_the_definition_says():
    random = np.random.default_rng(0)
    prototypes, present = random.normal(size=(30, 6, 5)), random.random((30, 6)) < 0.4
    means = means_of(present, prototypes)
    found = bank.shadow(means)
    np.testing.assert_allclose(found.noise + found.own, 1, atol=1e-12)
    for c in range(6):
        m = prototypes[:, c].mean(0)
        elsewhere = prototypes[~present[:, c], c].sum(0) / 30
        assert found.noise[c] == pytest.approx(elsewhere @ m / (m @ m))
        assert found.noise[c] == pytest.approx((1 - found.presence[c]) * means.absent[c] @ m / (m @ m))
    assert np.isnan(found.everywhere).all()  # without a memory there is no row to compare
    assert np.isfinite(found.means).all()


def test_a_prototype_that_is_always_the_same_has_the_noise_of_its_absence():
    prototypes = np.tile(rows_of(3, 4), (10, 1, 1))
    present = np.arange(10)[:, None] < np.array([2, 5, 9])
    found = bank.shadow(means_of(present, prototypes))
    np.testing.assert_allclose(found.noise, [0.8, 0.5, 0.1], atol=1e-12)
    np.testing.assert_allclose(found.means, 1, atol=1e-12)


def test_never_and_always_present_are_said():
    prototypes = np.random.default_rng(1).normal(size=(4, 3, 5))
    present = np.array([[False, True, True]] * 2 + [[False, True, False]] * 2)
    predicted = np.array([[True, True, False]] * 4)
    found = bank.shadow(means_of(present, prototypes, predicted), rows_of(3, 5))
    assert np.isnan(found.noise[0]) and np.isnan(found.own[0]) and np.isnan(found.true[0])
    assert "no image holds it" in found.reason[0] and np.isfinite(found.predicted[0])
    assert found.noise[1] == 0 and found.own[1] == 1 and "every image" in found.reason[1]
    assert found.reason[2] == "" and np.isnan(found.predicted[2])
    assert found.presence.tolist() == [0, 1, 0.5] and found.presence_predicted.tolist() == [1, 1, 0]


def test_a_shadow_of_nothing_is_undefined_not_wrong():
    nothing = bank.shadow(means_of(np.zeros((1, 2), bool), np.zeros((1, 2, 3))))
    assert np.isnan(nothing.noise).all()
    zero = bank.shadow(means_of(np.array([[True], [False]]), np.zeros((2, 1, 3))), np.ones((1, 3)))
    assert np.isnan(zero.noise[0]) and np.isnan(zero.everywhere[0]) and "is 0" in zero.reason[0]
    empty = PrototypeMeans(
        np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((2, 3)), 0, np.zeros(2, int), np.zeros(2, int)
    )
    assert (
        bank.shadow(empty).reason == ("no image was read",) * 2
        and np.isnan(bank.shadow(empty).presence).all()
    )


def test_permuting_categories_permutes_the_shadow():
    random, order = np.random.default_rng(3), np.array([2, 0, 3, 1])
    prototypes, present, rows = random.normal(size=(9, 4, 5)), random.random((9, 4)) < 0.5, rows_of(4, 5)
    one = bank.shadow(means_of(present, prototypes), rows)
    other = bank.shadow(means_of(present[:, order], prototypes[:, order]), rows[order])
    for name in ("presence", "everywhere", "true", "predicted", "means", "noise", "own"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name)[order], atol=1e-12)
    assert other.reason == tuple(one.reason[c] for c in order)


# ── live prototypes against the memory ──────────────────────────────────────────────────────────────────────────────────


def test_live_spread_by_hand():
    cosines = np.array([[0.0, 0.5], [1.0, 0.7], [0.5, np.nan], [-1.0, 0.9]])
    held = np.array([[True, False], [True, False], [True, False], [False, False]])
    found = bank.live_spread(cosines, held)
    np.testing.assert_allclose(found.held[0], [0.05, 0.25, 0.5, 0.75, 0.95])  # of 0, ½, 1
    assert found.others[0].tolist() == [-1] * 5
    assert np.isnan(found.held[1]).all()
    assert found.others[1][2] == pytest.approx(0.7)
    assert found.held_images.tolist() == [3, 0] and found.others_images.tolist() == [1, 3]


# ── a real model ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_banks_of_a_model_by_stage(tiny_checkpoint):
    from engine import checkpoints

    segmenter = checkpoints.load(tiny_checkpoint).segmenter
    found = bank.banks(segmenter)
    image = np.zeros((64, 64, 3), np.uint8)
    stages = segmenter.trace(segmenter.normalise(image))[0].stages
    assert list(found) == [stage.name for stage in stages]
    for stage in stages:
        assert stage.memory is not None and np.array_equal(found[stage.name], stage.memory.numpy())


def test_a_model_without_memory_has_no_banks(tiny_guided_checkpoint):
    from engine import checkpoints

    assert bank.banks(checkpoints.load(tiny_guided_checkpoint).segmenter) == {}
