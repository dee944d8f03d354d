"""The prototypes' price: what the query update leaves of the variance within categories, against the distance between them.

Measured in the space of `value_i`, with the same weights and pixels:

    before   W_o W_v of the aligned pixels, resampled to the fine grid        what is there to be broadcast
    after    the update u                                                    what is broadcast
    null     u with the affinity rows shuffled over the pixels of an image   averaging alone, sent to the wrong places

    within  = mean over categories of tr Cov(x | c)         between = mean over categories of ‖m_c − mean of m_c‖²

Averaging shrinks the variance by construction, so only the ratio within ÷ between says something, and only beside the null.
Categories count alike, as in mIoU  [choice]. Constants (biases) drop out of both. Per-image sums are kept, so that intervals
come from resampling images.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from engine.atlas.hashing import pixel_hashes
from engine.atlas.records import Price, PriceKind
from engine.atlas.sites import before_substitution
from engine.trace import Stage

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
    before = before_substitution(stage)
    if before is None:
        return
    after = stage.update.float().flatten(2)
    cells = labels.one_hot(stage.grid)
    # To shuffle the affinity's rows over the pixels is to shuffle the pixels' labels.
    orders = np.stack([order(seed, f"{row.id}/{stage.name}", after.shape[-1]) for row in rows])
    lengths = after.square().sum(1)
    found = {
        "before": (cells, before.flatten(2), before.flatten(2).square().sum(1)),
        "after": (cells, after, lengths),
        "null": (labels.shuffled(stage.grid, orders), after, lengths),
    }
    count = cells.sum(-1).cpu().numpy().astype(np.int32)
    for j, row in enumerate(rows):
        row.vectors[f"{stage.name}.price.count"] = count[j]
    for kind, (one_hot, x, square) in found.items():
        sums = torch.einsum("bkq,bcq->bkc", one_hot, x).cpu().numpy()
        squares = torch.einsum("bkq,bq->bk", one_hot, square).cpu().numpy()
        for j, row in enumerate(rows):
            row.vectors[f"{stage.name}.price.{kind}.sum"] = sums[j]
            row.vectors[f"{stage.name}.price.{kind}.square"] = squares[j]


def order(seed: int, image: str, length: int) -> np.ndarray:
    """The shuffle of one image: the same in whatever batch it is met."""
    return np.argsort(pixel_hashes(seed, image, length))


def prices(
    shards: Iterable[dict[str, np.ndarray]], stages: Sequence[str], classes: Sequence[str], seed: int
) -> list[Price]:
    """The price at every stage, from the per-image sums of all shards (an iterable that can be walked repeatedly)."""
    found = []
    for stage in stages:
        for kind in KINDS:
            names = [f"{stage}.price.count", f"{stage}.price.{kind}.sum", f"{stage}.price.{kind}.square"]
            found.append(_price(shards, names, stage, kind, classes, seed))
    return found


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
    shards: Iterable[dict[str, np.ndarray]],
    names: Sequence[str],
    stage: str,
    kind: PriceKind,
    classes: Sequence[str],
    seed: int,
) -> Price:
    images, whole = 0, None
    for shard in shards:
        parts = [shard[name].astype(np.float64) for name in names]
        images += len(parts[0])
        added = [part.sum(0) for part in parts]
        whole = added if whole is None else [a + b for a, b in zip(whole, added, strict=True)]
    assert whole is not None
    traces, within, between = ratios(*whole)
    drawn = np.concatenate(list(_resampled(shards, names, images, whole[1].size, seed)))
    per = {
        name: None if np.isnan(t) or between <= 0 else float(t / between)
        for name, t in zip(classes, traces, strict=True)
    }
    ratio = float(within / between) if between > 0 else float("nan")
    low, high = interval(ratio, drawn)
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


def _resampled(
    shards: Iterable[dict[str, np.ndarray]], names: Sequence[str], images: int, values: int, seed: int
) -> Iterable[np.ndarray]:
    """Ratios of `RESAMPLES` draws of images with replacement, in blocks that fit in memory."""
    random = np.random.default_rng(seed)
    block = max(1, min(RESAMPLES, BLOCK_BYTES // (8 * max(1, values))))
    for start in range(0, RESAMPLES, block):
        draws = min(block, RESAMPLES - start)
        weights = random.multinomial(images, np.full(images, 1 / images), size=draws).astype(np.float64)
        totals: list[np.ndarray] | None = None
        first = 0
        for shard in shards:
            count = len(shard[names[0]])
            here = weights[:, first : first + count]
            first += count
            added = [
                (here @ shard[name].reshape(count, -1).astype(np.float64)).reshape(
                    draws, *shard[name].shape[1:]
                )
                for name in names
            ]
            totals = added if totals is None else [a + b for a, b in zip(totals, added, strict=True)]
        assert totals is not None
        _, within, between = ratios(*totals)
        yield np.divide(within, between, out=np.full(draws, np.nan), where=between > 0)
