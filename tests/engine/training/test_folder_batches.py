"""Batches from folders: functions of (seed, step), shares of a process, augmentations that keep labels on their pixels."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as v2

from engine import checkpoints
from engine.data.datasets import Sample
from engine.errors import LoupeError
from engine.training import loop
from engine.training.folder_batches import FolderSampler, distorted
from engine.training.recipes import Recipe

SIZES = [(40, 60), (90, 50), (64, 64), (30, 100), (200, 120)]


class Coded:
    """Images of several sizes whose first channel is their label, times twenty."""

    classes = ("a", "b", "c", "d", "e")

    def __init__(self, broken: tuple[int, ...] = ()) -> None:
        random = np.random.default_rng(0)
        self.broken = broken
        self.samples = []
        for i, (height, width) in enumerate(SIZES):
            labels = (
                random.integers(0, 5, (height // 10, width // 10))
                .repeat(10, 0)
                .repeat(10, 1)
                .astype(np.uint8)
            )
            image = np.stack([20 * labels, np.full_like(labels, 10 * i), np.zeros_like(labels)], axis=-1)
            self.samples.append(Sample(image, labels, None, f"image {i}"))

    def __len__(self) -> int:
        return len(self.samples)

    def id_of(self, index: int) -> str:
        return f"image {index}"

    def __getitem__(self, index: int) -> Sample:
        if index in self.broken:
            raise LoupeError(f"image {index} is damaged")
        return self.samples[index]


PLAIN = {
    "seed": 3,
    "batch": 4,
    "crop": 32,
    "scale_from": 1.0,
    "scale_to": 1.0,
    "category_limit": 1.0,
    "jitter": 0.0,
}


def test_a_batch_is_a_function_of_seed_and_step_and_shares_are_its_parts():
    make = lambda **changes: FolderSampler(Coded(), **{**PLAIN, "jitter": 0.15, "scale_to": 2.0} | changes)  # noqa: E731
    one, again = make()(7), make()(7)
    np.testing.assert_array_equal(one.images, again.images)
    np.testing.assert_array_equal(one.labels, again.labels)
    for rank in (0, 1):
        share = make()(7, rank, 2)
        np.testing.assert_array_equal(share.images, one.images[rank::2])
        np.testing.assert_array_equal(share.labels, one.labels[rank::2])
    assert not np.array_equal(make(seed=4)(7).images, one.images) and not np.array_equal(
        make()(8).images, one.images
    )
    assert one.images.shape == (4, 32, 32, 3) and one.labels.dtype == one.images.dtype == np.uint8


def test_every_image_is_seen_once_a_pass():
    sampler = FolderSampler(Coded(), **PLAIN)
    seen = [int(image[0, 0, 1]) // 10 for step in range(5) for image in sampler(step).images]
    assert sorted(seen[:5]) == sorted(seen[5:10]) == list(range(5)) and seen[:5] != seen[5:10]


def test_labels_stay_on_their_pixels():
    sampler = FolderSampler(Coded(), **PLAIN)
    for step in range(6):
        batch = sampler(step)
        inside = batch.labels != 255
        np.testing.assert_array_equal(batch.images[..., 0][inside], 20 * batch.labels[inside])
    # With scaling they do away from edges, where the two are resized in two ways.
    scaled = FolderSampler(Coded(), **PLAIN | {"scale_from": 0.7, "scale_to": 2.0})
    agree = [(b.images[..., 0] == 20 * b.labels)[b.labels != 255].mean() for b in map(scaled, range(6))]
    assert np.mean(agree) > 0.6


def test_smaller_images_are_padded_and_the_padding_has_no_label():
    batch = FolderSampler(Coded(), **PLAIN | {"crop": 128})(0)
    padded = batch.labels == 255
    assert padded.any() and (batch.images[padded] == [124, 116, 104]).all()
    assert (batch.images[~padded] != [124, 116, 104]).any(axis=-1).all()


def test_the_shorter_side_is_resized_first():
    sampler = FolderSampler(Coded(), **PLAIN | {"short_side": 32, "crop": 32})
    assert all(
        (sampler(step).labels != 255).all() for step in range(5)
    )  # every image fills a crop of its short side
    small = FolderSampler(Coded(), **PLAIN | {"short_side": 16, "crop": 32})
    assert all((batch == 255).mean() >= 0.5 for batch in small(0).labels)


def test_a_crop_with_one_category_is_drawn_again():
    class Half(Coded):
        def __getitem__(self, index: int) -> Sample:
            labels = np.zeros((100, 100), np.uint8)
            labels[:, 60:] = 1
            return Sample(np.zeros((100, 100, 3), np.uint8), labels, None, "half")

    def most(limit: float) -> list[float]:
        sampler = FolderSampler(Half(), **PLAIN | {"category_limit": limit, "batch": 8})
        return [np.bincount(x.ravel()).max() / x.size for step in range(4) for x in sampler(step).labels]

    assert max(most(1.0)) == 1.0
    assert np.mean(np.array(most(0.75)) > 0.75) < 0.2  # ten tries, one in four of which succeeds: 6 %
    assert np.mean(np.array(most(1.0)) > 0.75) > 0.5


def test_what_cannot_be_read_is_replaced_and_counted():
    sampler = FolderSampler(Coded(broken=(1, 3)), **PLAIN)
    seen = [int(image[0, 0, 1]) // 10 for step in range(5) for image in sampler(step).images]
    assert set(seen) == {0, 2, 4}
    assert sampler.skipped == {"image 1": "image 1 is damaged", "image 3": "image 3 is damaged"}
    with pytest.raises(LoupeError, match="5 images in a row cannot be read; the last: image"):
        FolderSampler(Coded(broken=(0, 1, 2, 3, 4)), **PLAIN)(0)


def test_distortion_is_torchvisions_within_its_ranges():
    image = torch.randint(0, 256, (3, 20, 30), dtype=torch.uint8)
    assert torch.equal(distorted(image, 0.0, np.random.default_rng(0)), image)
    changed = [distorted(image, 1.0, np.random.default_rng(seed)) for seed in range(40)]
    assert sum(torch.equal(one, image) for one in changed) < 10  # 1 in 16
    assert all(one.dtype == torch.uint8 and one.shape == image.shape for one in changed)

    class Fixed:
        """Brightness alone, at its largest."""

        def random(self, count: int) -> np.ndarray:
            return np.array([0.0, 1, 1, 1, 1])

        def uniform(self, low: float, high: float) -> float:
            return high

    assert torch.equal(distorted(image, 1.0, Fixed()), v2.adjust_brightness(image, 1.125))  # pyright: ignore[reportArgumentType]


TOML = """
title = "Mine"
classes = ["left", "right"]
[labels]
first = 1
ignore = [0]
[splits.train]
images = "images/train/*.png"
labels = "labels/train/{stem}.png"
[splits.val]
images = "images/val/*.png"
labels = "labels/val/{stem}.png"
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a user's own: two categories told apart by colour, one damaged training image."""
    from PIL import Image

    (tmp_path / "mine.toml").write_text(TOML, encoding="utf-8")
    random = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 3)):
        for kind in ("images", "labels"):
            (tmp_path / kind / split).mkdir(parents=True)
        for i in range(count):
            height, width = 60 + 10 * i, 90
            labels = np.ones((height, width), np.uint8)
            labels[:, width // 2 :] = 2
            labels[:5] = 0
            colour = np.array([[0, 0, 0], [200, 40, 40], [40, 40, 200]])[labels]
            image = (colour + random.integers(0, 20, (height, width, 3))).astype(np.uint8)
            Image.fromarray(image).save(tmp_path / "images" / split / f"{i}.png")
            Image.fromarray(labels).save(tmp_path / "labels" / split / f"{i}.png")
    (tmp_path / "images" / "train" / "4.png").write_bytes(b"damaged")
    monkeypatch.setenv("LOUPE_DATA", str(tmp_path))
    return tmp_path


RECIPE = Recipe(
    name="mine",
    spec={"backbone": "mobilenetv4_conv_small_050", "channels": 8, "heads": 2, "pool_channels": 4},
    train_data="mine-train",
    train_images=0,
    validation_data="mine-val",
    batch=4,
    crop=64,
    scale_from=0.5,
    scale_to=2.0,
    short_side=64,
    steps=8,
    warmup=2,
    precision="fp32",
    test_window=64,
    test_stride=48,
)


def test_a_model_is_trained_and_measured_on_a_folder(mine, tmp_path):
    figures = []
    path = loop.train(RECIPE, tmp_path / "runs", device="cpu", progress=lambda *seen: figures.append(seen[2]))
    checkpoint = checkpoints.load(path)
    assert checkpoint.segmenter.spec.classes == ("left", "right")
    assert figures[-1]["skipped"] == 1 and "images/train/4" in str(checkpoint.provenance["skipped"])
    assert checkpoint.provenance["images"] == 3 and checkpoint.provenance["mIoU"] is not None
    asked = checkpoint.provenance["inference"]
    assert (asked["crop"], asked["stride"], asked["short_side"]) == (64, 48, 64)


def test_the_memory_starts_from_means_of_features(mine, tmp_path):
    features = np.random.default_rng(0).normal(size=(2, 11)).astype(np.float32)
    np.save(tmp_path / "means.npy", features)
    recipe = dataclasses.replace(RECIPE, initial_memory=str(tmp_path / "means.npy"))
    task = loop.make_task(recipe)
    expected = torch.nn.functional.normalize(torch.from_numpy(features[:, :8]), dim=-1)
    for bank in task.segmenter.decoder.memory_banks():  # pyright: ignore[reportAttributeAccessIssue]
        torch.testing.assert_close(bank.bank[0], expected)
    np.save(tmp_path / "means.npy", features[:, :5])
    with pytest.raises(LoupeError, match="do not fit a bank of 2 × 8"):
        loop.make_task(recipe)
    for change, sentence in (
        ({"initial_memory": str(tmp_path / "gone.npy")}, "cannot start from"),
        ({"spec": RECIPE.spec | {"sources": "pixels"}}, "no memory to start"),
    ):
        with pytest.raises(LoupeError, match=sentence):
            loop.make_task(dataclasses.replace(recipe, **change))
