"""Samples of pixels: balanced, nested, the same for several models, and where they say they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine import LoupeError
from engine.atlas import Atlas, open_atlas
from engine.cell_labels import majority_labels
from engine.images import cell
from engine.pixels import ChosenImage, centres, from_atlas, from_traces, in_turn, shared
from tests.engine.atlas.conftest import small_walks  # noqa: F401  (a fixture)
from tests.engine.atlas.toys import COUNT, K, again, blocks, said, toy, toys
from tests.engine.pixel_toys import sample_of

SITE = "stride8.value"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, small_walks: None) -> dict[str, Path]:  # noqa: F811
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in ("memory", "bilinear")}
    for kind, folder in folders.items():
        again(toy(kind), folder, rows=200)
    return folders


@pytest.fixture(scope="module")
def atlas(folders) -> Atlas:
    return open_atlas(folders["memory"])


def ids(sample) -> list[tuple]:
    return [(sample.names[i], *pixel) for i, pixel in zip(sample.image, sample.pixel.tolist(), strict=True)]


# ── from an atlas ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_rows_are_the_reservoirs(atlas):
    sample, rows = from_atlas(atlas, SITE), atlas.reservoir(SITE)
    assert len(sample) == rows.pure.sum() and sample.pure.all()
    dataset = toys(COUNT)
    known = {(i, *pixel): j for j, (i, pixel) in enumerate(zip(rows.image, rows.pixel.tolist(), strict=True))}
    for j, (name, row, col) in enumerate(ids(sample)):
        index = int(name.removeprefix("id-"))
        one = dataset[index]
        assert one.labels[row, col] == sample.category[j]
        assert sample.sizes[sample.image[j]].tolist() == list(one.labels.shape)
        assert sample.mode[j] == (255 if one.modes is None else one.modes[row, col])
        at = known[index, row, col]
        np.testing.assert_array_equal(sample.features[j], rows.features[at])
        assert (sample.predicted[j], sample.confidence[j]) == (rows.predicted[at], rows.confidence[at])
    mixed = from_atlas(atlas, SITE, pure_only=False)
    assert len(mixed) == len(rows.pure) > len(sample)
    assert (sample.model, sample.checkpoint, sample.data, sample.site) == ("toy", "a" * 64, "toys", SITE)
    assert sample.level == atlas.manifest.sites[SITE].level and sample.labels == "truth"


def test_a_smaller_sample_is_the_beginning_of_a_larger_one(atlas):
    whole = from_atlas(atlas, "f0")
    for count in (1, 7, 50, len(whole) - 1):
        part = from_atlas(atlas, "f0", count=count)
        assert len(part) == count
        assert ids(part) == ids(whole)[:count]
        np.testing.assert_array_equal(part.features, whole.features[:count])


def test_categories_take_turns_while_they_have_pixels(atlas):
    whole = from_atlas(atlas, "f0")
    has = np.bincount(whole.category, minlength=K)
    for count in (K, 3 * K, 100, len(whole)):
        got = np.bincount(whole.category[:count], minlength=K)
        assert (
            got[got < has] >= got.max() - 1
        ).all()  # who has more has given as many as anyone, but for this turn
    assert has.min() < has.max()  # else nothing was asked


def test_some_categories(atlas):
    whole = from_atlas(atlas, SITE)
    some = from_atlas(atlas, SITE, categories=[1, 3])
    assert set(some.category.tolist()) == {1, 3}
    assert len(some) == np.isin(whole.category, [1, 3]).sum()


def test_in_turn_by_hand():
    category = np.array([2, 2, 0, 2, 1, 0])
    assert in_turn(category, np.arange(6)).tolist() == [2, 4, 0, 5, 1, 3]
    assert in_turn(category, np.array([1, 3, 5])).tolist() == [5, 1, 3]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"site": "stride9"}, 'no site "stride9"'),
        ({"categories": [K]}, f"category {K} is not one of the {K}"),
        ({"categories": [-1]}, "category -1 is not"),
        ({"categories": []}, "no pixel"),
        ({"count": 0}, "ask for at least 1"),
    ],
)
def test_bad_questions_are_one_sentence(atlas, asked, sentence):
    asked = {"site": SITE, **asked}
    assert sentence in said(lambda: from_atlas(atlas, asked.pop("site"), **asked))


# ── keys ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_key_is_of_what_it_says(atlas):
    sample = from_atlas(atlas, SITE, count=60)
    assert len(sample.key()) == 32
    assert sample.key() == from_atlas(open_atlas(atlas.folder), SITE, count=60).key()
    features = sample.features.copy()
    features[3, 1] = np.nextafter(features[3, 1], np.inf)
    pixel = sample.pixel.copy()
    pixel[0, 0] += 1
    other = [
        replace(sample, features=features),
        replace(sample, pixel=pixel),
        replace(sample, site="f2"),
        replace(sample, checkpoint="b" * 64),
        replace(sample, names=sample.names[::-1]),
        replace(sample, category=(sample.category + 1) % K),
        sample.take(np.arange(59)),
        sample.take(np.arange(60)[::-1]),
    ]
    assert len({each.key() for each in (sample, *other)}) == 1 + len(other)


# ── several samples ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_samples_of_two_models_hold_the_same_pixels(folders):
    first, second = (from_atlas(open_atlas(folders[kind]), "f0") for kind in ("memory", "bilinear"))
    a, b = shared([first, second])
    assert ids(a) == ids(b) == ids(first)
    np.testing.assert_array_equal(a.category, b.category)
    assert len(a.features) == len(b.features) and a.model == first.model


def test_shared_is_the_intersection_in_the_order_of_the_first(atlas):
    coarse, fine = from_atlas(atlas, "f3"), from_atlas(atlas, "f0")
    assert 10 <= len(coarse) < len(fine)
    turned = coarse.take(np.random.default_rng(0).permutation(len(coarse)))
    a, b, c = shared([turned, fine, coarse])
    wanted = [each for each in ids(turned) if each in set(ids(fine))]
    assert ids(a) == ids(b) == ids(c) == wanted
    of = dict(zip(ids(fine), fine.features, strict=True))
    np.testing.assert_array_equal(b.features, [of[each] for each in wanted])


def test_shared_goes_by_the_images_names_not_by_their_places():
    random = np.random.default_rng(0)
    first = sample_of(random.normal(size=(40, 3)), np.arange(40) % 2, np.arange(40) % 4)
    names = ("another", *first.names[::-1])
    second = replace(first, names=names, sizes=np.full((5, 2), 1000), image=4 - first.image)
    a, b = shared([first, second.take(np.arange(40)[::-1])])
    assert ids(a) == ids(b) == ids(first) and b.names == first.names
    np.testing.assert_array_equal(a.image, b.image)
    np.testing.assert_array_equal(a.features, b.features)


def test_too_little_in_common_is_one_sentence():
    random = np.random.default_rng(0)
    one = sample_of(random.normal(size=(40, 3)), np.arange(40) % 2, np.arange(40) % 4)
    elsewhere = replace(one, pixel=one.pixel + 500)
    assert "only 0 pixels in common" in said(lambda: shared([one, elsewhere]))
    assert "same data" in said(lambda: shared([one, replace(one, data="other")]))
    assert "no sample" in said(lambda: shared([]))


# ── from traces ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def traced():
    """Three images of two sizes: (segmenter, samples, traces without a batch axis)."""
    segmenter = toy("memory")
    samples = [blocks(i, size, unlabelled=i == 2) for i, size in enumerate([(37, 53), (48, 72), (48, 72)])]
    with torch.no_grad():
        traces = [segmenter.trace(segmenter.normalise(each.image))[0] for each in samples]
    return segmenter, samples, traces


def chosen(samples, truth: bool = True) -> list[ChosenImage]:
    return [
        ChosenImage(s.id, s.labels.shape, s.labels if truth else None, s.modes if truth else None)
        for s in samples
    ]


@pytest.mark.parametrize("site", ["f3", "stride8.value", "stride8.update", "fused"])
def test_cells_of_images_traced_now(traced, site):
    from engine.atlas.sites import site_maps

    _, samples, traces = traced
    found = from_traces(traces, chosen(samples), site, pure_only=False)
    for j in range(len(found)):
        i, (row, col) = int(found.image[j]), found.pixel[j].tolist()
        feature = site_maps(traces[i])[site]
        labels = samples[i].labels
        y, x = cell(row, col, labels.shape, (feature.shape[-2], feature.shape[-1]))
        np.testing.assert_array_equal(found.features[j], feature[:, y, x].numpy())
        assert found.category[j] == labels[row, col] < K
        assert found.predicted[j] == traces[i].labels[row, col]
        assert found.mode[j] == (255 if samples[i].modes is None else samples[i].modes[row, col])
        assert found.pure[j] == (majority_labels(labels, feature.shape[-2:], K)[y, x] == found.category[j])
    assert found.labels == "truth" and found.data == "images chosen now"
    pure = from_traces(traces, chosen(samples), site)
    assert pure.pure.all() and len(pure) == found.pure.sum()


def test_the_confidence_is_that_of_the_picture(traced):
    import torch.nn.functional as F

    _, samples, traces = traced
    found = from_traces(traces, chosen(samples), "f1", pure_only=False)
    for i, trace in enumerate(traces):
        whole = F.interpolate(
            trace.logits[None].double(), size=trace.image_size, mode="bilinear", align_corners=False
        )
        here = found.image == i
        row, col = found.pixel[here].T
        np.testing.assert_allclose(
            found.confidence[here], whole.softmax(1).amax(1)[0].numpy()[row, col], atol=1e-5
        )


def test_one_unknown_truth_makes_all_categories_the_predictions(traced):
    _, samples, traces = traced
    images = [*chosen(samples[:2]), *chosen(samples[2:], truth=False)]
    found = from_traces(traces, images, "f1")
    assert found.labels == "prediction" and (found.mode == 255).all()
    np.testing.assert_array_equal(found.category, found.predicted)


def test_few_cells_are_among_the_many(traced):
    _, samples, traces = traced
    many = from_traces(traces, chosen(samples), "f1", per_image=60, pure_only=False)
    few = from_traces(traces, chosen(samples), "f1", per_image=10, pure_only=False)
    assert np.bincount(few.image).tolist() == [10] * 3
    assert set(ids(few)) < set(ids(many))
    other = from_traces(traces, chosen(samples), "f1", per_image=10, seed=1, pure_only=False)
    assert set(ids(few)) != set(ids(other))


def test_the_original_may_be_larger_than_what_was_traced(traced):
    _, samples, traces = traced
    height, width = samples[0].labels.shape
    large = np.kron(samples[0].labels, np.ones((3, 3), np.uint8))
    plain = from_traces(traces[:1], chosen(samples[:1]), "f1")
    found = from_traces(traces[:1], [ChosenImage("large", large.shape, large)], "f1", pure_only=False)
    assert found.sizes.tolist() == [[3 * height, 3 * width]]
    assert found.pixel[:, 0].max() > height
    assert (large[found.pixel[:, 0], found.pixel[:, 1]] == found.category).all()
    assert found.features.shape[1] == plain.features.shape[1]


@pytest.mark.parametrize("grid", [(1, 1), (7, 5), (16, 16), (37, 53)])
def test_a_cells_centre_lies_in_it(grid):
    size = (37, 53)
    cells = np.arange(grid[0] * grid[1])
    for flat, (row, col) in zip(cells, centres(cells, grid, size).tolist(), strict=True):
        assert cell(row, col, size, grid) == divmod(int(flat), grid[1])


def test_what_cannot_be_sampled_is_one_sentence(traced):
    _, samples, traces = traced
    images = chosen(samples)
    assert "one each" in said(lambda: from_traces(traces, images[:2], "f1"))
    assert 'no site "nowhere"' in said(lambda: from_traces(traces, images, "nowhere"))
    assert "same name" in said(lambda: from_traces(traces[:2], [images[0], images[0]], "f1"))
    assert "at least 1" in said(lambda: from_traces(traces, images, "f1", per_image=0))
    nothing = [replace(each, truth=np.full(each.size, 255, np.uint8)) for each in images]
    assert "no cell" in said(lambda: from_traces(traces, nothing, "f1"))
    with pytest.raises(LoupeError):
        from_traces([], [], "f1")
