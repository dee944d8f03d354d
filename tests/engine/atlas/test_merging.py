"""Laws of merging, by property: associative, commutative, halves make the whole; the strongest stay whoever is merged first."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load

from engine.atlas.partial import Partial, Rows, merge, merge_moments, moments_of_images, strongest
from engine.atlas.records import Moments
from engine.atlas.shards import packed

GROUPS = 3
FEW_KEYS = st.integers(0, 4)  # so few that ties are the rule


def rows_of(table: list[tuple[int, int, int]], most: int, unsigned: bool = True) -> Rows:
    """(group, key, place) rows; the column tells where each came from."""
    array = np.array(table, np.int64).reshape(-1, 3)
    order = np.stack([array[:, 2] // 4, array[:, 2] % 4], 1)
    key = array[:, 1].astype(np.uint64) if unsigned else -array[:, 1].astype(np.float64)
    return Rows(most, array[:, 0], key, order, {"place": array[:, 2].astype(np.float32)})


def listed(rows: Rows) -> list[tuple]:
    return list(
        zip(
            rows.group.tolist(),
            rows.key.tolist(),
            map(tuple, rows.order.tolist()),
            rows.columns["place"].tolist(),
            strict=True,
        )
    )


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[list[tuple[int, int, int]]], int]:
    """Several tables without a place in common, and how many rows of a group stay."""
    places = draw(st.lists(st.integers(0, 39), unique=True, max_size=30))
    parts: list[list[tuple[int, int, int]]] = [[], [], []]
    for place in places:
        parts[draw(st.integers(0, 2))].append((draw(st.integers(0, GROUPS - 1)), draw(FEW_KEYS), place))
    return parts, draw(st.integers(1, 6))


@given(tables(), st.booleans())
def test_rows_keep_the_bottom_of_the_union(given_tables, unsigned: bool):
    parts, most = given_tables
    a, b, c = (rows_of(part, most, unsigned) for part in parts)
    whole = sorted(listed(rows_of([row for part in parts for row in part], most, unsigned)))
    expected = [row for group in range(GROUPS) for row in [r for r in whole if r[0] == group][:most]]
    for merged in (
        a.merge(b, c),
        c.merge(a, b),
        a.merge(b).merge(c),
        a.merge(b.merge(c)),
        b.merge(c.merge(a)),
    ):
        if sum(len(part) > 0 for part in parts) > 1:
            assert listed(merged) == expected
        assert merged.most == most


@given(tables(), st.booleans())
def test_limits_drop_no_row_that_would_stay(given_tables, unsigned: bool):
    parts, most = given_tables
    first = rows_of(parts[0], most, unsigned)
    first = first.merge(rows_of(parts[1], most, unsigned))
    limits = first.limits(GROUPS)
    later = rows_of(parts[2], most, unsigned)
    beyond = later.key > limits[later.group]
    rest = Rows(
        most,
        later.group[~beyond],
        later.key[~beyond],
        later.order[~beyond],
        {"place": later.columns["place"][~beyond]},
    )
    kept = lambda rows: sorted(  # noqa: E731
        np.array(listed(rows), object)[strongest(rows.group, rows.key, rows.order, most)].tolist()
    )
    assert kept(first.merge(later)) == kept(first.merge(rest))
    for group in range(GROUPS):
        keys = first.key[first.group == group]
        if len(keys) >= most:
            assert limits[group] == keys.max()
        else:
            assert limits[group] == (np.iinfo(np.uint64).max if unsigned else np.inf)


def test_a_group_that_is_not_full_accepts_anything():
    rows = rows_of([(0, 3, 1), (0, 4, 2), (2, 1, 3)], most=2)
    assert rows.limits(GROUPS).tolist() == [4, np.iinfo(np.uint64).max, np.iinfo(np.uint64).max]
    assert rows_of([], most=2).merge(rows_of([], most=2)).group.size == 0
    assert strongest(np.zeros(0, np.int64), np.zeros(0), np.zeros((0, 2), np.int64), 3).size == 0


def test_among_equal_keys_the_first_image_and_place_stays():
    rows = rows_of([(0, 1, 9), (0, 1, 2), (0, 1, 5), (0, 0, 30)], most=3)
    merged = rows.merge(rows_of([(0, 1, 3)], most=3))
    assert merged.columns["place"].tolist() == [30, 2, 3]


# ── moments ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

CHANNELS = 3
LARGE = st.sampled_from([0.0, 1.0, -250.0, 4096.0])
SPREADS = st.sampled_from([0.0, 1e-4, 1.0, 50.0])


@st.composite
def samples(draw: st.DrawFn) -> list[np.ndarray]:
    """Values (r, c) of each category: some empty, some with large means and tiny variances."""
    found = []
    for _ in range(GROUPS):
        count = draw(st.integers(0, 12))
        random = np.random.default_rng(draw(st.integers(0, 2**31)))
        found.append(draw(LARGE) + draw(SPREADS) * random.standard_normal((count, CHANNELS)))
    return found


def moments_by_numpy(values: list[np.ndarray]) -> Moments:
    mean = [v.mean(0) if len(v) else np.zeros(CHANNELS) for v in values]
    m2 = [v.var(0) * len(v) if len(v) else np.zeros(CHANNELS) for v in values]
    return Moments(np.array([len(v) for v in values]), np.array(mean), np.array(m2))


def assert_moments(found: Moments, expected: Moments) -> None:
    assert found.count.tolist() == expected.count.tolist()
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12, atol=1e-12)
    # A variance of 1e-8 around 4096 has lost half of float64's digits before anybody merged anything.
    np.testing.assert_allclose(found.m2, expected.m2, rtol=1e-6, atol=1e-9)


@given(samples(), st.lists(st.integers(0, 2), min_size=12 * GROUPS, max_size=12 * GROUPS))
def test_moments_merge_to_numpys(values: list[np.ndarray], where: list[int]):
    labels = np.array(where).reshape(GROUPS, 12)
    parts = [[v[labels[g, : len(v)] == part] for g, v in enumerate(values)] for part in range(3)]
    a, b, c = map(moments_by_numpy, parts)
    expected = moments_by_numpy(values)
    for merged in (
        merge_moments(merge_moments(a, b), c),
        merge_moments(a, merge_moments(b, c)),
        merge_moments(merge_moments(c, a), b),
    ):
        assert_moments(merged, expected)
    several = moments_of_images(
        *(np.stack([getattr(m, name) for m in (a, b, c)]) for name in ("count", "mean", "m2"))
    )
    assert_moments(several, expected)
    assert (merged.m2 >= 0).all()


def test_the_trace_of_an_empty_category_is_unknown():
    found = moments_by_numpy(
        [np.zeros((0, CHANNELS)), np.ones((1, CHANNELS)), np.array([[0.0] * 3, [2.0] * 3])]
    )
    assert np.isnan(found.trace[0]) and found.trace[1] == 0 and found.trace[2] == 3


# ── whole accumulations ─────────────────────────────────────────────────────────────────────────────────────────────────


def partial_of(seed: int, images: int = 2) -> Partial:
    """Any accumulation; places differ between seeds."""
    random = np.random.default_rng(seed)
    count = random.integers(0, 4, GROUPS)
    values = [random.standard_normal((n, CHANNELS)) for n in count]
    reservoir = rows_of(
        [(int(g), int(k), 40 * seed + p) for p, (g, k) in enumerate(random.integers(0, 3, (6, 2)))], 4
    )
    patches = rows_of(
        [(int(g), int(k), 40 * seed + p) for p, (g, k) in enumerate(random.integers(0, 3, (3, 2)))], 2, False
    )
    sums = {
        "confusion": random.integers(0, 9, (GROUPS, GROUPS)),
        "usage/stride8/mass": random.standard_normal((2, GROUPS, GROUPS)),
    }
    moments = {"f0": moments_by_numpy(values), "stride8.value": moments_by_numpy(values[::-1])}
    return Partial(images, sums, moments, reservoir, patches)


def assert_same(a: Partial, b: Partial, exact: bool = False) -> None:
    mine, yours = a.arrays(), b.arrays()
    assert mine.keys() == yours.keys()
    for name, array in mine.items():
        assert array.dtype == yours[name].dtype and array.shape == yours[name].shape, name
        if exact or array.dtype.kind != "f" or name.startswith(("reservoir", "patches")):
            np.testing.assert_array_equal(array, yours[name], err_msg=name)
        else:
            np.testing.assert_allclose(array, yours[name], rtol=1e-6, atol=1e-12, err_msg=name)


@given(st.lists(st.integers(1, 500), unique=True, min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_accumulations_merge_in_any_order_and_grouping(seeds: list[int], random: Any):
    parts = [partial_of(seed, images=seed) for seed in seeds]
    whole = merge(parts)
    shuffled = random.sample(parts, len(parts))
    cut = random.randrange(1, len(parts))
    assert_same(merge(shuffled), whole)
    assert_same(merge([merge(parts[:cut]), merge(parts[cut:])]), whole)
    assert_same(reduce(lambda a, b: merge([a, b]), parts), whole)
    assert_same(reduce(lambda a, b: merge([b, a]), parts), whole)
    assert whole.images == sum(seeds)
    assert (whole.sums["confusion"] == sum(part.sums["confusion"] for part in parts)).all()


@given(st.integers(1, 500))
def test_an_accumulation_survives_a_file(seed: int):
    part = partial_of(seed)
    assert_same(Partial.from_arrays(part.arrays()), part, exact=True)
    assert_same(Partial.from_arrays(load(packed(part.arrays()))), part, exact=True)
    empty = Partial(0, part.sums, part.moments, rows_of([], 4), rows_of([], 2, False))
    assert_same(Partial.from_arrays(load(packed(empty.arrays()))), empty, exact=True)


def test_what_lies_across_in_memory_is_written_as_it_reads():
    across = np.arange(6, dtype=np.float32).reshape(2, 3).T
    found = load(packed({"a": across, "b": across[::2, 1]}))
    np.testing.assert_array_equal(found["a"], across)
    np.testing.assert_array_equal(found["b"], across[::2, 1])
