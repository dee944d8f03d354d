"""Which pixels are audited, and what the ground truth says of them.

Every image of the walk gives equally many pixels (±1), one of each of its categories in turn while it has any,
categories in an order drawn for the image: so one that covers 1 % of an image is there as often as one that covers half of it.
Within a category those with the smallest hash of seed, image and position are taken: the draw knows no model, so all are asked
about the same pixels.  [choice]

    boundary distance   pixels to the nearest pixel that touches (by a side) one of another category; 0 where it does itself
    object share        area of the pixel's connected region of one category (by sides) ÷ the image's
    rarity              pixels of its category ÷ labelled pixels, over the images walked
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from engine.atlas.hashing import pixel_hashes
from engine.pixels import in_turn


@dataclass(frozen=True, eq=False)
class Drawn:
    """p pixels of one image. row, col (p,) int32 · category (p,) int16 · boundary_distance, object_share (p,) float32 ·
    counts (k,) int64 pixels of every category in the image."""

    row: np.ndarray
    col: np.ndarray
    category: np.ndarray
    boundary_distance: np.ndarray
    object_share: np.ndarray
    counts: np.ndarray


def quota(pixels: int, images: int, place: int) -> int:
    """How many of `pixels` the image at `place` gives; they differ by at most one."""
    return pixels * (place + 1) // images - pixels * place // images


def draw(truth: np.ndarray, name: str, count: int, classes: int, seed: int) -> Drawn:
    """At most `count` labelled pixels of an image. truth (H, W), labels from `classes` on are unknown; name: its id."""
    flat = truth.ravel()
    labelled = np.flatnonzero(flat < classes)
    counts = np.bincount(flat[labelled], minlength=classes)
    order = np.argsort(pixel_hashes(seed, name, flat.size)[labelled])
    turn = np.argsort(np.argsort(pixel_hashes(seed, f"{name}/turns", classes)))
    turn = turn.astype(np.min_scalar_type(classes))  # small integers sort faster
    chosen = in_turn(turn[np.where(flat < classes, flat, 0)], labelled[order])[:count]
    row, col = np.divmod(chosen, truth.shape[1])
    return Drawn(
        row.astype(np.int32),
        col.astype(np.int32),
        flat[chosen].astype(np.int16),
        boundary_distances(truth, classes)[row, col],
        object_shares(truth, row, col),
        counts.astype(np.int64),
    )


def boundary_distances(truth: np.ndarray, classes: int) -> np.ndarray:
    """(H, W) float32 distance to the nearest pixel beside one of another category; nan everywhere without a boundary."""
    touching = np.zeros(truth.shape, bool)
    for one, other in (
        (np.s_[1:], np.s_[:-1]),
        (np.s_[:, 1:], np.s_[:, :-1]),
    ):
        apart = (truth[one] != truth[other]) & (truth[one] < classes) & (truth[other] < classes)
        touching[one] |= apart
        touching[other] |= apart
    if not touching.any():
        return np.full(truth.shape, np.nan, np.float32)
    return np.asarray(ndimage.distance_transform_edt(~touching), np.float32)


def object_shares(truth: np.ndarray, row: np.ndarray, col: np.ndarray) -> np.ndarray:
    """(p,) float32: the area of each pixel's connected region ÷ the image's."""
    shares = np.zeros(len(row), np.float32)
    of = truth[row, col]
    for category in np.unique(of):
        here = of == category
        regions = np.zeros(truth.shape, np.int32)
        ndimage.label(truth == category, output=regions)
        areas = np.bincount(regions.ravel())
        shares[here] = areas[regions[row[here], col[here]]] / truth.size
    return shares
