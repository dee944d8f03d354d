"""Does attention predict effect? Rank correlation between who reads what and what is lost when it is taken away. Pure.

    ρ = Spearman(affinity_rc, −Δ_rc)   over the pairs (category r, prototype c)

affinity: the mean affinity of category r's readers to prototype c (`Usage.rate` of an atlas); Δ: the causal matrix. Ranks of ties
are averaged. The interval resamples the images of Δ; the affinity is held as it is. A draw's Δ is noisier than Δ itself, so ρ
falls in draws: the interval is ρ ± 1.96 standard deviations of the draws  [choice]. Over all pairs a large Δ of a category on
its own prototype counts along; hence also off the diagonal, and within each category: ρ over its row, averaged over categories,
which knows nothing of how large a category's effects are altogether.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.errors import LoupeError
from engine.resampling import Estimate, normal
from engine.surgery.causal import CausalMatrix

BLOCK = 1 << 22  # ranks that are held at a time


@dataclass(frozen=True)
class Prediction:
    """ρ over all pairs, off the diagonal, and within categories; nan, with a `reason`, where there is nothing to rank.

    pairs: how many (category, prototype) are compared; unchanged: those of them where Δ is exactly 0.
    """

    everything: Estimate
    off_diagonal: Estimate
    within: Estimate
    pairs: int
    unchanged: int
    images: int
    reason: str | None = None

    def finding(self) -> str:
        """One sentence that can stand by itself."""
        if self.reason is not None:
            return f"Whether attention predicts effect cannot be said: {self.reason}."
        said = [
            f"{name} {one.value:+.2f} ({one.low:+.2f} to {one.high:+.2f})"
            if np.isfinite(one.low)
            else f"{name} undefined"
            for name, one in (
                ("ρ over all pairs", self.everything),
                ("off the diagonal", self.off_diagonal),
                ("within categories", self.within),
            )
        ]
        return (
            f"{self._verdict()}: Spearman's {', '.join(said)}, 95 % over {self.images} images, one training seed; "
            f"{self.pairs} pairs, {self.unchanged} without any change."
        )

    def _verdict(self) -> str:
        across, within = (_sign(one) for one in (self.off_diagonal, self.within))
        if across == within:
            return {
                1: "Attention predicts effect",
                0: "Attention does not predict effect better than chance",
                -1: "Attention predicts the contrary of effect",
            }[across]
        if -1 in (across, within):
            return "What attention says of effect depends on how it is asked"
        where = "within categories, not across" if within else "across categories, not within"
        return f"Attention predicts effect {where} them"

    def json(self) -> dict[str, Any]:
        return {
            "all": self.everything.json(),
            "off_diagonal": self.off_diagonal.json(),
            "within_categories": self.within.json(),
            "pairs": self.pairs,
            "unchanged": self.unchanged,
            "images": self.images,
            "reason": self.reason,
        }


def attention_predicts(causal: CausalMatrix, affinity: np.ndarray, seed: int = 0) -> Prediction:
    """affinity (k, k): row the reader's category, column the prototype; rows without readers are nan and left out.

    Raises:
        LoupeError: an affinity of another size.
    """
    k = len(causal.classes)
    if affinity.shape != (k, k):
        raise LoupeError(f"an affinity of {'×'.join(map(str, affinity.shape))} does not fit {k} categories")
    affinity = np.asarray(affinity, np.float64)
    lost = -causal.delta
    known = np.isfinite(affinity) & np.isfinite(lost)
    unchanged = int((known & (lost == 0)).sum())
    reason = _reason(affinity[known], lost[known])
    if reason is not None:
        none = Estimate(float("nan"), float("nan"), float("nan"))
        return Prediction(none, none, none, int(known.sum()), unchanged, causal.images, reason)
    drawn = -causal.drawn(seed).transpose(1, 2, 0)  # (b, row, column)
    apart = known & ~np.eye(k, dtype=bool)

    def over(pairs: np.ndarray) -> Estimate:
        value = spearman(lost[None, pairs], affinity[pairs])[0]
        return normal(float(value), spearman(drawn[:, pairs], affinity[pairs]), causal.images, -1, 1)

    def within(values: np.ndarray) -> np.ndarray:
        rows = [
            spearman(values[:, r][:, known[r]], affinity[r, known[r]]) for r in range(k) if known[r].any()
        ]
        found, defined = np.stack(rows), np.isfinite(np.stack(rows))
        number = defined.sum(0)
        total = np.where(defined, found, 0).sum(0)
        return np.divide(total, number, out=np.full(number.shape, np.nan), where=number > 0)

    inside = normal(float(within(lost[None])[0]), within(drawn), causal.images, -1, 1)
    return Prediction(over(known), over(apart), inside, int(known.sum()), unchanged, causal.images)


def mean_rate(rates: Sequence[np.ndarray]) -> np.ndarray:
    """(k, k) mean over stages of `Usage.rate`; of a category over the stages where it has readers, nan where it has none."""
    stacked = np.stack([np.asarray(rate, np.float64) for rate in rates])
    known = np.isfinite(stacked)
    number = known.sum(0)
    total = np.where(known, stacked, 0).sum(0)
    return np.divide(total, number, out=np.full(number.shape, np.nan), where=number > 0)


def _sign(one: Estimate) -> int:
    """Which side of 0 the interval lies on; 0 where on both, or nothing is known."""
    return 1 if one.low > 0 else -1 if one.high < 0 else 0


def _reason(affinity: np.ndarray, lost: np.ndarray) -> str | None:
    """Why there is nothing to rank."""
    if len(lost) < 3:
        return "fewer than three pairs of a category and a prototype can be compared"
    if not np.ptp(lost):
        what = "changes nothing" if not lost.any() else "changes every category alike"
        return f"every ablation {what}, so there is no effect to be predicted"
    if not np.ptp(affinity):
        return "every category reads every prototype alike, so affinity predicts nothing"
    return None


def spearman(rows: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(b,) Spearman's ρ of each row (b, p) with x (p,), mid-ranks for ties; what is nan in a row is left out of it.

    nan where fewer than three pairs are left, or one side is all ties.
    """
    found = np.full(len(rows), np.nan)
    masks, which = np.unique(np.isfinite(rows), axis=0, return_inverse=True)
    for m, mask in enumerate(masks):
        if mask.sum() < 3:
            continue
        chosen = np.flatnonzero(which.ravel() == m)
        step = max(1, BLOCK // int(mask.sum()))
        for start in range(0, len(chosen), step):
            some = chosen[start : start + step]
            found[some] = _correlation(rows[some][:, mask], x[mask])
    return found


def _correlation(rows: np.ndarray, x: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    one, two = (rankdata(values, axis=-1) for values in (rows, x[None]))
    one, two = (ranks - ranks.mean(-1, keepdims=True) for ranks in (one, two))
    scale = np.sqrt((one**2).sum(-1) * (two**2).sum(-1))
    return np.divide((one * two).sum(-1), scale, out=np.full(len(rows), np.nan), where=scale > 0)
