"""Labels after an edit, from the labels before it: only pixels that an edit may have turned are labelled again.

A pixel's logits are averages of its four nearest cells' (bilinear, weights sum to 1). Where no logit of those cells moved by more
than δ, none of the pixel's did, and a label whose margin over the next category is above 2δ stays. Exact up to rounding, for
which the bound leaves room; tests hold it against `bilinear_labels`. On a CPU alone: elsewhere labelling is cheap.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.resample import bilinear_bands, bilinear_labels, first_largest, linear_taps
from engine.shapes import Float, Integer

MOST = 0.15  # of the pixels: above, labelling all is faster
ROUNDING = 1e-3  # relative; margins are kept in fp16
LEAST = 1e-4  # logits


def margins(logits: Float[Tensor, "b k h w"], size: tuple[int, int]) -> Float[Tensor, "b H W"]:
    """Largest minus second logit of every pixel, resized bilinearly; fp16."""
    found = torch.empty(len(logits), *size, dtype=torch.float16)
    for rows, values in bilinear_bands(logits, size):
        best, second = torch.maximum(values[:, 0], values[:, 1]), torch.minimum(values[:, 0], values[:, 1])
        for k in range(2, values.shape[1]):
            torch.maximum(second, torch.minimum(best, values[:, k]), out=second)
            torch.maximum(best, values[:, k], out=best)
        found[:, rows] = best - second
    return found


def relabelled(
    labels: Integer[Tensor, "b H W"],
    margin: Float[Tensor, "b H W"],
    before: Float[Tensor, "b k h w"],
    after: Float[Tensor, "b k h w"],
) -> Integer[Tensor, "b H W"]:
    """The labels of `after`, from labels and margins of `before`."""
    size = (labels.shape[1], labels.shape[2])
    k, h, w = after.shape[1:]
    moved = (after - before).abs().amax(1)
    moved = torch.maximum(moved, torch.cat([moved[:, 1:], moved[:, -1:]], 1))  # of a cell and the next row's
    moved = torch.maximum(moved, torch.cat([moved[..., 1:], moved[..., -1:]], -1))
    (r0, r1, rt), (c0, c1, ct) = (linear_taps(n, m) for n, m in zip(size, (h, w), strict=True))
    bound = (2 * (1 + ROUNDING) * moved + LEAST).index_select(1, r0).index_select(2, c0)
    at = torch.nonzero(~(margin > bound).view(-1))[:, 0]  # so that what is no number is labelled again
    if len(at) > MOST * labels.numel():
        return bilinear_labels(after, size)
    row, col, image = at // size[1] % size[0], at % size[1], at // (size[0] * size[1])
    flat = after.transpose(0, 1).reshape(k, -1)
    upper, lower = (image * (h * w) + taps[row] * w for taps in (r0, r1))
    left, right, across = c0[col], c1[col], ct[col]
    top, low = (torch.lerp(flat[:, r + left], flat[:, r + right], across) for r in (upper, lower))
    found = labels.clone()
    turned = first_largest(torch.lerp(top, low, rt[row])[None, :, None])[0, 0]
    found.view(-1)[at] = turned.to(found.dtype)
    return found
