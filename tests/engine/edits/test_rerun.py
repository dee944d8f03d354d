"""A rerun computes what one full pass with the edits would, for every edit, every stage and every kind of sources."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from engine.decoders.cpt import CPTDecoder
from engine.decoders.decoder import Decoder
from engine.edits import (
    Ablate,
    HideRegion,
    MemoryShare,
    Oracle,
    Plan,
    Region,
    Replace,
    ShareHead,
    Swap,
    Temperature,
    describe,
    plan,
)
from engine.errors import LoupeError
from tests.engine.edits.toys import (
    CHANNELS,
    CORNER,
    EDITS,
    HEADS,
    LISTS,
    MU,
    STAGES,
    TRUTH,
    C,
    K,
    edited,
    fits,
    slow,
    subject,
    toy,
)

KINDS = ("bilinear", "pixels", "prototypes", "memory")
UNCHANGED = 2e-3  # an edit that moves no logit by more than this would test nothing


def agree(sources: str, edits: tuple, parts: bool = True):
    """The rerun, checked against the slow pass."""
    found = edited(sources, edits, parts)
    logits, stages = slow(sources, edits)
    trace = found.trace[0]
    assert_close(trace.logits, logits, rtol=1e-4, atol=2e-5)
    for stage in trace.stages:
        expected = stages[stage.name]
        assert_close(stage.update.flatten(1), expected["update"], rtol=1e-4, atol=1e-4)
        if "affinity" in expected:
            assert_close(stage.affinity_block(slice(None)), expected["affinity"], rtol=1e-4, atol=1e-6)
            pixels = expected["affinity"].mean(0) @ expected["pixels"]
            y, x = 5, 6  # on every grid
            assert_close(
                stage.pixel_affinity(y, x).flatten(), pixels[y * stage.grid[1] + x], rtol=1e-4, atol=1e-6
            )
    return found


@pytest.mark.parametrize("edit", EDITS, ids=describe)
def test_every_edit_at_every_stage_is_the_full_pass_with_it(edit):
    for sources in KINDS:
        if not fits(edit, sources):
            continue
        for stage in (None, *STAGES):
            one = replace(edit, stage=stage)
            found = agree(sources, (one,))
            first = 0 if stage is None else STAGES.index(stage)
            assert found.anew == (*STAGES[first:], "fusion", "classifier"), "only what comes after it"
            base = toy(sources)[2]
            change = float((found.trace[0].logits - base.logits).abs().max())
            if isinstance(edit, Swap) and sources == "prototypes":
                assert change < 1e-5, "an attention does not know the order of its sources"
            else:
                assert change > UNCHANGED
            for before, after in zip(base.stages[:first], found.trace[0].stages[:first], strict=True):
                assert torch.equal(before.out, after.out) and before.out.data_ptr() == after.out.data_ptr()


@pytest.mark.parametrize("edits", LISTS, ids=lambda edits: " + ".join(map(describe, edits)))
def test_lists_act_in_the_order_in_which_the_decoder_computes(edits):
    agree("memory", edits)
    agree("memory", edits, parts=False)


def test_pixel_sources_under_several_regions_read_the_rest_only():
    agree("pixels", (HideRegion(CORNER), HideRegion(Region(3, 1, "001")), Temperature(0.4), ShareHead(2)))


def test_order_between_steps_does_not_matter_and_within_one_it_does():
    hide, oracle = HideRegion(CORNER), Oracle("masked")
    forward, backward = (edited("memory", pair).trace.logits for pair in ((hide, oracle), (oracle, hide)))
    assert_close(forward, backward, rtol=1e-5, atol=1e-5)
    swap, take = Swap("a", "b"), Replace("a", by="category", other="e")
    forward, backward = (edited("memory", pair).trace.logits for pair in ((swap, take), (take, swap)))
    assert (forward - backward).abs().max() > UNCHANGED


UNDONE = [
    (Replace("c", by="category", other="c"),),
    (Replace("c", by="category", other="c", keep_norm=True),),
    (Swap("a", "b"), Swap("a", "b")),
    (Swap("a", "b"), Swap("b", "a")),
    (Temperature(1.0),),
    (MemoryShare(MU),),
]


@pytest.mark.parametrize("edits", UNDONE, ids=lambda edits: " + ".join(map(describe, edits)))
def test_edits_that_undo_themselves_change_nothing_at_all(edits):
    found, base = edited("memory", edits), toy("memory")[2]
    assert found.anew == ()
    assert torch.equal(found.trace[0].logits, base.logits)
    for before, after in zip(base.stages, found.trace[0].stages, strict=True):
        assert torch.equal(before.update, after.update) and torch.equal(before.out, after.out)


def test_an_empty_plan_is_the_unedited_run():
    decoder, _, base = toy("memory")
    found = decoder.rerun(base.batched(), Plan(), None)
    assert found.anew == () and torch.equal(found.trace.logits[0], base.logits)


def test_without_memory_share_it_is_the_model_without_a_memory():
    decoder, features, _ = toy("memory")
    forgetful = CPTDecoder(CHANNELS, K, sources="prototypes", channels=C, heads=HEADS).eval()
    weights = {n: t for n, t in decoder.state_dict().items() if not n.endswith("memory.bank")}
    forgetful.load_state_dict(weights)
    with torch.no_grad():
        expected = forgetful(features)[0]
    assert_close(edited("memory", (MemoryShare(0.0),)).trace[0].logits, expected, rtol=1e-4, atol=1e-4)


def test_many_variants_at_once_are_each_of_them_alone():
    decoder, _, base = toy("memory")
    regions = [Region(2, 2, bits) for bits in ("1000", "0110", "0001")]
    whole = base.batched()
    one_by_one = [plan((HideRegion(r), Ablate("a")), subject("memory"), base) for r in regions]
    masks = torch.eye(K, dtype=torch.bool)[[1, 3, 6]]
    several = {}
    for name in STAGES[1:]:  # the first stage is kept, and stands for all
        edits = [p.stages[name] for p in one_by_one]
        hidden = torch.cat([e.hidden for e in edits])
        several[name] = replace(edits[0], hidden=hidden, unread=masks)
    with torch.no_grad():
        together = decoder.rerun(whole, Plan(several), decoder.parts(whole)).trace
        assert together.logits.shape[0] == 3 and together.logits.std(0).max() > UNCHANGED
        for j, single in enumerate(one_by_one):
            alone = {name: replace(single.stages[name], unread=masks[j : j + 1]) for name in STAGES[1:]}
            expected = decoder.rerun(whole, Plan(alone), None).trace[0]
            got = together[j]
            assert_close(got.logits, expected.logits, rtol=1e-4, atol=1e-5)
            for a, b in zip(got.stages, expected.stages, strict=True):
                assert_close(a.affinity_block(slice(None)), b.affinity_block(slice(None)))
                assert_close(a.pixel_affinity(4, 6), b.pixel_affinity(4, 6))
                assert_close(a.contribution(4, 6).vectors, b.contribution(4, 6).vectors, rtol=1e-4, atol=1e-5)


def test_an_edited_trace_cannot_be_edited_again():
    """Its queries may be another head's: edits are given all at once."""
    decoder, _, base = toy("memory")
    with pytest.raises(ValueError, match="all at once"):
        decoder.rerun(replace(base.batched(), edits=(Temperature(2.0),)), Plan(), None)


def test_decoders_without_stages_or_tokens_refuse():
    with pytest.raises(LoupeError, match="nothing can be edited"):
        Decoder().rerun(toy("memory")[2].batched(), Plan())


def test_oracles_need_a_truth_that_fits_the_image():
    base = toy("memory")[2]

    def tried(truth):
        return plan((Oracle(),), subject("memory"), base, truth)

    for truth, why in (
        (None, "ground truth of this image is not known"),
        (TRUTH[:, :-1], "84×115 pixels, the image 84×116"),
        (TRUTH.astype(float), "one whole number for each pixel"),
        (TRUTH[None], "one whole number for each pixel"),
        (TRUTH.astype(int) - 1, "categories below 0"),
    ):
        with pytest.raises(LoupeError, match=why):
            tried(truth)
