"""Laws of edited stages: what their methods say is what was computed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load
from torch.testing import assert_close

from engine import overlays, wire
from engine.edits import (
    Ablate,
    HideRegion,
    Region,
    Replace,
    ShareHead,
    SilenceHead,
    StageEdit,
    Update,
    applying,
    describe,
)
from engine.edits.plan import hidden_cells, oracle_assignment
from tests.engine.edits.toys import CLASSES, EDITS, GRIDS, HEADS, LISTS, MU, K, edited, fits, toy
from tests.engine.test_wire import SPREAD

CELL = (5, 6)  # on every grid


def stages(sources, *edits):
    return edited(sources, edits).trace[0].stages


def cases():
    for sources in ("bilinear", "pixels", "prototypes", "memory"):
        for edits in (*((e,) for e in EDITS), *LISTS):
            if all(fits(e, sources) for e in edits):
                yield pytest.param(sources, edits, id=f"{sources}: " + " + ".join(map(describe, edits)))


@pytest.mark.parametrize(("sources", "edits"), list(cases()))
def test_parts_add_up_and_affinities_are_shares(sources, edits):
    for stage in stages(sources, *edits):
        image, memory, bias = stage.update_parts()
        assert_close(image + memory + bias[:, None, None], stage.update, rtol=1e-4, atol=1e-4)
        added = stage.contribution(*CELL)
        at = (slice(None), *CELL)
        assert_close(added.vectors.sum(0), (image + memory)[at], rtol=1e-4, atol=1e-4)
        assert_close(added.image.sum(0), image[at], rtol=1e-4, atol=1e-4)
        rows = stage.affinity_block(slice(None))
        assert_close(rows.sum(-1), torch.ones(rows.shape[:-1]))
        total = float(stage.pixel_affinity(*CELL).sum())
        if stage.assignment is None:
            assert total == pytest.approx(1, abs=1e-5)
        else:  # prototypes that are made of no pixel, or of more than one image's worth, count as much as they are
            made = stage.assignment.sum((-2, -1))
            share = float(stage.affinity(*CELL).mean(0) @ made)
            assert total == pytest.approx((1 - stage.memory_share) * share, abs=1e-5)


def test_edits_that_keep_assignments_whole_keep_the_sum_of_pixel_affinities():
    whole = [e for e in EDITS if not isinstance(e, Replace) and not hasattr(e, "toward")]
    for edit in whole:
        for stage in stages("memory", edit):
            assert_close(stage.assignment.sum((-2, -1)), torch.ones(K))
            assert float(stage.pixel_affinity(*CELL).sum()) == pytest.approx(1 - stage.memory_share, abs=1e-5)


def test_a_masked_source_is_read_by_nobody_and_the_others_take_its_share():
    base = toy("memory")[2]
    for before in base.stages:
        after = next(s for s in stages("memory", Ablate("c", stage=before.name)) if s.name == before.name)
        old, new = (s.affinity_block(slice(None)) for s in (before, after))
        assert float(old[..., 2].max()) > 0.1, "else the test could not fail"
        assert not new[..., 2].any(), "exactly 0"
        assert_close(
            new, (old / (1 - old[..., 2:3])).index_fill(-1, torch.tensor([2]), 0), rtol=1e-4, atol=1e-6
        )


def test_the_only_source_left_has_all_the_weight():
    for stage in stages("memory", *(Ablate(name) for name in CLASSES[1:])):
        rows = stage.affinity_block(slice(None))
        assert torch.equal(rows, torch.eye(K)[0].expand_as(rows))


def test_a_closed_source_stays_closed_however_sharp_the_affinity():
    """The channel that closes a source outweighs whatever the other channels say for it."""
    query = torch.randn(1, 2, 5, 4) * 1000
    key = torch.randn(1, 2, 3, 4)
    closed = torch.tensor([[True, False, False]])
    q, k = applying.scores(query, key, StageEdit(unread=closed, temperature=0.01), pixels=False)
    assert not (q @ k.transpose(-1, -2)).softmax(-1)[..., 0].any()
    expected = (query / 0.01 @ key[..., 1:, :].transpose(-1, -2)).softmax(-1)
    assert_close((q @ k.transpose(-1, -2)).softmax(-1)[..., 1:], expected)


def test_zero_and_mean_leave_the_affinity_alone():
    """Explicitly: the update without the source's part, and with the others' average in its place."""
    base = toy("memory")[2].stages[0]
    weights, vectors = base.affinity(*CELL), base.contribution(*CELL).vectors
    value = base.value - base.value_bias[:, None]
    parts = torch.einsum("nmd,cnd->nmc", value, base.output_weight)
    mean = torch.einsum("n,nc->c", weights[:, 1], parts[:, [0, *range(2, K)]].mean(1))
    for meaning, instead in (("zero", torch.zeros_like(mean)), ("mean", mean)):
        stage = stages("memory", Ablate("b", meaning))[0]
        assert_close(stage.affinity_block(slice(None)), base.affinity_block(slice(None)))
        change = stage.update[:, CELL[0], CELL[1]] - base.update[:, CELL[0], CELL[1]]
        assert_close(change, instead - vectors[1], rtol=1e-4, atol=1e-4)
        assert_close(stage.contribution(*CELL).vectors[1], instead, rtol=1e-4, atol=1e-5)


def test_shared_and_silent_heads():
    base = toy("memory")[2].stages[0]
    shared = stages("memory", ShareHead(1))[0]
    rows = base.affinity_block(slice(None))
    assert_close(shared.affinity_block(slice(None)), rows[1:2].expand_as(rows))
    read = torch.einsum("qm,nmd->nqd", rows[1], base.value)
    update = torch.einsum("nqd,cnd->cq", read, base.output_weight) + base.output_bias[:, None]
    assert_close(shared.update.flatten(1), update, rtol=1e-4, atol=1e-4)

    silent = stages("memory", SilenceHead(2))[0]
    own = torch.einsum("qm,md,cd->cq", rows[2], base.value[2], base.output_weight[:, 2])
    assert_close(silent.update.flatten(1), base.update.flatten(1) - own, rtol=1e-4, atol=1e-4)
    everyone = stages("memory", *(SilenceHead(n) for n in range(HEADS)))[0]
    assert_close(everyone.update, everyone.output_bias[:, None, None].expand_as(everyone.update))


def test_an_update_set_to_its_mean_is_the_same_everywhere():
    base = toy("pixels")[2].stages[1]
    stage = stages("pixels", Update("mean", stage="stride8"))[1]
    assert_close(stage.update, base.update.mean((1, 2), keepdim=True).expand_as(base.update))
    assert_close(stage.added_weights(0, 0), stage.added_weights(*CELL))
    assert not torch.equal(stage.affinity(0, 0), stage.affinity(*CELL)), "what each query reads is still told"


# ---------------------------------------------------------------- what plans are made from


def test_oracle_assignments_by_hand():
    """A 4×4 label map on a 2×2 grid; 255 belongs to nobody, category 3 is absent."""
    truth = np.array([[0, 0, 1, 1], [0, 0, 1, 2], [0, 2, 2, 2], [255, 255, 2, 2]], np.uint8)
    expected = torch.zeros(4, 2, 2)
    expected[0] = torch.tensor([[4, 0], [1, 0]]) / 5
    expected[1] = torch.tensor([[0, 3], [0, 0]]) / 3
    expected[2] = torch.tensor([[0, 1], [1, 4]]) / 6
    assert_close(oracle_assignment(truth, (2, 2), 4), expected)


def test_cells_are_hidden_from_half_of_their_area_on():
    region = Region(1, 4, "0110")
    assert hidden_cells(region, (1, 2))[0].tolist() == [[True, True]]  # half of each
    assert hidden_cells(region, (2, 4))[0].tolist() == [[False, True, True, False]] * 2
    assert hidden_cells(region, (1, 3))[0].tolist() == [[False, True, False]]  # a quarter, all, a quarter
    assert hidden_cells(region, (1, 1))[0].tolist() == [[True]]


@pytest.mark.parametrize("sources", ["pixels", "prototypes", "memory"])
def test_nothing_under_a_hidden_region_is_read(sources):
    region = Region(1, 2, "10")
    for stage in stages(sources, HideRegion(region)):
        under = hidden_cells(region, stage.source_grid)[0]
        assert 0 < under.sum() < under.numel()
        read = stage.pixel_affinity(*CELL)
        assert not read[under].any() and read[~under].any()
        if stage.assignment is not None:
            assert not stage.assignment[:, under].any()


# ---------------------------------------------------------------- what others draw of an edited stage


@pytest.mark.parametrize("sources", ["pixels", "memory"])
def test_closed_sources_survive_the_wire(sources):
    """As precisely as open ones do: see test_wire."""
    for stage in toy(sources)[2].stages:
        query = stage.query * (SPREAD / (stage.query @ stage.key.transpose(-1, -2)).std())
        closed = torch.zeros(1, stage.source_count, dtype=torch.bool)
        closed[0, :: 4 if sources == "pixels" else 3] = True
        grid = stage.source_grid if sources == "pixels" else (1, K)
        edit = StageEdit(hidden=closed.view(1, *grid)) if sources == "pixels" else StageEdit(unread=closed)
        query, key = applying.scores(query[None], stage.key[None], edit, sources == "pixels")
        stage = type(stage)(**{**vars(stage), "query": query[0], "key": key[0]})
        tensors = load(wire.stage_tensors(stage))
        scores = (
            tensors["query"].float() @ tensors["key"].float().transpose(-1, -2) + tensors["bias"][:, None]
        )
        got, expected = scores.softmax(-1), stage.affinity_block(slice(None))
        assert not expected[..., closed[0]].any() and not got[..., closed[0]].any()
        assert float(((got - expected).abs().amax(-1) / expected.amax(-1)).max()) < 1 / 255


@pytest.mark.parametrize("meaning", ["zero", "mean"])
def test_cells_are_drawn_with_what_a_silenced_source_still_adds(meaning):
    """The norms of what cells add come from the mixed assignment; all cells together are the image's part."""
    stage = stages("memory", Ablate("b", meaning))[0]
    mixed = stage.added_assignment().flatten(1)
    values = torch.einsum("ndc,cs->nsd", stage.value_weight, stage.aligned.flatten(1))
    spread = stage.affinity(*CELL) @ mixed
    vectors = (1 - MU) * torch.einsum("ns,nsd,cnd->sc", spread, values, stage.output_weight)
    assert_close(vectors.sum(0), stage.contribution(*CELL).image.sum(0), rtol=1e-4, atol=1e-4)
    drawn = overlays._cell_contributions(stage, stage.added_weights(*CELL))
    assert_close(drawn.flatten(), vectors.norm(dim=-1), rtol=1e-4, atol=1e-5)


def test_grids_are_those_that_the_tests_rely_on():
    assert all(CELL[0] < h and CELL[1] < w for h, w in GRIDS[:3])
