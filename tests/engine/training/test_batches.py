"""Batches: a pure function of seed and step, within the rules of cutting."""

from __future__ import annotations

import numpy as np
import pytest

from engine.errors import LoupeError
from engine.training.batches import Batch, CropSampler, prefetched


def pictures(count: int = 7, height: int = 40, width: int = 52) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images whose pixels tell where they come from: red the row, green the column, blue the image."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    images = np.stack([np.stack([rows, columns, np.full_like(rows, i)], -1) for i in range(count)])
    labels = np.stack([(rows + columns + i) % 5 for i in range(count)]).astype(np.uint8)
    return images, labels, labels // 2


def sampler(**changes) -> CropSampler:
    images, labels, modes = pictures()
    settings = {"seed": 5, "batch": 3, "crop": 16, "crop_from": 16, "crop_to": 16, "jitter": 0.0}
    return CropSampler(images, labels, modes, **{**settings, **changes})


def same(a: Batch, b: Batch) -> bool:
    assert a.modes is not None and b.modes is not None
    return all(
        np.array_equal(x, y) for x, y in [(a.images, b.images), (a.labels, b.labels), (a.modes, b.modes)]
    )


def test_a_batch_is_a_function_of_seed_and_step():
    first, second = sampler(jitter=0.2), sampler(jitter=0.2)
    forward = [first(step) for step in range(5)]
    backward = [second(step) for step in reversed(range(5))][::-1]
    assert all(same(a, b) for a, b in zip(forward, backward, strict=True))
    assert not same(forward[0], forward[1])
    assert not same(forward[0], sampler(jitter=0.2, seed=6)(0))


def test_prefetching_changes_nothing():
    draw = sampler()
    ahead = list(prefetched(draw, 2, 9))
    assert len(ahead) == 7
    assert all(same(batch, draw(step)) for step, batch in enumerate(ahead, 2))
    assert list(prefetched(draw, 4, 4)) == []


def test_prefetching_passes_errors_on():
    def draw(step: int) -> Batch:
        raise LoupeError("no more")

    with pytest.raises(LoupeError, match="no more"):
        next(prefetched(draw, 0, 3))  # pyright: ignore[reportArgumentType]


def test_every_image_comes_once_a_pass():
    draw = sampler(batch=7)
    for step in range(3):
        assert sorted(draw(step).images[:, 0, 0, 2].tolist()) == list(range(7))
    orders = [draw(step).images[:, 0, 0, 2].tolist() for step in range(3)]
    assert orders[0] != orders[1], "each pass has an order of its own"


def test_crops_are_slices_and_labels_go_with_them():
    flipped = 0
    for step in range(20):
        batch = sampler()(step)
        red, green, blue = np.moveaxis(batch.images.astype(int), -1, 0)
        assert np.array_equal(batch.labels, (red + green + blue) % 5)
        assert batch.modes is not None and np.array_equal(batch.modes, batch.labels // 2)
        assert (np.diff(red, axis=1) == 1).all()
        steps = np.diff(green, axis=2)
        assert (np.abs(steps) == 1).all()
        flipped += (steps[:, 0, 0] == -1).sum()
    assert 15 < flipped < 45, "about half of 60 are flipped"


def test_crops_of_several_sizes_are_resized():
    draw = sampler(crop=24, crop_from=8, crop_to=40, batch=7)
    batch = draw(0)
    assert batch.images.shape == (7, 24, 24, 3) and batch.labels.shape == (7, 24, 24)
    spans = np.ptp(batch.images[..., 0].reshape(7, -1), axis=1)
    assert len(set(spans.tolist())) > 3, "they show larger and smaller parts"
    assert set(np.unique(batch.labels)) <= set(range(5)), "labels are never mixed"


def test_no_category_fills_more_than_its_share():
    images, labels, _ = pictures(count=1, height=64, width=64)
    labels[:] = 0
    labels[:, :, 32:] = 1
    limited = CropSampler(images, labels, batch=2, crop=20, crop_from=20, crop_to=20, category_limit=0.75)
    free = CropSampler(images, labels, batch=2, crop=20, crop_from=20, crop_to=20, category_limit=1.0)

    def largest(draw: CropSampler) -> list[float]:
        return [max(np.bincount(crop.ravel()) / 400) for step in range(60) for crop in draw(step).labels]

    over = np.mean(np.array(largest(limited)) > 0.75)
    # about a quarter of the places obey the rule, so ten draws fail in 0.77¹⁰ ≈ 7 % of the cases
    assert over < 0.2 < 0.6 < np.mean(np.array(largest(free)) > 0.75)


def test_ignored_pixels_are_no_category():
    images, labels, _ = pictures(count=1, height=32, width=32)
    labels[:] = 255
    draw = CropSampler(images, labels, batch=2, crop=16, crop_from=16, crop_to=16)
    assert (draw(0).labels == 255).all()


def test_jitter_changes_colours_and_nothing_else():
    images, labels, modes = pictures()
    images[:] = 128
    settings = {"seed": 1, "batch": 7, "crop": 16, "crop_from": 16, "crop_to": 16}
    plain = CropSampler(images, labels, modes, jitter=0.0, **settings)(0)
    light = CropSampler(images, labels, modes, jitter=0.2, **settings)(0)
    assert light.images.dtype == np.uint8
    tones = light.images[:, 0, 0].astype(int)
    assert (light.images == light.images[:, :1, :1]).all(), "one colour stays one colour"
    assert (plain.images == 128).all() and len(np.unique(tones)) > 10
    assert np.abs(tones - 128).max() < 70


def test_parts_of_a_batch_are_the_batch():
    batch = sampler(batch=6)(0)
    parts = [batch.part(rank, 2) for rank in range(2)]
    assert np.array_equal(np.concatenate([part.labels for part in parts]), batch.labels[[0, 2, 4, 1, 3, 5]])


def test_refuses_crops_that_do_not_fit():
    with pytest.raises(LoupeError, match="Crops of 41 pixels do not fit 7 images of 40×52 pixels"):
        sampler(crop_to=41)
