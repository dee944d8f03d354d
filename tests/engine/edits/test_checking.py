"""Edits that do not fit: one sentence each, and the rest of the list stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.edits import (
    Ablate,
    HideRegion,
    MemoryRow,
    MemoryShare,
    Move,
    Oracle,
    Region,
    Replace,
    ShareHead,
    SilenceHead,
    Subject,
    Swap,
    Temperature,
    Token,
    Update,
    check,
    describe,
    plan,
    sift,
    subject_of,
)
from engine.errors import LoupeError
from engine.segmenter import SegmenterSpec
from tests.engine.edits.toys import CLASSES, CORNER, EDITS, VECTOR, C, fits, subject, toy

HFGD = Subject("guided", CLASSES, (), "", 1, C, tokens=True)
APART = Subject("apart", CLASSES, (), "", 1, C, tokens=True, own_tokens=True)
PLAIN = Subject("fpn", CLASSES, (), "", 1, C)
CPT = subject("memory")
NAN, INFINITE = float("nan"), float("inf")

MISFITS = [
    (CPT, Ablate("tree"), 'toy has no category "tree"'),
    (CPT, Swap("a", "tree"), 'toy has no category "tree"'),
    (CPT, Ablate("a", stage="stride2"), 'no stage "stride2": it has stride16, stride8, stride4'),
    (CPT, Token("a", other="b"), "toy has no class tokens"),
    (HFGD, Ablate("a"), "guided has no stages that read sources"),
    (PLAIN, Update(), "fpn has no stages that read sources"),
    (PLAIN, Token("a", other="b"), "fpn has no class tokens"),
    (subject("pixels"), Ablate("a"), "toy has no prototypes"),
    (subject("pixels"), Oracle(), "toy has no prototypes"),
    (subject("prototypes"), MemoryShare(0.2), "toy has no memory"),
    (subject("prototypes"), MemoryRow("a"), "toy has no memory"),
    (subject("prototypes"), Replace("a"), "toy has no memory"),
    (subject("prototypes"), Move("a", 0.5), "toy has no memory"),
    (subject("bilinear"), Temperature(2.0), "toy has no affinity that could be changed"),
    (subject("bilinear"), HideRegion(CORNER), "toy has no affinity that could be changed"),
    (CPT, MemoryShare(1.2), "μ = 1.2 is not in [0, 1]"),
    (CPT, MemoryShare(NAN), "μ = nan is not in [0, 1]"),
    (CPT, Temperature(0.0), "a temperature of 0 is not in [0.01, 100]"),
    (CPT, Temperature(INFINITE), "a temperature of inf is not in [0.01, 100]"),
    (CPT, Temperature(NAN), "a temperature of nan is not in [0.01, 100]"),
    (CPT, Move("a", NAN), "the amount is no finite number"),
    (CPT, ShareHead(3), "toy has heads 0 to 2"),
    (CPT, SilenceHead(-1), "toy has heads 0 to 2"),
    (CPT, HideRegion(Region(1, 2, "00")), "the region is empty"),
    (CPT, HideRegion(Region(1, 2, "11")), "nothing would be left to read"),
    (CPT, Replace("a", by="category"), "which other category is not said"),
    (CPT, Replace("a", by="pixels"), "no pixel is chosen"),
    (CPT, Replace("a", by="vector"), "the vector is not given"),
    (CPT, Replace("a", by="vector", vector=VECTOR[1:]), "the vector has 23 numbers, toy needs 24"),
    (CPT, Replace("a", by="vector", vector=(*VECTOR[1:], NAN)), "must be a list of finite numbers"),
    (CPT, Move("a", 1.0, "direction", vector=(0.0,) * C), "a vector of zeros has no direction"),
    (CPT, MemoryRow(None, by="vector", vector=VECTOR), "which memory row is not said"),
    (CPT, MemoryRow("a", by="category"), "which other category is not said"),
    (HFGD, Token("a"), "which other category is not said"),
    (HFGD, Token("a", by="vector", vector=(0.0,) * C, degrees=3.0), "a vector of zeros has no direction"),
    (HFGD, Token("a", other="b", degrees=INFINITE), "the angle is no finite number"),
    (HFGD, Token("a", other="b", branch="guide"), "both branches of guided share their tokens"),
    # Made in Python, where nothing checks types:
    (CPT, Ablate("a", "gone"), "choose masked, zero, mean"),
    (CPT, Update("half"), "choose zero, mean"),
    (CPT, HideRegion(Region(3, 3, "101")), "rows · cols of 0 and 1"),
    (CPT, Temperature("warm"), "value of temperature cannot be"),
    (CPT, Replace("a", by="vector", vector=object()), "neither a number nor a word"),
]


@pytest.mark.parametrize(
    ("whom", "edit", "why"), MISFITS, ids=[f"{why} {i}" for i, (*_, why) in enumerate(MISFITS)]
)
def test_what_does_not_fit_is_refused_and_the_rest_stays(whom, edit, why):
    good = Token("c", other="d") if whom.tokens else Update(stage="stride8") if whom.stages else None
    before = [] if good is None else [good]
    kept, problems = sift([*before, edit, *before[:0]], whom)
    assert kept == tuple(before) and len(problems) == 1
    assert why in problems[0] and "\n" not in problems[0]
    with pytest.raises(LoupeError) as caught:
        check([*before, edit], whom)
    assert str(caught.value) == problems[0]


PAIRS = [
    (Temperature(2.0), Temperature(0.5), "contradicts “temperature 2 at every stage”"),
    (Temperature(2.0, "stride4"), Temperature(0.5), "contradicts"),
    (MemoryShare(0.2), MemoryShare(0.2), "contradicts"),
    (ShareHead(0), ShareHead(1), "contradicts"),
    (SilenceHead(0), SilenceHead(0), "contradicts"),
    (Update(), Update("mean", "stride16"), "contradicts"),
    (Oracle(), Oracle("masked"), "contradicts"),
    (Ablate("a"), Ablate("a", "zero"), "contradicts"),
    (Replace("a"), Replace("a", by="category", other="b"), "contradicts"),
    (MemoryRow("a"), MemoryRow("a", by="category", other="b"), "contradicts"),
    (MemoryRow("a"), MemoryRow(None), "overwrites “memory row a ← 0 at every stage”"),
    (Ablate("a"), Replace("a"), "nothing would read that prototype"),
    (Move("a", 0.5), Ablate("a"), "nothing would read that prototype"),
]


@pytest.mark.parametrize(
    ("first", "second", "why"), PAIRS, ids=[f"{describe(a)} + {describe(b)}" for a, b, _ in PAIRS]
)
def test_contradictions_are_refused_and_the_earlier_edit_stays(first, second, why):
    kept, problems = sift([first, second], CPT)
    assert kept == (first,) and why in problems[0]
    one, other = replace(first, stage="stride4"), replace(second, stage="stride8")
    assert sift([one, other], CPT) == ((one, other), []), "at another stage they do not meet"


TOGETHER = [
    (Ablate("a"), Ablate("b", "zero"), Ablate("c", "mean")),
    (Ablate("a", "zero"), Replace("a")),
    (SilenceHead(0), SilenceHead(1), ShareHead(1)),
    (MemoryRow(None), MemoryRow("a", by="vector", vector=VECTOR)),
    (Swap("a", "b"), Swap("a", "b"), Move("a", 0.5), Move("a", 0.5)),
    (HideRegion(CORNER), HideRegion(CORNER)),
]


@pytest.mark.parametrize("edits", TOGETHER)
def test_what_composes_is_kept(edits):
    assert sift(edits, CPT) == (edits, [])


def test_tokens_of_different_branches_do_not_meet():
    guide, upsampler = Token("a", other="b", branch="guide"), Token("a", other="c", branch="upsampler")
    assert sift([guide, upsampler], APART) == ((guide, upsampler), [])
    both = Token("a", other="d")
    assert "contradicts" in sift([guide, both], APART)[1][0]


def test_the_last_prototype_cannot_be_masked():
    everything = [Ablate(name) for name in CLASSES]
    kept, problems = sift(everything, CPT)
    assert kept == tuple(everything[:-1]) and "no prototype would be left to read at stride16" in problems[0]
    mixed = [Ablate(name, stage=None if i % 2 else "stride8") for i, name in enumerate(CLASSES)]
    assert "left to read at stride8" in sift(mixed, CPT)[1][0]


def test_what_only_an_image_shows_is_refused_when_planned():
    base = toy("memory")[2]

    def tried(*edits, truth=None):
        plan(edits, CPT, base, truth)

    with pytest.raises(LoupeError, match="at stride16 no source cell would be left to read"):
        tried(HideRegion(Region(1, 2, "10")), HideRegion(Region(1, 2, "01")))
    with pytest.raises(LoupeError, match="region hides the source cell of a chosen pixel"):
        tried(Replace("a", by="pixels", pixels=((0, 0),)), HideRegion(CORNER))
    with pytest.raises(LoupeError, match="pixel 84,0 is outside the image"):
        tried(Replace("a", by="pixels", pixels=((84, 0),)))
    with pytest.raises(LoupeError, match="contradicts"):
        tried(Temperature(2.0), Temperature(3.0))


def test_subjects_know_what_models_have():
    spec = SegmenterSpec("resnet10t", CLASSES, channels=C, heads=HEADS_OF_SPEC)
    assert subject_of(spec, "toy") == replace(CPT, heads=HEADS_OF_SPEC)
    assert all(fits(edit, "memory") == (not sift([edit], subject_of(spec))[1]) for edit in EDITS)
    guided = subject_of(SegmenterSpec("resnet10t", CLASSES, method="hfgd", own_tokens=True))
    assert guided.tokens and guided.own_tokens and not guided.stages
    for method in ("fpn", "dilated"):
        assert not subject_of(SegmenterSpec("resnet10t", CLASSES, method=method)).tokens


HEADS_OF_SPEC = 4
