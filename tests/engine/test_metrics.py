"""Measures: the quick way equals the explicit one, and small cases equal what is counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassJaccardIndex

from engine import metrics
from engine.errors import LoupeError


def blobs(
    seed: int, height: int = 41, width: int = 57, categories: int = 5, ignored: bool = True
) -> np.ndarray:
    """Labels in irregular patches, some of them ignored."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, categories, (height // 8 + 1, width // 7 + 1))
    labels = np.kron(coarse, np.ones((8, 7), int))[:height, :width].astype(np.uint8)
    speckle = random.random(labels.shape) < 0.03
    labels[speckle] = random.integers(0, categories, speckle.sum())
    if ignored:
        labels[10:14, 20:33] = 255
    return labels


def eroded(mask: np.ndarray, times: int) -> np.ndarray:
    """Erosion by a 3×3 square, `times` times, pixel by pixel; outside the image is not the mask."""
    for _ in range(times):
        padded = np.pad(mask, 1)
        mask = np.array(
            [[padded[r : r + 3, c : c + 3].all() for c in range(mask.shape[1])] for r in range(mask.shape[0])]
        )
    return mask


def test_boundary_counts_equal_erosion_mask_by_mask():
    truth, predicted = blobs(0), blobs(1, ignored=False)
    valid = truth != 255
    width = metrics.band_width(*truth.shape)
    found = metrics.count(truth, predicted, 5).boundary
    for category in range(5):
        bands = []
        for labels in (truth, predicted):
            mask = (labels == category) & valid
            bands.append(mask & ~eroded(mask, width))
        expected = [(bands[0] & bands[1]).sum(), bands[0].sum(), bands[1].sum()]
        assert found[:, category].tolist() == expected, category


def test_band_equals_looking_around_every_pixel():
    truth, predicted = blobs(2), blobs(3, ignored=False)
    width = metrics.band_width(*truth.shape)
    near = np.zeros(truth.shape, bool)
    for r, c in np.ndindex(*truth.shape):
        window = truth[max(0, r - width) : r + width + 1, max(0, c - width) : c + width + 1]
        near[r, c] = len(set(window.ravel().tolist()) - {255}) > 1
    near &= truth != 255
    assert 0 < near.sum() < truth.size
    expected = metrics.confusion(truth[near], predicted[near], 5)
    assert np.array_equal(metrics.count(truth, predicted, 5).band, expected)


def test_iou_is_that_of_torchmetrics_over_the_split():
    pairs = [(blobs(seed), blobs(seed + 50, ignored=False)) for seed in range(4)]
    total = metrics.count(*pairs[0], 7)  # categories 5 and 6 never occur
    for pair in pairs[1:]:
        total = total + metrics.count(*pair, 7)
    macro = MulticlassJaccardIndex(7, average="macro", ignore_index=255)
    each = MulticlassJaccardIndex(7, average="none", ignore_index=255)
    for truth, predicted in pairs:
        for measure in (macro, each):
            measure.update(torch.tensor(predicted[None].astype(int)), torch.tensor(truth[None].astype(int)))
    assert metrics.mean(total.iou) == pytest.approx(float(macro.compute()))
    assert total.iou[:5] == pytest.approx(each.compute()[:5].numpy())
    assert np.isnan(total.iou[5:]).all()


def test_by_hand():
    truth = np.array([[0, 0, 1], [0, 1, 1], [255, 255, 1]], np.uint8)
    predicted = np.array([[0, 1, 1], [0, 1, 0], [2, 0, 1]], np.uint8)
    counts = metrics.count(truth, predicted, 3)
    assert counts.confusion.tolist() == [[2, 1, 0], [1, 3, 0], [0, 0, 0]]
    assert counts.iou[:2].tolist() == [2 / 4, 3 / 5]
    assert np.isnan(counts.iou[2]), "predicted only where the truth is ignored"
    assert metrics.mean(counts.iou) == pytest.approx(0.55)


def test_the_image_border_is_a_contour():
    one = np.zeros((100, 100), np.uint8)  # diagonal 141.4: d = 3
    assert metrics.band_width(100, 100) == 3
    counts = metrics.count(one, one, 2)
    assert counts.boundary[1].tolist() == [100 * 100 - 94 * 94, 0]
    assert counts.boundary_iou[0] == 1 and np.isnan(counts.boundary_iou[1])
    assert np.isnan(counts.band_iou).all(), "no edge between categories"


def test_a_shift_hurts_the_boundary_more():
    truth = np.zeros((120, 120), np.uint8)
    truth[30:90, 30:90] = 1
    counts = metrics.count(truth, np.roll(truth, 2, 1), 2)
    assert counts.iou[1] == pytest.approx(58 * 60 / (62 * 60))
    assert counts.boundary_iou[1] < counts.iou[1] - 0.1
    assert counts.band_iou[1] < counts.iou[1]


@pytest.mark.parametrize(("height", "width", "d"), [(10, 10, 1), (256, 256, 7), (300, 400, 10)])
def test_width_of_the_band(height: int, width: int, d: int):
    assert metrics.band_width(height, width) == d


def test_an_image_smaller_than_its_band_is_all_band():
    tiny = np.array([[0, 1]], np.uint8)
    assert metrics.count(tiny, tiny, 2).boundary.tolist() == [[1, 1]] * 3


def test_nothing_valid():
    nothing = np.full((9, 9), 255, np.uint8)
    counts = metrics.count(nothing, np.zeros((9, 9), np.uint8), 2)
    assert counts.confusion.sum() == counts.boundary.sum() == counts.band.sum() == 0
    assert np.isnan(metrics.mean(counts.iou))


def test_refusals():
    with pytest.raises(LoupeError, match="cannot be compared"):
        metrics.count(np.zeros((3, 4), np.uint8), np.zeros((4, 3), np.uint8), 2)
    with pytest.raises(LoupeError, match=r"outside 0\.\.1"):
        metrics.count(np.full((3, 3), 2, np.uint8), np.zeros((3, 3), np.uint8), 2)
