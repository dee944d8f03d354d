"""Losses of CPT.  [author]

    L = CE(logits ↑ label size, Y)  +  Σ over (image, category present) [5 · focal + 2 · dice] / max(1, pairs)

on the sum of the blocks' mask logits, each resized to label size first. Cross-entropy is averaged over all pixels,
ignored ones included. Ignored pixels are negatives of the mask loss; absent categories get no gradient from it;
presence is judged per image.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from engine.decoders.cpt import Prediction
from engine.shapes import Float, Int

IGNORED = 255
FOCAL_WEIGHT, DICE_WEIGHT = 5.0, 2.0
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0


def segmentation_losses(prediction: Prediction, labels: Int[Tensor, "b H W"]) -> dict[str, Tensor]:
    """Named, already weighted scalars; their sum is what is minimised.

    Args:
        labels: categories, 255 where ignored.
    Returns:
        "ce", and "mask" (×5) and "dice" (×2) where the decoder has mask logits.
    """
    losses = {"ce": cross_entropy(prediction.logits, labels)}
    if prediction.mask_logits:
        losses["mask"], losses["dice"] = mask_losses(prediction.mask_logits, labels)
    return losses


def cross_entropy(logits: Float[Tensor, "b k h w"], labels: Int[Tensor, "b H W"]) -> Tensor:
    """Of the bilinearly resized logits, averaged over all pixels, ignored ones included."""
    return (
        F.cross_entropy(_resize(logits, labels), labels, ignore_index=IGNORED, reduction="sum")
        / labels.numel()
    )


def mask_losses(mask_logits: tuple[Tensor, ...], labels: Int[Tensor, "b H W"]) -> tuple[Tensor, Tensor]:
    """(5 · focal, 2 · dice) over every (image, category present), divided by the number of such pairs."""
    total = torch.stack([_resize(logits, labels) for logits in mask_logits]).sum(0)
    k = total.shape[1]
    flat = labels.flatten(1)
    image, category = _present(flat, k)
    logits = total.flatten(2)[image, category]  # (pairs, H·W)
    truth = (flat[image] == category[:, None]).to(logits.dtype)
    pairs = torch.tensor(float(len(image)), device=logits.device)
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(pairs)
        pairs /= dist.get_world_size()
    count = pairs.clamp_min(1)
    return FOCAL_WEIGHT * focal(logits, truth).sum() / count, DICE_WEIGHT * dice(logits, truth).sum() / count


def focal(logits: Float[Tensor, "p s"], truth: Float[Tensor, "p s"]) -> Float[Tensor, " p"]:
    """Sigmoid focal loss (α 0.25, γ 2), mean over pixels."""
    ce = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    p = logits.sigmoid()
    wrong = p + truth - 2 * p * truth  # 1 − p_t
    alpha = (1 - FOCAL_ALPHA) + (2 * FOCAL_ALPHA - 1) * truth
    return (alpha * wrong**FOCAL_GAMMA * ce).mean(dim=-1)


def dice(logits: Float[Tensor, "p s"], truth: Float[Tensor, "p s"]) -> Float[Tensor, " p"]:
    """1 − (2 Σ p g + 1) / (Σ p + Σ g + 1)."""
    p = logits.sigmoid()
    return 1 - (2 * (p * truth).sum(-1) + 1) / (p.sum(-1) + truth.sum(-1) + 1)


def _resize(logits: Tensor, labels: Tensor) -> Tensor:
    return F.interpolate(logits.float(), size=labels.shape[-2:], mode="bilinear", align_corners=False)


def _present(flat: Int[Tensor, "b s"], k: int) -> tuple[Tensor, Tensor]:
    """(image, category) of every category present in every image."""
    seen = torch.zeros(flat.shape[0], k, dtype=torch.bool, device=flat.device)
    valid = flat != IGNORED
    rows = torch.arange(flat.shape[0], device=flat.device)[:, None].expand_as(flat)
    seen[rows[valid], flat[valid]] = True
    image, category = seen.nonzero(as_tuple=True)
    return image, category
