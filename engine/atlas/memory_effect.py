"""Does the memory matter at all? mIoU with the bank as it is, with its rows set to zero, and with its rows permuted.

The backbone runs once an image, the decoder once for each bank. What is compared are whole predictions, so this is a
counterfactual, unlike the memory's part of an update. Intervals over images come from paired resampling.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from engine import metrics
from engine.atlas.records import AS_IT_IS, Effect
from engine.errors import LoupeError
from engine.resample import bilinear_labels
from engine.stage import Stopped

WALKED = 96  # images at most: three decoder passes each
RESAMPLES = 2000


def effects(
    segmenter: Any,
    dataset: Any,
    count: int,
    device: torch.device | str,
    batch: int,
    seed: int,
    tick: Callable[[int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> list[Effect]:
    """Over `WALKED` of `count` images, as far as they can be read; the bank is as before afterwards.

    Raises:
        Stopped: `stop` said yes.
    """
    banks = [bank.bank for bank in segmenter.decoder.memory_banks()]
    original = [bank.clone() for bank in banks]
    classes = len(segmenter.spec.classes)
    order = derangement(classes, seed)
    changed = {
        AS_IT_IS: original,
        "zeroed": [torch.zeros_like(bank) for bank in original],
        "permuted": [bank[:, order] for bank in original],
    }
    confusions: dict[str, list[np.ndarray]] = {name: [] for name in changed}
    differing = dict.fromkeys(changed, 0)
    pixels = 0
    for index in spread_over(count):
        if stop is not None and stop():
            raise Stopped
        if tick is not None:
            tick(1)
        try:
            sample = dataset[index]
        except (LoupeError, OSError, ValueError):
            continue
        if sample.image.shape[:2] != sample.labels.shape:  # the walk left it out as well
            continue
        labels = {}
        with torch.no_grad():
            pyramid = segmenter.pyramid(segmenter.normalise(sample.image))
            for name, rows in changed.items():
                with _bank_of(banks, rows, original):
                    logits = segmenter.decoder(pyramid).float()
                labels[name] = bilinear_labels(logits, sample.labels.shape)[0].cpu().numpy()
        valid = sample.labels < classes
        pixels += labels[AS_IT_IS].size
        for name, predicted in labels.items():
            confusions[name].append(metrics.confusion(sample.labels[valid], predicted[valid], classes))
            differing[name] += int((predicted != labels[AS_IT_IS]).sum())
    if not pixels:
        return []
    return [
        _effect(
            name, np.stack(confusions[name]), np.stack(confusions[AS_IT_IS]), differing[name] / pixels, seed
        )
        for name in changed
    ]


def spread_over(count: int) -> list[int]:
    """At most `WALKED` of `count` images, evenly spread: a dataset may be sorted."""
    return np.linspace(0, count - 1, min(WALKED, count)).round().astype(int).tolist()


def derangement(length: int, seed: int) -> torch.Tensor:
    """A permutation that leaves nothing in its place: a shuffled cycle."""
    random = torch.Generator().manual_seed(seed)
    cycle = torch.randperm(length, generator=random)
    order = torch.empty(length, dtype=torch.long)
    order[cycle] = cycle.roll(1)
    return order


@contextlib.contextmanager
def _bank_of(
    banks: list[torch.Tensor], rows: list[torch.Tensor], original: list[torch.Tensor]
) -> Iterator[None]:
    for bank, row in zip(banks, rows, strict=True):
        bank.copy_(row)
    try:
        yield
    finally:
        for bank, row in zip(banks, original, strict=True):
            bank.copy_(row)


def _effect(name: str, with_change: np.ndarray, without: np.ndarray, changed: float, seed: int) -> Effect:
    """From per-image confusion matrices (i, k, k) of both."""
    images = len(without)
    one = np.ones((1, images))
    miou, base = (float(_mious(one, each)[0]) for each in (with_change, without))
    weights = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=RESAMPLES)
    apart = _mious(weights, with_change) - _mious(weights, without)
    apart = apart[np.isfinite(apart)]  # a draw of images without labels alone has no mIoU
    # One image has nothing to be resampled from.
    low, high = np.percentile(apart, (2.5, 97.5)) if len(apart) and images > 1 else (np.nan, np.nan)
    return Effect(name, miou, miou - base, float(low), float(high), changed, images)


def _mious(weights: np.ndarray, confusions: np.ndarray) -> np.ndarray:
    """mIoU in percent of every draw of images (draws, i), over the categories that the drawn images hold.

    Those are the same for every bank. Were a category counted as soon as it is predicted, one pixel of it would put an IoU of 0
    into one side's mean alone.
    """
    parts = (np.diagonal(confusions, axis1=1, axis2=2), confusions.sum(2), confusions.sum(1))
    hits, true, predicted = (weights.astype(np.float64) @ part for part in parts)
    known = true > 0
    values = np.divide(hits, true + predicted - hits, out=np.zeros_like(hits), where=known)
    number = known.sum(-1)
    return 100 * np.divide(values.sum(-1), number, out=np.full(len(hits), np.nan), where=number > 0)
