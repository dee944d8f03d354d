"""Laws of every stage, for every kind of sources. Untrained decoders; sizes differ pairwise: swapped axes show."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from engine.decoders.cpt import CPTDecoder
from engine.errors import LoupeError
from engine.trace import Pyramid, Trace

KINDS = ["bilinear", "pixels", "prototypes", "memory"]
K, C, HEADS, MU, BATCH = 7, 24, 3, 0.3, 2
# 11 is no half of 21, and rows differ from columns: grids that are no exact halvings.
GRIDS = [(21, 29), (11, 15), (6, 8), (3, 4)]
CHANNELS = [5, 9, 10, 13]
PROBES = [(0, 0), (2, 5), (5, 7)]


def make(kind: str, **kwargs) -> tuple[CPTDecoder, list[torch.Tensor]]:
    torch.manual_seed(3)
    decoder = CPTDecoder(CHANNELS, K, sources=kind, channels=C, heads=HEADS, memory_share=MU, **kwargs).eval()
    # LayerNorm and BatchNorm start as the identity: random weights make a wrong order of operations show.
    for name, parameter in decoder.named_parameters():
        if "norm" in name or "bn" in name:
            parameter.data.uniform_(0.5, 1.5)
    return decoder, [torch.randn(BATCH, c, *g) * 3 for c, g in zip(CHANNELS, GRIDS, strict=True)]


@pytest.fixture(scope="module", params=KINDS)
def traced(request) -> tuple[CPTDecoder, list[torch.Tensor], Trace]:
    decoder, features = make(request.param)
    with torch.no_grad():
        return decoder, features, decoder.trace(features)


def cells(stage):
    return [(r, c) for r, c in PROBES if r < stage.grid[0] and c < stage.grid[1]]


def test_names_and_shapes(traced):
    decoder, _, trace = traced
    assert [s.name for s in trace.stages] == ["stride16", "stride8", "stride4"]
    assert trace.logits.shape == (BATCH, K, *GRIDS[0])
    for stage, low, high in zip(trace.stages, (2, 1, 0), (3, 2, 1), strict=True):
        m = K if decoder.sources in ("prototypes", "memory") else GRIDS[high][0] * GRIDS[high][1]
        n = 1 if decoder.sources == "bilinear" else HEADS
        assert (stage.grid, stage.source_grid, stage.heads, stage.source_count) == (
            GRIDS[low],
            GRIDS[high],
            n,
            m,
        )
        assert stage.affinity(2, 3).shape == (BATCH, n, m)
        assert stage.pixel_affinity(2, 3).shape == (BATCH, *GRIDS[high])
        assert stage.readers(m - 1).shape == (BATCH, *GRIDS[low])
        assert stage.pixel_readers(1, 2).shape == (BATCH, *GRIDS[low])
        assert stage.contribution(2, 3).vectors.shape == (BATCH, m, C)
        assert stage.update.shape == stage.residual.shape == stage.out.shape == (BATCH, C, *GRIDS[low])
        assert (stage.assignment is None) == (decoder.sources in ("bilinear", "pixels"))
        assert (stage.memory is None) == (decoder.sources != "memory")


def test_affinity_rows_sum_to_one(traced):
    for stage in traced[2].stages:
        total = stage.affinity_block(slice(None)).sum(-1)
        assert_close(total, torch.ones_like(total))


def test_pixel_affinity_is_affinity_times_assignment(traced):
    for stage in traced[2].stages:
        for row, col in cells(stage):
            pixels = stage.pixel_affinity(row, col)
            weights = stage.affinity(row, col).mean(1)
            if stage.assignment is None:
                expected = weights.view(pixels.shape)
            else:
                expected = (1 - stage.memory_share) * (weights[:, None] @ stage.assignment.flatten(2)).view(
                    pixels.shape
                )
            assert_close(pixels, expected)
            assert_close(pixels.sum((1, 2)), torch.full((BATCH,), 1 - stage.memory_share))


def test_share_is_zero_without_memory(traced):
    decoder, _, trace = traced
    assert {s.memory_share for s in trace.stages} == {MU if decoder.sources == "memory" else 0.0}


def test_assignment_sums_to_one_over_space_for_every_category(traced):
    for stage in traced[2].stages:
        if stage.assignment is not None:
            assert_close(stage.assignment.sum((2, 3)), torch.ones(BATCH, K))
            average = torch.einsum("bkyx,bcyx->bkc", stage.assignment, stage.aligned)
            assert_close(stage.prototypes, average)


def test_columns_are_columns_of_the_rows(traced):
    for stage in traced[2].stages:
        rows = [stage.affinity(r, c).mean(1) for r, c in itertools.product(*map(range, stage.grid))]
        matrix = torch.stack(rows, 1).unflatten(1, stage.grid)
        for source in (0, stage.source_count - 1):
            assert_close(stage.readers(source), matrix[..., source])
        pixels = [stage.pixel_affinity(r, c) for r, c in itertools.product(*map(range, stage.grid))]
        assert_close(stage.pixel_readers(1, 2), torch.stack(pixels, 1).unflatten(1, stage.grid)[..., 1, 2])
        assert_close(stage.mean_affinity().mean(1), matrix.mean((1, 2)))


def test_blocks_are_the_matrix(traced, monkeypatch):
    """However small the blocks, whole-grid sums stay the same."""
    import engine.stage

    stage = traced[2].stages[-1][0]
    whole = stage.affinity_block(slice(None))
    monkeypatch.setattr(engine.stage, "BLOCK_BYTES", 4 * stage.heads * stage.source_count * 7)
    pieces = list(stage.blocks())
    assert len(pieces) > 5
    assert_close(torch.cat(pieces, dim=-2), whole)
    assert_close(stage.readers(2), whole.mean(0)[:, 2].view(stage.grid))


def test_contributions_sum_to_the_update(traced):
    for stage in traced[2].stages:
        bias = stage.update_parts().bias
        for row, col in cells(stage):
            c = stage.contribution(row, col)
            assert_close(c.vectors.sum(1) + bias, stage.update[..., row, col], rtol=1e-4, atol=1e-5)
            assert_close(c.image + c.memory, c.vectors)
            assert_close(c.signed.sum(-1), torch.ones(BATCH))
            assert_close(c.norm, c.vectors.square().sum(-1).sqrt())


def test_contribution_against_the_sum_written_out(traced):
    """c_j = Σ_n A_nj W_oⁿ v_nj, head by head and source by source."""
    stage = traced[2].stages[1][0]
    row, col = 3, 4
    weights, values = stage.affinity(row, col), stage.value - stage.value_bias[:, None]
    expected = torch.zeros(stage.source_count, C)
    for j in range(stage.source_count):
        for n in range(stage.heads):
            expected[j] += weights[n, j] * (stage.output_weight[:, n] @ values[n, j])
    assert_close(stage.contribution(row, col).vectors, expected)


def test_update_is_image_part_plus_memory_part_plus_bias(traced):
    for stage in traced[2].stages:
        image, memory, bias = stage.update_parts()
        assert_close(image + memory + bias[:, None, None], stage.update, rtol=1e-4, atol=1e-5)
        assert (memory.abs().max() > 1e-3) == (stage.sources == "memory")


def test_memory_part_is_what_the_bank_alone_would_give():
    """Linear in the sources: the memory part doubles with M, the image part does not move (the affinity held fixed)."""
    from dataclasses import replace

    decoder, features = make("memory")
    with torch.no_grad():
        stage = decoder.trace(features).stages[-1]
        doubled = (1 - MU) * stage.prototypes + MU * 2 * stage.memory
        value = torch.einsum("ndc,bmc->bnmd", stage.value_weight, doubled) + stage.value_bias[:, None]
        other = replace(stage, memory=2 * stage.memory, value=value, blended=doubled)
        one, two = stage.update_parts(), other.update_parts()
    assert_close(two.memory, 2 * one.memory, rtol=1e-4, atol=1e-5)
    assert_close(two.image, one.image, rtol=1e-4, atol=1e-5)


def test_logits_follow_from_the_traces_own_fields(traced):
    decoder, _, trace = traced
    with torch.no_grad():
        logits = decoder.classify(trace.fused, trace.pooled[..., None, None])
        assert torch.equal(logits, trace.logits)
        top = decoder.laterals[3](trace.features[3])
        assert torch.equal(decoder.fuse(top, [s.out for s in trace.stages]), trace.fused)
        for stage, block, low in zip(trace.stages, (2, 1, 0), (2, 1, 0), strict=True):
            assert torch.equal(decoder.laterals[low](trace.features[low]), stage.residual)
            assert torch.equal(decoder.blocks[block].finish(stage.update, stage.residual), stage.out)


def test_labels_are_the_argmax_of_the_resized_logits(traced):
    _, _, trace = traced
    size = (87, 113)
    from dataclasses import replace

    labels = replace(trace, image_size=size).labels
    resized = F.interpolate(trace.logits, size=size, mode="bilinear", align_corners=False)
    assert labels.shape == (BATCH, *size)
    # Bands are resized in another order of additions: only near-ties may differ.
    margin = resized.topk(2, dim=1).values
    clear = (margin[:, 0] - margin[:, 1]) > 1e-4
    assert torch.equal(labels[clear].long(), resized.argmax(1)[clear]) and clear.float().mean() > 0.99


def test_explicit_attention_is_the_fused_one(traced):
    for stage in traced[2].stages:
        affinity = stage.affinity_block(slice(None))
        read = torch.einsum("bnqm,bnmd->bnqd", affinity, stage.value)
        update = torch.einsum("bnqd,cnd->bcq", read, stage.output_weight) + stage.output_bias[:, None]
        assert_close(update.unflatten(-1, stage.grid), stage.update, rtol=1e-4, atol=1e-5)


def test_forward_is_trace(traced):
    decoder, features, trace = traced
    with torch.no_grad():
        assert torch.equal(decoder(features), trace.logits)


def test_one_image_of_a_batch(traced):
    """trace[j] of a batch is the trace of image j alone, and drops the axis everywhere."""
    decoder, features, trace = traced
    with torch.no_grad():
        alone = decoder.trace([f[1:] for f in features])[0]
    one = trace[1]
    assert_close(one.logits, alone.logits, rtol=1e-4, atol=1e-5)
    for a, b in zip(one.stages, alone.stages, strict=True):
        assert a.affinity(1, 2).ndim == 2 and a.pixel_affinity(1, 2).shape == a.source_grid
        assert_close(a.affinity(1, 2), b.affinity(1, 2), rtol=1e-4, atol=1e-5)
        assert_close(a.contribution(2, 1).signed, b.contribution(2, 1).signed, rtol=1e-3, atol=1e-4)
        assert a.profile_similarity(1, 2).shape == a.grid


def test_profile_similarity_against_its_definition(traced):
    for stage in traced[2].stages:
        affinity = stage.affinity_block(slice(None))
        index = 2 * stage.grid[1] + 3
        expected = (
            (affinity.sqrt() * affinity[:, :, index : index + 1].sqrt())
            .sum(-1)
            .mean(1)
            .unflatten(-1, stage.grid)
        )
        got = stage.profile_similarity(2, 3)
        assert_close(got, expected, rtol=1e-4, atol=1e-5)
        assert_close(got[:, 2, 3], torch.ones(BATCH), rtol=1e-5, atol=1e-5)


def test_normaliser_gives_the_affinity_back(traced):
    for stage in traced[2].stages:
        z = stage.normaliser()
        if z is None:
            assert stage.sources == "bilinear"
            continue
        scores = torch.einsum("bnqd,bnmd->bnqm", stage.query, stage.key)
        assert_close((scores - z[..., None]).exp(), stage.affinity_block(slice(None)), rtol=1e-4, atol=1e-6)


def test_no_share_makes_memory_equal_prototypes():
    remembered, features = make("memory")
    plain, _ = make("prototypes")
    weights = {k: v for k, v in remembered.state_dict().items() if not k.endswith("memory.bank")}
    plain.load_state_dict(weights)
    with torch.no_grad():
        assert not torch.allclose(remembered(features), plain(features), atol=1e-4)
        remembered.set_memory_share(0.0)
        assert_close(remembered(features), plain(features))


def test_the_sign_is_the_authors():
    """affinity = softmax of −(q·k)/√d of the unfolded queries."""
    decoder, features = make("prototypes")
    block = decoder.blocks[0]
    with torch.no_grad():
        stage = decoder.trace(features).stages[-1]
        low = block.norm_low(stage.residual)
        query = (
            block.update.weights.pointwise(block.update.weights.depthwise(low))
            .unflatten(1, (HEADS, C // HEADS))
            .flatten(3)
        )
        scores = torch.einsum("bndq,bnmd->bnqm", query, stage.key) / (C // HEADS) ** 0.5
        assert_close((-scores).softmax(-1), stage.affinity_block(slice(None)), rtol=1e-4, atol=1e-6)


def test_forward_never_makes_the_affinity():
    """No tensor that forward allocates has room for an (h·w, m) matrix of all heads."""
    decoder, _ = make("pixels")
    grids = [(48, 56), (24, 28), (12, 14), (6, 7)]
    features = [torch.randn(1, c, *g) for c, g in zip(CHANNELS, grids, strict=True)]
    matrix = HEADS * 48 * 56 * 24 * 28
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        seen = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            for x in out if isinstance(out, (tuple, list)) else [out]:
                if isinstance(x, torch.Tensor):
                    self.seen = max(self.seen, x.numel())
            return out

    with torch.no_grad(), Largest() as mode:
        decoder(features)
    assert 0 < mode.seen < matrix / 5


def test_memory_bank_moves_in_training_only():
    decoder, features = make("memory")
    before = [b.bank.clone() for b in decoder.memory_banks()]
    decoder(features)
    assert all(torch.equal(b.bank, old) for b, old in zip(decoder.memory_banks(), before, strict=True))
    decoder.train()
    trace = decoder.trace(features)
    for bank, old, stage in zip(decoder.memory_banks(), before, trace.stages, strict=True):
        expected = (1 - MU) * old + MU * F.normalize(stage.prototypes.mean(0, keepdim=True), dim=-1)
        assert_close(bank.bank, expected)
        assert torch.equal(stage.memory, old[0]), "the bank is read before it is updated"
        assert not bank.bank.requires_grad


def test_bank_rows_start_at_norm_one_and_load_as_they_are():
    decoder, _ = make("memory")
    bank = decoder.memory_banks()[0]
    assert_close(bank.bank.norm(dim=-1), torch.ones(1, K))
    weights = {k: v * 0.5 if k.endswith("bank") else v for k, v in decoder.state_dict().items()}
    decoder.load_state_dict(weights)
    assert_close(bank.bank.norm(dim=-1), torch.full((1, K), 0.5))
    means = torch.randn(K, C + 9)
    bank.initialise(means)
    assert_close(bank.bank[0], F.normalize(means[:, :C], dim=-1))
    with pytest.raises(ValueError, match="do not fit"):
        bank.initialise(torch.randn(K, C - 1))


def test_auxiliary_masks_are_trained_and_read_by_nothing():
    for kind in ("bilinear", "pixels"):
        decoder, features = make(kind, auxiliary_masks=True)
        logits = decoder(features)
        for name, parameter in decoder.named_parameters():
            if "auxiliary" in name:
                parameter.data.normal_()
        assert torch.equal(decoder(features), logits)
        masks = decoder.train().predict(features).mask_logits
        assert [m.shape for m in masks] == [(BATCH, K, *g) for g in (GRIDS[3], GRIDS[2], GRIDS[1])]


def test_cells_outside_are_refused(traced):
    stage = traced[2].stages[0]
    for row, col in [(-1, 0), (0, stage.grid[1]), (stage.grid[0], 0)]:
        with pytest.raises(LoupeError, match="outside"):
            stage.affinity(row, col)
    with pytest.raises(LoupeError, match="source"):
        stage.readers(stage.source_count)


def test_unknown_stage_names_the_known(traced):
    with pytest.raises(LoupeError, match="stride16, stride8, stride4"):
        traced[2].stage("stride2")


def test_bad_sizes_are_one_sentence():
    for kwargs in (
        {"sources": "pixel"},
        {"channels": 30},
        {"channels": 24, "heads": 5},
        {"memory_share": 1.5},
    ):
        with pytest.raises(LoupeError):
            CPTDecoder(CHANNELS, K, **{"channels": C, **kwargs})
    decoder, features = make("memory")
    with pytest.raises(LoupeError, match="two images"):
        decoder.train()([f[:1] for f in features])


def test_a_pyramid_or_a_plain_list(traced):
    decoder, features, trace = traced
    with torch.no_grad():
        other = decoder.trace(Pyramid(tuple(features), image_size=(84, 116)))
    assert torch.equal(other.logits, trace.logits) and other.image_size == trace.image_size == (84, 116)
