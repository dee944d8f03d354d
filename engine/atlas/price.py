"""The prototypes' price: what the query update leaves of the variance within categories, against the distance between them.

Measured in the space of `value_i`, with the same weights and pixels:

    before   (1 − μ) W_o W_v of the aligned pixels, resampled to the fine grid   what is there to be broadcast
    after    the update u                                                    what is broadcast
    null     u with the affinity rows shuffled over the pixels of an image   averaging alone, sent to the wrong places

    within  = mean over categories of tr Cov(x | c)         between = mean over categories of ‖m_c − mean of m_c‖²

Averaging shrinks the variance by construction, so only the ratio within ÷ between says something, and only beside the null.
Categories count alike, as in mIoU  [choice]. Constants (biases) drop out of both. Per-image sums are kept, so that intervals
come from resampling images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from engine.atlas.hashing import pixel_hashes
from engine.atlas.records import Price, PriceKind
from engine.atlas.sites import in_value_space
from engine.resample import bilinear_square_lengths, linear_matrix
from engine.stage import Stage, go_on

if TYPE_CHECKING:
    from engine.atlas.collect import Row

KINDS: tuple[PriceKind, ...] = ("before", "after", "null")
RESAMPLES = 2000
NORMAL = 1.959964  # half the width of 95 % of a normal distribution, in standard deviations
BLOCK_BYTES = 128 << 20  # of resampled sums held at a time


class Labels(Protocol):
    """One-hot categories (b, k, h·w) of the cells of a grid; `shuffled`: with each image's cells in another order (b, h·w)."""

    def one_hot(self, grid: tuple[int, int]) -> Tensor: ...
    def shuffled(self, grid: tuple[int, int], orders: np.ndarray) -> Tensor: ...


def collect(stage: Stage, labels: Labels, seed: int, rows: Sequence[Row]) -> None:
    """Adds a stage's sums of each image to its row: count (k,), per kind sum (k, c) and square (k,)."""
    if stage.aligned is None:  # bilinear: its update is what there was before
        return
    # As the image's values enter u: with 1 − μ, else the fall would be partly arithmetic.
    before = in_value_space(stage, stage.aligned) * (1 - stage.memory_share)
    after = stage.update.float().flatten(2)
    cells = labels.one_hot(stage.grid)
    # To shuffle the affinity's rows over the pixels is to shuffle the pixels' labels.
    orders = np.stack([order(seed, f"{row.id}/{stage.name}", after.shape[-1]) for row in rows])
    shuffled = labels.shuffled(stage.grid, orders)
    lengths = after.square().sum(1)
    found = {
        "before": (_sums_on_fine_grid(cells, before, stage.grid), cells, _lengths(before, stage.grid)),
        "after": (torch.einsum("bkq,bcq->bkc", cells, after), cells, lengths),
        "null": (torch.einsum("bkq,bcq->bkc", shuffled, after), shuffled, lengths),
    }
    count = cells.sum(-1).cpu().numpy().astype(np.int32)
    for j, row in enumerate(rows):
        row.vectors[f"{stage.name}.price.count"] = count[j]
    for kind, (sums, one_hot, square) in found.items():
        summed = sums.cpu().numpy()
        squares = torch.einsum("bkq,bq->bk", one_hot, square).cpu().numpy()
        for j, row in enumerate(rows):
            row.vectors[f"{stage.name}.price.{kind}.sum"] = summed[j]
            row.vectors[f"{stage.name}.price.{kind}.square"] = squares[j]


def _sums_on_fine_grid(cells: Tensor, x: Tensor, grid: tuple[int, int]) -> Tensor:
    """(b, k, c) sums of a map (b, c, y, x) resized to `grid` over each category's cells (b, k, h·w): the labels are brought to
    the small grid instead, where every channel is summed once."""
    rows, cols = (linear_matrix(n, m, x.device) for n, m in zip(grid, x.shape[-2:], strict=True))
    share = rows.T @ cells.unflatten(-1, grid) @ cols
    return torch.einsum("bks,bcs->bkc", share.flatten(2), x.flatten(2))


def _lengths(x: Tensor, grid: tuple[int, int]) -> Tensor:
    return bilinear_square_lengths(x, grid).flatten(1)


def order(seed: int, image: str, length: int) -> np.ndarray:
    """The shuffle of one image: the same in whatever batch it is met."""
    return np.argsort(pixel_hashes(seed, image, length))


def prices(
    shards: Iterable[dict[str, np.ndarray]],
    stages: Sequence[str],
    classes: Sequence[str],
    seed: int,
    stop: Callable[[], bool] | None = None,
) -> list[Price]:
    """The price at every stage, from the per-image sums of all shards (an iterable that can be walked repeatedly).

    Raises:
        Stopped: `stop`, asked at every shard, said yes.
    """
    asked: list[tuple[str, PriceKind]] = [(stage, kind) for stage in stages for kind in KINDS]
    if not asked:
        return []
    images, whole = totals(shards, asked, stop)
    drawn: list[list[np.ndarray]] = [[] for _ in asked]
    for block in resampled(shards, asked, images, whole, seed, stop):
        for one, (_, within, between) in zip(drawn, block, strict=True):
            one.append(np.divide(within, between, out=np.full(len(within), np.nan), where=between > 0))
    return [
        _price(sums, np.concatenate(values), stage, kind, classes, images)
        for (stage, kind), sums, values in zip(asked, whole, drawn, strict=True)
    ]


def totals(
    shards: Iterable[dict[str, np.ndarray]],
    asked: Sequence[tuple[str, PriceKind]],
    stop: Callable[[], bool] | None = None,
) -> tuple[int, list[list[np.ndarray]]]:
    """(images, for each of `asked` [count (k,), sum (k, c), square (k,)]) over all images."""
    images, whole = 0, None
    for shard in shards:
        go_on(stop)
        images += len(shard[_names(*asked[0])[0]])
        added = [[shard[name].sum(0, dtype=np.float64) for name in _names(*one)] for one in asked]
        whole = added if whole is None else _add(whole, added)
    assert whole is not None
    return images, whole


def _names(stage: str, kind: PriceKind) -> tuple[str, str, str]:
    return f"{stage}.price.count", f"{stage}.price.{kind}.sum", f"{stage}.price.{kind}.square"


def _add(sums: list[list[np.ndarray]], more: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
    """Adds in place: the draws of all stages are a hundred megabytes."""
    for one, other in zip(sums, more, strict=True):
        for x, y in zip(one, other, strict=True):
            x += y
    return sums


def ratios(
    count: np.ndarray, sums: np.ndarray, squares: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(trace of each category's covariance (…, k), within (…), between (…)) from counts (…, k), sums (…, k, c), squares (…, k).

    A category without pixels has a trace of nan and is left out of both means.
    """
    safe = np.maximum(count, 1)
    means = sums / safe[..., None]
    met = count > 0
    traces = np.where(met, np.maximum(squares / safe - np.square(means).sum(-1), 0), np.nan)
    number = np.maximum(met.sum(-1), 1)
    within = np.where(met, traces, 0).sum(-1) / number
    middle = (means * met[..., None]).sum(-2) / number[..., None]
    apart = np.square(means - middle[..., None, :]).sum(-1)
    return traces, within, (apart * met).sum(-1) / number


def _price(
    sums: Sequence[np.ndarray],
    drawn: np.ndarray,
    stage: str,
    kind: PriceKind,
    classes: Sequence[str],
    images: int,
) -> Price:
    traces, within, between = ratios(*sums)
    per = {
        name: None if np.isnan(t) or between <= 0 else float(t / between)
        for name, t in zip(classes, traces, strict=True)
    }
    ratio = float(within / between) if between > 0 else float("nan")
    # One image has nothing to be resampled from.
    low, high = interval(ratio, drawn) if images > 1 else (float("nan"), float("nan"))
    return Price(stage, kind, float(within), float(between), ratio, low, high, images, per)


def interval(value: float, drawn: np.ndarray) -> tuple[float, float]:
    """95 %: value · exp(± 1.96 s), s the standard deviation of the drawn ratios' logarithms (Efron and Tibshirani 1993, 13.1).

    Percentiles of the draws will not do: means over few images lie further apart than the true ones, resampled means further
    still, so that a null's draws may all lie below its estimate. Their spread is what they can tell.
    """
    drawn = drawn[np.isfinite(drawn) & (drawn > 0)]
    if not len(drawn) or not np.isfinite(value) or value <= 0:
        return float("nan"), float("nan")
    factor = float(np.exp(NORMAL * np.log(drawn).std()))
    return value / factor, value * factor


def resampled(
    shards: Iterable[dict[str, np.ndarray]],
    asked: Sequence[tuple[str, PriceKind]],
    images: int,
    whole: list[list[np.ndarray]],
    seed: int,
    stop: Callable[[], bool] | None,
) -> Iterator[list[tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """What `ratios` gives of `RESAMPLES` draws of images with replacement, for each of `asked`, in blocks that fit in memory.

    Every one of `asked` sees the same draws.
    """
    random = np.random.default_rng(seed)
    values = sum(array.size for sums in whole for array in sums) + 2 * images
    block = max(1, min(RESAMPLES, BLOCK_BYTES // (8 * values)))
    for start in range(0, RESAMPLES, block):
        draws = min(block, RESAMPLES - start)
        weights = random.multinomial(images, np.full(images, 1 / images), size=draws).astype(np.float32)
        sums: list[list[np.ndarray]] | None = None
        first = 0
        for shard in shards:
            go_on(stop)
            count = len(shard[_names(*asked[0])[0]])
            here = weights[:, first : first + count]
            first += count
            added = [[_weighted(here, shard[name]) for name in _names(*one)] for one in asked]
            sums = added if sums is None else _add(sums, added)
        assert sums is not None
        yield [ratios(*each) for each in sums]


def _weighted(weights: np.ndarray, array: np.ndarray) -> np.ndarray:
    """(draws, i) · (i, …) → (draws, …). In fp32: only the spread of the draws is used, never a draw."""
    flat = array.reshape(len(array), -1).astype(np.float32)
    return (weights @ flat).reshape(len(weights), *array.shape[1:])
