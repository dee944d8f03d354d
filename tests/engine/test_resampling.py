"""Intervals over images: sums by draws, three ways to 95 %, Holm's correction."""

from __future__ import annotations

import numpy as np
import pytest

from engine.resampling import (
    Draws,
    by_logarithm,
    finite,
    holm,
    image_sums,
    normal,
    percentiles,
    places,
)
from tests.engine.atlas.toys import said


def test_draws_are_of_images_with_replacement():
    draws = Draws(7, seed=3)
    assert len(draws) == 2000 and (draws.weights.sum(1) == 7).all()
    assert np.abs(draws.weights.mean(0) - 1).max() < 0.1
    np.testing.assert_array_equal(draws.weights, Draws(7, seed=3).weights)
    assert (draws.weights != Draws(7, seed=4).weights).any()


def test_totals_are_the_sums_of_the_drawn_images_rows():
    random = np.random.default_rng(0)
    image, values = random.integers(0, 5, 30), random.normal(size=(30, 2, 3))
    draws = Draws(5, resamples=20)
    expected = np.stack([(values * w[image][:, None, None]).sum(0) for w in draws.weights])
    np.testing.assert_allclose(draws.totals(image, values), expected, atol=1e-4)
    np.testing.assert_allclose(draws.totals(image, values, slice(5, 9)), expected[5:9], atol=1e-4)


def test_totals_where_images_are_missing():
    image, values = np.array([4, 1, 4]), np.array([1.0, 10, 100])
    met, sums = image_sums(image, values)
    assert met.tolist() == [1, 4] and sums.tolist() == [10, 101]
    draws = Draws(6, resamples=50)
    expected = draws.weights[:, 1] * 10 + draws.weights[:, 4] * 101
    np.testing.assert_allclose(draws.totals(image, values), expected)


def test_means_leave_out_what_is_not_defined():
    image, scores = np.array([0, 0, 1, 2]), np.array([1.0, np.nan, 4.0, 7.0])
    value, drawn = Draws(3).mean(image, scores)
    assert value == 4
    weights = Draws(3).weights
    expected = (weights * [1, 4, 7]).sum(1) / weights.sum(1)
    np.testing.assert_allclose(drawn, expected, atol=1e-5)
    assert np.isnan(Draws(3).mean(image, np.full(4, np.nan))[0])


def test_an_interval_of_a_mean_is_the_textbooks():
    """With one pixel an image the bootstrap of a mean is its standard error."""
    scores = np.random.default_rng(1).normal(3, 2, 400)
    value, drawn = Draws(400).mean(np.arange(400), scores)
    for found in (percentiles(value, drawn, 400), normal(value, drawn, 400)):
        half = 1.96 * scores.std() / 20
        assert found.value == pytest.approx(scores.mean())
        assert found.low == pytest.approx(value - half, abs=0.12 * half)
        assert found.high == pytest.approx(value + half, abs=0.12 * half)


def test_pixels_of_one_image_are_not_counted_as_many():
    """The same scores, once with an image each and once in images that share them: the interval is √(pixels an image) wider."""
    random = np.random.default_rng(2)
    shared = np.repeat(random.normal(size=60), 25)
    alone = percentiles(*Draws(1500).mean(np.arange(1500), shared), 1500)
    together = percentiles(*Draws(60).mean(np.repeat(np.arange(60), 25), shared), 60)
    assert (together.high - together.low) / (alone.high - alone.low) == pytest.approx(5, rel=0.1)


def test_the_logarithms_interval_is_a_factor_each_way():
    drawn = np.exp(np.random.default_rng(0).normal(1, 0.2, 100_000))
    found = by_logarithm(4.0, drawn, 50)
    assert found.low == pytest.approx(4 / np.exp(0.392), rel=0.01)
    assert found.low * found.high == pytest.approx(16)


def test_few_images_have_no_interval():
    for interval in (percentiles, by_logarithm, normal):
        assert np.isnan(interval(1.0, np.ones(9), 4).low)
        assert interval(1.0, np.ones(9), 5).low == 1
        assert np.isnan(interval(float("nan"), np.ones(9), 9).high)
    assert normal(0.9, np.array([0.0, 1.0]), 9, most=1).high == 1


def test_holm_by_hand_and_by_scipys_neighbour():
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.5, 0.9, 0.6])).tolist() == [1, 1, 1]
    with_nan = holm(np.array([0.02, np.nan, 0.01]))
    assert with_nan[[0, 2]].tolist() == [0.02, 0.02] and np.isnan(with_nan[1])


def test_places_and_refusals():
    place, images = places(np.array([9, 4, 9, 100]))
    assert place.tolist() == [1, 0, 1, 2] and images == 3
    bad = np.ones((4, 2))
    assert "all features are alike" in said(lambda: finite(bad, "cpt f2"))
    for value in (np.nan, np.inf):
        bad[2, 1] = value
        assert "not finite numbers" in said(lambda: finite(bad, "cpt f2"))
