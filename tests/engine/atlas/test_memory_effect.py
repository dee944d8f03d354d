"""What other memory banks would do: whole predictions again, and the model is afterwards as it was, whatever happened."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine import metrics
from engine.atlas import memory_effect
from engine.atlas.memory_effect import AS_IT_IS, derangement, effects
from engine.data.datasets import Sample
from engine.errors import LoupeError
from engine.inference import predict_labels
from engine.segmenter import Segmenter
from engine.stage import Stopped
from tests.engine.atlas.toys import K, Toys, toy, toys

pytestmark = pytest.mark.usefixtures("small_walks")

SEED = 2
COUNT = 5


@pytest.fixture(autouse=True)
def five_images(small_walks, monkeypatch):
    monkeypatch.setattr(memory_effect, "WALKED", COUNT)


def banks(segmenter: Segmenter) -> list[torch.Tensor]:
    return [bank.bank.clone() for bank in segmenter.decoder.memory_banks()]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return len(a) == len(b) > 0 and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def changed_copy(segmenter: Segmenter, change) -> Segmenter:
    other = copy.deepcopy(segmenter)
    for bank in other.decoder.memory_banks():
        bank.bank.copy_(change(bank.bank.clone()))
    return other


@given(st.integers(2, 200), st.integers(0, 2**31))
def test_a_derangement_leaves_nothing_in_its_place(length: int, seed: int):
    order = derangement(length, seed)
    assert sorted(order.tolist()) == list(range(length))
    assert (order != torch.arange(length)).all()
    assert torch.equal(order, derangement(length, seed))


def test_each_effect_is_a_model_with_that_bank():
    segmenter, dataset = toy("memory"), toys(COUNT)
    before = banks(segmenter)
    found = {one.name: one for one in effects(segmenter, dataset, COUNT, "cpu", 8, SEED)}
    assert same(banks(segmenter), before) and next(iter(found)) == AS_IT_IS
    order = derangement(K, SEED)
    others = {
        AS_IT_IS: segmenter,
        "zeroed": changed_copy(segmenter, torch.zeros_like),
        "permuted": changed_copy(segmenter, lambda bank: bank[:, order]),
    }
    confusion, labels = {}, {}
    for name, other in others.items():
        labels[name] = [predict_labels(other, s.image[None], "cpu")[0] for s in dataset.samples]
        pairs = [(s.labels, guess) for s, guess in zip(dataset.samples, labels[name], strict=True)]
        confusion[name] = sum(metrics.confusion(t[t < K], g[t < K], K) for t, g in pairs)
    base = 100 * metrics.mean(metrics.iou(confusion[AS_IT_IS]))
    for name in others:
        one = found[name]
        miou = 100 * metrics.mean(metrics.iou(confusion[name]))
        moved = [a != b for a, b in zip(labels[name], labels[AS_IT_IS], strict=True)]
        assert one.mIoU == pytest.approx(miou, abs=1e-9) and one.delta == pytest.approx(miou - base, abs=1e-9)
        assert one.changed == pytest.approx(sum(m.sum() for m in moved) / sum(m.size for m in moved))
        assert one.images == COUNT and one.low <= one.high
    nothing = found[AS_IT_IS]
    assert (nothing.delta, nothing.low, nothing.high, nothing.changed) == (0, 0, 0, 0)
    assert found["zeroed"].changed > 0 and found["permuted"].changed > 0


@pytest.mark.parametrize("after", [0, 2])
def test_a_stop_leaves_the_bank_alone(after: int):
    segmenter = toy("memory")
    before = banks(segmenter)
    asked = iter([False] * after + [True])
    with pytest.raises(Stopped):
        effects(segmenter, toys(COUNT), COUNT, "cpu", 8, SEED, stop=lambda: next(asked))
    assert same(banks(segmenter), before)


@pytest.mark.parametrize("call", [1, 2, 3, 5])
def test_an_exception_leaves_the_bank_alone(call: int, monkeypatch):
    """Whichever bank was in place when the decoder failed."""
    segmenter = toy("memory")
    before = banks(segmenter)
    plain, calls = segmenter.decoder.predict, 0

    def failing(*args, **given):
        nonlocal calls
        calls += 1
        if calls == call:
            raise RuntimeError("out of memory")
        return plain(*args, **given)

    monkeypatch.setattr(segmenter.decoder, "predict", failing)
    with pytest.raises(RuntimeError, match="out of memory"):
        effects(segmenter, toys(COUNT), COUNT, "cpu", 8, SEED)
    assert calls == call and same(banks(segmenter), before)


def test_what_the_walk_skips_is_skipped_here_too():
    """Images that cannot be read, and images whose labels are of another size: the same images as the rest of the atlas."""
    segmenter, dataset = toy("memory"), toys(COUNT)
    whole = Toys([dataset.samples[i] for i in (0, 2, 4)])
    odd = dataset.samples[3]
    broken = Toys(
        [*dataset.samples[:3], Sample(odd.image, odd.labels[:-1], odd.modes, odd.id), dataset.samples[4]],
        broken={1: LoupeError("gone")},
    )
    expected = effects(segmenter, whole, 3, "cpu", 8, SEED)
    assert effects(segmenter, broken, COUNT, "cpu", 8, SEED) == expected
    assert expected[0].images == 3


def test_progress_counts_every_image():
    ticks: list[int] = []
    dataset = toys(COUNT)
    dataset.broken[1] = OSError("gone")
    effects(toy("memory"), dataset, COUNT, "cpu", 8, SEED, tick=ticks.append)
    assert sum(ticks) == COUNT


def test_images_without_labels_say_nothing_and_warn_of_nothing():
    """Resamples that draw nothing but such images have no mIoU: they are left out of the interval."""
    segmenter, dataset = toy("memory"), toys(2, unlabelled=False)
    first = dataset.samples[0]
    empty = Sample(first.image, np.full_like(first.labels, 255), None, "empty")
    for one in effects(segmenter, Toys([empty, dataset.samples[1]]), 2, "cpu", 8, SEED):
        assert np.isfinite([one.mIoU, one.delta, one.low, one.high]).all()
    for one in effects(segmenter, Toys([empty, empty]), 2, "cpu", 8, SEED):
        assert np.isnan([one.mIoU, one.delta, one.low, one.high]).all()
    dataset = toys(1)
    dataset.broken[0] = OSError("gone")
    assert effects(segmenter, dataset, 1, "cpu", 8, SEED) == []


def test_a_pixel_of_a_category_that_no_image_holds_costs_next_to_nothing():
    """Its IoU of 0 must not enter one side's mean alone."""
    without = np.stack([np.diag([50, 50, 0])] * 4)
    changed = without.copy()
    changed[0, 0, 0] -= 1
    changed[0, 0, 2] += 1  # one of 400 pixels, predicted as what nobody holds
    effect = memory_effect._effect("changed", changed, without, 1 / 400, seed=0)
    assert effect.mIoU == pytest.approx(100 * (199 / 200 + 1) / 2)
    assert effect.delta == pytest.approx(-0.25)


def test_one_image_has_no_interval():
    one = np.diag([3, 4])[None]
    effect = memory_effect._effect("changed", one, one, 0.0, seed=0)
    assert effect.delta == 0 and np.isnan([effect.low, effect.high]).all()


@pytest.mark.parametrize("count", [1, 5, 96, 97, 500])
def test_images_are_spread_over_the_dataset(count):
    chosen = memory_effect.spread_over(count)
    assert len(set(chosen)) == len(chosen) == min(memory_effect.WALKED, count)
    assert chosen == sorted(chosen) and chosen[0] == 0 and chosen[-1] == (count - 1 if count > 1 else 0)
