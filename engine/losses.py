"""Losses of CPT [author] and HFGD [paper].

    CPT    L = CE(logits ↑ label size, Y)  +  Σ over (image, category present) [5 · focal + 2 · dice] / max(1, pairs)
    HFGD   L = L_u + L_h = CE(Z_u ↑, Y) + CE(Z_h ↑, Y)        weight 1 [choice]: they train disjoint parameters

CPT's second term is on the sum of the blocks' mask logits, each resized to label size first. Cross-entropy is averaged over
all pixels, ignored ones included. Ignored pixels are negatives of the mask loss; absent categories get no gradient from it;
presence is judged per image.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from engine.decoders.decoder import Prediction
from engine.resample import linear_matrix
from engine.shapes import Float, Int

IGNORED = 255
FOCAL_WEIGHT, DICE_WEIGHT = 5.0, 2.0
FOCAL_ALPHA = 0.25  # and γ = 2, written as a square


def segmentation_losses(prediction: Prediction, labels: Int[Tensor, "b H W"]) -> dict[str, Tensor]:
    """Named, already weighted scalars; their sum is what is minimised.

    Args:
        labels: categories, 255 where ignored.
    Returns:
        "ce", "guide" where there is a guide branch, and "mask" (×5) and "dice" (×2) where there are mask logits.
    """
    with torch.autocast(labels.device.type, enabled=False):
        losses = {"ce": cross_entropy(prediction.logits, labels)}
        if prediction.guide_logits is not None:
            losses["guide"] = cross_entropy(prediction.guide_logits, labels)
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
    flat = labels.flatten(1)
    image, category = _present(flat, mask_logits[0].shape[1])
    # Pairs are picked before resizing: most categories are absent from most images, and resizing is what costs.
    logits = (
        torch.stack([_resize(m[image, category].unsqueeze(1), labels) for m in mask_logits]).sum(0).flatten(1)
    )
    truth = (flat[image] == category[:, None]).to(logits.dtype)
    pairs = torch.tensor(float(len(image)), device=logits.device)
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(pairs)
        pairs /= dist.get_world_size()
    count = pairs.clamp_min(1)
    focal, dice = focal_and_dice(logits, truth)
    return FOCAL_WEIGHT * focal.sum() / count, DICE_WEIGHT * dice.sum() / count


def focal_and_dice(
    logits: Float[Tensor, "p s"], truth: Float[Tensor, "p s"]
) -> tuple[Float[Tensor, " p"], Float[Tensor, " p"]]:
    """Sigmoid focal loss (α 0.25, γ 2, mean over pixels) and dice loss 1 − (2 Σ p g + 1) / (Σ p + Σ g + 1) of each pair.

    Both follow from w = 1 − p_t = σ(±logit), the probability of being wrong, so that a training step passes over the
    pixels of all pairs as few times as it can:
    focal = α_t w² softplus(±logit);  Σ p g = Σ g − Σ w g;  Σ p = Σ g + Σ w − 2 Σ w g.
    """
    towards_wrong = logits * (1 - 2 * truth)
    wrong = towards_wrong.sigmoid()
    loss = wrong * wrong * F.softplus(towards_wrong)
    of_truth = torch.einsum("ps,ps->p", loss, truth)
    focal = ((1 - FOCAL_ALPHA) * loss.sum(-1) + (2 * FOCAL_ALPHA - 1) * of_truth) / logits.shape[-1]
    missed = torch.einsum("ps,ps->p", wrong, truth)
    size = truth.sum(-1)
    dice = 1 - (2 * (size - missed) + 1) / (2 * size + wrong.sum(-1) - 2 * missed + 1)
    return focal, dice


def _resize(logits: Tensor, labels: Tensor) -> Tensor:
    """Bilinear, as two matrix products: their backward pass is far cheaper than that of `F.interpolate`."""
    rows = linear_matrix(labels.shape[-2], logits.shape[-2], logits.device)
    cols = linear_matrix(labels.shape[-1], logits.shape[-1], logits.device)
    return rows @ (logits.float() @ cols.T)


def _present(flat: Int[Tensor, "b s"], k: int) -> tuple[Tensor, Tensor]:
    """(image, category) of every category present in every image."""
    seen = torch.zeros(flat.shape[0], k, dtype=torch.bool, device=flat.device)
    valid = flat != IGNORED
    rows = torch.arange(flat.shape[0], device=flat.device)[:, None].expand_as(flat)
    seen[rows[valid], flat[valid]] = True
    image, category = seen.nonzero(as_tuple=True)
    return image, category
