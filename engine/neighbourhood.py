"""Is a pixel among its own? Silhouette and k-NN purity of pixels, in the original space, neighbours of the same image left out.

    silhouette   (b − a) / max(a, b)   a: mean distance to the own category's pixels of other images, b: to the nearest other's
                                       Rousseeuw 1987; as scikit-learn's where every pixel is its own image
    purity       share of the k nearest pixels of other images that are of the own category

Pixels of one image share light, place and the same object, so its own neighbours would say that a category is compact where only
the image is. Distances are Euclidean, in fp64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

NEIGHBOURS = 15
BLOCK = 512  # pixels whose distances are held at a time


class Scores(NamedTuple):
    """Of r pixels; nan where undefined: no pixel of the own, or of no other, category in another image."""

    silhouette: np.ndarray  # (r,) −1..1
    purity: np.ndarray  # (r,) 0..1
    chance: float  # purity of neighbours drawn at random from other images


def scores(x: np.ndarray, category: np.ndarray, image: np.ndarray, neighbours: int = NEIGHBOURS) -> Scores:
    """Of pixels x (r, c), category (r,), image (r,). With fewer than `neighbours` in other images, all of them count."""
    x = x.astype(np.float64)
    x = x - x.mean(0)  # the squares below would lose digits to a large mean
    kinds, own = np.unique(category, return_inverse=True)
    images, place = np.unique(image, return_inverse=True)
    one_hot = np.eye(len(kinds))[own]
    held = np.zeros((len(images), len(kinds)))
    np.add.at(held, (place, own), 1)
    elsewhere = held.sum(0) - held  # pixels of each category in other images
    squares = np.square(x).sum(1)
    silhouette, purity = np.full(len(x), np.nan), np.full(len(x), np.nan)
    for start in range(0, len(x), BLOCK):
        rows = slice(start, min(start + BLOCK, len(x)))
        distance = squares[rows, None] + squares - 2 * (x[rows] @ x.T)
        np.sqrt(np.maximum(distance, 0, out=distance), out=distance)
        same = place[rows, None] == place
        distance[same] = 0
        counts = elsewhere[place[rows]]
        means = np.divide(distance @ one_hot, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
        silhouette[rows] = _silhouette(means, own[rows])
        distance[same] = np.inf
        purity[rows] = _purity(distance, own, own[rows], counts.sum(1).astype(int), neighbours)
    total = elsewhere[place].sum(1)
    chances = np.divide(elsewhere[place, own], total, out=np.full(len(x), np.nan), where=total > 0)
    return Scores(
        silhouette, purity, float(np.nanmean(chances)) if np.isfinite(chances).any() else float("nan")
    )


def _silhouette(means: np.ndarray, own: np.ndarray) -> np.ndarray:
    """From mean distances to each category (r, k), nan where it has no pixel elsewhere."""
    rows = np.arange(len(own))
    a = means[rows, own]
    others = means.copy()
    others[rows, own] = np.inf
    b = np.where(np.isnan(others), np.inf, others).min(1)
    larger = np.maximum(a, b)
    defined = np.isfinite(a) & np.isfinite(b)
    # Where all distances are 0 the pixel is as far from both: scikit-learn's 0.
    found = np.divide(b - a, larger, out=np.zeros(len(own)), where=defined & (larger > 0))
    return np.where(defined, found, np.nan)


def _purity(
    distance: np.ndarray, category: np.ndarray, own: np.ndarray, there: np.ndarray, neighbours: int
) -> np.ndarray:
    """there (r,): how many pixels lie in other images; those of the own are at infinity."""
    most = min(neighbours, distance.shape[1])
    nearest = np.argpartition(distance, most - 1, axis=1)[:, :most]
    counted = np.isfinite(np.take_along_axis(distance, nearest, axis=1))
    alike = (category[nearest] == own[:, None]) & counted
    wanted = np.minimum(there, most)
    return np.divide(alike.sum(1), wanted, out=np.full(len(own), np.nan), where=wanted > 0)
