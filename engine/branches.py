"""HFGD's two branches compared: guide (stride 32) against upsampler (stride 4 or 2), on one image.

    relative logit of category c at a pixel   Z_c − mean over categories of Z        softmax and argmax do not change by it, and
                                              only so can two branches' logits be subtracted        [choice]
    token angle    ∠(T_c, mean of F over the cells of category c), F = F_h or F_u, in degrees
    band           pixels within d of a ground-truth edge (engine.metrics); inside it and outside it IoU is counted apart

Cells of a map belong to a category as in engine.cell_labels: at least 75 % of their pixels share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine import metrics
from engine.cell_labels import UNKNOWN, majority_labels
from engine.errors import LoupeError
from engine.guidance import Guidance
from engine.images import cell
from engine.resample import bilinear_labels
from engine.shapes import Float
from engine.trace import Trace

BOTH_RIGHT, GUIDE_ALONE, UPSAMPLER_ALONE, BOTH_WRONG = range(4)
OUTCOMES = ("both right", "guide alone right", "upsampler alone right", "both wrong")


@dataclass(frozen=True)
class BranchMeasures:
    """One branch against ground truth on one image; percent, nan where nothing is there to count."""

    branch: str  # "guide" or "upsampler"
    miou: float  # over the categories of this image
    band_miou: float  # of the pixels near an edge
    inside_miou: float  # of all others
    iou: np.ndarray  # (k,) per category
    band_iou: np.ndarray  # (k,)
    inside_iou: np.ndarray  # (k,)


@dataclass(frozen=True)
class BranchReading:
    """What one branch says at one pixel: at the cell that holds it, not interpolated."""

    branch: str  # "guide" or "upsampler"
    cell: tuple[int, int]
    grid: tuple[int, int]
    probabilities: np.ndarray  # (k,) softmax of the cell's logits

    def top(self, most: int = 5) -> list[tuple[int, float]]:
        """(category, probability), most probable first."""
        order = np.argsort(-self.probabilities, kind="stable")[:most]
        return [(int(c), float(self.probabilities[c])) for c in order]

    def json(self, classes: Sequence[str]) -> dict[str, Any]:
        top = [{"category": classes[c], "probability": p} for c, p in self.top()]
        return {"branch": self.branch, "cell": list(self.cell), "grid": list(self.grid), "top": top}


def guidance_of(trace: Trace) -> Guidance:
    """The trace's guidance.

    Raises:
        LoupeError: the model has no guide branch.
    """
    if trace.guidance is None:
        raise LoupeError("this model has no guide branch")
    return trace.guidance


def branch_readings(trace: Trace, pixel: tuple[int, int]) -> list[BranchReading]:
    """(guide, upsampler) at a pixel (row, col) of the upright original image, or of the traced one where none is attached.

    Raises:
        LoupeError: no guide branch, or a pixel outside the image.
    """
    guidance = guidance_of(trace)
    size = trace.image_size if trace.image is None else trace.image.original_size
    found = []
    for branch, logits in (("guide", guidance.guide_logits), ("upsampler", guidance.upsampler_logits)):
        grid = (logits.shape[-2], logits.shape[-1])
        row, col = cell(*pixel, size, grid)
        probabilities = logits[:, row, col].float().softmax(dim=0).cpu().numpy()
        found.append(BranchReading(branch, (row, col), grid, probabilities))
    return found


def relative_logits(logits: Float[Tensor, "k h w"], category: int) -> Float[Tensor, "h w"]:
    """Logit of one category minus the mean over categories."""
    return logits[category].float() - logits.float().mean(dim=0)


def logit_maps(trace: Trace, category: int) -> tuple[Tensor, Tensor, Tensor]:
    """(guide (y, x), upsampler (h, w), upsampler − guide resized bilinearly (h, w)) of relative logits.

    Raises:
        LoupeError: no guide branch, no such category.
    """
    guidance = guidance_of(trace)
    guidance.logits_of(category)  # refuses an unknown category
    guide = relative_logits(guidance.guide_logits, category)
    upsampler = relative_logits(guidance.upsampler_logits, category)
    resized = F.interpolate(guide[None, None], upsampler.shape, mode="bilinear", align_corners=False)[0, 0]
    return guide, upsampler, upsampler - resized


def guide_labels(trace: Trace) -> Tensor:
    """(H, W) what the guide alone would predict, at image size; the upsampler's is `trace.labels`."""
    return bilinear_labels(guidance_of(trace).guide_logits[None], trace.image_size)[0]


def outcomes(trace: Trace, truth: np.ndarray) -> np.ndarray:
    """(H, W) uint8: which branch is right at every pixel, an index into OUTCOMES; 255 where the truth is unknown.

    Raises:
        LoupeError: no guide branch, or a truth of another size than the traced image.
    """
    _check(trace, truth)
    guide = guide_labels(trace).cpu().numpy() == truth
    upsampler = trace.labels.cpu().numpy() == truth
    found = np.select(
        [guide & upsampler, guide, upsampler], [BOTH_RIGHT, GUIDE_ALONE, UPSAMPLER_ALONE], BOTH_WRONG
    ).astype(np.uint8)
    return np.where(truth == metrics.IGNORED, np.uint8(metrics.IGNORED), found)


def outcome_counts(trace: Trace, truth: np.ndarray) -> np.ndarray:
    """(3, 4) pixels: in the whole image, in the band near an edge, outside of it × OUTCOMES. Raises as `outcomes` does."""
    found = outcomes(trace, truth)
    near = metrics.near_edge(truth, metrics.band_width(*truth.shape))
    valid = found != metrics.IGNORED
    whole, band = (np.bincount(found[mask], minlength=len(OUTCOMES)) for mask in (valid, valid & near))
    return np.stack([whole, band, whole - band])


def measures(trace: Trace, truth: np.ndarray) -> tuple[BranchMeasures, BranchMeasures]:
    """(guide, upsampler) against ground truth. Raises as `outcomes` does."""
    _check(trace, truth)
    classes = trace.logits.shape[0]
    predictions = {"guide": guide_labels(trace), "upsampler": trace.labels}
    found = []
    for branch, labels in predictions.items():
        counts = metrics.count(truth, labels.cpu().numpy(), classes)
        whole, band, inside = (
            100 * metrics.iou(c) for c in (counts.confusion, counts.band, counts.confusion - counts.band)
        )
        # A category that is only predicted, and not in the image, counts against both branches alike: mIoU as everywhere.
        found.append(
            BranchMeasures(
                branch, metrics.mean(whole), metrics.mean(band), metrics.mean(inside), whole, band, inside
            )
        )
    return found[0], found[1]


def token_angles(trace: Trace, truth: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Degrees between each class token and the class means: {"high": (k,), "upsampled": (k,)}; nan without a pure cell.

    By ground truth where it is given, else by the prediction. "upsampled" is measured to what classifies F_u. Raises LoupeError
    without a guide branch.
    """
    guidance = guidance_of(trace)
    pairs = {
        "high": (guidance.high, guidance.tokens),
        "upsampled": (guidance.upsampled, guidance.classifier),
    }
    known = trace.labels.cpu().numpy() if truth is None else truth
    found = {}
    for name, (features, tokens) in pairs.items():
        labels = majority_labels(known, (features.shape[-2], features.shape[-1]), len(tokens))
        means, counts = class_means(
            features.float(), torch.from_numpy(labels).to(features.device), len(tokens)
        )
        cosines = F.cosine_similarity(means, tokens.float(), dim=-1).clamp(-1, 1)
        degrees = torch.rad2deg(torch.arccos(cosines))
        found[name] = torch.where(counts > 0, degrees, torch.nan).cpu().numpy()
    return found


def mean_angles(tokens: np.ndarray, means: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(k,) degrees between each token (k, c) and its category's mean feature (k, c); nan where `counts` (k,) is 0."""
    lengths = np.linalg.norm(tokens, axis=1) * np.linalg.norm(means, axis=1)
    known = (counts > 0) & (lengths > 0)
    products = (np.asarray(tokens, np.float64) * means).sum(axis=1)
    cosines = np.divide(products, lengths, out=np.full(len(tokens), np.nan), where=known)
    return np.degrees(np.arccos(np.clip(cosines, -1, 1)))


def class_means(
    features: Float[Tensor, "c h w"], labels: Tensor, classes: int
) -> tuple[Float[Tensor, "k c"], Tensor]:
    """(mean feature of each category's cells, number of such cells (k,)); labels (h, w), 255 belongs to none."""
    flat, ids = features.flatten(1).T, labels.flatten().long()
    valid = ids != UNKNOWN
    sums = torch.zeros(classes, flat.shape[1], device=flat.device).index_add_(0, ids[valid], flat[valid])
    counts = torch.bincount(ids[valid], minlength=classes)
    return sums / counts.clamp_min(1)[:, None], counts


def _check(trace: Trace, truth: np.ndarray) -> None:
    guidance_of(trace)
    if truth.shape != tuple(trace.image_size):
        said, wanted = ("×".join(map(str, s)) for s in (truth.shape, trace.image_size))
        raise LoupeError(f"the labels are {said} pixels and the traced image is {wanted}")
