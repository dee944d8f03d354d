"""Areas under the ROC curve, many maps at once.

    area = P(value of a positive > value of a negative) + ½ P(equal)         over all pairs: mid-ranks (Mann and Whitney 1947)
    within rings: the same over the pairs whose two members lie in one ring, so that distance alone says (nearly) nothing

Ring, value and label of a cell are packed into one integer, ring first and label last, so that one sort of plain integers
orders a map. In that order the pairs that a positive wins follow from the sum of the positives' places; equal values, which
count as won there, take half of their pairs back.

Not defined where there is no such pair: nan.
"""

from __future__ import annotations

import numpy as np

OUTSIDE = np.uint64(1 << 63)  # after every ring and value; even, so no positive


def roc_areas(
    values: np.ndarray, positive: np.ndarray, valid: np.ndarray, ring: np.ndarray | None = None
) -> np.ndarray:
    """(…, p) float64 of maps (…, p, s).

    Args:
        values: (…, p, s) float32, larger says "positive".
        positive, valid: (p, s) bool, the same for all kinds of maps; cells that are not valid are no members of pairs.
        ring: (p, s) small integers from 0 on; all one ring by default.
    """
    p, s = positive.shape
    if not p or not s:
        return np.full(values.shape[:-1], np.nan)
    bits = np.ascontiguousarray(values + np.float32(0), np.float32).view(np.uint32)  # + 0: −0 is 0
    ordered = np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(1 << 31)).astype(np.uint64)
    label = positive.astype(np.uint64)
    if ring is not None:
        label |= ring.astype(np.uint64) << np.uint64(33)
    ordered <<= np.uint64(1)
    ordered |= label
    key = np.where(valid, ordered, OUTSIDE).reshape(-1, s)
    key.sort(axis=1)

    hits, misses = _by_ring(positive & valid, ring), _by_ring(~positive & valid, ring)  # (p, rings)
    pairs = (hits * misses).sum(axis=1)
    found, cells = hits.sum(axis=1), valid.sum(axis=1)
    places = ((key & np.uint64(1)).astype(np.float64) @ np.arange(s)).reshape(*values.shape[:-2], p)
    # Positives at or before each negative, summed over negatives: every positive precedes all cells from its place on, and of
    # those found·(found + 1)/2 are positives. Positives up to a ring's end minus those are won by a positive, or equal.
    passed = found * cells - places - found * (found + 1) / 2
    won = (
        (misses * np.cumsum(hits, axis=1)).sum(axis=1) - passed - _equal_pairs(key).reshape(places.shape) / 2
    )
    return np.divide(won, pairs, out=np.full(places.shape, np.nan), where=pairs > 0)


def _by_ring(members: np.ndarray, ring: np.ndarray | None) -> np.ndarray:
    """(p, rings) float64: how many members each ring has."""
    if ring is None:
        return members.sum(axis=1, keepdims=True, dtype=np.float64)
    p, rings = len(ring), int(ring.max()) + 1
    rows, cols = np.nonzero(members)
    counts = np.bincount(rows * rings + ring[rows, cols], minlength=p * rings)
    return counts.reshape(p, rings).astype(np.float64)


def _equal_pairs(key: np.ndarray) -> np.ndarray:
    """(r,) float64: pairs of a negative and a positive of one ring and value, in each of the sorted rows."""
    # In a run of equal values negatives come first: a run with both has one step that changes the label alone.
    rows = np.flatnonzero(((key[:, 1:] ^ key[:, :-1]) == 1).any(axis=1))
    found = np.zeros(len(key))
    if not len(rows):
        return found
    tied = key[rows]
    value = tied >> np.uint64(1)
    first = np.ones(tied.shape, bool)
    first[:, 1:] = value[:, 1:] != value[:, :-1]
    starts = np.flatnonzero(first)
    hits = np.add.reduceat((tied & np.uint64(1)).astype(np.float64).ravel(), starts)
    lengths = np.diff(starts, append=tied.size)
    found[rows] = np.bincount(starts // tied.shape[1], weights=hits * (lengths - hits), minlength=len(rows))
    return found
