"""Planted modes: found where they are planted, not found in noise, and not credited where the image explains them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, balanced_accuracy_score

from engine.data.datasets import open_dataset
from engine.mode_scores import adjusted_rand, best_by_image, by_image, chance_of, with_groups
from engine.planted import mode_variation, planted, predictions, probe, share_of_several
from engine.resampling import Draws
from engine.stage import Stopped
from tests.engine.atlas.toys import Nods, said, toys
from tests.engine.pixel_toys import sample_of

CHANNELS, IMAGES, EACH = 8, 30, 12


def world(
    random: np.random.Generator, varies: bool, strength: float = 6.0, categories: int = 2, modes: int = 3
):
    """Two categories of three modes each; a mode for every pixel, or one for each image. Features: mode's centre + noise."""
    image = np.repeat(np.arange(IMAGES), EACH * categories)
    category = np.tile(np.repeat(np.arange(categories), EACH), IMAGES)
    of_image = random.permutation(np.arange(IMAGES) % modes)
    mode = random.integers(0, modes, len(image)) if varies else of_image[image]
    centres = random.normal(size=(categories, modes, CHANNELS))
    x = strength * centres[category, mode] + random.normal(size=(len(image), CHANNELS))
    return sample_of(x, category, image, mode)


# ── recovery ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_planted_modes_are_recovered():
    """Perfect features: clusters and probe find them, and the image does not explain them."""
    for found in planted(world(np.random.default_rng(0), varies=True)):
        assert found.scored and found.modes == (0, 1, 2) and found.left_out == ()
        assert found.clusters.value > 0.98 and found.clusters.high <= 1
        assert found.probe.value > 0.98 and found.probe_chance == pytest.approx(1 / 3)
        assert abs(found.by_image.value) < 0.05 and found.best_by_image.value < 0.2
        assert found.several == 1 and found.p_holm == pytest.approx(0.002) and found.chance < 0.05


def test_noise_recovers_nothing():
    for found in planted(world(np.random.default_rng(1), varies=True, strength=0)):
        assert abs(found.clusters.value) < 0.05 and found.p > 0.01
        assert found.clusters.low <= 0 <= found.clusters.high
        assert found.probe.value == pytest.approx(1 / 3, abs=0.1)


def test_one_mode_an_image_is_explained_by_the_image():
    """Features as good as before, but so is the image: the null says so, and the probe still finds new images' modes."""
    for found in planted(world(np.random.default_rng(2), varies=False)):
        assert found.clusters.value > 0.98 and found.probe.value > 0.98
        assert found.best_by_image.value == 1 and found.several == 0
        assert 0 < found.by_image.value < 0.3  # thirty groups for three modes: too fine for a high index
        assert found.p < 0.01  # whole images were exchanged, and few ways of doing so agree as well


def test_features_of_the_image_alone_are_not_credited():
    """Every image has its own light, modes vary within it: clusters are images, the probe fails on new ones."""
    random = np.random.default_rng(3)
    sample = world(random, varies=True, strength=0)
    light = 8 * random.normal(size=(IMAGES, CHANNELS))
    for found in planted(
        replace(sample, features=(sample.features + light[sample.image]).astype(np.float32))
    ):
        assert abs(found.clusters.value) < 0.05 and found.p > 0.01
        assert found.probe.value == pytest.approx(1 / 3, abs=0.12)


def test_chance_exchanges_whole_images():
    """One mode an image and light that knows nothing of it: pixels as independent units would call it significant too often."""
    hits = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        image = np.repeat(np.arange(12), 20)
        mode = (random.permutation(12) % 2)[image]
        group = random.integers(0, 2, 12)[image]
        _, p = chance_of(mode, group, image, seed)
        hits += p <= 0.05
    assert hits <= 6  # of 40 expected 2; by pixels it would be most of them


# ── scores ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_index_is_scikit_learns():
    random = np.random.default_rng(4)
    for groups in (1, 2, 5, 40):
        mode, group = random.integers(0, 3, 200), random.integers(0, groups, 200)
        group = np.where(random.random(200) < 0.5, mode % groups, group)
        counts = np.zeros((3, groups))
        np.add.at(counts, (mode, group), 1)
        assert adjusted_rand(counts) == pytest.approx(adjusted_rand_score(mode, group), abs=1e-12)
    assert adjusted_rand(np.array([[7.0]])) == adjusted_rand_score([0] * 7, [1] * 7) == 1
    assert adjusted_rand(np.eye(4)) == 1
    assert adjusted_rand(np.array([[[5.0, 0], [0, 5]], [[5, 5], [5, 5]]])).tolist() == pytest.approx(
        [1, -1 / 18]
    )


def test_indices_of_groups_and_images():
    random = np.random.default_rng(5)
    image, mode, group = random.integers(0, 9, 150), random.integers(0, 3, 150), random.integers(0, 4, 150)
    draws = Draws(9)
    assert with_groups(mode, group, image, draws).value == pytest.approx(adjusted_rand_score(mode, group))
    assert by_image(mode, image, draws).value == pytest.approx(adjusted_rand_score(mode, image))
    most = np.array([np.bincount(mode[image == i], minlength=3).argmax() for i in range(9)])
    assert best_by_image(mode, image, draws).value == pytest.approx(adjusted_rand_score(mode, most[image]))


def test_the_draws_of_indices_are_indices_of_drawn_images(monkeypatch):
    """An image that is drawn twice stands there twice: once more in its group, but as a group of its own by image."""
    random = np.random.default_rng(6)
    image, mode, group = random.integers(0, 6, 60), random.integers(0, 2, 60), random.integers(0, 3, 60)
    draws = Draws(6, resamples=25)
    seen: list[np.ndarray] = []
    monkeypatch.setattr("engine.mode_scores.normal", lambda value, drawn, *_, **__: seen.append(drawn))
    with_groups(mode, group, image, draws)
    by_image(mode, image, draws)
    for b, weight in enumerate(draws.weights.astype(int)):
        rows = [(copy, np.flatnonzero(image == i)) for i in range(6) for copy in range(weight[i])]
        drawn = np.concatenate([at for _, at in rows])
        copies = np.concatenate([np.full(len(at), j) for j, (_, at) in enumerate(rows)])
        assert seen[0][b] == pytest.approx(adjusted_rand_score(mode[drawn], group[drawn]), abs=1e-6)
        assert seen[1][b] == pytest.approx(adjusted_rand_score(mode[drawn], copies), abs=1e-6)


def test_the_probe_is_asked_about_images_it_has_not_seen():
    """Features that name the image: by heart everything is right, on new images nothing."""
    random = np.random.default_rng(7)
    image = np.repeat(np.arange(20), 10)
    mode = (np.arange(20) % 2)[image]
    x = 20 * random.normal(size=(20, 40))[image] + random.normal(size=(200, 40))
    guessed = predictions(x, mode, image)
    assert (guessed == mode).mean() < 0.75
    learned = predictions(x, mode, np.arange(200))  # every pixel an image: now others of its image are known
    assert (learned == mode).mean() > 0.99
    found = probe(x, mode, image, Draws(20))
    assert found.value == pytest.approx(balanced_accuracy_score(mode, guessed))
    assert found.low < found.value < found.high


def test_recall_counts_modes_alike():
    """A rare mode that is never found costs as much as a frequent one."""
    random = np.random.default_rng(8)
    image = np.repeat(np.arange(40), 10)
    mode = np.where(np.arange(40) < 4, 1, 0)[image]
    found = probe(random.normal(size=(400, 3)), mode, image, Draws(40))
    assert 0.3 < found.value < 0.7


# ── what is not scored ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_mode_met_is_said_not_scored():
    sample = world(np.random.default_rng(9), varies=True)
    mode = np.where(sample.category == 0, 2, sample.mode).astype(np.uint8)
    first, second = planted(replace(sample, mode=mode))
    assert (first.reason, first.modes, first.scored) == ("one mode met", (2,), False)
    assert np.isnan(first.clusters.value) and np.isnan(first.p_holm) and np.isnan(first.probe.value)
    assert second.scored and second.p_holm == second.p  # one test alone needs no correction


def test_rare_modes_are_left_out_and_named():
    sample = world(np.random.default_rng(10), varies=True)
    mode = sample.mode.copy()
    mode[mode == 2] = 1
    mode[np.flatnonzero(sample.category == 0)[:5]] = 3  # five pixels of one image
    first, _ = planted(replace(sample, mode=mode))
    assert (first.modes, first.left_out) == ((0, 1), (3,)) and first.scored
    assert first.pixels == (sample.category == 0).sum() - 5
    one = np.where(sample.category == 0, np.where(np.arange(len(mode)) < 3, 1, 0), mode).astype(np.uint8)
    first, _ = planted(replace(sample, mode=one))
    assert "of 2 modes met only 1 in 8 pixels of two images" in first.reason


def test_features_that_are_alike_in_one_category():
    sample = world(np.random.default_rng(11), varies=True)
    x = np.where((sample.category == 0)[:, None], 1, sample.features).astype(np.float32)
    first, second = planted(replace(sample, features=x))
    assert first.reason == "all features are alike" and second.scored


def test_refusals_are_one_sentence():
    sample = world(np.random.default_rng(12), varies=True)
    unknown = np.full(len(sample), 255, np.uint8)
    assert "no planted modes are known" in said(lambda: planted(replace(sample, mode=unknown)))
    assert "no planted modes are known" in said(lambda: planted(replace(sample, labels="prediction")))
    assert "too few pixels" in said(lambda: planted(replace(sample, pure=np.zeros(len(sample), bool))))
    features = sample.features.copy()
    features[0, 0] = np.nan
    assert "not finite" in said(lambda: planted(replace(sample, features=features)))
    assert "are alike" in said(lambda: planted(replace(sample, features=np.ones_like(features))))


def test_it_reports_and_can_be_stopped():
    sample = world(np.random.default_rng(13), varies=True)
    told: list[tuple[int, int]] = []
    found = planted(sample, progress=lambda *each: told.append(each))
    assert told == [(1, 2), (2, 2)]
    with pytest.raises(Stopped):
        planted(sample, stop=Nods(2))
    plain = found[1].json()
    assert plain["clusters"] == found[1].clusters.json() and plain["name"] == "class 1"


def test_modes_that_change_their_names_change_nothing():
    sample = world(np.random.default_rng(14), varies=True, strength=1)
    renamed = planted(replace(sample, mode=np.array([5, 9, 2], np.uint8)[sample.mode]))
    for mine, other in zip(planted(sample), renamed, strict=True):
        assert mine.clusters.value == pytest.approx(other.clusters.value)
        assert mine.probe.value == pytest.approx(other.probe.value, abs=0.02)
        assert other.modes == (2, 5, 9)


# ── which modes vary within an image ────────────────────────────────────────────────────────────────────────────────────────


def test_the_share_of_images_with_several_modes_by_hand():
    image, mode = np.array([0, 0, 1, 1, 1, 2, 3, 3]), np.array([0, 1, 2, 2, 2, 0, 1, 1])
    assert share_of_several(image, mode) == pytest.approx(1 / 3)  # image 2 has one pixel and cannot show two
    assert np.isnan(share_of_several(image[5:6], mode[5:6])) and np.isnan(
        share_of_several(image[:0], mode[:0])
    )


def test_mode_variation_counts_whole_images():
    dataset = toys(6)
    found = mode_variation(replace(dataset, samples=dataset.samples[::2]))
    for each in found:
        held = [s for s in dataset.samples[::2] if (s.labels == each.category).any()]
        several = [len(np.unique(s.modes[s.labels == each.category])) >= 2 for s in held]
        assert (each.images, each.several) == (len(held), sum(several))
    assert "knows no planted modes" in said(lambda: mode_variation(dataset))


def test_the_demo_world_has_modes_of_both_kinds():
    """Else the image would explain everything, or nothing: some vary within one image, some are one for each."""
    found = {each.name: each for each in mode_variation(open_dataset("scenes-val"), 40)}
    assert all(len(each.modes) >= 2 for each in found.values())
    for name in ("grass", "tree", "person", "house"):
        assert found[name].share > 0.2, name
    for name in ("sky", "cloud", "road", "water", "pole"):
        assert found[name].share == 0 and found[name].images > 8, name
