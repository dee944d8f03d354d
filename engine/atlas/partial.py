"""What a walk accumulates, and how two accumulations become one.

    sums        arrays that add up
    moments     count, mean, Σ (x − mean)², merged by Chan's formula: no large numbers are subtracted
    reservoir   per category the R pixels with the smallest hash
    patches     per stage and category the N images with the largest mask logit

`merge` is associative and commutative, the last two exactly and the sums to rounding of float64; so a dataset may be cut into
pieces in any way, walked on any number of machines, and the whole is the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from engine.atlas.records import Moments


@dataclass(frozen=True, eq=False)
class Rows:
    """A table whose rows compete: of each group the `most` with the smallest key stay, ties broken by image and place.

    group (r,) · key (r,) uint64 or float64 · order (r, j) int64, the tie-breakers · columns: further arrays (r, …)
    """

    most: int
    group: np.ndarray
    key: np.ndarray
    order: np.ndarray
    columns: dict[str, np.ndarray]

    def merge(self, *others: Rows) -> Rows:
        """The rows that stay among all of them, sorted by group, key and tie-breakers."""
        several = [rows for rows in (self, *others) if len(rows.group)]
        if not several:
            return self
        if len(several) == 1 and several[0] is self:
            return self
        group, key, order = (
            np.concatenate([getattr(rows, name) for rows in several]) for name in ("group", "key", "order")
        )
        kept = strongest(group, key, order, self.most)
        # Only what stays is copied: features are by far the largest part.
        columns = {
            name: _taken([rows.columns[name] for rows in several], kept) for name in several[0].columns
        }
        return Rows(self.most, group[kept], key[kept], order[kept], columns)

    def limits(self, groups: int) -> np.ndarray:
        """(groups,) the largest key that a full group still holds, the type's maximum elsewhere: what is larger cannot stay."""
        top = np.iinfo(self.key.dtype).max if self.key.dtype.kind == "u" else np.inf
        limits = np.full(groups, top, self.key.dtype)
        counts = np.bincount(self.group, minlength=groups)
        for group in np.flatnonzero(counts >= self.most):
            limits[group] = self.key[self.group == group].max()
        return limits


def strongest(group: np.ndarray, key: np.ndarray, order: np.ndarray, most: int) -> np.ndarray:
    """Indices of the rows that stay, sorted by group, then key, then tie-breakers."""
    if not len(group):
        return np.zeros(0, np.int64)
    by = np.lexsort((*order.T[::-1], key, group))
    sorted_group = group[by]
    first = np.r_[True, sorted_group[1:] != sorted_group[:-1]]
    start = np.maximum.accumulate(np.where(first, np.arange(len(by)), 0))
    return by[np.arange(len(by)) - start < most]


@dataclass(frozen=True, eq=False)
class Partial:
    """The accumulation over some images."""

    images: int
    sums: dict[str, np.ndarray]
    moments: dict[str, Moments]
    reservoir: Rows
    patches: Rows

    def arrays(self) -> dict[str, np.ndarray]:
        """Flat, for a file or the network."""
        flat: dict[str, np.ndarray] = {"images": np.array([self.images], np.int64)}
        flat |= {f"sums/{name}": array for name, array in self.sums.items()}
        for site, moments in self.moments.items():
            for part in ("count", "mean", "m2"):
                flat[f"moments/{site}/{part}"] = getattr(moments, part)
        for kind in ("reservoir", "patches"):
            rows: Rows = getattr(self, kind)
            flat[f"{kind}/most"] = np.array([rows.most], np.int64)
            flat |= {f"{kind}/{name}": getattr(rows, name) for name in ("group", "key", "order")}
            flat |= {f"{kind}/columns/{name}": array for name, array in rows.columns.items()}
        return flat

    @classmethod
    def from_arrays(cls, flat: dict[str, np.ndarray]) -> Partial:
        """The inverse of `arrays`."""
        sites = sorted({name.split("/")[1] for name in flat if name.startswith("moments/")})
        moments = {site: under(flat, f"moments/{site}/") for site in sites}
        return cls(
            int(flat["images"][0]),
            under(flat, "sums/"),
            {site: Moments(parts["count"], parts["mean"], parts["m2"]) for site, parts in moments.items()},
            _rows(under(flat, "reservoir/")),
            _rows(under(flat, "patches/")),
        )


def merge(parts: Iterable[Partial]) -> Partial:
    """Several accumulations as one; at least one."""
    several = list(parts)
    first = several[0]
    if len(several) == 1:
        return first
    return Partial(
        sum(part.images for part in several),
        {
            name: sum((part.sums[name] for part in several[1:]), start=array)
            for name, array in first.sums.items()
        },
        {site: reduce(merge_moments, (part.moments[site] for part in several)) for site in first.moments},
        first.reservoir.merge(*(part.reservoir for part in several[1:])),
        first.patches.merge(*(part.patches for part in several[1:])),
    )


def merge_moments(a: Moments, b: Moments) -> Moments:
    """Chan, Golub and LeVeque 1979: mean and Σ (x − mean)² of two samples as one."""
    count = a.count + b.count
    share = np.divide(b.count, count, out=np.zeros(len(count)), where=count > 0)[:, None]
    apart = b.mean - a.mean
    return Moments(count, a.mean + apart * share, a.m2 + b.m2 + np.square(apart) * a.count[:, None] * share)


def moments_of_images(count: np.ndarray, mean: np.ndarray, m2: np.ndarray) -> Moments:
    """Moments of several images, given one by one: count (b, k), mean and m2 (b, k, c)."""
    total = count.sum(0)
    safe = np.maximum(total, 1)[:, None]
    middle = (count[..., None] * mean).sum(0) / safe
    spread = m2.sum(0) + (count[..., None] * np.square(mean - middle)).sum(0)
    return Moments(total, middle, spread)


def under(flat: dict[str, np.ndarray], start: str) -> dict[str, np.ndarray]:
    """The arrays whose names begin so, without that beginning."""
    return {name[len(start) :]: array for name, array in flat.items() if name.startswith(start)}


def _rows(flat: dict[str, np.ndarray]) -> Rows:
    return Rows(int(flat["most"][0]), flat["group"], flat["key"], flat["order"], under(flat, "columns/"))


def _taken(arrays: list[np.ndarray], kept: np.ndarray) -> np.ndarray:
    """`np.concatenate(arrays)[kept]` without the concatenation: most rows are of the largest array, which is copied once."""
    ends = np.cumsum([len(array) for array in arrays])
    largest = int(np.argmax([len(array) for array in arrays]))
    # `clip` also keeps numpy from buffering the output.
    start = ends[largest] - len(arrays[largest])
    out = np.empty((len(kept), *arrays[0].shape[1:]), arrays[0].dtype)
    np.take(arrays[largest], kept - start, axis=0, out=out, mode="clip")
    for i, (array, end) in enumerate(zip(arrays, ends, strict=True)):
        if i != largest:
            here = np.flatnonzero((kept < end) & (kept >= end - len(array)))
            out[here] = array[kept[here] - (end - len(array))]
    return out
