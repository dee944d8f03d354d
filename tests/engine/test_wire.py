"""The wire: what the browser gets is enough to draw exactly what the engine says."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import deserialize
from safetensors.torch import load

from engine import wire
from engine.decoders.cpt import CPTDecoder
from engine.errors import LoupeError
from engine.stage import Stage
from engine.trace import Trace

KINDS = ["bilinear", "pixels", "prototypes", "memory"]
K, C, HEADS, MU = 7, 24, 3, 0.3
GRIDS = [(21, 29), (11, 15), (6, 8), (3, 4)]
CHANNELS = [5, 9, 10, 13]
SPREAD = 3.0  # standard deviation of the scores: an untrained affinity is nearly uniform, and would hide what rounding does


def sharp(stage: Stage) -> Stage:
    """The same stage with peaked affinities, and an offset in its queries as trained ones have."""
    if stage.query is None or stage.key is None:
        return stage
    scores = stage.query @ stage.key.transpose(-1, -2)
    query = stage.query * (SPREAD / scores.std())
    return replace(stage, query=query + query.abs().amax() * torch.linspace(-1, 2, query.shape[-1]))


@pytest.fixture(scope="module", params=KINDS)
def trace(request) -> Trace:
    torch.manual_seed(3)
    decoder = CPTDecoder(CHANNELS, K, sources=request.param, channels=C, heads=HEADS, memory_share=MU).eval()
    with torch.no_grad():
        traced = decoder.trace([torch.randn(1, c, *g) for c, g in zip(CHANNELS, GRIDS, strict=True)])[0]
    return replace(traced, stages=tuple(map(sharp, traced.stages)))


def about(data: bytes) -> dict:
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return json.loads(header["__metadata__"]["loupe"])


def affinity(tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """(n, q, m), as the browser computes it."""
    scores = tensors["query"].float() @ tensors["key"].float().transpose(-1, -2) + tensors["bias"][:, None]
    return scores.softmax(-1)


def test_metadata_says_what_the_stage_is(trace):
    for stage in trace.stages:
        told = about(wire.stage_tensors(stage))
        assert told["name"] == stage.name
        assert told["sources"] == stage.sources
        assert (told["grid"], told["source_grid"]) == (list(stage.grid), list(stage.source_grid))
        assert (told["query_grid"], told["pooled"]) == (list(stage.grid), 1)
        assert (told["heads"], told["count"], told["memory_share"]) == (
            stage.heads,
            stage.source_count,
            stage.memory_share,
        )


def test_rows_survive_half_precision(trace):
    for stage in trace.stages:
        tensors = load(wire.stage_tensors(stage))
        if stage.query is None:
            assert not {"query", "key", "bias"} & set(tensors)
            continue
        expected = stage.affinity_block(slice(None))
        assert expected.amax(-1).median() > 2 / stage.source_count  # else the test could not fail
        error = (affinity(tensors) - expected).abs().amax(-1) / expected.amax(-1)
        assert float(error.max()) < 1 / 255


def test_contribution_norms_need_only_gram_matrices(trace):
    for stage in trace.stages:
        tensors = load(wire.stage_tensors(stage))
        for row, col in [(0, 0), (2, 5), (5, 7)]:
            weights = stage.affinity(row, col)
            norm = torch.einsum("nm,mnN,Nm->m", weights, tensors["gram"], weights).clamp_min(0).sqrt()
            torch.testing.assert_close(norm, stage.contribution(row, col).norm, rtol=1e-4, atol=1e-5)


def test_pixel_gram_gives_the_norm_of_what_each_pixel_adds(trace):
    stage = trace.stages[-1]
    if stage.assignment is None:
        assert "pixel_gram" not in load(wire.stage_tensors(stage))
        return
    tensors = load(wire.stage_tensors(stage))
    spread = torch.einsum("nm,ms->ns", stage.affinity(3, 4), stage.assignment.flatten(1))
    values = torch.einsum("ndc,cs->nsd", stage.value_weight, stage.aligned.flatten(1))
    vectors = (1 - stage.memory_share) * torch.einsum("ns,nsd,cnd->sc", spread, values, stage.output_weight)
    norm = torch.einsum("ns,snN,Ns->s", spread, tensors["pixel_gram"], spread).clamp_min(0).sqrt()
    torch.testing.assert_close(norm, vectors.norm(dim=-1), rtol=1e-4, atol=1e-6)
    # All pixels together are the image's part of the update.
    torch.testing.assert_close(vectors.sum(0), stage.contribution(3, 4).image.sum(0), rtol=1e-3, atol=1e-4)


def test_assignments_survive_half_precision(trace):
    for stage in trace.stages:
        tensors = load(wire.stage_tensors(stage))
        if stage.assignment is None:
            assert "assignment" not in tensors
            continue
        got = tensors["assignment"].float() * tensors["assignment_scale"][:, None]
        expected = stage.assignment.flatten(1)
        assert float(((got - expected).abs().amax(1) / expected.amax(1)).max()) < 1e-3
        torch.testing.assert_close(tensors["mean"], stage.mean_affinity())


def test_labels_that_may_not_be_written_to_are_sent_all_the_same(trace):
    """Held traces share their labels; a tensor over a read-only array would warn, and warnings are errors here."""
    truth = np.zeros(trace.image_size, np.uint8)
    truth[0, 0] = 3
    truth.flags.writeable = False
    assert np.array_equal(load(wire.map_tensors(trace, truth))["truth"], truth)


def test_extras_complete_the_columns(trace):
    stage = trace.stages[-1]
    if stage.query is None:
        with pytest.raises(LoupeError, match="bilinear"):
            wire.extra_tensors(stage)
        return
    tensors, extras = load(wire.stage_tensors(stage)), load(wire.extra_tensors(stage))
    scores = tensors["query"].float() @ tensors["key"].float().transpose(-1, -2) + tensors["bias"][:, None]
    columns = (scores - extras["normaliser"][..., None]).exp()
    for j in (0, stage.source_count - 1):
        read = stage.readers(j).flatten()
        assert float((columns[..., j].mean(0) - read).abs().max() / read.max()) < 1 / 255
    torch.testing.assert_close(extras["mean"], stage.mean_affinity(), rtol=5e-3, atol=1e-5)


def test_alike_is_the_engines(trace):
    got = load(wire.alike_tensor(trace.stages[-1], 4, 7))["alike"]
    torch.testing.assert_close(got, trace.stages[-1].profile_similarity(4, 7))
    head = trace.stages[-1].heads - 1
    one = load(wire.alike_tensor(trace.stages[-1], 4, 7, head))["alike"]
    torch.testing.assert_close(one, trace.stages[-1].profile_similarity(4, 7, head))
    assert got[4, 7] == pytest.approx(1, abs=1e-5)


def test_maps(trace):
    truth = np.full(trace.image_size, 255, np.uint8)
    truth[:3, 5:] = 2
    data = wire.map_tensors(trace, truth)
    tensors = load(data)
    assert about(data) == {"size": list(trace.image_size), "classes": K}
    assert torch.equal(tensors["labels"].long(), trace.labels.long())
    assert np.array_equal(tensors["truth"].numpy(), truth)
    assert ("presence" in tensors) == (trace.stages[0].mask_logits is not None)
    assert "truth" not in load(wire.map_tensors(trace))
    with pytest.raises(LoupeError, match="3×4 pixels"):
        wire.map_tensors(trace, truth[:3, :4])


def test_large_stages_are_pooled_and_say_so(trace):
    stage = trace.stages[-1]
    full = len(wire.stage_tensors(stage))
    if stage.query is None:
        assert wire.pooling(stage, 0) == 1
        return
    limit = full - stage.query.numel()  # half of the queries' bytes too many
    data = wire.stage_tensors(stage, limit)
    told, tensors = about(data), load(data)
    assert told["pooled"] == 2
    assert told["query_grid"] == [(stage.grid[0] + 1) // 2, (stage.grid[1] + 1) // 2] == [11, 15]
    assert tensors["query"].shape[1] == tensors["update_share"].shape[0] == 11 * 15
    # A pooled query is the mean of its block; the last block of an odd grid is narrower.
    whole, weights = affinity(tensors), stage.query.unflatten(1, stage.grid)
    for row, col in [(0, 0), (3, 5), (10, 14)]:
        query = weights[:, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2].mean((1, 2))
        expected = (query[:, None] @ stage.key.transpose(-1, -2)).softmax(-1)[:, 0]
        assert float((whole[:, row * 15 + col] - expected).abs().max() / expected.max()) < 1 / 255
    assert load(wire.extra_tensors(stage, limit))["normaliser"].shape == (HEADS, 11 * 15)


def test_update_share(trace):
    stage = trace.stages[0]
    update, residual = stage.update[:, 2, 3].norm(), stage.residual[:, 2, 3].norm()
    share = load(wire.stage_tensors(stage))["update_share"][2 * stage.grid[1] + 3]
    assert float(share) == pytest.approx(float(update / (update + residual)), abs=1e-3)


def test_extreme_scales_fit_into_half_precision():
    torch.manual_seed(0)
    decoder = CPTDecoder(CHANNELS, K, sources="pixels", channels=C, heads=HEADS).eval()
    with torch.no_grad():
        stage = decoder.trace([torch.randn(1, c, *g) for c, g in zip(CHANNELS, GRIDS, strict=True)])[
            0
        ].stages[-1]
    stage = sharp(stage)
    wild = replace(stage, query=stage.query * 3e5, key=stage.key / 3e5)
    tensors = load(wire.stage_tensors(wild))
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    expected = wild.affinity_block(slice(None))
    assert float(((affinity(tensors) - expected).abs().amax(-1) / expected.amax(-1)).max()) < 1 / 255


def test_wire_is_safetensors(trace):
    assert {name for name, _ in deserialize(wire.stage_tensors(trace.stages[0]))} >= {"gram", "update_share"}


def test_logits_are_sent_without_their_mean_and_pooled_where_they_are_too_large(trace):
    whole = wire.logit_tensors(trace)
    expected = trace.logits - trace.logits.mean(dim=0)
    assert about(whole) == {"grid": [21, 29], "sent_grid": [21, 29], "pooled": 1, "classes": K}
    torch.testing.assert_close(load(whole)["logits"].float(), expected, rtol=2**-10, atol=1e-4)
    small = wire.logit_tensors(trace, limit=K * 21 * 29)
    assert about(small) == {"grid": [21, 29], "sent_grid": [11, 15], "pooled": 2, "classes": K}
    block = expected[:, 4:6, 28:].mean((1, 2))  # the last block of an odd grid is narrower
    torch.testing.assert_close(load(small)["logits"][:, 2, 14].float(), block, rtol=2**-9, atol=1e-4)
