"""Evaluation of a model over a dataset."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine import evaluation, metrics
from engine.data.datasets import Sample
from engine.errors import LoupeError
from engine.evaluation import at_once, evaluate
from engine.segmenter import SegmenterSpec, build

CLASSES = ("sky", "water", "grass")
SIZES = [(64, 96), (64, 96), (96, 64), (64, 96), (64, 96)]


class Images:
    """Five images of two sizes. The third category never occurs in the truth."""

    classes = CLASSES

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self.samples = [
            Sample(
                random.integers(0, 256, (*size, 3), dtype=np.uint8),
                random.integers(0, 2, size, dtype=np.uint8),
                None,
                str(i),
            )
            for i, size in enumerate(SIZES)
        ]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]


class ReadsRed(nn.Module):
    """Says category 1 where the image, a quarter as large, is red."""

    spec = SegmenterSpec("none", CLASSES)

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        return images.permute(0, 3, 1, 2).float() / 255

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert not self.training
        red = F.avg_pool2d(images[:, 0], 4)
        return torch.stack([0.5 - red, red - 0.5, torch.full_like(red, -9)], 1)


def test_every_image_counts_once_whatever_its_size():
    data, model = Images(), ReadsRed().train()
    seen: list[tuple[int, int]] = []
    found = evaluate(
        model, data, batch=2, progress=lambda done, all_, _: seen.append((done, all_)), model="red"
    )
    assert seen == [(2, 5), (3, 5), (5, 5)]
    assert model.training, "left as it was"
    model.eval()
    for sample, counts in zip(data.samples, found.images, strict=True):
        logits = model(model.normalise(torch.from_numpy(sample.image[None])))
        labels = F.interpolate(logits, sample.labels.shape, mode="bilinear").argmax(1)[0].numpy()
        assert np.array_equal(counts.confusion, metrics.confusion(sample.labels, labels, 3))


def test_json():
    found = evaluate(ReadsRed(), Images(), limit=3, model="red", data="five").json()
    assert json.loads(json.dumps(found)) == found
    assert (found["model"], found["data"], found["images"]) == ("red", "five", 3)
    assert found["categories"]["grass"] is None and found["boundary_categories"]["grass"] is None
    named = [value for value in found["categories"].values() if value is not None]
    assert found["mIoU"] == pytest.approx(np.mean(named), abs=0.01)
    assert 0 < found["boundary_IoU"] < 100 and 0 < found["band_IoU"] < 100


def test_a_perfect_model_scores_a_hundred():
    class Knows(ReadsRed):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return F.one_hot((images[:, 0] * 255).long() % 2, 3).permute(0, 3, 1, 2).float()

    data = Images()
    data.samples = [Sample(s.image, s.image[..., 0] % 2, None, s.id) for s in data.samples]
    found = evaluate(Knows(), data).json()
    assert found["mIoU"] == found["boundary_IoU"] == found["band_IoU"] == found["pixel_accuracy"] == 100


def test_a_real_segmenter_is_evaluated():
    torch.manual_seed(0)
    segmenter = build(SegmenterSpec("mobilenetv4_conv_small_050", CLASSES, channels=8, heads=2)).eval()
    found = evaluate(segmenter, Images(), limit=2)
    assert found.total.confusion.sum() == 2 * 64 * 96


def test_refusals():
    with pytest.raises(LoupeError, match="no image to evaluate"):
        evaluate(ReadsRed(), Images(), limit=0)
    other = Images()
    other.classes = ("sky", "water")
    with pytest.raises(LoupeError, match="3 categories that are not the 2"):
        evaluate(ReadsRed(), other)


def test_large_images_go_in_small_groups_and_count_the_same(monkeypatch):
    assert at_once(8, (256, 256), "cpu") == 8 and at_once(8, (512, 512), "cpu") == 4
    assert at_once(8, (1024, 2048), "cpu") == 1 and at_once(16, (1024, 2048), "cuda") == 2
    together = evaluate(ReadsRed(), Images())
    sizes: list[int] = []
    plain = evaluation.predict_labels
    monkeypatch.setattr(
        evaluation,
        "predict_labels",
        lambda s, images, *rest: sizes.append(len(images)) or plain(s, images, *rest),
    )
    monkeypatch.setattr(evaluation, "CPU_PIXELS", 2 * 64 * 96)
    assert evaluate(ReadsRed(), Images()).json() == together.json()
    assert sizes == [2, 1, 2]
    sizes.clear()
    monkeypatch.setattr(evaluation, "CPU_PIXELS", 64)
    assert evaluate(ReadsRed(), Images()).json() == together.json()
    assert sizes == [1] * 5
