"""Tables: areas and fits against scikit-learn and least squares, intervals by simulation, cases in their order."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from engine.audit import MAPS, SCORES, SHARES, tables
from engine.audit.records import COLUMNS, DeletionRows
from engine.audit.report import findings, report
from engine.resampling import Draws
from engine.terminal import plain
from tests.engine.atlas.toys import said
from tests.engine.audit.toys import CLASSES, FALL, STAGES, synthetic_audit


@pytest.fixture(scope="module")
def audit():
    return synthetic_audit(1, images=14, each=15)


def test_columns_are_aligned_over_models_and_stages(audit):
    cpt, qup = audit.columns("cpt", "stride16"), audit.columns("qup", "stride4")
    assert tuple(cpt) == COLUMNS and {len(column) for column in cpt.values()} == {len(audit)}
    assert all(cpt[name] is qup[name] for name in ("image", "row", "category"))
    assert audit.models == ("cpt", "qup", "hfgd") and audit.stages("cpt") == tuple(STAGES)
    assert audit.complete and not replace(audit, asked=99).complete


def test_a_summary_counts_what_is_undefined_and_every_pixel_once(audit):
    values, category = audit.values("cpt", "stride8", "auc"), audit.pixels["category"]
    rows = audit.summary("cpt", "stride8", "auc")
    assert [row.key for row in rows] == list(CLASSES)
    for c, row in enumerate(rows):
        mine = values[category == c]
        assert (row.pixels, row.undefined) == (np.isfinite(mine).sum(), np.isnan(mine).sum())
        assert (
            row.mean.value == pytest.approx(np.nanmean(mine))
            and row.mean.low < row.mean.value < row.mean.high
        )
        assert row.quantiles == pytest.approx(np.nanquantile(mine, [0.05, 0.25, 0.5, 0.75, 0.95]))
    assert sum(row.undefined for row in rows) == np.isnan(values).sum() > 0
    nothing = audit.summary("qup", "stride8", "prototype_weight", "all")[0]
    assert nothing.pixels == 0 and nothing.undefined == len(audit) and np.isnan(nothing.mean.value)


def test_pairs_are_the_pixels_that_both_have(audit):
    rows = audit.paired("qup", "cpt", "stride4", "auc")
    a, b = (audit.values(model, "stride4", "auc") for model in ("qup", "cpt"))
    both = np.isfinite(a) & np.isfinite(b)
    first = rows[0]
    assert first.key == "all" and first.pixels == both.sum() and first.pixels + first.undefined == len(audit)
    assert first.difference.value == pytest.approx((a - b)[both].mean()) == pytest.approx(first.a - first.b)
    assert 0.05 < first.difference.low < 0.08 < first.difference.high < 0.12 and first.p < 1e-6
    assert all(row.p <= row.p_holm <= 1 for row in rows[1:])
    other = audit.paired("cpt", "qup", "stride4", "auc", "boundary")
    assert other[0].difference.value == pytest.approx(-first.difference.value) and len(other) > 3
    same = audit.paired("cpt", "cpt", "stride4", "auc", "all")
    assert len(same) == 1 and same[0].p == 1 and same[0].difference.low == same[0].difference.high == 0


def test_intervals_over_images_hold_the_truth_as_often_as_they_say():
    random, images, each = np.random.default_rng(0), 40, 6
    draws, image = Draws(images, 0), np.repeat(np.arange(images), each)
    groups = {"all": np.ones(len(image), bool)}
    held = naive = 0
    for _ in range(200):
        values = 0.7 + random.normal(0, 0.1, images)[image] + random.normal(0, 0.05, len(image))
        row = tables.summary(draws, image, values, groups)[0]
        held += row.mean.low <= 0.7 <= row.mean.high
        half = 1.96 * values.std() / np.sqrt(len(values))
        naive += abs(values.mean() - 0.7) <= half
    assert 0.89 <= held / 200 <= 0.99
    assert (
        naive / 200 < 0.75
    )  # pixels of one image are alike: as if they were not, intervals would be far too short


def test_difference_within_strata_is_the_coefficient_of_least_squares_and_its_interval_holds_it():
    random, images, each = np.random.default_rng(1), 30, 20
    image = np.repeat(np.arange(images), each)
    draws, held = Draws(images, 0), 0
    for turn in range(60):
        stratum = random.integers(0, 4, len(image))
        right = (
            random.random(len(image)) < 0.6 + 0.1 * stratum
        )  # confounded: later strata are easier and score higher
        values = 0.2 * stratum + 0.05 * right + random.normal(0, 0.1, len(image))
        found = tables._difference(draws, image, right, values, stratum)
        held += found.low <= 0.05 <= found.high
        if not turn:
            design = np.column_stack([right, *(stratum == s for s in range(4))]).astype(float)
            assert found.value == pytest.approx(np.linalg.lstsq(design, values)[0][0])
            raw = tables._difference(draws, image, right, values, np.zeros(len(image), int))
            assert raw.value == pytest.approx(values[right].mean() - values[~right].mean()) and raw.low > 0.08
    assert held >= 52


def test_the_area_and_its_draws_are_those_of_scikit_learn():
    random, images = np.random.default_rng(2), 8
    image = np.repeat(np.arange(images), 12)
    right = random.random(96) < 0.7
    values = np.round(random.normal(0.3 * right, 1), 1)
    draws = Draws(images, 0, resamples=150)
    found = tables._area(draws, image, right, values)
    assert found.value == pytest.approx(roc_auc_score(right, values))
    explicit = [roc_auc_score(right, values, sample_weight=weights[image]) for weights in draws.weights]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(explicit, [0.025, 0.975])))


def test_correctness_knows_that_scores_go_with_right_decisions(audit):
    found = audit.correctness("cpt", "stride4", "auc")
    values, right = audit.values("cpt", "stride4", "auc"), audit.entry("cpt").right
    known = np.isfinite(values)
    assert found.right + found.wrong + found.undefined == len(audit)
    assert found.area.value == pytest.approx(roc_auc_score(right[known], values[known]))
    assert sum(each.pixels for each in found.bins) == known.sum()
    assert sum(each.pixels * each.right.value for each in found.bins) == pytest.approx(right[known].sum())
    assert all(one.high <= other.low for one, other in zip(found.bins, found.bins[1:], strict=False))
    assert all(0 <= each.right.low <= each.right.value <= each.right.high <= 1 for each in found.bins)
    assert found.difference.value == pytest.approx(
        values[known & right].mean() - values[known & ~right].mean()
    )
    equal = tables.correctness(audit.draws, audit.columns("cpt", "stride4"), np.ones(len(audit)))
    assert len(equal.bins) == 1 and equal.area.value == 0.5 and equal.within_both.value == 0


def test_cases_are_ordered_and_spread(audit):
    for which, sign in (("worst", 1), ("best", -1)):
        cases = audit.cases("cpt", "stride4", "auc", which, 10)
        order = [sign * case.score for case in cases]
        assert order == sorted(order) and len(cases) == 10
        assert len({(case.image, case.category) for case in cases}) == 10
    values = audit.values("cpt", "stride4", "auc")
    worst = audit.cases("cpt", "stride4", "auc", "worst", 1)[0]
    assert worst.score == np.nanmin(values) and worst.at == np.nanargmin(values)
    assert worst.index == audit.images[audit.pixels["image"][worst.at]].index
    drawn = audit.cases("cpt", "stride4", "auc", "random", 8)
    assert (
        drawn
        == audit.cases("cpt", "stride4", "auc", "random", 8)
        != audit.cases("cpt", "stride4", "auc", "best", 8)
    )
    assert audit.cases("qup", "stride4", "memory_share", "worst") == []


def test_deletion_curves_are_means_and_areas_of_the_margins(audit):
    found, rows = audit.deletion("cpt", "stride4"), audit.entry("cpt").deletion["stride4"]
    assert found.margin.value == pytest.approx(rows.margins[:, 0, 0].mean())
    assert found.pixels == len(rows.row) and [curve.map for curve in found.curves] == list(MAPS)
    drop = rows.margins[:, :, :1].astype(float) - rows.margins
    for at, curve in enumerate(found.curves):
        assert [each.value for each in curve.drop] == pytest.approx(drop[:, at].mean(axis=0), abs=1e-6)
        assert curve.drop[-1].value == pytest.approx(FALL[curve.map], abs=0.1)
        # An area by hand: trapezoids over the shares, as a mean.
        y = drop[:, at].mean(axis=0)
        area = (
            sum((SHARES[p + 1] - SHARES[p]) * (y[p] + y[p + 1]) / 2 for p in range(len(SHARES) - 1))
            / SHARES[-1]
        )
        assert curve.area.value == pytest.approx(area)
    assert found.curves[MAPS.index("random")].against_random.value == 0
    assert found.curves[MAPS.index("influence")].against_random.low > 0
    flat = DeletionRows(np.arange(5), np.full((5, len(MAPS), len(SHARES)), -1.0), np.zeros((5, len(SHARES))))
    still = tables.deletion(audit.draws, "cpt", "stride4", np.arange(5), flat).curves[0]
    assert still.area.value == 0 and still.flipped[0].value == 1


def test_the_report_is_plain_and_holds_every_table(audit):
    found = plain(report(audit))
    json.dumps(found, allow_nan=False)
    assert [each["model"] for each in found["models"]] == list(audit.models)
    assert set(found["models"][0]["stages"]["stride4"]["scores"]) == set(SCORES)
    assert found["models"][2]["stages"]["context"]["deletion"]["refused"]
    assert {(each["a"], each["b"]) for each in found["paired"]} == {
        ("cpt", "qup")
    }  # no stage in common with hfgd
    few = findings(synthetic_audit(0, images=4, each=30))
    assert any("too few to tell which map" in line for line in few)
    assert any("too few to tell whether" in line for line in few)
    assert len(findings(audit)) == 9 and any(
        "random order by influence +" in line for line in found["finding"]
    )


def test_refusals_are_one_sentence(audit):
    assert "dilated reads no sources" in said(lambda: audit.columns("dilated", "stride4"))
    assert "cpt, qup, hfgd" in said(lambda: audit.columns("fpn", "stride4"))
    assert "context" in said(lambda: audit.columns("hfgd", "stride4"))
    assert "auc_relative" in said(lambda: audit.values("cpt", "stride4", "leaks_to"))
    assert "boundary" in said(lambda: audit.summary("cpt", "stride4", "auc", "colour"))  # pyright: ignore[reportArgumentType]
    assert "worst" in said(lambda: audit.cases("cpt", "stride4", "auc", "middle"))  # pyright: ignore[reportArgumentType]
    assert "at least 1" in said(lambda: audit.cases("cpt", "stride4", "auc", count=0))
    assert "CAE" in said(lambda: audit.deletion("hfgd", "context"))
