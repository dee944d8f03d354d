"""The losses where the golden vectors are silent: written out by hand, pair by pair."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch.testing import assert_close

from engine.decoders.cpt import Prediction
from engine.losses import IGNORED, cross_entropy, focal_and_dice, mask_losses, segmentation_losses

K, H, W = 5, 12, 17


def example(seed: int = 0, batch: int = 3) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
    torch.manual_seed(seed)
    masks = tuple(torch.randn(batch, K, *g, requires_grad=True) for g in [(3, 4), (6, 8)])
    labels = torch.randint(0, K - 1, (batch, H, W))  # category K − 1 is absent everywhere
    labels[0][labels[0] == 2] = 1  # and category 2 in one image
    labels[:, :2] = IGNORED
    return masks, labels


def explicit(masks: tuple[torch.Tensor, ...], labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Σ over (image, category present), one pair at a time, from the formulas."""
    summed = sum(F.interpolate(m, size=(H, W), mode="bilinear", align_corners=False) for m in masks)
    focals, dices = [], []
    for image in range(len(labels)):
        for category in labels[image].unique().tolist():
            if category == IGNORED:
                continue
            z, g = summed[image, category], (labels[image] == category).float()
            p = torch.sigmoid(z)
            right = torch.where(g == 1, p, 1 - p)
            weight = torch.where(g == 1, 0.25, 0.75)
            focals.append((-weight * (1 - right) ** 2 * right.log()).mean())
            dices.append(1 - (2 * (p * g).sum() + 1) / (p.sum() + g.sum() + 1))
    pairs = max(1, len(focals))
    return 5 * torch.stack(focals).sum() / pairs, 2 * torch.stack(dices).sum() / pairs


def test_mask_losses_against_the_sum_written_out():
    masks, labels = example()
    for got, expected in zip(mask_losses(masks, labels), explicit(masks, labels), strict=True):
        assert_close(got, expected)


def test_absent_categories_get_no_gradient():
    """Presence is judged per image: category 2 is absent from image 0 alone, the last one everywhere."""
    masks, labels = example()
    torch.stack(mask_losses(masks, labels)).sum().backward()
    for mask in masks:
        assert mask.grad is not None
        present = mask.grad.abs().sum((2, 3)) > 0
        assert present[0].tolist() == [True, True, False, True, False]
        assert present[1].tolist() == [True, True, True, True, False]


def test_an_image_without_labels_adds_nothing():
    masks, labels = example()
    labels[2] = IGNORED
    focal_loss, dice_loss = mask_losses(masks, labels)
    alone = explicit(tuple(m[:2] for m in masks), labels[:2])
    assert_close(focal_loss, alone[0])
    assert_close(dice_loss, alone[1])
    nothing = mask_losses(masks, torch.full_like(labels, IGNORED))
    assert [loss.item() for loss in nothing] == [0.0, 0.0]


def test_ignored_pixels_are_negatives_of_the_mask_loss():
    masks, labels = example()
    marked = labels.clone()
    marked[labels == IGNORED] = K - 1  # a category of its own: as pixels not of the others, the same
    pairs = sum(len(set(image.unique().tolist()) - {IGNORED}) for image in labels)
    for got, other, term in zip(mask_losses(masks, labels), mask_losses(masks, marked), (0, 1), strict=True):
        extra = explicit(masks, torch.where(marked == K - 1, K - 1, IGNORED))[term] * 3
        assert_close(other * (pairs + 3), got * pairs + extra, rtol=1e-4, atol=1e-4)


def test_cross_entropy_is_averaged_over_ignored_pixels_too():
    torch.manual_seed(1)
    logits = torch.randn(2, K, H, W)
    labels = torch.randint(0, K, (2, H, W))
    whole = cross_entropy(logits, labels)
    labels[:, H // 2 :] = IGNORED
    half = cross_entropy(logits, labels)
    kept = F.cross_entropy(logits[:, :, : H // 2], labels[:, : H // 2])
    assert_close(half, kept / 2)
    assert half < whole


def test_perfect_and_wrong_masks():
    truth = torch.zeros(1, 100)
    truth[:, :30] = 1
    certain = (truth * 2 - 1) * 30
    for loss in focal_and_dice(certain, truth):
        assert 0 <= loss.item() < 1e-6
    focal, dice = focal_and_dice(-certain, truth)
    assert focal.item() > 5 and dice.item() > 0.95


def test_names_follow_from_the_prediction():
    masks, labels = example()
    logits = torch.randn(3, K, 6, 8)
    assert list(segmentation_losses(Prediction(logits, masks), labels)) == ["ce", "mask", "dice"]
    assert list(segmentation_losses(Prediction(logits, ()), labels)) == ["ce"]
