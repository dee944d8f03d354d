"""Who reads which prototype, over a dataset: the numbers behind the Reads matrix and half of the health. Pure, from `Usage`.

    rate        (k, k)  a category's readers' mean affinity to each source, rows sum to 1 (records.Usage)
    favourite   of a category: the source that its readers read most, where it is ahead of the next by more than 1 %    [choice]
    × uniform   of a source: its share of all affinity · k
    perplexity  exp(H) of the shares: as if that many prototypes were read evenly

A prototype's index is not what a pixel reads: own readers may read another category's prototype most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from engine.atlas.records import Images, Usage

LEAD = 0.01  # relative: two weights closer than this look the same at three digits; identical prototypes have no favourite
NONE = -1


@dataclass(frozen=True, eq=False)
class Readership:
    """Arrays (k,), by source unless said otherwise.

    readers: bool, of a category: some pure cell of it was met. favourite: of a category, the source that it reads most, -1
    without readers or where the first two are within 1 %. favoured_by: how many categories' favourite a source is. share: of
    all affinity, mixed cells too; times_uniform: share · k. own: of a category, its readers' mean affinity to their own
    prototype; nan without readers. best: of a source, the largest weight that any category's readers give it; nan where nobody
    was met. entropy: of the shares ÷ ln k; perplexity: 1 to k. absent: share of affinity on categories that the reader's image
    does not hold. nan where no cell was read.
    """

    readers: np.ndarray
    favourite: np.ndarray
    favoured_by: np.ndarray
    share: np.ndarray
    times_uniform: np.ndarray
    own: np.ndarray
    best: np.ndarray
    entropy: float
    perplexity: float
    absent: float


def readership(usage: Usage) -> Readership:
    """The numbers of one stage; heads averaged."""
    rate, share = np.asarray(usage.rate, np.float64), np.asarray(usage.share, np.float64)
    k = len(share)
    known = np.asarray(np.isfinite(rate).all(axis=1))
    favourite = np.full(k, NONE)
    for c in np.flatnonzero(known):
        favourite[c] = _favourite(rate[c])
    total = share.sum()
    read = bool(np.isfinite(total) and total > 0)
    parts = share[share > 0] / total if read else np.array([])
    entropy = float(-(parts * np.log(parts)).sum()) if read else np.nan
    return Readership(
        readers=known,
        favourite=favourite,
        favoured_by=np.bincount(favourite[favourite >= 0], minlength=k),
        share=share if read else np.full(k, np.nan),
        times_uniform=share * k if read else np.full(k, np.nan),
        own=np.where(known, np.diagonal(rate), np.nan),
        best=rate[known].max(axis=0) if known.any() else np.full(k, np.nan),
        entropy=float(np.clip(entropy / np.log(k), 0, 1)) if k > 1 else np.nan,
        perplexity=float(np.exp(entropy)),
        absent=usage.absent_share if read else np.nan,
    )


def absent_if_uniform(images: Images) -> float:
    """Share of a uniform affinity that would fall on absent categories (ground truth), mean over images with labels; nan
    without any."""
    labelled = images.true[images.true.sum(axis=1) > 0]
    return float((labelled == 0).mean()) if labelled.size else np.nan


def _favourite(weights: np.ndarray) -> int:
    order = np.argsort(-weights, kind="stable")
    if len(order) > 1 and weights[order[0]] <= (1 + LEAD) * weights[order[1]]:
        return NONE
    return int(order[0])
