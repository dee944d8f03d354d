"""What a memory bank holds, beside the live prototypes that it was made from. Pure functions of arrays.

    cosine matrix     ⟨M_a, M_b⟩ / ‖M_a‖‖M_b‖                                  the rows' norms differ: only directions compare
    effective rank    exp(−Σ p ln p),  p = σ / Σσ,  σ the singular values      Roy & Vetterli 2007
    noise share of a row   ⟨(1 − π) m_absent, m⟩ / ‖m‖²,   m = π m_present + (1 − π) m_absent
                      m: mean of a category's live prototypes over all images, as the author's bank averages them; π: share of
                      the images that hold the category; m_present, m_absent: the means over those and over the others  [choice]

A bank's rows are memory rows of block i, in the space `aligned_i`: live prototypes are comparable to them by cosine, nothing of
another site is. Functions take any k and C. How a bank came about in training is in engine.bank_time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from engine.atlas.records import PrototypeMeans
    from engine.segmenter import Segmenter

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Ranks:
    """Effective rank of a bank (k, C), twice, since it answers two questions.

    rows: of the L2-normalised rows, 1 to min(k, C): how many directions the rows fill. A part that all rows share lowers it.
    centred: of the rows minus their mean, 0 (identical rows) to min(k − 1, C): how many directions the rows *differ* in. A part
    that all rows share adds the same to every score of a query and the same vector to every pixel, so the softmax does not see
    it: what a query can tell rows apart by is this one alone.
    """

    rows: float
    centred: float
    most: int
    most_centred: int


@dataclass(frozen=True, eq=False)
class Shadow:
    """A presence-weighted bank beside the author's running mean over all images; every array (k,), nan where undefined.

    presence, presence_predicted: share of images that hold the category, by ground truth and by the prediction.
    everywhere, true, predicted: cosine of the checkpoint's memory row with the mean over all images, over those that hold the
    category, over those where it is predicted; nan without memory. means: cosine of the mean over all images with that over
    images that hold it: how far absence turns the row, memory or not.
    noise: signed share of the row that comes from images without the category; own: the share from images with it; they sum
    to 1. A prototype that were the same with and without its category would have noise 1 − presence: the share says where the
    row comes from, the cosines say whether it matters.
    reason: why a row's noise is nan, or 0 by definition; empty elsewhere.
    """

    presence: np.ndarray
    presence_predicted: np.ndarray
    everywhere: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    means: np.ndarray
    noise: np.ndarray
    own: np.ndarray
    reason: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class LiveSpread:
    """Cosine of live prototypes with the memory row, over images.

    held (k, 5): quantiles (QUANTILES) over images that hold the category; others (k, 5): over the rest; nan without an image.
    held_images, others_images (k,): how many those are.
    """

    held: np.ndarray
    others: np.ndarray
    held_images: np.ndarray
    others_images: np.ndarray


def banks(segmenter: Segmenter) -> dict[str, np.ndarray]:
    """The memory banks as the model has them, by stage, coarse → fine: (k, C) fp32 each, not normalised; {} without memory."""
    from engine.decoders.cpt import STAGE_NAMES

    found = segmenter.decoder.memory_banks()
    rows = [bank.bank[0].detach().float().cpu().numpy() for bank in found]
    return dict(zip(reversed(STAGE_NAMES), rows, strict=True)) if rows else {}


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine along the last axis, broadcasting the others; nan where a vector is 0 or not finite."""
    return np.clip((_unit(a) * _unit(b)).sum(axis=-1), -1, 1)


def cosine_matrix(rows: np.ndarray) -> np.ndarray:
    """(k, c) → (k, k), symmetric, exactly 1 on the diagonal; nan in the row and column of a vector that is 0 or not finite."""
    unit = _unit(rows)
    found = np.clip(unit @ unit.T, -1, 1)
    np.fill_diagonal(found, np.where(np.isfinite(unit).all(axis=1), 1.0, np.nan))
    return found


def norms(rows: np.ndarray) -> np.ndarray:
    """(…, k, c) → (…, k) L2 norms. A bank's start at 1 and fall below it, the more a category's prototypes vary."""
    return np.linalg.norm(np.asarray(rows, np.float64), axis=-1)


def nearest(cosines: np.ndarray, most: int = 3) -> tuple[tuple[tuple[int, float], ...], ...]:
    """Of each row of a cosine matrix (k, k): the categories nearest to it, (category, cosine), nearest first, itself left out."""
    found = []
    for own, row in enumerate(cosines):
        others = [c for c in np.argsort(-row, kind="stable") if c != own and np.isfinite(row[c])]
        found.append(tuple((int(c), float(row[c])) for c in others[:most]))
    return tuple(found)


def effective_rank(matrix: np.ndarray) -> float:
    """exp of the entropy of the singular values' shares, 1 to min(shape); 0 for a zero matrix, nan where not finite.

    Source: Roy & Vetterli, "The effective rank", EUSIPCO 2007, with singular values below rounding taken as 0.
    """
    return _effective_rank(np.asarray(matrix, np.float64), 0.0)


def ranks(bank: np.ndarray) -> Ranks:
    """Effective rank of a bank's rows (k, C), normalised and centred; see `Ranks`. Rows of norm 0 count as they are."""
    rows = np.asarray(bank, np.float64)
    k, channels = rows.shape
    length = norms(rows)[:, None]
    unit = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
    # Rounding is judged against the rows themselves: what is left of identical rows after centring is nothing but rounding.
    size = float(np.linalg.norm(rows)) if np.isfinite(rows).all() else np.nan
    return Ranks(
        _effective_rank(unit, 0.0) if np.isfinite(size) else np.nan,
        _effective_rank(rows - rows.mean(axis=0), size),
        min(k, channels),
        min(k - 1, channels),
    )


def shadow(means: PrototypeMeans, bank: np.ndarray | None = None) -> Shadow:
    """The presence-weighted bank against the all-image mean, and against the checkpoint's memory rows (k, C) where there are any.

    The atlas's means are of raw prototypes, one image each, of the atlas's images; the bank's were normalised after averaging a
    training batch: hence only cosines are compared. Exact: noise + own = 1.
    """
    k = len(means.everywhere)
    total = max(1, means.images)
    presence = means.true_images / total if means.images else np.full(k, np.nan)
    presence_predicted = means.predicted_images / total if means.images else np.full(k, np.nan)
    everywhere, true = (np.asarray(m, np.float64) for m in (means.everywhere, means.true))
    squared = (everywhere**2).sum(axis=1)
    own_part = (presence[:, None] * true * everywhere).sum(axis=1)
    own = np.divide(own_part, squared, out=np.full(k, np.nan), where=squared > 0)
    reasons = []
    for c in range(k):
        if means.images == 0:
            reasons.append("no image was read")
        elif means.true_images[c] == 0:
            reasons.append("no image holds it, so there is no row to compare with")
        elif squared[c] == 0 or not np.isfinite(squared[c]):
            reasons.append("the mean of its prototypes is 0 or not finite")
        elif means.true_images[c] == means.images:
            reasons.append("every image holds it, so nothing comes from elsewhere")
        else:
            reasons.append("")
    held = (means.true_images > 0) & (squared > 0)
    always = held & (means.true_images == means.images)
    own = np.where(always, 1.0, np.where(held, own, np.nan))
    row = np.full((k, 1), np.nan) if bank is None else np.asarray(bank)
    return Shadow(
        presence=presence,
        presence_predicted=presence_predicted,
        everywhere=cosine(row, everywhere),
        true=cosine(row, true),
        predicted=cosine(row, means.predicted),
        means=cosine(everywhere, true),
        noise=np.where(always, 0.0, 1 - own),
        own=own,
        reason=tuple(reasons),
    )


def live_spread(cosines: np.ndarray, held: np.ndarray) -> LiveSpread:
    """Quantiles over images of the cosine between live prototype and memory row.

    Args:
        cosines: (i, k), `Live.cosine`; undefined ones (nan) are left out.
        held: (i, k) bool, the image holds the category: `Images.true > 0`.
    """
    k = cosines.shape[1]
    found, counts = [], []
    for mask in (held.astype(bool), ~held.astype(bool)):
        columns = [cosines[mask[:, c] & np.isfinite(cosines[:, c]), c] for c in range(k)]
        nothing = np.full(len(QUANTILES), np.nan)
        found.append(np.array([np.quantile(v, QUANTILES) if len(v) else nothing for v in columns]))
        counts.append(np.array([len(v) for v in columns]))
    return LiveSpread(found[0], found[1], counts[0], counts[1])


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows of norm 1; nan where the norm is 0 or not finite."""
    rows = np.asarray(rows, np.float64)
    length = norms(rows)[..., None]
    defined = np.isfinite(length) & (length > 0)
    return np.divide(rows, length, out=np.full(rows.shape, np.nan), where=defined)


def _effective_rank(matrix: np.ndarray, scale: float) -> float:
    """scale: norm of what the matrix was computed from, where rounding came in; 0: of the matrix itself."""
    if not np.isfinite(matrix).all() or not np.isfinite(scale):
        return np.nan
    if 0 in matrix.shape:
        return 0.0
    values = np.linalg.svd(matrix, compute_uv=False)
    values = values[values > max(matrix.shape) * np.finfo(np.float64).eps * max(scale, values[0])]
    if not len(values):
        return 0.0
    share = values / values.sum()
    return float(np.exp(-(share * np.log(share)).sum()))
