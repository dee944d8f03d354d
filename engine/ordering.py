"""An order of categories in which alike ones are neighbours: what makes a matrix of them readable."""

from __future__ import annotations

import numpy as np


def alike_order(cosines: np.ndarray) -> list[int]:
    """An order of the rows of a cosine matrix (k, k): average-linkage clustering of 1 − cosine, leaves ordered.

    Only cosines matter here, not what they are of: class tokens, memory rows, readers' habits. An undefined cosine (nan: a
    row of norm 0, a category without readers) counts as 0; rows of which every cosine to others is undefined come last.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
    from scipy.spatial.distance import squareform

    others = np.isfinite(cosines) & ~np.eye(len(cosines), dtype=bool)
    known = np.flatnonzero(others.any(axis=1))
    rest = np.flatnonzero(~others.any(axis=1)).tolist()
    if len(known) < 3:
        return [*known.tolist(), *rest]
    chosen = np.nan_to_num(cosines[np.ix_(known, known)], nan=0.0)
    distance = np.clip(1 - (chosen + chosen.T) / 2, 0, 2)
    np.fill_diagonal(distance, 0)
    condensed = squareform(distance, checks=False)
    leaves = leaves_list(optimal_leaf_ordering(linkage(condensed, "average"), condensed))
    return [*known[leaves].tolist(), *rest]
