"""Engine.trace with edits: cached by all that matters, undone by leaving them out, safe for many threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from engine import Engine, LoupeError
from engine.edits import (
    Ablate,
    HideRegion,
    MemoryShare,
    Oracle,
    Region,
    Replace,
    Temperature,
    Token,
    edits_key,
)
from engine.turns import JOB

IMAGE = np.random.default_rng(2).integers(0, 256, (64, 96, 3), np.uint8)
TRUTH = np.repeat(np.arange(4, dtype=np.uint8), 16)[:, None].repeat(96, 1)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(device="cpu")


def test_no_edits_are_the_base_itself(engine, tiny_checkpoint):
    base = engine.trace(tiny_checkpoint, engine.image(IMAGE))
    assert engine.trace(tiny_checkpoint, base.image, edits=[]) is base
    edited = engine.trace(tiny_checkpoint, base.image, edits=[Temperature(0.2)])
    assert not torch.equal(edited.logits, base.logits)
    assert edited.edits == (Temperature(0.2),) and edited.recomputed[-1] == "classifier"
    assert edited.milliseconds is not None and edited.milliseconds > 0
    assert engine.trace(tiny_checkpoint, base.image) is base, "undone"
    assert base.edits == () and base.recomputed == ()


def test_a_second_call_is_a_look_up(engine, tiny_checkpoint):
    picture = engine.image(IMAGE)
    edits = [Ablate("tree"), MemoryShare(0.5, "stride8")]
    first = engine.trace(tiny_checkpoint, picture, edits=edits)
    misses = engine.cache_info().misses
    assert engine.trace(tiny_checkpoint, picture, edits=tuple(edits)) is first
    assert engine.cache_info().misses == misses
    first.labels  # noqa: B018  (kept with the trace)
    renamed = engine.image(IMAGE.copy())
    again = engine.trace(tiny_checkpoint, renamed, edits=edits)
    assert again.image is renamed and again.logits is first.logits and "labels" in vars(again)


def test_everything_that_matters_is_in_the_key(engine, tiny_checkpoint):
    def logits(edits, image=IMAGE, truth=None):
        return engine.trace(tiny_checkpoint, image, edits=edits, truth=truth).logits

    one = logits([Oracle()], truth=TRUTH)
    for other in (
        logits([Oracle()], truth=TRUTH[::-1]),
        logits([Oracle("masked")], truth=TRUTH),
        logits([Oracle(stage="stride4")], truth=TRUTH),
        logits([Oracle()], truth=TRUTH, image=255 - IMAGE),
    ):
        assert not torch.equal(one, other)
    # The same bytes in another shape or type are another truth, and are looked at.
    for wrong in (TRUTH.reshape(96, 64), TRUTH.view(np.uint16), TRUTH.astype(np.float32)):
        with pytest.raises(LoupeError, match="ground truth"):
            logits([Oracle()], truth=wrong)
    # A truth that no edit reads is no part of it.
    assert logits([Temperature(3.0)]) is logits([Temperature(3.0)], truth=TRUTH)


def test_an_edit_that_changes_nothing_keeps_the_prediction_itself(tiny_checkpoint):
    engine = Engine(device="cpu")
    picture = engine.image(IMAGE)
    base = engine.trace(tiny_checkpoint, picture)
    labels = base.labels
    same = engine.trace(tiny_checkpoint, picture, edits=[Replace("tree", by="category", other="tree")])
    assert same.recomputed == () and same.logits.data_ptr() == base.logits.data_ptr()
    assert same.edits and same.labels is labels


def test_refused_before_anything_is_run(tiny_checkpoint, tiny_guided_checkpoint):
    engine = Engine(device="cpu")
    for model, edit, why in (
        (tiny_checkpoint, Ablate("zebra"), 'no category "zebra"'),
        (tiny_checkpoint, Token("tree", other="sky"), "no class tokens"),
        (tiny_guided_checkpoint, Temperature(2.0), "no stages that read sources"),
    ):
        with pytest.raises(LoupeError, match=why):
            engine.trace(model, IMAGE, edits=[edit])
    assert engine.cache_info().misses == 0
    with pytest.raises(LoupeError, match="ground truth of this image is not known"):
        engine.trace(tiny_checkpoint, IMAGE, edits=[Oracle()])
    with pytest.raises(LoupeError, match="outside the image"):
        engine.trace(tiny_checkpoint, IMAGE, edits=[Replace("sky", by="pixels", pixels=((64, 0),))])
    assert engine.trace(tiny_checkpoint, IMAGE, edits=[Temperature(2.0)]).recomputed, "and it still serves"


def test_nothing_depends_on_what_is_still_cached(engine, tiny_checkpoint):
    """Whether or not the unedited trace and its parts have been dropped meanwhile."""
    edits = [HideRegion(Region(1, 2, "10"), stage="stride4")]
    forgetful = Engine(device="cpu", host_bytes=1)
    for _ in range(2):
        got = forgetful.trace(tiny_checkpoint, IMAGE, edits=edits, priority=JOB)
        assert torch.equal(got.logits, engine.trace(tiny_checkpoint, IMAGE, edits=edits).logits)


def test_a_run_does_not_touch_what_others_hold(engine, tiny_checkpoint):
    base = engine.trace(tiny_checkpoint, IMAGE)
    before = [
        t.clone() for s in base.stages for t in (s.query, s.key, s.prototypes, s.assignment, s.out, s.memory)
    ]
    bank = [b.bank.clone() for b in engine.segmenter(tiny_checkpoint).decoder.memory_banks()]
    for edits in ([Replace("sky", keep_norm=True)], [Ablate("sky"), Temperature(0.1)], [Oracle("masked")]):
        engine.trace(tiny_checkpoint, IMAGE, edits=edits, truth=TRUTH)
    after = [t for s in base.stages for t in (s.query, s.key, s.prototypes, s.assignment, s.out, s.memory)]
    assert all(map(torch.equal, before, after))
    assert all(
        map(torch.equal, bank, (b.bank for b in engine.segmenter(tiny_checkpoint).decoder.memory_banks()))
    )


def test_many_threads_get_the_same_trace_computed_once(tiny_checkpoint):
    engine = Engine(device="cpu")
    picture = engine.image(IMAGE)
    lists = [[Temperature(1 + i / 4)] for i in range(1, 4)] * 6
    with ThreadPoolExecutor(8) as pool:
        traces = list(pool.map(lambda edits: engine.trace(tiny_checkpoint, picture, edits=edits), lists))
    assert engine.cache_info().misses == 1 + 3, "one unedited run, three edited ones"
    by_key: dict[str, torch.Tensor] = {}
    for edits, trace in zip(lists, traces, strict=True):
        assert trace.logits is by_key.setdefault(edits_key(edits), trace.logits)


def test_tokens_of_a_guided_model(engine, tiny_guided_checkpoint):
    base = engine.trace(tiny_guided_checkpoint, IMAGE)
    edited = engine.trace(tiny_guided_checkpoint, IMAGE, edits=[Token("tree", other="sky")])
    assert edited.recomputed == ("guide", "classifier")
    assert torch.equal(edited.guidance.tokens[4], base.guidance.tokens[0])
    assert_close(edited.logits[0], edited.logits[4], rtol=1e-5, atol=1e-6)
    assert torch.equal(edited.guidance.upsampled, base.guidance.upsampled)
