"""The measures in the original space: by hand, against scikit-learn, and whether intervals hold what they promise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import silhouette_samples
from sklearn.neighbors import NearestNeighbors

from engine import neighbourhood, variance
from engine.atlas.price import ratios
from engine.bank import effective_rank
from engine.resampling import Draws, corrected
from engine.spreads import distances_of, moments_of, rank_of
from engine.spreads import effective_rank as centred_rank
from engine.variance import spread
from tests.engine.atlas.toys import said
from tests.engine.pixel_toys import drawn, sample_of

MEANS = 3 * np.eye(4, 6)


@pytest.fixture(scope="module")
def sample():
    return drawn(np.random.default_rng(0), MEANS)


@pytest.fixture(scope="module")
def measured(sample):
    return spread(sample)


# ── variances and distances ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_variances_are_numpys(sample):
    x = sample.features.astype(np.float64)
    groups = [x[sample.category == c] for c in range(4)]
    means = np.stack([g.mean(0) for g in groups])
    found = moments_of(x, sample.category, sample.image, range(4), Draws(40))
    assert found.traces == pytest.approx([np.trace(np.cov(g.T, bias=True)) for g in groups])
    assert found.within == pytest.approx(found.traces.mean())
    assert found.between == pytest.approx(np.square(means - means.mean(0)).sum(1).mean())
    np.testing.assert_allclose(found.distances, np.square(means[:, None] - means[None]).sum(-1), atol=1e-9)
    # The mean squared distance between categories is twice `between`, as it is for any points and their mean.
    assert found.distances.sum() / 16 == pytest.approx(2 * found.between)


def test_the_bias_that_comes_off_is_the_textbooks(sample, measured):
    """With as many pixels of every image a category's mean is the mean of 40 image means: its variance is theirs ÷ 40, which is
    what variances lack, and what distances have too much, of both categories."""
    x = sample.features.astype(np.float64)
    moments = moments_of(x, sample.category, sample.image, range(4), Draws(40, resamples=40_000))
    per = np.stack(
        [[x[(sample.category == c) & (sample.image == i)].mean(0) for i in range(40)] for c in range(4)]
    )
    own = per.var(1).sum(1) / 40
    for c in range(4):
        value, drawn = corrected(float(moments.traces[c]), moments.drawn_traces[:, c])
        assert value - moments.traces[c] == pytest.approx(own[c], rel=0.1)
        assert drawn.mean() == pytest.approx(value)
        assert measured.categories[c].variance.value == pytest.approx(value, rel=5e-3)
    found = distances_of(range(4), moments, 40)
    apart = (per[0] - per[1]).var(0).sum() / 40
    assert moments.distances[0, 1] - found.value[0, 1] == pytest.approx(apart, rel=0.15)
    between, _ = corrected(moments.between, moments.drawn_between)
    assert moments.between - between == pytest.approx((per - per.mean(0)).var(1).sum(1).mean() / 40, rel=0.15)
    assert measured.between.value == pytest.approx(between, rel=5e-3)


def test_by_hand():
    """Two categories on a line, at 0 ± 1 and at 10 ± 2, each in two images."""
    x = np.array([[-1.0], [1], [-1], [1], [-1], [1], [-1], [1], [8], [12], [8], [12], [8], [12], [8], [12]])
    found = spread(sample_of(x, np.repeat([0, 1], 8), np.tile([0, 0, 1, 1], 4)))
    assert [c.variance.value for c in found.categories] == [1, 4]
    assert (found.within.value, found.between.value, found.ratio.value) == (2.5, 25, 0.1)
    assert found.distances.value.tolist() == [[0, 100], [100, 0]]
    assert [c.rank.value for c in found.categories] == pytest.approx([1, 1])
    assert np.isnan(found.ratio.low) and found.comparisons == ()  # two images: nothing to resample
    # A pixel at −1: two of its own at −1 and two at 1 in the other image; the others at 8 and 12, on average 11 away.
    assert found.categories[0].silhouette.value == pytest.approx(np.mean([(11 - 1) / 11, (9 - 1) / 9]))


def test_the_draws_are_the_price_of_drawn_images(sample):
    """The same sums by the atlas's own arithmetic, draw by draw."""
    x, image, category = sample.features.astype(np.float64), sample.image, sample.category
    draws = Draws(40, resamples=30)
    moments = moments_of(x, category, image, range(4), draws)
    for b in range(30):
        weight = draws.weights[b][image].astype(np.float64)
        one_hot = np.eye(4)[category] * weight[:, None]
        traces, within, between = ratios(one_hot.sum(0), one_hot.T @ x, one_hot.T @ np.square(x).sum(1))
        np.testing.assert_allclose(moments.drawn_traces[b], traces, rtol=1e-4)
        assert moments.drawn_within[b] == pytest.approx(within, rel=1e-4)
        assert moments.drawn_between[b] == pytest.approx(between, rel=1e-4)


def test_blocks_of_draws_change_nothing(sample, monkeypatch):
    x = sample.features.astype(np.float64)
    whole = moments_of(x, sample.category, sample.image, range(4), Draws(40, resamples=50))
    monkeypatch.setattr("engine.spreads.BLOCK_BYTES", 1000)
    parts = moments_of(x, sample.category, sample.image, range(4), Draws(40, resamples=50))
    for name in ("drawn_traces", "drawn_within", "drawn_between", "drawn_distance", "distance_deviation"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-4, atol=1e-6)


def test_a_large_constant_changes_nothing(sample, measured):
    moved = spread(replace(sample, features=sample.features + 1000))
    for name in ("within", "between", "ratio", "silhouette", "purity"):
        for part in ("value", "low", "high"):
            expected = getattr(getattr(measured, name), part)
            assert getattr(getattr(moved, name), part) == pytest.approx(expected, rel=2e-3, abs=1e-4)


def test_doubled_features_have_four_times_the_variance_and_the_same_ratios(sample, measured):
    found = spread(replace(sample, features=2 * sample.features))
    assert found.within.value == pytest.approx(4 * measured.within.value)
    assert found.within.high == pytest.approx(4 * measured.within.high, rel=1e-5)
    for name in ("ratio", "silhouette", "purity"):
        assert getattr(found, name).value == pytest.approx(getattr(measured, name).value)


def test_categories_permuted_permute_the_answers(sample, measured):
    order = np.array([2, 0, 3, 1])
    found = spread(replace(sample, category=order[sample.category]))
    for c in measured.categories:
        other = found.of(int(order[c.category]))
        for name in ("variance", "share", "silhouette", "purity", "rank"):
            mine, theirs = getattr(c, name), getattr(other, name)
            assert (mine.value, mine.low, mine.high) == pytest.approx(
                (theirs.value, theirs.low, theirs.high), rel=1e-4, abs=1e-9
            )
    np.testing.assert_allclose(
        found.distances.value[np.ix_(order, order)], measured.distances.value, atol=1e-9
    )


def test_pixels_permuted_change_no_value(sample, measured):
    found = spread(sample.take(np.random.default_rng(0).permutation(len(sample))))
    for name in ("within", "between", "ratio", "silhouette", "purity"):
        mine, other = getattr(found, name), getattr(measured, name)
        assert (mine.value, mine.low, mine.high) == pytest.approx(
            (other.value, other.low, other.high), rel=1e-4
        )


# ── silhouette and purity ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("neighbours", [1, 15])
def test_they_are_scikit_learns_where_every_pixel_is_its_own_image(neighbours):
    random = np.random.default_rng(3)
    category = random.integers(0, 4, 700)  # more than one block
    x = MEANS[category] + random.normal(0, 1.5, (700, 6)) + 50
    found = neighbourhood.scores(x, category, np.arange(700), neighbours)
    np.testing.assert_allclose(found.silhouette, silhouette_samples(x, category), atol=1e-9)
    nearest = NearestNeighbors(n_neighbors=neighbours).fit(x).kneighbors(return_distance=False)
    np.testing.assert_allclose(found.purity, (category[nearest] == category[:, None]).mean(1))
    counts = np.bincount(category)
    assert found.chance == pytest.approx((counts * (counts - 1)).sum() / (700 * 699))


def test_neighbours_of_the_same_image_are_left_out():
    """Again, pixel by pixel: its own image is taken away, and the rest is asked."""
    random = np.random.default_rng(4)
    category, image = random.integers(0, 3, 90), random.integers(0, 6, 90)
    x = random.normal(size=(90, 4)) + MEANS[category, :4] / 3
    found = neighbourhood.scores(x, category, image)
    for i in range(90):
        others = np.flatnonzero(image != image[i])
        distance = np.linalg.norm(x[others] - x[i], axis=1)
        means = [distance[category[others] == c].mean() for c in range(3)]
        a = means[category[i]]
        b = min(m for c, m in enumerate(means) if c != category[i])
        assert found.silhouette[i] == pytest.approx((b - a) / max(a, b))
        nearest = others[np.argsort(distance)[:15]]
        assert found.purity[i] == pytest.approx((category[nearest] == category[i]).mean())


def test_an_image_cannot_vouch_for_itself():
    """Copies of one pixel in one image: with the image's own neighbours everything would look pure."""
    random = np.random.default_rng(5)
    image = np.repeat(np.arange(30), 20)
    category = np.tile(np.repeat([0, 1], 10), 30)
    points = random.normal(size=(30, 2, 8))  # of no category: only of an image
    found = neighbourhood.scores(points[image, category], category, image)
    assert abs(found.purity.mean() - 0.5) < 0.08 and found.chance == pytest.approx(0.5)
    naive = neighbourhood.scores(points[image, category], category, np.arange(600))
    assert naive.purity.mean() > 0.65


def test_what_is_not_defined_is_nan():
    x, category = np.arange(6.0)[:, None], np.array([0, 0, 1, 1, 2, 2])
    found = neighbourhood.scores(x, category, np.array([0, 0, 1, 2, 3, 4]))
    assert np.isnan(found.silhouette[:2]).all() and np.isfinite(found.silhouette[2:]).all()
    assert (found.purity[:2] == 0).all()  # no neighbour elsewhere can be of its own
    one = neighbourhood.scores(x, category, np.zeros(6, int))
    assert np.isnan(one.silhouette).all() and np.isnan(one.purity).all() and np.isnan(one.chance)
    alike = neighbourhood.scores(np.zeros((6, 2)), category, np.arange(6))
    assert (alike.silhouette == 0).all()


def test_thinning_is_even_and_said(sample, monkeypatch):
    monkeypatch.setattr(variance, "PAIRED", 40)
    asked: list[np.ndarray] = []
    whole = neighbourhood.scores

    def scores(x, category, image):
        asked.append(category)
        return whole(x, category, image)

    monkeypatch.setattr(neighbourhood, "scores", scores)
    found = spread(sample)
    assert found.paired == 40 and np.bincount(asked[0]).tolist() == [10] * 4
    assert found.pixels == len(sample)


# ── effective rank ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("shape", [(60, 9), (9, 60), (40, 40)])
def test_the_rank_is_the_banks_of_centred_rows(shape):
    x = np.random.default_rng(6).normal(5, 1, shape) * np.linspace(0.1, 2, shape[1])
    assert centred_rank(x) == pytest.approx(effective_rank(x - x.mean(0)), rel=1e-6)


def test_the_rank_of_known_spreads():
    line = np.linspace(-1, 1, 50)[:, None] * np.arange(1, 6)
    assert centred_rank(line) == pytest.approx(1)
    assert centred_rank(np.concatenate([np.eye(4), -np.eye(4)])) == pytest.approx(4)
    assert centred_rank(np.ones((5, 3))) == 0
    found = rank_of(np.random.default_rng(0).normal(size=(400, 5)), np.repeat(np.arange(40), 10))
    assert found.low < found.value < found.high and found.value == pytest.approx(5, abs=0.05)
    assert np.isnan(rank_of(np.random.default_rng(0).normal(size=(40, 5)), np.repeat(np.arange(4), 10)).low)


# ── categories against each other ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_more_varied_category_is_found_and_equal_ones_are_not():
    random = np.random.default_rng(7)
    sample = drawn(random, MEANS, images=60)
    wider = np.where(sample.category == 2, 2.0, 1.0)[:, None]
    x = MEANS[sample.category] + wider * (sample.features - MEANS[sample.category])
    found = spread(replace(sample, features=x.astype(np.float32)))
    assert len(found.comparisons) == 6
    for each in found.comparisons:
        assert each.p_holm >= each.p
        assert (each.p_holm < 0.05) == (2 in (each.first, each.second))
        if each.first == 2:
            assert each.ratio.low > 1
        assert each.ratio.value == pytest.approx(
            found.of(each.first).variance.value / found.of(each.second).variance.value
        )


# ── do intervals hold what they promise? ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def few_draws():
    """Coverage is of many data sets; 300 resamples of each are enough, and ranks and neighbours are not asked about."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variance, "Draws", lambda images, seed: Draws(images, seed, 300))
        patch.setattr(variance, "rank_of", lambda *_: variance.Estimate(1.0, 1.0, 1.0))
        patch.setattr(variance, "PAIRED", 30)
        yield


@pytest.mark.slow
@pytest.mark.parametrize(
    ("apart", "channels", "images"),
    [(4.0, 4, 60), (4.0, 32, 60), (0.8, 32, 150)],
    ids=["few", "wide", "near"],
)
def test_intervals_over_images_cover_the_truth(few_draws, apart, channels, images):
    """200 data sets of images with effects of their own, whose variance and distances are known: 95 % is meant.

    "near": categories whose means over 150 images lie a fifth further apart than the true ones.
    """
    random = np.random.default_rng(8)
    means, own, noise, trials = apart * np.eye(4, channels), 0.7, 1.0, 200
    truth, between = channels * (own**2 + noise**2), apart**2 * 3 / 4
    assert between == pytest.approx(np.square(means - means.mean(0)).sum(1).mean())
    held = dict.fromkeys(("variance", "within", "between", "ratio", "distance"), 0)
    values = []
    for _ in range(trials):
        found = spread(drawn(random, means, images, 2, own, noise))
        known = {
            "variance": (found.categories[0].variance, truth),
            "within": (found.within, truth),
            "between": (found.between, between),
            "ratio": (found.ratio, truth / between),
        }
        for name, (estimate, true) in known.items():
            held[name] += estimate.low <= true <= estimate.high
        held["distance"] += found.distances.low[0, 1] <= 2 * apart**2 <= found.distances.high[0, 1]
        values.append(found.between.value)
    assert np.mean(values) == pytest.approx(between, rel=0.03)
    assert all(count / trials >= 0.88 for count in held.values()), held
    assert min(held.values()) / trials <= 0.99, held  # else they would be so wide that they say nothing


def test_pixels_taken_for_images_promise_too_much(few_draws):
    """The same data, every pixel an image of its own: what intervals over images are for."""
    random = np.random.default_rng(9)
    held, trials, truth = np.zeros(2), 100, 4 * (0.8**2 + 0.5**2)
    for _ in range(trials):
        sample = drawn(random, 4 * np.eye(2, 4), 40, 8, 0.8, 0.5)
        for i, each in enumerate((sample, replace(sample, image=np.arange(len(sample))))):
            found = spread(each).categories[0].variance
            held[i] += found.low <= truth <= found.high
    assert held[0] / trials >= 0.88 and held[1] / trials < 0.8


def test_scores_intervals_cover_the_mean_over_images():
    """Of a mean of scores with an effect of the image, as silhouette and purity are resampled."""
    random = np.random.default_rng(9)
    held, trials = 0, 300
    image = np.repeat(np.arange(50), 6)
    for _ in range(trials):
        scores = 0.3 + random.normal(0, 0.2, 50)[image] + random.normal(0, 0.3, 300)
        found = variance.percentiles(*Draws(50, resamples=400).mean(image, scores), 50)
        held += found.low <= 0.3 <= found.high
    assert 0.88 <= held / trials <= 0.99


# ── refusals, and what is left out ──────────────────────────────────────────────────────────────────────────────────────────


def test_mixed_cells_and_small_categories_are_left_out(sample):
    pure = np.ones(len(sample), bool)
    pure[sample.category == 3] = np.arange((sample.category == 3).sum()) < 5
    features = np.where(pure[:, None], sample.features, np.nan).astype(np.float32)
    found = spread(replace(sample, pure=pure, features=features))
    assert [c.category for c in found.categories] == [0, 1, 2] and found.left_out == (3,)
    assert found.of(3) is None and found.pixels == 360
    single = replace(sample, image=np.where(sample.category == 1, 7, sample.image))
    assert spread(single).left_out == (1,)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_numbers(sample, value):
    features = sample.features.copy()
    features[5, 2] = value
    assert "not finite numbers" in said(lambda: spread(replace(sample, features=features)))


def test_too_little_is_one_sentence(sample):
    assert "all features are alike" in said(
        lambda: spread(replace(sample, features=np.ones((len(sample), 3))))
    )
    assert "of one image" in said(lambda: spread(replace(sample, image=np.zeros(len(sample), int))))
    assert "too few pixels" in said(lambda: spread(sample.take(np.arange(20))))
    assert "1 category has" in said(lambda: spread(sample.take(sample.category == 0)))
    assert "too few pixels" in said(lambda: spread(replace(sample, pure=np.zeros(len(sample), bool))))


def test_the_plain_form_is_complete(measured):
    found = measured.json()
    assert list(found["categories"]) == [f"class {c}" for c in range(4)]
    assert found["ratio"] == measured.ratio.json()
    assert found["categories"]["class 2"]["rank"]["value"] == measured.of(2).rank.value
    assert len(found["comparisons"]) == 6 and found["paired"] == measured.paired == 480
