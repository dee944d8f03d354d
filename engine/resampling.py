"""Intervals over images: how far a number would move, had other images been drawn.

Pixels of one image share its light and place; images are what was sampled. So images are drawn with replacement, 2000 times, and
a number is computed anew from each draw's pixels (Efron and Tibshirani 1993, chapter 8: the cluster bootstrap). Three ways from
draws to 95 %:

    percentiles   2.5 and 97.5 % of the draws                        means of scores: silhouette, purity, recall
    logarithm     value · exp(± 1.96 s), s of the draws' logarithms  variances, squared distances, their ratios: biased under
                                                                     resampling (see `engine.atlas.price.interval`)
    normal        value ± 1.96 s, s of the draws                     indices that are biased and may be negative

Intervals say "over images, one training seed": a model trained anew may differ by more. Below `FEWEST_IMAGES` images there is
nothing to draw from, and low and high are nan.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from engine.atlas.price import NORMAL, RESAMPLES, interval
from engine.errors import LoupeError

FEWEST_IMAGES = 5  # below which resampled images say nothing of other images  [choice]
QUANTILES = (0.025, 0.975)


@dataclass(frozen=True)
class Estimate:
    """A number with 95 % over images around it; nan where it is not defined."""

    value: float
    low: float
    high: float

    def json(self) -> dict[str, float]:
        return asdict(self)


class Draws:
    """Resamples of images, as how often each was drawn. weights (b, i) float32; every row sums to i."""

    def __init__(self, images: int, seed: int = 0, resamples: int = RESAMPLES) -> None:
        random = np.random.default_rng(seed)
        self.images = images
        self.weights = random.multinomial(images, np.full(images, 1 / images), size=resamples).astype(
            np.float32
        )

    def __len__(self) -> int:
        return len(self.weights)

    def totals(self, image: np.ndarray, values: np.ndarray, block: slice = slice(None)) -> np.ndarray:
        """(b, …) Σ over the rows of each draw's images of values (r, …); image (r,) 0..i−1. In fp32: only spreads are used."""
        return self.of_sums(*image_sums(image, values), block)

    def of_sums(self, met: np.ndarray, sums: np.ndarray, block: slice = slice(None)) -> np.ndarray:
        """The same from sums (j, …) over each of the images met (j,), as `image_sums` gives them."""
        weights = self.weights[block][:, met]
        flat = sums.reshape(len(met), -1).astype(np.float32, copy=False)
        return (weights @ flat).reshape(len(weights), *sums.shape[1:])

    def mean(self, image: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray]:
        """(the mean of scores (r,), the means of the draws (b,)); scores that are nan are left out; nan without any."""
        defined = np.isfinite(scores)
        image, scores = image[defined], scores[defined].astype(np.float64)
        if not len(scores):
            return float("nan"), np.full(len(self), np.nan)
        middle = float(scores.mean())  # taken off first: what is left is summed in fp32
        totals = self.totals(image, np.stack([scores - middle, np.ones_like(scores)], axis=1))
        apart = np.divide(
            totals[:, 0], totals[:, 1], out=np.full(len(self), np.nan, np.float32), where=totals[:, 1] > 0
        )
        return middle, middle + apart.astype(np.float64)


def image_sums(image: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the images met (j,), sums of values (r, …) over each one's rows (j, …))."""
    order = np.argsort(image, kind="stable")
    met, start = np.unique(image[order], return_index=True)
    return met, np.add.reduceat(values[order], start, axis=0)


Moving = tuple[float, np.ndarray]  # a number, and how it moves over draws (b,)


def corrected(value: float, drawn: np.ndarray) -> Moving:
    """A number of these images without its bias. The draws lie above the value on average as far as the value lies above the
    truth, so the bias comes off once from the value and twice from the draws."""
    bias = float(np.nanmean(drawn)) - value if np.isfinite(drawn).any() else 0.0
    return value - bias, drawn - 2 * bias


def quotient(over: Moving, under: Moving, images: int) -> Estimate:
    """nan where `under` is not above 0: the categories' means lie no further apart than chance puts them."""
    drawn = np.divide(over[1], under[1], out=np.full(len(over[1]), np.nan), where=under[1] > 0)
    return by_logarithm(over[0] / under[0] if under[0] > 0 else float("nan"), drawn, images)


def percentiles(value: float, drawn: np.ndarray, images: int) -> Estimate:
    """images: how many stand behind the value."""
    drawn = drawn[np.isfinite(drawn)]
    if images < FEWEST_IMAGES or not len(drawn) or not np.isfinite(value):
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.quantile(drawn, QUANTILES)
    return Estimate(value, min(float(low), value), max(float(high), value))


def by_logarithm(value: float, drawn: np.ndarray, images: int) -> Estimate:
    """For what is positive; see `engine.atlas.price.interval`."""
    if images < FEWEST_IMAGES:
        return Estimate(value, float("nan"), float("nan"))
    return Estimate(value, *interval(value, drawn))


def normal(
    value: float, drawn: np.ndarray, images: int, least: float = -np.inf, most: float = np.inf
) -> Estimate:
    """Cut to [least, most], where the number cannot lie outside."""
    drawn = drawn[np.isfinite(drawn)]
    if images < FEWEST_IMAGES or not len(drawn) or not np.isfinite(value):
        return Estimate(value, float("nan"), float("nan"))
    half = NORMAL * float(drawn.std())
    return Estimate(value, max(least, value - half), min(most, value + half))


def holm(p: np.ndarray) -> np.ndarray:
    """p-values (n,) of a family of tests, adjusted (Holm 1979): reject what is at most 5 %, and 5 % of families err at all.

    nan stays nan and counts as no test.
    """
    found = np.full(len(p), np.nan)
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    found[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return found


def places(image: np.ndarray) -> tuple[np.ndarray, int]:
    """(image numbers as 0..i−1, i) of any image numbers (r,)."""
    met, place = np.unique(image, return_inverse=True)
    return place, len(met)


def finite(features: np.ndarray, what: str) -> None:
    """Refuses features that nothing can be measured in.

    Raises:
        LoupeError: values that are not finite numbers, or all rows alike.
    """
    if not np.isfinite(features).all():
        raise LoupeError(
            f"{what}: the features hold values that are not finite numbers, so nothing can be measured"
        )
    if not len(features) or not np.ptp(features, axis=0).any():
        raise LoupeError(f"{what}: all features are alike, so there is no variance to measure")
