"""How varied is a category, and how far are categories apart? Measures of labelled pixels at one site, in its original space.

    within_c         tr Cov(x | c) = mean ‖x − m_c‖²                       intra-category variance, in squared units of the site
    between          mean over categories of ‖m_c − mean of m_c‖²          categories count alike, as in the price  [choice]
    share_c          within_c ÷ between                  ratio             mean of within_c ÷ between
    distance_ab      ‖m_a − m_b‖²                                          squared, as the variances are
    effective rank   exp of the entropy of the shares of the centred singular values       Roy & Vetterli 2007
    silhouette, k-NN purity                                                see engine.neighbourhood

Means over some images lie further apart than those over all, and pixels lie nearer to their own mean. What resampled images say
of this bias is taken off variances and squared distances [choice] (Efron and Tibshirani 1993, chapter 10): with 64 channels and
categories that hardly part it is a third of the distance.

All is of sampled pixels, as many of each category as the data has; the atlas's price is of all cells of whole images, and is not
corrected (engine.substitution). Intervals are over images (engine.resampling). Nothing here looks at a projection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from engine import neighbourhood
from engine.atlas.price import NORMAL
from engine.errors import LoupeError
from engine.pixels import PixelSample, in_turn
from engine.resampling import (
    FEWEST_IMAGES,
    Draws,
    Estimate,
    Moving,
    by_logarithm,
    corrected,
    finite,
    holm,
    percentiles,
    places,
    quotient,
)
from engine.spreads import Distances, distances_of, moments_of, rank_of

PAIRED = 4096  # pixels of which all distances are taken, thinned evenly by category
FEWEST = 8  # pixels of a category, in two images, below which nothing is said of it  [choice]


@dataclass(frozen=True)
class CategorySpread:
    """One category at one site.

    variance: within_c, squared units of the site. share: within_c ÷ between. silhouette −1..1 and purity 0..1: means over its
    pixels among the `paired` ones. rank: effective rank of its pixels, 1 to min(pixels − 1, channels); it grows with the number
    of pixels, so compare it at equal numbers.
    """

    category: int
    name: str
    pixels: int
    images: int
    variance: Estimate
    share: Estimate
    silhouette: Estimate
    purity: Estimate
    rank: Estimate


@dataclass(frozen=True)
class Comparison:
    """Is one category more varied than another? ratio: variance of `first` ÷ variance of `second`. p: of a ratio of 1, two-sided,
    from the spread of the resampled logarithms; p_holm: after Holm's correction over all pairs."""

    first: int
    second: int
    ratio: Estimate
    p: float
    p_holm: float


@dataclass(frozen=True, eq=False)
class Spread:
    """A site of a model. left_out: categories with pixels, but fewer than 8, or in one image only. paired: pixels behind
    silhouette and purity. purity_chance: purity of neighbours drawn at random. neighbours: k of k-NN. resamples: of images."""

    model: str
    checkpoint: str
    data: str
    site: str
    labels: str
    classes: tuple[str, ...]
    channels: int
    pixels: int
    images: int
    within: Estimate
    between: Estimate
    ratio: Estimate
    silhouette: Estimate
    purity: Estimate
    purity_chance: float
    categories: tuple[CategorySpread, ...]
    distances: Distances
    comparisons: tuple[Comparison, ...]
    left_out: tuple[int, ...]
    paired: int
    neighbours: int
    resamples: int
    seed: int

    def of(self, category: int) -> CategorySpread | None:
        """The category's measures; None where it was left out or not met."""
        return next((each for each in self.categories if each.category == category), None)

    def json(self) -> dict[str, Any]:
        """Plain values, categories by name; nan where something is not defined."""
        names, one = self.classes, ("within", "between", "ratio", "silhouette", "purity")
        plain = ("model", "checkpoint", "data", "site", "labels", "channels", "pixels", "images")
        measures = ("variance", "share", "silhouette", "purity", "rank")
        return {
            **{name: getattr(self, name) for name in plain},
            **{name: getattr(self, name).json() for name in one},
            "purity_chance": self.purity_chance,
            "categories": {
                each.name: {"pixels": each.pixels, "images": each.images}
                | {name: getattr(each, name).json() for name in measures}
                for each in self.categories
            },
            "distances": {
                "categories": [names[c] for c in self.distances.categories],
                "value": self.distances.value,
                "low": self.distances.low,
                "high": self.distances.high,
            },
            "comparisons": [
                {"first": names[each.first], "second": names[each.second], "ratio": each.ratio.json()}
                | {"p": each.p, "p_holm": each.p_holm}
                for each in self.comparisons
            ],
            "left_out": [names[c] for c in self.left_out],
            **{name: getattr(self, name) for name in ("paired", "neighbours", "resamples", "seed")},
        }


def spread(sample: PixelSample, seed: int = 0) -> Spread:
    """The measures of a sample's site; only pixels in cells of one category count.

    Args:
        seed: of the resampled images.

    Raises:
        LoupeError: too few pixels, one image only, fewer than two categories, features that are not finite or all alike.
    """
    kept, met, left_out = measured(sample)
    x, category = kept.features.astype(np.float64), kept.category
    image, images = places(kept.image)
    draws = Draws(images, seed)
    moments = moments_of(x, category, image, met, draws)
    within, between = (
        corrected(moments.within, moments.drawn_within),
        corrected(moments.between, moments.drawn_between),
    )
    traces = [corrected(float(t), moments.drawn_traces[:, i]) for i, t in enumerate(moments.traces)]
    thinned = in_turn(category, np.arange(len(category)))[:PAIRED]
    scored = neighbourhood.scores(x[thinned], category[thinned], image[thinned])
    means = {
        name: _means(getattr(scored, name), category[thinned], image[thinned], met, draws)
        for name in ("silhouette", "purity")
    }
    categories = tuple(
        _category(kept, x, c, traces[i], between, means["silhouette"][0][i], means["purity"][0][i])
        for i, c in enumerate(met)
    )
    return Spread(
        model=sample.model,
        checkpoint=sample.checkpoint,
        data=sample.data,
        site=sample.site,
        labels=sample.labels,
        classes=sample.classes,
        channels=x.shape[1],
        pixels=len(x),
        images=images,
        within=by_logarithm(*within, images),
        between=by_logarithm(*between, images),
        ratio=quotient(within, between, images),
        silhouette=means["silhouette"][1],
        purity=means["purity"][1],
        purity_chance=scored.chance,
        categories=categories,
        distances=distances_of(met, moments, images),
        comparisons=_comparisons(met, traces, images),
        left_out=left_out,
        paired=len(thinned),
        neighbours=neighbourhood.NEIGHBOURS,
        resamples=len(draws),
        seed=seed,
    )


def measured(sample: PixelSample) -> tuple[PixelSample, list[int], tuple[int, ...]]:
    """(the pixels that count, the categories that can be measured, those left out).

    Raises:
        LoupeError: there is too little, or too little that is a number.
    """
    what = f"{sample.model} {sample.site}".strip()
    kept = sample.take(sample.pure)
    if len(np.unique(kept.image)) < 2 <= len(kept):
        raise LoupeError(
            f"{what}: all pixels are of one image, and what categories share across images cannot be told from one"
        )
    groups = {c: np.flatnonzero(kept.category == c) for c in np.unique(kept.category).tolist()}
    met = [c for c, g in groups.items() if len(g) >= FEWEST and len(np.unique(kept.image[g])) >= 2]
    if len(met) < 2:
        raise LoupeError(
            f"{what}: too few pixels: {len(met)} {'category has' if len(met) == 1 else 'categories have'} {FEWEST} "
            "of them in two images, and two must have"
        )
    kept = kept.take(np.isin(kept.category, met))
    finite(kept.features, what)
    return kept, met, tuple(c for c in groups if c not in met)


def _category(
    kept: PixelSample,
    x: np.ndarray,
    c: int,
    trace: Moving,
    between: Moving,
    silhouette: Estimate,
    purity: Estimate,
) -> CategorySpread:
    own = kept.category == c
    images = len(np.unique(kept.image[own]))
    return CategorySpread(
        category=c,
        name=kept.classes[c],
        pixels=int(own.sum()),
        images=images,
        variance=by_logarithm(*trace, images),
        share=quotient(trace, between, images),
        silhouette=silhouette,
        purity=purity,
        rank=rank_of(x[own], kept.image[own]),
    )


def _means(
    score: np.ndarray, category: np.ndarray, image: np.ndarray, met: list[int], draws: Draws
) -> tuple[list[Estimate], Estimate]:
    """(of each category, over categories: they count alike)."""
    each, values, drawn = [], [], []
    for c in met:
        own = (category == c) & np.isfinite(score)
        value, moved = draws.mean(image[own], score[own])
        each.append(percentiles(value, moved, len(np.unique(image[own]))))
        values.append(value)
        drawn.append(moved)
    defined = np.isfinite(values)
    if not defined.any():
        return each, Estimate(*[float("nan")] * 3)
    # A category of few images is missing from some draws; the mean is then over the others.
    stacked = np.stack(drawn)[defined]
    there = np.isfinite(stacked)
    moved = np.where(there, stacked, 0).sum(0) / np.maximum(there.sum(0), 1)
    return each, percentiles(float(np.mean(np.array(values)[defined])), moved, draws.images)


def _comparisons(met: list[int], traces: list[Moving], images: int) -> tuple[Comparison, ...]:
    """Every category's variance against every other's."""
    if images < FEWEST_IMAGES:
        return ()
    pairs = [(i, j) for i in range(len(met)) for j in range(i + 1, len(met))]
    ratios = [quotient(traces[i], traces[j], images) for i, j in pairs]
    p = _p_of(np.array([each.value for each in ratios]), np.array([each.high for each in ratios]))
    return tuple(
        Comparison(met[i], met[j], ratio, float(raw), float(adjusted))
        for (i, j), ratio, raw, adjusted in zip(pairs, ratios, p, holm(p), strict=True)
    )


def _p_of(value: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Two-sided, of ratios of 1: the logarithm against its standard deviation over resamples, taken as normal; nan without."""
    found = np.full(len(value), np.nan)
    defined = np.isfinite(high) & (value > 0) & (high > value)
    log, deviation = np.log(value[defined]), np.log(high[defined] / value[defined]) / NORMAL
    found[defined] = 2 * norm.sf(np.abs(log) / deviation)
    return found
