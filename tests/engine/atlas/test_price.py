"""The price of prototypes: by hand, against plain fp64, and what the shuffled null may and may not change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from engine.atlas import price
from engine.atlas.collect import Collector
from engine.atlas.hashing import pixel_hashes
from engine.atlas.partial import merge
from engine.cell_labels import majority_labels
from tests.engine.atlas.toys import CLASSES, ODD, OTHER, K, blocks, toy

pytestmark = pytest.mark.usefixtures("small_walks")

SEED = 4
STAGES = ("stride16", "stride8", "stride4")


class Collected:
    def __init__(self, kind: str, unlabelled: bool = True) -> None:
        self.segmenter = toy(kind)
        self.samples = [blocks(i, ODD if i < 3 else OTHER, unlabelled=unlabelled) for i in range(5)]
        collector = Collector(self.segmenter, 3, SEED)
        numbered = list(enumerate(self.samples))
        done = [collector.collect(numbered[:3]), collector.collect(numbered[3:])]
        self.partial = merge([partial for partial, _ in done])
        self.rows = [row for _, rows in done for row in rows]
        # Two shards of different length, as a walk writes them.
        self.shards = [
            {name: np.stack([row.vectors[name] for row in rows]) for name in rows[0].vectors}
            for _, rows in done
        ]


@pytest.fixture(scope="module")
def collected():
    return Collected("memory")


def test_ratios_by_hand():
    """Two categories on a line: 0, 2 and 10, 10, 13; the third was never met."""
    count = np.array([2, 3, 0])
    sums = np.array([[2.0], [33.0], [0.0]])
    squares = np.array([4.0, 100 + 100 + 169, 0])
    traces, within, between = price.ratios(count, sums, squares)
    np.testing.assert_allclose(traces, [1.0, 2.0, np.nan])
    assert within == pytest.approx(1.5)
    assert between == pytest.approx(25.0)  # means 1 and 11, their middle 6
    several = price.ratios(*(np.stack([x, 2 * x]) for x in (count, sums, squares)))
    np.testing.assert_allclose(several[1], [1.5, 1.5])
    np.testing.assert_allclose(several[2], [25.0, 25.0])


def test_ratios_without_any_cell():
    traces, within, between = price.ratios(np.zeros(3), np.zeros((3, 2)), np.zeros(3))
    assert np.isnan(traces).all() and within == 0 and between == 0


@pytest.mark.parametrize("kind", ["memory", "prototypes", "pixels"])
def test_prices_are_plain_variances_over_all_cells(kind: str):
    """Everything again in fp64, cell by cell: the sums must not lose the small variance of an averaged update."""
    it = Collected(kind)
    for stage_name in STAGES:
        cells: dict[str, list[list[np.ndarray]]] = {k: [[] for _ in range(K)] for k in price.KINDS}
        for sample in it.samples:
            with torch.no_grad():
                stage = it.segmenter.trace(it.segmenter.normalise(sample.image)).stage(stage_name)[0]
            labels = majority_labels(sample.labels, stage.grid, K)
            weight = torch.einsum("cnd,nde->ce", stage.output_weight, stage.value_weight)
            values = torch.einsum("ce,eyx->cyx", weight, stage.aligned)
            before = F.interpolate(values[None], stage.grid, mode="bilinear", align_corners=False)[0]
            before = before * (1 - stage.memory_share)
            shuffle = np.argsort(pixel_hashes(SEED, f"{sample.id}/{stage_name}", labels.size))
            for kind_of, x, where in (
                ("before", before, labels.ravel()),
                ("after", stage.update, labels.ravel()),
                ("null", stage.update, labels.ravel()[shuffle]),
            ):
                flat = x.flatten(1).double().numpy().T
                for c in range(K):
                    cells[kind_of][c].append(flat[where == c])
        found = {p.kind: p for p in price.prices(it.shards, [stage_name], CLASSES, SEED)}
        for kind_of, parts in cells.items():
            joined = [np.concatenate(part) for part in parts]
            met = [x for x in joined if len(x)]
            traces = {CLASSES[c]: x.var(0).sum() for c, x in enumerate(joined) if len(x)}
            means = np.stack([x.mean(0) for x in met])
            between = np.square(means - means.mean(0)).sum(1).mean()
            within = np.mean(list(traces.values()))
            one = found[kind_of]
            assert one.images == len(it.samples)
            assert one.within == pytest.approx(within, rel=2e-3), (stage_name, kind_of)
            assert one.between == pytest.approx(between, rel=2e-3), (stage_name, kind_of)
            assert one.ratio == pytest.approx(within / between, rel=4e-3)
            assert one.low <= one.ratio <= one.high
            for name in CLASSES:
                if name in traces:
                    assert one.categories[name] == pytest.approx(traces[name] / between, rel=1e-2, abs=1e-5)
                else:
                    assert one.categories[name] is None


def test_the_price_after_is_the_moments_of_the_update(collected):
    """Two roads to one number: sums of squares, and moments merged by Chan's formula."""
    for stage in STAGES:
        moments = collected.partial.moments[f"{stage}.update"]
        (after,) = (p for p in price.prices(collected.shards, [stage], CLASSES, SEED) if p.kind == "after")
        met = moments.count > 0
        means = moments.mean[met]
        assert after.within == pytest.approx(np.nanmean(moments.trace), rel=2e-3)
        assert after.between == pytest.approx(np.square(means - means.mean(0)).sum(1).mean(), rel=2e-3)


def test_a_small_variance_on_a_large_constant_is_not_lost():
    """A bias drops out of both, however large: with it and without it the price is the same."""
    segmenter = toy("memory")
    block = segmenter.decoder.blocks[0].update.weights  # the finest: nothing later reads its update
    samples = [(i, blocks(i, ODD)) for i in range(3)]

    def prices() -> list:
        _, rows = Collector(segmenter, 3, SEED).collect(samples)
        shard = {name: np.stack([row.vectors[name] for row in rows]) for name in rows[0].vectors}
        return price.prices([shard], ["stride4"], CLASSES, SEED)

    plain = prices()
    with torch.no_grad():
        block.output.bias.add_(30.0)
    for with_bias, without in zip(prices(), plain, strict=True):
        assert with_bias.within == pytest.approx(without.within, rel=0.01), without.kind
        assert with_bias.between == pytest.approx(without.between, rel=0.01), without.kind


# ── the null ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_shuffling_keeps_what_it_must():
    """Every cell of one category or another: counts, the sum over all cells and the squares stay."""
    it = Collected("memory", unlabelled=False)
    for row, sample in zip(it.rows, it.samples, strict=True):
        for stage in STAGES:
            of = lambda name: row.vectors[f"{stage}.price.{name}"].astype(np.float64)  # noqa: B023, E731
            trace = it.segmenter.trace(it.segmenter.normalise(sample.image))
            labels = majority_labels(sample.labels, trace.stage(stage).grid, K)
            assert of("count").tolist() == [int((labels == c).sum()) for c in range(K)]
            if (labels < K).all():
                np.testing.assert_allclose(
                    of("null.sum").sum(0), of("after.sum").sum(0), rtol=1e-4, atol=1e-4
                )
                np.testing.assert_allclose(of("null.square").sum(), of("after.square").sum(), rtol=1e-5)
            assert np.abs(of("null.sum") - of("after.sum")).max() > 1e-4


def test_the_null_of_one_category_alone_is_the_update():
    segmenter = toy("memory")
    sample = blocks(0, ODD, unlabelled=False)
    plain = type(sample)(sample.image, np.full_like(sample.labels, 2), None, "plain")
    _, (row,) = Collector(segmenter, 3, SEED).collect([(0, plain)])
    for stage in STAGES:
        np.testing.assert_allclose(
            row.vectors[f"{stage}.price.null.sum"],
            row.vectors[f"{stage}.price.after.sum"],
            rtol=1e-4,
            atol=1e-4,
        )


def test_a_shuffle_is_a_permutation_that_knows_its_image_alone():
    a = price.order(0, "x/stride4", 999)
    assert sorted(a.tolist()) == list(range(999))
    assert (a == price.order(0, "x/stride4", 999)).all()
    assert (a != price.order(0, "x/stride8", 999)).any() and (a != price.order(1, "x/stride4", 999)).any()
    assert (a == np.arange(999)).mean() < 0.02


# ── intervals ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_intervals_repeat_and_do_not_depend_on_the_shards(collected):
    first = price.prices(collected.shards, ["stride8"], CLASSES, SEED)
    assert first == price.prices(collected.shards, ["stride8"], CLASSES, SEED)
    names = collected.shards[0].keys()
    joined = [{name: np.concatenate([shard[name] for shard in collected.shards]) for name in names}]
    for a, b in zip(first, price.prices(joined, ["stride8"], CLASSES, SEED), strict=True):
        assert (a.ratio, a.low, a.high) == pytest.approx(
            (b.ratio, b.low, b.high), rel=1e-6
        )  # the draws are fp32
    other = price.prices(collected.shards, ["stride8"], CLASSES, SEED + 1)
    assert other[0].ratio == first[0].ratio and other[0].low != first[0].low


def test_small_blocks_of_resamples_are_the_same_resamples(collected, monkeypatch):
    first = price.prices(collected.shards, ["stride8"], CLASSES, SEED)
    monkeypatch.setattr(price, "BLOCK_BYTES", 8 * K * 16 * 7)  # seven draws at a time
    for a, b in zip(first, price.prices(collected.shards, ["stride8"], CLASSES, SEED), strict=True):
        assert (a.low, a.high) == pytest.approx((b.low, b.high), rel=1e-9)


def test_an_interval_covers_a_known_ratio():
    """95 % intervals of the mean of a log-normal ratio hold the true one about as often as they say, and their own estimate."""
    random = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        sample = np.exp(random.normal(0.0, 0.5, 60))
        value = float(np.exp(np.log(sample).mean()))
        draws = np.exp(np.log(sample)[random.integers(0, 60, (300, 60))].mean(1))
        low, high = price.interval(value, draws)
        assert low < value < high
        held += low <= 1.0 <= high
    assert 0.9 <= held / 200 <= 0.99


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_an_undefined_ratio_has_no_interval(value):
    assert np.isnan(price.interval(value, np.array([1.0, 2.0]))).all()
    assert np.isnan(price.interval(1.0, np.array([np.nan]))).all()


def test_one_image_has_no_interval(collected):
    shard = {name: array[:1] for name, array in collected.shards[0].items()}
    for one in price.prices([shard], ["stride8"], CLASSES, SEED):
        assert one.images == 1
        assert np.isfinite(one.ratio) and np.isnan([one.low, one.high]).all()


def test_no_category_or_one_alone_has_no_ratio(collected):
    for kept in (0, 1):
        shard = {}
        for name, array in collected.shards[0].items():
            array = array.copy()
            if ".price." in name:
                array[:, kept:] = 0
            shard[name] = array
        for one in price.prices([shard], ["stride8"], CLASSES, SEED):
            assert np.isnan(one.ratio) and np.isnan(one.low) and np.isnan(one.high)
            assert set(one.categories.values()) == {None}


def test_bilinear_has_no_price():
    """Its update is the resampled pixels themselves: before and after are one."""
    _, rows = Collector(toy("bilinear"), 3, SEED).collect([(0, blocks(0, ODD))])
    assert not [name for name in rows[0].vectors if "price" in name]
