"""What substitution by a query update removes, stage by stage: the atlas's price as typed rows, and factors between its kinds.

    within_factor    within after ÷ within before      averaging alone makes it small
    between_factor   between after ÷ between before    … and this as well
    reduction        (within ÷ between) after ÷ before
    against_null     (within ÷ between) after ÷ null, whose affinity rows are shuffled over the pixels of each image

A reduction below 1 says that the update brought pixels of a category closer together than it brought categories; above 1 that
it lost more of the distance between categories than of the variance within them. The rows are `Atlas.price`, measured over all
cells of whole images; nothing is estimated twice. The factors' intervals come from the same resamples of images as the price's:
the kinds of a draw are of the same images, so what images share cancels (paired, on the logarithm). As in the price, means over
few images count as lying where they are: where the distance left between categories is small it is a little too large (by some
per cent after the update over 500 scenes, a third under the null), so that reductions above 1 are understated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engine.atlas.price import KINDS, resampled, totals
from engine.atlas.records import Price, PriceKind
from engine.atlas.shards import VectorShards
from engine.resampling import Estimate, by_logarithm

if TYPE_CHECKING:
    from engine.atlas.reading import Atlas

FACTORS = ("within_factor", "between_factor", "reduction", "against_null")


@dataclass(frozen=True)
class CategorySubstitution:
    """One category at one stage. before, after, null: trace of its covariance ÷ between, nan where it was not met. within_factor:
    of that trace, after ÷ before; reduction, against_null: as for the stage. images: that hold the category."""

    category: int
    name: str
    before: float
    after: float
    null: float
    within_factor: Estimate
    reduction: Estimate
    against_null: Estimate
    images: int


@dataclass(frozen=True)
class Substitution:
    """One stage of one model; before, after, null with 95 % over `images` images. sources: what it reads, "pixels", "prototypes"
    or "memory"."""

    model: str
    stage: str
    sources: str
    before: Price
    after: Price
    null: Price
    within_factor: Estimate
    between_factor: Estimate
    reduction: Estimate
    against_null: Estimate
    images: int
    categories: tuple[CategorySubstitution, ...]

    def json(self) -> dict[str, Any]:
        kinds = {
            kind: {name: getattr(price, name) for name in ("within", "between", "ratio", "low", "high")}
            for kind, price in (("before", self.before), ("after", self.after), ("null", self.null))
        }
        each = ("within_factor", "reduction", "against_null")
        return {
            "stage": self.stage,
            "sources": self.sources,
            **kinds,
            **{name: getattr(self, name).json() for name in FACTORS},
            "images": self.images,
            "categories": {
                c.name: {"images": c.images, "before": c.before, "after": c.after, "null": c.null}
                | {name: getattr(c, name).json() for name in each}
                for c in self.categories
            },
        }


def substitution(atlas: Atlas, stop: Callable[[], bool] | None = None) -> tuple[Substitution, ...]:
    """Every stage of an atlas that reads aligned pixels, coarse → fine; empty for a decoder that substitutes nothing.

    Raises:
        LoupeError: a file of the atlas is missing or damaged.
        Stopped: `stop`, asked at every shard, said yes.
    """
    rows = {(price.stage, price.kind): price for price in atlas.price}
    stages = list(dict.fromkeys(stage for stage, _ in rows))
    if not stages:
        return ()
    drawn = _drawn(atlas, stages, stop)
    held = (atlas.images.true > 0).sum(0)
    return tuple(
        _stage(
            atlas, stage, [rows[stage, kind] for kind in KINDS], [drawn[stage, kind] for kind in KINDS], held
        )
        for stage in stages
    )


class Drawn(NamedTuple):
    """Of b resamples of images: traces (b, k), within (b,), between (b,)."""

    traces: np.ndarray
    within: np.ndarray
    between: np.ndarray


def _drawn(
    atlas: Atlas, stages: list[str], stop: Callable[[], bool] | None
) -> dict[tuple[str, PriceKind], Drawn]:
    shards = VectorShards(atlas.folder, atlas.digests)
    asked: list[tuple[str, PriceKind]] = [(stage, kind) for stage in stages for kind in KINDS]
    images, whole = totals(shards, asked, stop)
    blocks = list(resampled(shards, asked, images, whole, atlas.manifest.seed, stop))
    return {
        one: Drawn(*(np.concatenate([block[i][part] for block in blocks]) for part in range(3)))
        for i, one in enumerate(asked)
    }


def _stage(
    atlas: Atlas, stage: str, prices: list[Price], drawn: list[Drawn], held: np.ndarray
) -> Substitution:
    before, after, null = prices
    old, new, shuffled = drawn
    images = after.images

    def factor(over: float, under: float, moved: np.ndarray, beneath: np.ndarray) -> Estimate:
        return by_logarithm(_ratio(over, under), _quotients(moved, beneath), images)

    ratios = [_quotients(each.within, each.between) for each in drawn]
    return Substitution(
        atlas.manifest.model,
        stage,
        atlas.manifest.sources or "",
        before,
        after,
        null,
        factor(after.within, before.within, new.within, old.within),
        factor(after.between, before.between, new.between, old.between),
        factor(after.ratio, before.ratio, ratios[1], ratios[0]),
        factor(after.ratio, null.ratio, ratios[1], ratios[2]),
        images,
        tuple(
            _category(c, name, prices, [old, new, shuffled], int(held[c]))
            for c, name in enumerate(atlas.manifest.classes)
        ),
    )


def _category(
    c: int, name: str, prices: list[Price], drawn: list[Drawn], images: int
) -> CategorySubstitution:
    before, after, null = (_number(price.categories.get(name)) for price in prices)
    shares = [_quotients(each.traces[:, c], each.between) for each in drawn]
    traces = _quotients(drawn[1].traces[:, c], drawn[0].traces[:, c])
    shrunk = _ratio(after * prices[1].between, before * prices[0].between)
    return CategorySubstitution(
        c,
        name,
        before,
        after,
        null,
        by_logarithm(shrunk, traces, images),
        by_logarithm(_ratio(after, before), _quotients(shares[1], shares[0]), images),
        by_logarithm(_ratio(after, null), _quotients(shares[1], shares[2]), images),
        images,
    )


def _quotients(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    return np.divide(over, under, out=np.full(np.shape(over), np.nan), where=under > 0)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _ratio(over: float, under: float) -> float:
    return over / under if under > 0 else float("nan")


def finding(stages: Sequence[Substitution], model: str, data: str) -> tuple[str, str]:
    """Two sentences: does substitution reduce intra-category variance here, and what does that cost beside the null?"""
    if not stages:
        return (
            f"{model} substitutes nothing: its update is the values that were there before, interpolated.",
            "There is no before and after to compare.",
        )
    what = "Reading source pixels" if stages[0].sources == "pixels" else "Prototype substitution"
    verdict = _verdict([each.within_factor for each in stages])
    first = (
        f"{what} in {model} {verdict} the variance within categories"
        f"{', which averaging does by construction' if verdict == 'reduces' else ''}: "
        f"after it is {_factors(stages, 'within_factor')} of before "
        f"({stages[0].images} images of {data}, 95 % over images, one training seed)."
    )
    second = (
        f"Relative to the distance between categories it {_verdict([each.reduction for each in stages])} that variance: "
        f"within ÷ between is {_factors(stages, 'reduction')} of before, "
        f"and {_factors(stages, 'against_null')} of the null, whose affinity is shuffled over pixels."
    )
    return first, second


def _verdict(factors: Sequence[Estimate]) -> str:
    """What the intervals say of factors: all of one side of 1, or how many."""
    below = sum(each.high < 1 for each in factors)
    above = sum(each.low > 1 for each in factors)
    count = len(factors)
    if below == count:
        return "reduces"
    if above == count:
        return "increases"
    if not below and not above:
        return "does not clearly change"
    parts = [
        f"{verb} (at {n} of {count} stages)" for n, verb in ((below, "reduces"), (above, "increases")) if n
    ]
    return " and ".join(parts)


def _factors(stages: Sequence[Substitution], name: str) -> str:
    """×0.35 (0.33 to 0.37) at stride16, …; digits as everywhere, no interval where there is none."""
    said = []
    for stage in stages:
        each: Estimate = getattr(stage, name)
        around = f" ({each.low:.3g} to {each.high:.3g})" if np.isfinite(each.low) else ""
        said.append(f"×{each.value:.3g}{around} at {stage.stage}")
    return ", ".join(said)
