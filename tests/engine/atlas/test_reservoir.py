"""The draw: uniform over a category's pixels, the same whoever walks, in whatever order and batches."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import chi2

from engine.atlas.collect import Bounds, Collector
from engine.atlas.hashing import image_key, pixel_hashes
from engine.atlas.partial import Partial, Rows, merge, strongest
from tests.engine.atlas.toys import K, blocks, toy

SIZE = (32, 35)


def assert_uniform(counts: np.ndarray, expected: np.ndarray, fraction: float) -> None:
    """Pearson's statistic of draws without replacement: their variance is smaller by 1 − fraction."""
    statistic = np.square(counts - expected).sum() / expected.mean() / (1 - fraction)
    # Both tails: too even is as wrong as too uneven.
    assert 1e-3 < chi2.cdf(statistic, len(counts) - 1) < 1 - 1e-3


# ── the hash ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_hashes_depend_on_seed_image_and_place_alone():
    a = pixel_hashes(0, "1000001", 5000)
    assert a.dtype == np.uint64 and len(np.unique(a)) == 5000
    np.testing.assert_array_equal(a, pixel_hashes(0, "1000001", 5000))
    np.testing.assert_array_equal(a[:100], pixel_hashes(0, "1000001", 100))
    others = [
        pixel_hashes(0, "1000002", 5000),
        pixel_hashes(1, "1000001", 5000),
        pixel_hashes(0, "a/1", 5000),
    ]
    everything = np.concatenate([a, *others])
    assert len(np.unique(everything)) == len(everything)
    for other in others:
        assert abs(np.corrcoef(a.astype(float), other.astype(float))[0, 1]) < 0.06


def test_hashes_are_even_in_every_bit_and_neighbours_are_strangers():
    a = pixel_hashes(3, "an image", 20_000)
    bits = (a[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    assert np.abs(bits.mean(0) - 0.5).max() < 0.02
    counts = np.bincount((a >> np.uint64(58)).astype(int), minlength=64)
    assert 1e-3 < chi2.cdf(np.square(counts - 312.5).sum() / 312.5, 63) < 1 - 1e-3
    assert abs(np.corrcoef(a[:-1].astype(float), a[1:].astype(float))[0, 1]) < 0.03


def test_no_two_of_many_images_share_a_key():
    keys = {image_key(seed, str(i)) for seed in range(3) for i in range(20_000)}
    assert len(keys) == 60_000


def test_every_pixel_of_every_image_is_drawn_equally_often():
    """Three images of different sizes, one category of several: 4 000 draws of 12 pixels of 240, pixel by pixel."""
    sizes, most, seeds = (40, 80, 120), 12, 4000
    counts = np.zeros(sum(sizes))
    for seed in range(seeds):
        key = np.concatenate([pixel_hashes(seed, f"image {i}", size) for i, size in enumerate(sizes)])
        order = np.stack([np.repeat(np.arange(3), sizes), np.arange(len(key))], 1)
        counts[strongest(np.zeros(len(key), np.int64), key, order, most)] += 1
    expected = np.full(len(counts), seeds * most / len(counts))
    assert_uniform(counts, expected, most / len(counts))


# ── the reservoir of a walk ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def images() -> list[tuple[int, SimpleNamespace]]:
    return [(i, blocks(i, SIZE)) for i in range(9)]


@pytest.fixture(scope="module")
def segmenter():
    return toy("bilinear")


def walked(
    segmenter, groups: Sequence[Sequence], rows: int = 6, seed: int = 0, bound: bool = False
) -> Partial:
    """Batches accumulated one by one; with `bound`, each leaves out what cannot stay beside the ones before."""
    collector = Collector(segmenter, rows, seed)
    total: Partial | None = None
    for group in groups:
        bounds = Bounds.none(collector.classes).beside(total) if bound else None
        partial, _ = collector.collect(group, bounds)
        total = partial if total is None else merge([total, partial])
    assert total is not None
    return total


def assert_same_rows(a: Rows, b: Rows) -> None:
    for name in ("group", "key", "order"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert a.columns.keys() == b.columns.keys()
    for name, column in a.columns.items():
        if column.dtype.kind == "f":  # a batch's convolutions round differently
            np.testing.assert_allclose(column, b.columns[name], atol=1e-4, err_msg=name)
        else:
            np.testing.assert_array_equal(column, b.columns[name], err_msg=name)


def test_batches_and_order_do_not_change_the_draw(segmenter, images):
    whole = walked(segmenter, [images])
    assert_same_rows(walked(segmenter, [[each] for each in images]).reservoir, whole.reservoir)
    assert_same_rows(walked(segmenter, [images[6:], images[:2], images[2:6]]).reservoir, whole.reservoir)


@pytest.mark.parametrize("order", [range(9), (8, 3, 0, 1, 7, 2, 6, 5, 4)])
def test_leaving_out_what_cannot_stay_changes_nothing(order):
    segmenter = toy("prototypes")
    groups = [[(i, blocks(i, SIZE))] for i in order]
    free, bound = walked(segmenter, groups), walked(segmenter, groups, bound=True)
    assert_same_rows(bound.reservoir, free.reservoir)
    assert_same_rows(bound.patches, free.patches)
    mine, yours = bound.arrays(), free.arrays()
    for name in mine:
        np.testing.assert_array_equal(mine[name], yours[name], err_msg=name)


def test_the_draw_is_the_smallest_hashes_of_each_category(segmenter, images):
    rows, seed = 6, 5
    found = walked(segmenter, [images[:4], images[4:]], rows, seed).reservoir
    for category in range(K):
        every = []
        for index, sample in images:
            hashes = pixel_hashes(seed, sample.id, SIZE[0] * SIZE[1])
            every += [
                (int(hashes[at]), index, int(at)) for at in np.flatnonzero(sample.labels.ravel() == category)
            ]
        expected = sorted(every)[:rows]
        here = found.group == category
        assert list(zip(found.key[here].tolist(), *found.order[here].T.tolist(), strict=True)) == expected
    assert not (found.group >= K).any()


def test_a_rare_category_keeps_all_its_pixels(segmenter):
    sample = blocks(0, SIZE, unlabelled=False)
    labels = np.zeros_like(sample.labels)
    labels[3, 4:7] = 2
    one = SimpleNamespace(image=sample.image, labels=labels, modes=None, id="rare")
    found = walked(segmenter, [[(0, one)]], rows=50).reservoir
    assert np.bincount(found.group, minlength=K).tolist() == [50, 0, 3, 0, 0]
    assert sorted(found.columns["pixel"][found.group == 2].tolist()) == [[3, 4], [3, 5], [3, 6]]


def test_the_draw_is_uniform_over_images_and_places(segmenter):
    """Through the collector itself: squares of 8×8 pixels of three images, over many seeds."""
    size, rows, seeds = (32, 32), 30, 40
    labels = np.zeros(size, np.uint8)
    samples = [
        (i, SimpleNamespace(image=blocks(i, size).image, labels=labels, modes=None, id=f"plain {i}"))
        for i in range(3)
    ]
    counts = np.zeros(3 * 16)
    for seed in range(seeds):
        rows_found = walked(segmenter, [samples], rows, seed).reservoir
        at = rows_found.columns["pixel"] // 8
        np.add.at(counts, rows_found.order[:, 0] * 16 + at[:, 0] * 4 + at[:, 1], 1)
    assert counts.sum() == rows * seeds
    assert_uniform(counts, np.full(len(counts), rows * seeds / len(counts)), rows / (3 * 32 * 32))


def test_merging_rows_of_no_image_with_pixels(segmenter):
    nothing = SimpleNamespace(
        image=blocks(0, SIZE).image, labels=np.full(SIZE, 255, np.uint8), modes=None, id="nothing"
    )
    partial = walked(segmenter, [[(0, nothing)]])
    assert len(partial.reservoir.group) == 0 and partial.images == 1
    both = partial.reservoir.merge(walked(segmenter, [[(1, blocks(1, SIZE))]]).reservoir)
    assert set(both.order[:, 0].tolist()) == {1}
