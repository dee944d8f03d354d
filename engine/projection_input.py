"""What can be projected, with which parameters, and the key that names the answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.errors import LoupeError
from engine.projection_umap import made_by, unit_length

VERSION = "1"  # of everything here that changes a map or its numbers
METHODS = ("pca", "umap", "densmap", "aligned")
METRICS = ("euclidean", "cosine")
NEIGHBOURS, MIN_DIST = 15, 0.1  # umap-learn's own defaults
MOST_NEIGHBOURS = 200
LEAST = 10  # pixels
ALIGNED_MOST = 3000  # pixels that an aligned map may have
PANELS_MOST = 8
LARGEST = 1e15  # of a feature: the square of its distance is still a number


def parameters(
    method: str,
    *,
    n_neighbours: int = NEIGHBOURS,
    min_dist: float = MIN_DIST,
    metric: str = "euclidean",
    seed: int = 0,
) -> dict[str, Any]:
    """Those that matter to the method, checked.

    Raises:
        LoupeError: one is out of range.
    """
    if method not in METHODS:
        raise LoupeError(f"there is no projection “{method}”: there are {', '.join(METHODS)}")
    if method == "pca":
        return {}
    if not 2 <= n_neighbours <= MOST_NEIGHBOURS:
        raise LoupeError(f"{n_neighbours} neighbours: it must be from 2 to {MOST_NEIGHBOURS}")
    if not 0.0 <= min_dist <= 1.0:
        raise LoupeError(f"a minimum distance of {min_dist}: it must be from 0 to 1")
    if metric not in METRICS:
        raise LoupeError(f"there is no distance “{metric}” here: there are {', '.join(METRICS)}")
    if not 0 <= seed < 2**31:
        raise LoupeError(f"a seed of {seed}: it must be from 0 to {2**31 - 1}")
    found = {"n_neighbours": int(n_neighbours), "metric": metric}
    return found if method == "aligned" else {**found, "min_dist": float(min_dist)}


def checked(x: np.ndarray, n_neighbours: int = 0) -> np.ndarray:
    """x as a matrix of float32 that can be projected. Raises LoupeError where it cannot."""
    x = finite(x)
    least = max(n_neighbours + 1, LEAST)
    if len(x) < least:
        raise LoupeError(f"{len(x)} pixels are too few for this projection: it needs at least {least}")
    if x.shape[1] < 2:
        raise LoupeError("a single channel cannot be projected to two dimensions")
    if not np.ptp(x, axis=0).any():
        raise LoupeError(f"the features of all {len(x)} pixels are the same: there is nothing to project")
    return x


def finite(x: np.ndarray) -> np.ndarray:
    x = np.ascontiguousarray(x, np.float32)
    if x.ndim != 2:
        raise LoupeError(f"features must be a matrix, pixels by channels: these have the shape {x.shape}")
    wrong = int((~np.isfinite(x).all(axis=1)).sum())
    if wrong:
        raise LoupeError(f"the features of {wrong} of {len(x)} pixels are not finite numbers")
    if x.size and np.abs(x).max() > LARGEST:
        raise LoupeError(
            f"the features reach {np.abs(x).max():.2g}: their distances are beyond a number's range"
        )
    return x


def panels(xs: Sequence[np.ndarray], n_neighbours: int) -> list[np.ndarray]:
    """What aligned UMAP can take. Raises LoupeError."""
    if not 2 <= len(xs) <= PANELS_MOST:
        raise LoupeError(f"aligned maps need from 2 to {PANELS_MOST} panels: there are {len(xs)}")
    counts = sorted({len(x) for x in xs})
    if len(counts) > 1:
        raise LoupeError(
            f"aligned maps need the same pixels in every panel: these have {' and '.join(map(str, counts))}"
        )
    if counts[0] > ALIGNED_MOST:
        raise LoupeError(f"{counts[0]} pixels are too many to align: at most {ALIGNED_MOST}")
    return [checked(x, n_neighbours) for x in xs]


def in_metric(x: np.ndarray, metric: str) -> np.ndarray:
    """Features whose Euclidean distances go by the metric."""
    if metric == "euclidean":
        return x
    if not np.linalg.norm(x, axis=1).all():
        raise LoupeError(
            "a pixel's features are all zero, and cosine needs a direction: choose the Euclidean distance"
        )
    return unit_length(x)


def key_of(method: str, arrays: Sequence[np.ndarray], params: Mapping[str, Any], seed: int | None) -> str:
    """A digest of all that a map depends on, and of nothing else. arrays: float32, as `checked` gives them."""
    about = [VERSION, made_by(method), method, sorted(params.items()), seed, [x.shape for x in arrays]]
    digest = hashlib.blake2b(json.dumps(about).encode(), digest_size=16)
    for x in arrays:
        digest.update(x.reshape(-1).data)
    return digest.hexdigest()
