"""Scores at a site: by hand where the affinity is planted, against slow explicit ones where a decoder made it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from engine.affinity import reading
from engine.audit import scores as scoring
from engine.audit.ranking import roc_areas
from engine.audit.sample import draw
from engine.audit.scores import cells_of, flat_cells, scores
from engine.audit.site import Site, sites_of
from engine.cell_labels import UNKNOWN
from engine.data.scenes import render
from engine.images import cell
from tests.engine.test_affinity import CLASSES, KINDS, SIZE, trace_of, truth_map

STRIP = np.repeat(np.array([[0, 0, 1, 1, 1, 0]], np.uint8), 2, axis=0).repeat(4, axis=0).repeat(4, axis=1)
"""(8, 24): six columns of cells, categories 0 0 1 1 1 0, two rows of cells alike."""


def planted(affinity: np.ndarray) -> Site:
    """One head that reads by these weights (q, m): log weights against unit keys; queries and sources on one grid of 2×6."""
    query = torch.from_numpy(np.log(affinity).astype(np.float32))[None]
    return Site("context", "context", (2, 6), (2, 6), 1, query, torch.eye(12)[None], None)


def test_a_planted_affinity_gets_the_scores_computed_by_hand():
    random = np.random.default_rng(0)
    affinity = random.dirichlet(np.ones(12), 12)
    # The first cell's query reads: itself .4; its neighbour .2; the other row's own category .1 .05 .05; and of the others:
    affinity[0] = [0.4, 0.2, 0.05, 0.04, 0.02, 0.03, 0.1, 0.05, 0.05, 0.02, 0.02, 0.02]
    drawn = draw(STRIP, "a", 192, 2, 0)
    cells = cells_of(STRIP, drawn, (2, 6), 2)
    found = scores(planted(affinity), drawn, cells, (8, 24))
    at = int(np.flatnonzero(cells.own == 0)[0])
    # Own category 0: cells 1 5 6 7 11 (0 is the pixel's own) with .2 .03 .1 .05 .02; others 2 3 4 8 9 10: .05 .04 .02 .05 .02 .02
    assert found["auc"][at] == pytest.approx((6 + 3 + 6 + (4 + 2 / 2) + 3 / 2) / 30)
    assert found["pixel_mass"][at] == pytest.approx(0.8)
    assert found["leaks_to"][at] == 1
    assert found["entropy"][at] == pytest.approx(-(affinity[0] * np.log(affinity[0])).sum() / math.log(12))
    relative = affinity[0] / affinity.mean(axis=0)
    alike = np.sqrt(affinity[0] * affinity).sum(axis=1)
    mine, others = [1, 5, 6, 7, 11], [2, 3, 4, 8, 9, 10]
    for name, values in (("auc_relative", relative), ("auc_profile", alike)):
        expected = roc_auc_score([1] * 5 + [0] * 6, values[mine + others])
        assert found[name][at] == pytest.approx(expected)
    y, x = np.divmod(np.arange(12), 6)
    distance = np.hypot(4 * y + 2 - drawn.row[at] - 0.5, 4 * x + 2 - drawn.col[at] - 0.5)
    assert found["mean_distance"][at] == pytest.approx((affinity[0] * distance).sum(), rel=1e-5)
    assert found["auc_distance"][at] == pytest.approx(
        roc_auc_score([1] * 5 + [0] * 6, -distance[mine + others])
    )
    assert np.isnan(found["prototype_weight"]).all() and np.isnan(found["memory_share"]).all()


def test_within_rings_distance_says_next_to_nothing():
    truth = render(1_000_003).labels
    drawn = draw(truth, "a", 60, 14, 0)
    cells = cells_of(truth, drawn, (32, 32), 14)
    positive = cells.majority == drawn.category[:, None]
    plain, rings = (
        np.nanmean(roc_areas(-cells.distance, positive, cells.valid, ring)) for ring in (None, cells.ring)
    )
    assert plain > 0.65  # neighbours share labels
    assert abs(rings - 0.5) < 0.1 * (plain - 0.5)


def test_undefined_areas_are_nan_and_mixed_cells_are_in_no_pair():
    truth = STRIP.copy()
    truth[:, 8:20] = 0  # one category alone, but for the last column of cells, which is mixed
    truth[::2, 20:] = 1
    drawn = draw(truth, "a", 40, 2, 0)
    cells = cells_of(truth, drawn, (2, 6), 2)
    assert (cells.majority.reshape(2, 6)[:, 5] == UNKNOWN).all()
    found = scores(planted(np.full((12, 12), 1 / 12)), drawn, cells, (8, 24))
    assert np.isnan(found["auc"]).all() and np.isnan(found["auc_rings"]).all()
    assert (found["leaks_to"] == -1)[drawn.category == 0].all()
    assert found["pixel_mass"][drawn.category == 1] == pytest.approx(0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_the_side_panel_and_of_explicit_maps(kind):
    trace, truth = trace_of(kind), truth_map()
    drawn = draw(truth, "a", 12, CLASSES, 0)
    for name, site in sites_of(trace).items():
        stage = trace.stage(name)
        cells = cells_of(truth, drawn, site.source_grid, CLASSES)
        found = scores(site, drawn, cells, SIZE)
        centres = [
            stage.profile_similarity(*cell(int(row), int(col), SIZE, stage.grid))
            for row, col in zip(drawn.row, drawn.col, strict=True)
        ]
        y, x = stage.source_grid
        rows, cols = (
            (2 * np.arange(y) + 1) * stage.grid[0] // (2 * y),
            (2 * np.arange(x) + 1) * stage.grid[1] // (2 * x),
        )
        for p, alike in enumerate(centres):
            got = reading(trace, stage, pixel=(int(drawn.row[p]), int(drawn.col[p])), truth=truth)
            assert got.own_true is not None and got.true == drawn.category[p]
            same = {
                "entropy": got.entropy,
                "pixel_mass": got.own_true.pixel_mass,
                "mean_distance": got.mean_distance,
                "memory_share": got.memory_share if kind == "memory" else None,
                "prototype_weight": got.own_true.prototype_weight,
            }
            for column, value in same.items():
                expected = math.nan if value is None else value
                assert found[column][p] == pytest.approx(expected, rel=1e-4, abs=1e-6, nan_ok=True), column
            kept = (cells.majority != UNKNOWN) & (np.arange(y * x) != cells.own[p])
            mine = (cells.majority == drawn.category[p])[kept]
            if mine.all() or not mine.any():
                assert np.isnan(found["auc"][p])
                continue
            raw = stage.pixel_affinity(*got.cell).numpy().ravel()[kept]
            assert found["auc"][p] == pytest.approx(roc_auc_score(mine, raw), abs=1e-6)
            near = alike.numpy()[np.ix_(rows, cols)].ravel()[kept]
            if kind != "bilinear":  # there most are exactly 0, which rounding may not tell apart
                assert found["auc_profile"][p] == pytest.approx(roc_auc_score(mine, near), abs=0.02)


@pytest.mark.parametrize("kind", ["pixels", "memory"])
def test_bands_of_pixels_score_as_all_of_them_together(kind, monkeypatch):
    trace, truth = trace_of(kind), truth_map()
    drawn = draw(truth, "a", 23, CLASSES, 0)
    site = sites_of(trace)[trace.stages[-1].name]
    cells = cells_of(truth, drawn, site.source_grid, CLASSES)
    whole = scores(site, drawn, cells, SIZE)
    rows: list[int] = []
    explicit = scoring.roc_areas
    monkeypatch.setattr(
        scoring, "roc_areas", lambda maps, *rest: rows.append(maps.shape[1]) or explicit(maps, *rest)
    )
    sources = max(site.heads * trace.stages[-1].source_count, len(cells.majority))
    monkeypatch.setattr(scoring, "BAND_BYTES", 5 * 4 * sources)
    monkeypatch.setattr(scoring, "RANK_BYTES", 2 * 200 * len(cells.majority))
    banded = scores(site, drawn, cells, SIZE)
    assert set(rows) == {1, 2}  # bands of five pixels, ranked two at a time
    for name, values in whole.items():
        np.testing.assert_allclose(banded[name], values, rtol=1e-5, atol=1e-6, err_msg=name)


def test_cells_of_many_pixels_are_those_of_one():
    row, col = np.array([0, 71, 30]), np.array([103, 0, 55])
    expected = [y * 13 + x for y, x in (cell(r, c, SIZE, (9, 13)) for r, c in zip(row, col, strict=True))]
    assert flat_cells(row, col, SIZE, (9, 13)).tolist() == expected
