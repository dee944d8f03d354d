"""Consequences of edits over a dataset: by hand on a planted decoder; on a tiny model, the fast way against single traces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine import Engine, LoupeError, checkpoints, metrics
from engine.edits import Ablate, HideRegion, MemoryShare, Move, Oracle, Region, Replace, Swap, Token, Update
from engine.evaluation import evaluate
from engine.resample import bilinear_labels
from engine.surgery import Prepared, consequences
from engine.surgery.changes import region_parts
from engine.surgery.relabel import margins, relabelled
from engine.terminal import plain
from tests.engine.surgery_toys import CLASSES, Planted, blocks, photographs, talkative

SIZES = [(64, 64), (64, 64), (64, 64), (96, 64), (64, 64)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return talkative(tmp_path_factory.mktemp("models") / "talkative.safetensors")


@pytest.fixture(scope="module")
def tiny(checkpoint: Path):
    return checkpoints.load(checkpoint, torch.device("cpu")).segmenter.eval()


@pytest.fixture(scope="module")
def noise():
    return photographs(SIZES, 5)


@pytest.fixture(scope="module")
def ready(tiny, noise):
    return Prepared(tiny, noise, batch=2)


def same(one, two) -> bool:
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for a, b in zip(one, two, strict=True)
        for name in ("confusion", "boundary", "band")
    )


def test_a_planted_decoder_by_hand():
    data = blocks(6)
    found = consequences(Planted(), data, [Ablate("sky")], batch=4, model="planted", data="pictures")
    for j, sample in enumerate(data.samples):
        before = sample.image[..., 0]
        after = np.where(before == 0, 1, before)  # sky becomes water
        assert same([found.before[j]], [metrics.count(sample.labels, before, 3)])
        assert same([found.after[j]], [metrics.count(sample.labels, after, 3)])
        assert found.changed[j] == (before == 0).sum() and found.pixels[j] == before.size
    one, two = (sum(side[1:], side[0]) for side in (found.before, found.after))
    by_name = {each.name: each for each in found.iou.categories}
    for c, name in enumerate(CLASSES):
        assert by_name[name].before == pytest.approx(100 * one.iou[c])
        assert by_name[name].delta.value == pytest.approx(100 * (two.iou[c] - one.iou[c]))
    assert by_name["sky"].after == 0 and by_name["sky"].delta.high < 0 and by_name["sky"].p_holm < 0.01
    assert by_name["grass"].delta.value == 0 and by_name["grass"].p == 1  # no grass was touched
    assert found.iou.mean.before == pytest.approx(100 * metrics.mean(one.iou))
    boundary = 100 * (metrics.mean(two.boundary_iou) - metrics.mean(one.boundary_iou))
    assert found.boundary_iou.mean.delta.value == pytest.approx(boundary)
    shares = [each.changed for each in found.most_changed(3)]
    assert shares == sorted(found.changed / found.pixels, reverse=True)[:3]
    assert "planted" in found.finding() and "ablate sky" in found.finding()
    assert found.complete and found.json()["described"] == ["ablate sky (masked) at every stage"]


def test_edits_where_the_decoder_reads_nothing_of_them_change_nothing():
    found = consequences(Planted(), blocks(5), [Ablate("sky", stage="stride8")])
    assert found.recomputed == () and not found.changed.any() and found.most_changed() == ()
    assert same(found.before, found.after)


@pytest.mark.parametrize(
    "edits",
    [
        [],
        [MemoryShare(0.1)],
        [Replace("tree", by="category", other="tree")],
        [Swap("sky", "tree"), Swap("sky", "tree")],
    ],
    ids=["none", "own share", "itself", "twice"],
)
def test_no_op_edits_change_exactly_nothing(tiny, noise, ready, edits):
    found = consequences(tiny, noise, edits, prepared=ready)
    assert same(found.before, found.after) and not found.changed.any()
    for each in (*found.iou.categories, found.iou.mean, found.boundary_iou.mean):
        assert (each.delta.value, each.p) == (0, 1) or not each.images
        assert (each.delta.low, each.delta.high) == (0, 0) or each.images < 5
    assert found.iou.mean.images == len(SIZES)


@pytest.mark.parametrize(
    "edits",
    [
        [Ablate("tree")],
        [Oracle()],
        [Oracle("masked", stage="stride4")],
        [Update(stage="stride8"), Ablate("sky", "zero")],
    ],
    ids=["masked", "oracle", "closed", "two"],
)
def test_it_is_what_single_traces_say(checkpoint, tiny, noise, ready, edits):
    engine = Engine(device="cpu")
    found = consequences(tiny, noise, edits, prepared=ready)
    assert found.recomputed and found.changed.any()
    for j, sample in enumerate(noise.samples):
        trace = engine.trace(checkpoint, sample.image, edits=edits, truth=sample.labels)
        expected = metrics.count(sample.labels, trace.labels.numpy(), 5).confusion
        # in a batch sums are added in another order, which turns the label of a pixel whose best two are equal
        assert np.abs(found.after[j].confusion - expected).sum() <= 2e-3 * sample.labels.size


def test_before_is_what_evaluation_says(tiny, noise, ready):
    found = consequences(tiny, noise, [Update()], prepared=ready)
    assert same(found.before, evaluate(tiny, noise, batch=2).images)
    assert region_parts(found.before, 5).shape == (len(SIZES), 3, 5)


def test_a_budget_smaller_than_the_split_gives_the_same_numbers(tiny, noise, ready):
    edits = [Ablate("grass"), MemoryShare(0.5)]
    whole = consequences(tiny, noise, edits, prepared=ready)
    assert ready.done == len(SIZES) and ready.bytes > 0
    for budget in (0, ready.bytes // 2):
        some = Prepared(tiny, noise, batch=2, budget=budget)
        some.fill()
        assert some.done == len(SIZES) and some.bytes <= budget
        for _ in range(2):
            again = consequences(tiny, noise, edits, prepared=some)
            assert same(whole.after, again.after) and np.array_equal(whole.changed, again.changed)
    assert same(whole.after, consequences(tiny, noise, edits, batch=2).after)


def test_it_refines_and_stops_with_what_is_there(tiny, noise, ready):
    seen, ticks = [], []
    stop = lambda: len(seen) == 2  # noqa: E731
    settings = {"prepared": ready, "refine": seen.append, "progress": lambda *said: ticks.append(said[:2])}
    found = consequences(tiny, noise, [Update()], stop=stop, **settings)
    assert [each.images for each in seen] == [2, 3] and ticks == [(0, 5), (2, 5), (3, 5)]
    assert found is seen[-1] and not found.complete and "3 of 5 images, stopped" in found.finding()
    whole = consequences(tiny, noise, [Update()], prepared=ready)
    assert same(found.after, whole.after[:3]) and whole.index == (0, 1, 2, 3, 4)
    none = consequences(tiny, noise, [Update()], prepared=ready, stop=lambda: True)
    assert none.images == 0 and np.isnan(none.iou.mean.delta.value) and "no image" in none.finding()
    plain(none.json())


@pytest.mark.parametrize("step", [0.0, 0.02, 0.2, 5.0])
@pytest.mark.parametrize("size", [(37, 50), (7, 9), (5, 6)])
def test_labels_are_turned_where_they_turn(step, size):
    random = torch.Generator().manual_seed(0)
    before, noise = (torch.randn(2, 5, 7, 9, generator=random) for _ in range(2))
    after = before + step * noise * (noise[:, :1] > 1)  # in some places only
    found = relabelled(bilinear_labels(before, size), margins(before, size), before, after)
    assert torch.equal(found, bilinear_labels(after, size))
    values = torch.nn.functional.interpolate(before, size=size, mode="bilinear").topk(2, dim=1).values
    assert torch.allclose(margins(before, size).float(), values[:, 0] - values[:, 1], atol=2e-3)


def test_preparing_can_be_stopped_and_goes_on(tiny, noise):
    some = Prepared(tiny, noise, batch=2)
    some.fill(stop=lambda: some.done >= 2)
    assert some.done == 2
    assert consequences(tiny, noise, [Update()], prepared=some).complete and some.done == 5


def test_tokens_of_a_guided_model(tiny_guided_checkpoint):
    guided = checkpoints.load(tiny_guided_checkpoint, torch.device("cpu")).segmenter.eval()
    data = photographs([(64, 64)] * 3, 5)
    ready = Prepared(guided, data)
    same_token = consequences(guided, data, [Token("tree", other="tree")], prepared=ready)
    assert same(same_token.before, same_token.after)
    moved = consequences(guided, data, [Token("tree", other="sky", degrees=50)], prepared=ready)
    trace = Engine(device="cpu").trace(
        tiny_guided_checkpoint, data[1].image, edits=[Token("tree", other="sky", degrees=50)]
    )
    expected = metrics.count(data[1].labels, trace.labels.numpy(), 5).confusion
    assert moved.changed.any()
    assert np.abs(moved.after[1].confusion - expected).sum() <= 2e-3 * 64 * 64


def test_the_segmenter_is_left_as_it_was(tiny, noise, ready):
    tiny.train()
    try:
        some = Prepared(tiny, noise, batch=2)
        some.fill()
        found = consequences(tiny, noise, [Update()], prepared=some)
        assert tiny.training
    finally:
        tiny.eval()
    assert same(found.after, consequences(tiny, noise, [Update()], prepared=ready).after)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (HideRegion(Region(1, 2, "01")), "a painted region belongs to one image"),
        (Replace("tree", by="pixels", pixels=((1, 1),)), "the mean of chosen pixels belongs to one image"),
        (
            Move("tree", 0.5, toward="pixels", pixels=((1, 1),)),
            "the mean of chosen pixels belongs to one image",
        ),
        (Ablate("cow"), 'has no category "cow"'),
        (Token("tree", other="sky"), "has no class tokens"),
    ],
)
def test_refusals(tiny, noise, edit, sentence):
    with pytest.raises(LoupeError, match=sentence):
        consequences(tiny, noise, [edit])


def test_what_does_not_belong_together_is_refused(tiny, noise, ready):
    with pytest.raises(LoupeError, match="another model, dataset or number"):
        consequences(tiny, noise, [Update()], prepared=ready, limit=2)
    with pytest.raises(LoupeError, match="not the 3 of the dataset"):
        consequences(tiny, blocks(2), [Update()])
    with pytest.raises(LoupeError, match="no image"):
        consequences(tiny, photographs([], 5), [Update()])
