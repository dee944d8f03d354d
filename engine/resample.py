"""Bilinear resampling with its weights in the open (align_corners=False, as torch does it).

What `F.interpolate` does without saying: output i of n_out reads inputs i0 and i1 = i0 + 1 with weights 1 − t and t at
x = max((i + ½) · n_in / n_out − ½, 0), i0 = floor(x), t = x − i0, i1 clamped to the last input.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from engine.shapes import Float, Integer

MANY = 64  # categories


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


def bilinear_square_lengths(x: Float[Tensor, "b c y x"], size: tuple[int, int]) -> Float[Tensor, "b h w"]:
    """Σ_c of the squares of `x` resized to `size`, without resizing: from products of neighbouring vectors.

    An output is p r x₀₀ + p s x₀₁ + q r x₁₀ + q s x₁₁, so its square length takes the squares and the five products of
    neighbours on the small grid, combined by rows and by columns.
    """

    def taps(n_out: int, n_in: int) -> tuple[Tensor, Tensor]:
        i0, i1, t = linear_taps(n_out, n_in, x.device)
        out = torch.arange(n_out, device=x.device)
        squares, crossed = (torch.zeros(n_out, n_in, device=x.device) for _ in range(2))
        squares.index_put_((out, i0), (1 - t).square(), accumulate=True)
        squares.index_put_((out, i1), t.square(), accumulate=True)
        crossed[out, i0] = 2 * t * (1 - t)
        return squares, crossed

    def product(one: Tensor, other: Tensor) -> Tensor:
        return (one * other).sum(1)

    (rows, row_pairs), (cols, col_pairs) = taps(size[0], x.shape[-2]), taps(size[1], x.shape[-1])
    x = x.float()
    down = torch.cat(
        [x[..., 1:, :], x[..., -1:, :]], dim=-2
    )  # the next row; the last one is its own, as for the taps
    right, diagonal = (torch.cat([each[..., 1:], each[..., -1:]], dim=-1) for each in (x, down))
    across = product(x, diagonal) + product(right, down)
    return (
        rows @ product(x, x) @ cols.T
        + rows @ product(x, right) @ col_pairs.T
        + row_pairs @ product(x, down) @ cols.T
        + row_pairs @ across @ col_pairs.T / 2
    )


def bilinear_labels(
    logits: Float[Tensor, "b k h w"], size: tuple[int, int], band: int = 64
) -> Integer[Tensor, "b H W"]:
    """argmax over k of the logits resized to `size`, in bands of rows.

    171 classes at 2048×1024 would be 1.4 GB as one resized tensor; a band of 64 rows is 1/16 of it. uint8 up to 256
    categories, else int16.
    """
    dtype = torch.uint8 if logits.shape[1] <= 256 else torch.int16
    labels = torch.empty(logits.shape[0], *size, dtype=dtype, device=logits.device)
    for rows, values in bilinear_bands(logits, size, band):
        labels[:, rows] = first_largest(values)
    return labels


def bilinear_bands(
    logits: Float[Tensor, "b k h w"], size: tuple[int, int], band: int = 64
) -> Iterator[tuple[slice, Float[Tensor, "b k r W"]]]:
    """The logits resized to `size`, `band` rows at a time. Columns first, on the few rows that a band reads."""
    r0, r1, rt = linear_taps(size[0], logits.shape[-2], logits.device)
    c0, c1, ct = linear_taps(size[1], logits.shape[-1], logits.device)
    height = logits.shape[-2]
    for top in range(0, size[0], band):
        rows = slice(top, min(top + band, size[0]))
        # Of the rows' taps, without asking a device for them.
        first = int(max((top + 0.5) * height / size[0] - 1.5, 0))
        last = min(int((rows.stop + 0.5) * height / size[0]) + 2, height)
        few = logits[..., first:last, :].float()
        wide = torch.lerp(few[..., c0], few[..., c1], ct)
        yield rows, torch.lerp(wide[:, :, r0[rows] - first], wide[:, :, r1[rows] - first], rt[rows, None])


def first_largest(values: Float[Tensor, "b k h w"]) -> Integer[Tensor, "b h w"]:
    """argmax over k, the first of equals. On a CPU torch's own walks memory across the grain, many times slower for few
    categories; for many, what the threads of so many small steps wait for each other, on a busy machine, takes longer.
    """
    if values.device.type != "cpu":
        return values.argmax(dim=1)
    if values.shape[1] > MANY:
        return values.max(dim=1).indices
    best = values[:, 0].clone()
    index = torch.zeros(best.shape, dtype=torch.int16)
    for k in range(1, values.shape[1]):
        index.masked_fill_(values[:, k] > best, k)
        torch.maximum(best, values[:, k], out=best)
    return index


def logits_of(
    logits: Float[Tensor, "b k h w"], image: np.ndarray, at: np.ndarray, size: tuple[int, int]
) -> Float[Tensor, "r k"]:
    """Logits of pixels (r, 2) of images (r,), as resizing all of them bilinearly to `size` would give; fp64 on the CPU."""
    (r0, r1, rt), (c0, c1, ct) = (
        [tap[torch.from_numpy(at[:, i])] for tap in linear_taps(size[i], logits.shape[i - 2])] for i in (0, 1)
    )
    place = torch.from_numpy(image).to(logits.device)
    (upper_left, upper_right), (lower_left, lower_right) = (
        [logits[place, :, r.to(logits.device), c.to(logits.device)].cpu().double() for c in (c0, c1)]
        for r in (r0, r1)
    )
    ct, rt = ct[:, None], rt[:, None]
    top = upper_left * (1 - ct) + upper_right * ct
    low = lower_left * (1 - ct) + lower_right * ct
    return top * (1 - rt) + low * rt


def confidence_at(logits: Tensor, image: np.ndarray, at: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Largest softmax probability at pixels (r, 2) of images (r,), of logits resized bilinearly as for the labels.

    In fp64: the last bit of an fp32 softmax depends on which other pixels are computed with it, so on who walked.
    """
    if not len(at):
        return np.empty(0, np.float32)
    return logits_of(logits, image, at, size).softmax(1).amax(1).float().numpy()
