"""Bilinear resampling with its weights in the open (align_corners=False, as torch does it).

What `F.interpolate` does without saying: output i of n_out reads inputs i0 and i1 = i0 + 1 with weights 1 − t and t at
x = max((i + ½) · n_in / n_out − ½, 0), i0 = floor(x), t = x − i0, i1 clamped to the last input.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.shapes import Float, Integer


def linear_taps(n_out: int, n_in: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    """The two inputs (i0, i1), each (n_out,) int64, and the weight t (n_out,) fp32 of the second."""
    x = ((torch.arange(n_out, device=device, dtype=torch.float32) + 0.5) * (n_in / n_out) - 0.5).clamp_min(0)
    i0 = x.floor().long().clamp_max(n_in - 1)
    return i0, (i0 + 1).clamp_max(n_in - 1), x - i0


def linear_matrix(n_out: int, n_in: int, device: torch.device | str = "cpu") -> Float[Tensor, "n_out n_in"]:
    """The same as a dense matrix; rows sum to 1."""
    i0, i1, t = linear_taps(n_out, n_in, device)
    rows = torch.arange(n_out, device=device)
    matrix = torch.zeros(n_out, n_in, device=device)
    matrix.index_put_((rows, i0), 1 - t, accumulate=True)
    matrix.index_put_((rows, i1), t, accumulate=True)
    return matrix


def bilinear_labels(
    logits: Float[Tensor, "b k h w"], size: tuple[int, int], band: int = 64
) -> Integer[Tensor, "b H W"]:
    """argmax over k of the logits resized to `size`, in bands of rows.

    171 classes at 2048×1024 would be 1.4 GB as one resized tensor; a band of 64 rows is 1/16 of it. uint8 up to 256
    categories, else int16.
    """
    height, width = size
    r0, r1, rt = linear_taps(height, logits.shape[-2], logits.device)
    c0, c1, ct = linear_taps(width, logits.shape[-1], logits.device)
    dtype = torch.uint8 if logits.shape[1] <= 256 else torch.int16
    labels = torch.empty(logits.shape[0], height, width, dtype=dtype, device=logits.device)
    wide = torch.lerp(logits.float()[..., c0], logits.float()[..., c1], ct)  # columns first: on few rows
    for top in range(0, height, band):
        rows = slice(top, min(top + band, height))
        labels[:, rows] = first_largest(
            torch.lerp(wide[:, :, r0[rows]], wide[:, :, r1[rows]], rt[rows, None])
        )
    return labels


def first_largest(values: Float[Tensor, "b k h w"]) -> Integer[Tensor, "b h w"]:
    """argmax over k, the first of equals. On a CPU torch's own walks memory across the grain, many times slower."""
    if values.device.type != "cpu":
        return values.argmax(dim=1)
    best = values[:, 0].clone()
    index = torch.zeros(best.shape, dtype=torch.int16)
    for k in range(1, values.shape[1]):
        index.masked_fill_(values[:, k] > best, k)
        torch.maximum(best, values[:, k], out=best)
    return index
