"""Measures of a segmentation: IoU, boundary IoU, band IoU, from counts that add up over images.

    IoU_c           TP / (TP + FP + FN) from one confusion matrix over the split (as torchmetrics' MulticlassJaccardIndex)
    boundary IoU_c  |G_c,d ∩ G_c ∩ P_c,d ∩ P_c| / |(G_c,d ∩ G_c) ∪ (P_c,d ∩ P_c)|, G_c,d the pixels within d of the contour of
                    category c's mask: inner bands, mask minus its erosion by a 3×3 square d times. The image border counts as
                    a contour. d = max(1, round(0.02 · image diagonal)). Sums over the split. (Cheng et al. 2021)
    band IoU_c      IoU over the pixels within d of an edge between two categories of the ground truth

One pass does all categories: with square neighbourhoods a pixel survives the erosion of its own category's mask exactly where
the minimum and the maximum of the label map in its (2d + 1)² window are equal and the window stays in the image.

Ignored pixels (label 255) count nowhere: they belong to no category's mask, neither true nor predicted. Categories that never
occur, neither in truth nor in prediction, have IoU nan and are left out of every mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.errors import LoupeError

IGNORED = 255
BAND = 0.02
"""Width of the boundary band as a share of the image's diagonal. (Cheng et al. 2021)"""


@dataclass(frozen=True)
class Counts:
    """What one image, or a sum of images, adds to the measures. All int64.

    confusion (k, k) pixels, rows true, columns predicted · boundary (3, k) pixels: intersection, true band, predicted band ·
    band (k, k) the confusion of the pixels near a true edge.
    """

    confusion: np.ndarray
    boundary: np.ndarray
    band: np.ndarray

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.confusion + other.confusion, self.boundary + other.boundary, self.band + other.band
        )

    @property
    def iou(self) -> np.ndarray:
        """IoU per category (k,), 0..1, nan where the category never occurs."""
        return iou(self.confusion)

    @property
    def boundary_iou(self) -> np.ndarray:
        """Boundary IoU per category (k,), 0..1, nan where the category never occurs."""
        intersection, true, predicted = self.boundary
        return _ratio(intersection, true + predicted - intersection)

    @property
    def band_iou(self) -> np.ndarray:
        """IoU per category (k,) of the pixels near a true edge, 0..1, nan where there are none."""
        return iou(self.band)


@dataclass(frozen=True, eq=False)
class Truth:
    """The ground truth of one image with what every count against it needs: made once for many predictions.

    labels (H, W) uint8, 255 ignored · band (H, W) bool: the true inner band · edges (H, W) bool: near a true edge.
    """

    labels: np.ndarray
    band: np.ndarray
    edges: np.ndarray
    categories: int

    @staticmethod
    def of(truth: np.ndarray, categories: int) -> Truth:
        """truth (H, W) integer, 255 ignored.

        Raises LoupeError when a label is out of range.
        """
        valid = truth != IGNORED
        if truth.size and int(truth[valid].max(initial=0)) >= categories:
            raise LoupeError(f"A label is outside 0..{categories - 1}, the categories of this model.")
        labels = truth.astype(np.uint8)
        width = band_width(*truth.shape)
        return Truth(labels, inner_band(labels, width) & valid, near_edge(labels, width) & valid, categories)

    def count(self, predicted: np.ndarray) -> Counts:
        """Counts of a prediction (H, W) integer in 0..categories−1."""
        valid = self.labels != IGNORED
        return Counts(
            confusion(self.labels[valid], predicted[valid], self.categories),
            self._boundary(predicted),
            confusion(self.labels[self.edges], predicted[self.edges], self.categories),
        )

    def recount(self, counts: Counts, before: np.ndarray, after: np.ndarray) -> Counts:
        """Counts of the prediction `after` from those of the prediction `before`: pixels that stayed are not counted again."""
        changed = (before != after) & (self.labels != IGNORED)
        if not changed.any():
            return counts
        near = changed & self.edges
        return Counts(
            counts.confusion + self._moved(changed, before, after),
            self._boundary(after),
            counts.band + self._moved(near, before, after),
        )

    def _moved(self, where: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        true, old, new = self.labels[where], before[where], after[where]
        return confusion(true, new, self.categories) - confusion(true, old, self.categories)

    def _boundary(self, predicted: np.ndarray) -> np.ndarray:
        true, k = self.labels, self.categories
        guess = np.where(true != IGNORED, predicted, IGNORED).astype(np.uint8)
        band = inner_band(guess, band_width(*true.shape)) & (true != IGNORED)
        return np.stack(
            [
                np.bincount(true[self.band & band & (true == guess)], minlength=k),
                np.bincount(true[self.band], minlength=k),
                np.bincount(guess[band], minlength=k),
            ]
        )


def count(truth: np.ndarray, predicted: np.ndarray, categories: int) -> Counts:
    """Counts of one image. truth (H, W) integer, 255 ignored; predicted (H, W) integer in 0..categories−1.

    Raises LoupeError when the sizes differ or a label is out of range.
    """
    if truth.shape != predicted.shape or truth.ndim != 2:
        raise LoupeError(
            f"Labels of shape {truth.shape} cannot be compared with a prediction of {predicted.shape}."
        )
    if predicted.size and int(predicted.max()) >= categories:
        raise LoupeError(f"A label is outside 0..{categories - 1}, the categories of this model.")
    return Truth.of(truth, categories).count(predicted)


def confusion(truth: np.ndarray, predicted: np.ndarray, categories: int) -> np.ndarray:
    """Confusion matrix (k, k) int64 of equally shaped valid labels; rows true, columns predicted."""
    flat = truth.astype(np.int64).ravel() * categories + predicted.ravel()
    return np.bincount(flat, minlength=categories * categories).reshape(categories, categories)


def iou(matrix: np.ndarray) -> np.ndarray:
    """IoU per category (..., k) of confusion matrices (..., k, k), 0..1, nan where a category never occurs."""
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    return _ratio(hits, matrix.sum(-1) + matrix.sum(-2) - hits)


def mean(values: np.ndarray) -> float:
    """Mean over the categories that occur; nan when none does."""
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")


def band_width(height: int, width: int) -> int:
    """d in pixels: max(1, round(0.02 · diagonal))."""
    return max(1, round(BAND * float(np.hypot(height, width))))


def inner_band(labels: np.ndarray, width: int) -> np.ndarray:
    """(H, W) bool: pixels of each category's mask that its erosion by `width` pixels removes; the border erodes too."""
    from scipy import ndimage  # not at the top: what counts alone must run where there is no SciPy

    size = 2 * width + 1
    band = ndimage.minimum_filter(labels, size, mode="nearest") != ndimage.maximum_filter(
        labels, size, mode="nearest"
    )
    band[:width] = band[-width:] = True
    band[:, :width] = band[:, -width:] = True
    return band


def near_edge(labels: np.ndarray, width: int) -> np.ndarray:
    """(H, W) bool: pixels with two categories in their (2 · width + 1)² window; ignored pixels are no category."""
    from scipy import ndimage

    size = 2 * width + 1
    # 255 is never the minimum of a window that holds a category, and is hidden from its maximum
    low = ndimage.minimum_filter(labels, size, mode="nearest")
    return low < ndimage.maximum_filter(np.where(labels == IGNORED, 0, labels), size, mode="nearest")


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
