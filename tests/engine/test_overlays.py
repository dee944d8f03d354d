"""The exact maps of the four readings: against the stage's own methods, and explicit sums."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import engine.stage
from engine.errors import LoupeError
from engine.overlays import READINGS, Ask, in_force, overlay
from engine.stage import Stage, Stopped
from engine.trace import Trace
from tests.engine.test_affinity import KINDS, SIZE, trace_of

PIXEL = (41, 66)


@pytest.fixture(scope="module")
def traces() -> dict[str, Trace]:
    return {kind: trace_of(kind) for kind in KINDS}


def query_of(stage: Stage) -> tuple[int, int]:
    return PIXEL[0] * stage.grid[0] // SIZE[0], PIXEL[1] * stage.grid[1] // SIZE[1]


def cell_of(stage: Stage) -> tuple[int, int]:
    return PIXEL[0] * stage.source_grid[0] // SIZE[0], PIXEL[1] * stage.source_grid[1] // SIZE[1]


@pytest.mark.parametrize("kind", KINDS)
def test_means_over_heads_are_the_stages_methods(traces, kind):
    trace = traces[kind]
    for stage in trace.stages:
        reads = overlay(trace, stage, PIXEL, Ask("reads"))
        np.testing.assert_allclose(reads.values, stage.pixel_affinity(*query_of(stage)), atol=1e-7)
        assert reads.values.sum() == pytest.approx(1 - stage.memory_share, abs=1e-5)
        read_by = overlay(trace, stage, PIXEL, Ask("read by"))
        np.testing.assert_allclose(read_by.values, stage.pixel_readers(*cell_of(stage)), atol=1e-6)
        assert read_by.source == cell_of(stage)
        alike = overlay(trace, stage, PIXEL, Ask("reads alike"))
        np.testing.assert_allclose(alike.values, stage.profile_similarity(*query_of(stage)), atol=1e-6)
        assert alike.values[query_of(stage)] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reading", ["reads", "read by"])
def test_heads_average_to_the_mean_for_weights(traces, kind, reading):
    trace = traces[kind]
    stage = trace.stages[2]
    heads = [overlay(trace, stage, PIXEL, Ask(reading, head=n)).values for n in range(stage.heads)]
    np.testing.assert_allclose(
        np.mean(heads, axis=0), overlay(trace, stage, PIXEL, Ask(reading)).values, atol=1e-6
    )


@pytest.mark.parametrize("kind", ["pixels", "memory"])
def test_one_heads_similarity_is_the_coefficient_of_its_rows(traces, kind):
    trace = traces[kind]
    stage = trace.stages[0]
    h, w = stage.grid
    rows = stage.affinity_block(slice(0, h * w))[1].double()
    own = rows[query_of(stage)[0] * w + query_of(stage)[1]]
    expected = (rows.sqrt() * own.sqrt()).sum(-1).view(h, w)
    got = overlay(trace, stage, PIXEL, Ask("reads alike", head=1)).values
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_heads_of_the_stages_own_methods(traces, kind):
    stage = traces[kind].stages[0]
    for of in (stage.readers, stage.pixel_readers, stage.profile_similarity):
        where = (1,) if of == stage.readers else (1, 1)
        heads = torch.stack([of(*where, head=n) for n in range(stage.heads)])
        torch.testing.assert_close(heads.mean(0), of(*where), atol=1e-5, rtol=1e-4)
        for head in (stage.heads, -1):
            with pytest.raises(LoupeError, match="no head"):
                of(*where, head=head)


def test_a_similarity_can_be_given_up_between_blocks(traces, monkeypatch):
    stage = replace(traces["pixels"].stages[2])  # without the normaliser that others have had made
    monkeypatch.setattr(engine.stage, "BLOCK_BYTES", 4 * stage.heads * stage.source_count * 5)
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) == 3

    with pytest.raises(Stopped):
        stage.profile_similarity(1, 1, stop=stop)
    assert len(asked) == 3
    whole = stage.profile_similarity(1, 1, stop=lambda: False)
    torch.testing.assert_close(whole, replace(stage).profile_similarity(1, 1))


def test_cells_of_a_blended_stage_say_that_the_memory_is_not_in_them(traces):
    for kind, trace in traces.items():
        for reading in ("reads", "read by"):
            unit = overlay(trace, "stride8", PIXEL, Ask(reading, contribution=True)).unit
            assert ("image part" in unit) == (kind == "memory")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head", [None, 0])
def test_contributions_of_cells_against_explicit_vectors(traces, kind, head):
    trace = traces[kind]
    stage = trace.stages[1]
    weights = stage.affinity(*query_of(stage)).double()
    heads = range(stage.heads) if head is None else [head]
    y, x = stage.source_grid
    expected = np.zeros((y, x))
    for i in range(y):
        for j in range(x):
            vector = torch.zeros(stage.output_weight.shape[0], dtype=torch.float64)
            for n in heads:
                if stage.assignment is None:
                    share, value = (
                        weights[n, i * x + j],
                        (stage.value[n, i * x + j] - stage.value_bias[n]).double(),
                    )
                else:
                    share = (weights[n] * stage.assignment[:, i, j].double()).sum() * (1 - stage.memory_share)
                    value = stage.value_weight[n].double() @ stage.aligned[:, i, j].double()
                vector += share * (stage.output_weight[:, n].double() @ value)
            expected[i, j] = vector.norm()
    got = overlay(trace, stage, PIXEL, Ask("reads", head=head, contribution=True)).values
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_cell_adds_is_one_number_from_either_side(traces, kind):
    """ "reads" at the cell that "read by" is about, and "read by" at the query that "reads" is about."""
    trace = traces[kind]
    stage = trace.stages[2]
    for contribution in (False, True):
        reads = overlay(trace, stage, PIXEL, Ask("reads", contribution=contribution)).values
        read_by = overlay(trace, stage, PIXEL, Ask("read by", contribution=contribution)).values
        assert reads[cell_of(stage)] == pytest.approx(read_by[query_of(stage)], rel=1e-3, abs=1e-6)


def test_a_prototypes_readers_and_what_it_adds(traces):
    trace = traces["memory"]
    stage = trace.stages[2]
    weight = overlay(trace, stage, PIXEL, Ask("read by", source=3))
    np.testing.assert_allclose(weight.values, stage.readers(3), atol=1e-6)
    assert weight.source == 3
    added = overlay(trace, stage, PIXEL, Ask("read by", source=3, contribution=True)).values
    assert added[query_of(stage)] == pytest.approx(
        float(stage.contribution(*query_of(stage)).norm[3]), rel=1e-4
    )


def test_made_of_is_the_assignment_of_the_pixels_own_category_or_the_chosen_one(traces):
    trace = traces["prototypes"]
    stage = trace.stages[0]
    own = int(trace.labels[PIXEL])
    got = overlay(trace, stage, PIXEL, Ask("made of"))
    assert got.source == own
    np.testing.assert_allclose(got.values, stage.assignment[own], atol=1e-7)
    assert overlay(trace, stage, PIXEL, Ask("made of", source=5)).values.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_relative_and_uniform_are_ratios(traces, kind):
    trace = traces[kind]
    stage = trace.stages[2]
    raw = overlay(trace, stage, PIXEL, Ask("reads")).values
    uniform = overlay(trace, stage, PIXEL, Ask("reads", uniform=True))
    np.testing.assert_allclose(uniform.values, raw * raw.size, rtol=1e-5)
    assert uniform.scale == "uniform"
    h, w = stage.grid
    average = np.mean([stage.pixel_affinity(r, c).numpy() for r in range(h) for c in range(w)], axis=0)
    relative = overlay(trace, stage, PIXEL, Ask("reads", relative=True, uniform=True))
    np.testing.assert_allclose(relative.values, raw / average, rtol=1e-3)
    assert relative.scale == "relative"
    read_by = overlay(trace, stage, PIXEL, Ask("read by", relative=True)).values
    assert read_by.mean() == pytest.approx(1, rel=1e-5)


def test_what_means_nothing_falls_back(traces):
    stage = traces["pixels"].stages[0]
    assert in_force(stage, Ask("made of")).reading == "reads"
    assert not in_force(
        stage, Ask("reads alike", contribution=True, relative=True, uniform=True)
    ).contribution
    assert not in_force(stage, Ask("reads", contribution=True, relative=True)).relative
    fallen = in_force(stage, Ask("reads", head=99, source=2))
    assert fallen.head is None and fallen.source is None


def test_every_map_is_finite_and_not_negative(traces):
    for trace in traces.values():
        for reading in READINGS:
            for contribution in (False, True):
                got = overlay(trace, "stride8", PIXEL, Ask(reading, contribution=contribution))
                assert np.isfinite(got.values).all() and got.values.min() >= 0
                assert got.limits[0] <= got.values.min() + 1e-6 and got.limits[1] >= got.values.max() - 1e-6


def test_refusals(traces):
    with pytest.raises(LoupeError):
        overlay(traces["memory"], "stride4", PIXEL, Ask("thinks"))
    with pytest.raises(LoupeError):
        overlay(traces["memory"], "stride4", (72, 0), Ask())
