"""Intervals of a change of IoU: by simulation, against plain loops, and where nothing is known."""

from __future__ import annotations

import numpy as np
import pytest

from engine.metrics import Counts, iou
from engine.resampling import Draws
from engine.surgery.changes import boundary_parts, changes, drawn_deltas, iou_of, region_parts

NAMES = ("sky", "water", "grass")


def confusions(random: np.random.Generator, images: int, right: float) -> np.ndarray:
    """(i, k, k): images differ in what they hold and in how well it is found."""
    pixels = random.integers(20, 400, (images, 3))
    skill = np.clip(right + random.normal(0, 0.08, (images, 1)), 0, 1)
    hits = random.binomial(pixels, skill)
    found = np.zeros((images, 3, 3), np.int64)
    for c in range(3):
        found[:, c, c] = hits[:, c]
        found[:, c, (c + 1) % 3] = pixels[:, c] - hits[:, c]
    return found


def parts_of(matrices: np.ndarray) -> np.ndarray:
    nothing = np.zeros((3, 3), np.int64)
    return region_parts([Counts(one, nothing, nothing) for one in matrices], 3)


def test_parts_are_those_of_the_measures():
    matrices = confusions(np.random.default_rng(0), 4, 0.8)
    assert iou_of(parts_of(matrices).sum(0)) == pytest.approx(100 * iou(matrices.sum(0)))
    boundary = np.random.default_rng(1).integers(5, 9, (4, 3, 3))
    boundary[:, 0] = 4
    counts = [Counts(one, each, one) for one, each in zip(matrices, boundary, strict=True)]
    total = sum(counts[1:], counts[0])
    assert iou_of(boundary_parts(counts, 3).sum(0)) == pytest.approx(100 * total.boundary_iou)


def test_draws_are_what_a_loop_over_them_says():
    random = np.random.default_rng(2)
    before, after = (confusions(random, 7, right) for right in (0.8, 0.7))
    draws = Draws(7, seed=5, resamples=40)
    expected = [
        100 * (iou(np.einsum("i,ikl->kl", w, after)) - iou(np.einsum("i,ikl->kl", w, before)))
        for w in draws.weights
    ]
    assert drawn_deltas(parts_of(before), parts_of(after), draws) == pytest.approx(np.array(expected))


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    random = np.random.default_rng(3)
    many = confusions(random, 40_000, 0.8), confusions(random, 40_000, 0.75)
    truth = iou_of(parts_of(many[1]).sum(0)) - iou_of(parts_of(many[0]).sum(0))
    inside, inside_mean, rounds, images = np.zeros(3), 0, 100, 25
    for turn in range(rounds):
        found = changes(
            parts_of(confusions(random, images, 0.8)), parts_of(confusions(random, images, 0.75)), NAMES, turn
        )
        inside += [a.delta.low <= t <= a.delta.high for a, t in zip(found.categories, truth, strict=True)]
        inside_mean += found.mean.delta.low <= truth.mean() <= found.mean.delta.high
    assert ((inside / rounds >= 0.86) & (inside / rounds <= 0.995)).all()
    assert 0.86 <= inside_mean / rounds <= 0.995


def test_p_values_are_small_where_there_is_an_effect_and_rarely_where_there_is_none():
    random = np.random.default_rng(4)
    strong = changes(parts_of(confusions(random, 40, 0.8)), parts_of(confusions(random, 40, 0.6)), NAMES)
    assert max(each.p_holm for each in strong.categories) < 0.01 and strong.mean.p < 0.01
    assert all(each.p <= each.p_holm <= 3 * each.p + 1e-12 for each in strong.categories)
    none = [
        changes(parts_of(confusions(random, 30, 0.8)), parts_of(confusions(random, 30, 0.8)), NAMES).mean.p
        for _ in range(50)
    ]
    assert np.mean(np.array(none) < 0.05) <= 0.14


def test_a_category_without_truth_has_no_change_and_stays_out_of_the_mean():
    matrices = confusions(np.random.default_rng(5), 8, 0.8)
    matrices[:, 2, :] = 0
    worse = matrices.copy()
    worse[:, 0, 0] -= 5
    worse[:, 0, 2] += 5  # predicted where it never is
    found = changes(parts_of(matrices), parts_of(worse), NAMES)
    grass = found.categories[2]
    assert grass.images == 0 and np.isnan([grass.delta.value, grass.delta.low, grass.p, grass.p_holm]).all()
    assert found.mean.delta.value == pytest.approx(
        np.mean([each.delta.value for each in found.categories[:2]])
    )
    assert found.categories[0].delta.high < 0


def test_few_images_have_no_interval_and_none_have_no_number():
    few = parts_of(confusions(np.random.default_rng(6), 4, 0.8))
    found = changes(few, few, NAMES)
    assert found.mean.delta.value == 0 and np.isnan(found.mean.delta.low)
    nothing = changes(few[:0], few[:0], NAMES)
    assert np.isnan(nothing.mean.before) and np.isnan(nothing.mean.p)
