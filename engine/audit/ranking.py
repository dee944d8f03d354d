"""Areas under the ROC curve, many maps at once.

    area = P(value of a positive > value of a negative) + ½ P(equal)         over all pairs: mid-ranks (Mann and Whitney 1947)
    within rings: the same over the pairs whose two members lie in one ring, so that distance alone says (nearly) nothing

Each row of a block of maps is sorted once: ring, value and label of a cell are packed into one integer, since sorting integers is
many times faster than sorting and carrying.

Not defined where there is no such pair: nan.
"""

from __future__ import annotations

import numpy as np


def roc_areas(
    values: np.ndarray, positive: np.ndarray, valid: np.ndarray, ring: np.ndarray | None = None
) -> np.ndarray:
    """(p,) float64 of maps (p, s).

    Args:
        values: (p, s) float32, larger says "positive".
        positive, valid: (p, s) bool; cells that are not valid are no members of pairs.
        ring: (p, s) small integers from 0 on; all one ring by default.
    """
    p, s = values.shape
    if not p or not s:
        return np.full(p, np.nan)
    bits = np.ascontiguousarray(values + np.float32(0), np.float32).view(np.uint32)  # + 0: −0 is 0
    ordered = np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(1 << 31)).astype(np.uint64)
    key = (ordered << np.uint64(1)) | positive
    if ring is not None:
        key |= ring.astype(np.uint64) << np.uint64(33)
    outside = np.uint64(1 << 63)
    key = np.sort(np.where(valid, key, outside), axis=1)
    inside = key < outside
    hit = (key & np.uint64(1)).astype(bool) & inside
    value, group = key >> np.uint64(1), key >> np.uint64(33)
    miss = inside & ~hit
    through = np.cumsum(hit, axis=1, dtype=np.int32)
    start, end = _run_sums(value, through, hit)
    first, last = _run_sums(group, through, hit)
    above = (last - end) + (end - start) / 2  # positives of its ring that beat this negative, ties half
    won = np.where(miss, above, 0).sum(axis=1)
    pairs = np.where(miss, last - first, 0).sum(axis=1)
    return np.divide(won, pairs, out=np.full(p, np.nan), where=pairs > 0)


def _run_sums(keys: np.ndarray, through: np.ndarray, hit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each cell of sorted rows (p, s), how many positives came before its run of equal keys, and how many up to its end."""
    change = keys[:, 1:] != keys[:, :-1]
    start = through - hit  # rises along a row, so what is 0 inside a run takes the value at its beginning
    start[:, 1:][~change] = 0
    np.maximum.accumulate(start, axis=1, out=start)
    end = through.copy()
    end[:, :-1][~change] = np.iinfo(end.dtype).max
    return start, np.minimum.accumulate(end[:, ::-1], axis=1)[:, ::-1]
