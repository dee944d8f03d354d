"""Clusters of pixels in the original space, by density: what a lasso has caught, taken apart. Never of a projection.

    found = clusters(features, smallest=20)       HDBSCAN: Campello, Moulavi and Sander 2013, as scikit-learn has it

Distances are Euclidean. More than `MOST` pixels are thinned evenly in the order in which they are given, which is that of their
draw  [choice]: all distances are taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.errors import LoupeError

MOST = 4096  # pixels of which all distances are taken
DENSE = 5  # neighbours that make a place dense  [choice]: with as many as `smallest`, nearly all pixels are noise here
NOISE = -1


@dataclass(frozen=True, eq=False)
class Clusters:
    """rows (p,): of the pixels that were clustered; label (p,): cluster from 0, the largest first, −1 in none; strength (p,): of
    membership, 0..1; smallest: pixels of the smallest cluster that may be found."""

    rows: np.ndarray
    label: np.ndarray
    strength: np.ndarray
    smallest: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Pixels of each cluster, falling."""
        return tuple(np.bincount(self.label[self.label >= 0]).tolist())

    @property
    def left(self) -> int:
        """Pixels in no cluster."""
        return int((self.label == NOISE).sum())

    def members(self, cluster: int) -> np.ndarray:
        """Rows of a cluster's pixels, the surest first."""
        here = np.flatnonzero(self.label == cluster)
        return self.rows[here[np.argsort(-self.strength[here], kind="stable")]]


def clusters(features: np.ndarray, smallest: int) -> Clusters:
    """HDBSCAN clusters of pixels (r, c).

    Args:
        smallest: pixels of the smallest cluster, at least 2.

    Raises:
        LoupeError: fewer than 2 · smallest pixels, features that are not finite, or all alike.
    """
    if smallest < 2:
        raise LoupeError(f"a smallest cluster of {smallest}: it must be at least 2 pixels")
    count = len(features)
    if count < 2 * smallest:
        raise LoupeError(
            f"{count} pixels are too few for clusters of at least {smallest}: select {2 * smallest} or more"
        )
    rows = np.arange(count) if count <= MOST else np.arange(MOST) * count // MOST
    x = np.asarray(features[rows], np.float64)
    if not np.isfinite(x).all():
        raise LoupeError("the features hold values that are not finite numbers: they cannot be clustered")
    if np.ptp(x, axis=0).max() == 0:
        raise LoupeError("all features are alike: there is nothing to tell apart")

    from sklearn.cluster import HDBSCAN

    # scikit-learn's signature takes `copy` for a string, its documentation and code for a boolean.
    options = {"min_cluster_size": smallest, "min_samples": min(DENSE, smallest), "copy": True}
    found = HDBSCAN(**options).fit(x)
    return Clusters(rows, _by_size(found.labels_), np.asarray(found.probabilities_), smallest)


def _by_size(labels: np.ndarray) -> np.ndarray:
    """The same clusters, numbered from the largest; alike ones in the order of their first pixel."""
    names, first, count = np.unique(labels[labels >= 0], return_index=True, return_counts=True)
    places = {int(names[i]): at for at, i in enumerate(np.lexsort((first, -count)))}
    return np.array([places.get(int(label), NOISE) for label in labels], np.int64)
