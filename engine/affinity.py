"""What one pixel reads at one stage, in numbers: pure functions of a trace.

For a fine pixel p with head affinities A_n (n heads, m sources), value vectors v_nj and output weights W_oⁿ:

    weight_j        = mean over heads of A_nj                                  sums to 1 over sources
    c_j             = Σ_n A_nj W_oⁿ v_nj  (no biases),   u = Σ_j c_j           contribution of source j   [choice]
    norm_j, share_j = ‖c_j‖,  ⟨c_j, u⟩ / ‖u‖²                                   shares sum to 1
    pixel affinity  = weight (pixels) or (1 − μ) · weight · assignment         over source cells; sums to 1 − μ  [author]
    entropy         = −Σ_j A_j ln A_j / ln m                                   0 one source, 1 all alike
    disagreement    = [H(mean_n A_n) − mean_n H(A_n)] / ln n                   Jensen–Shannon, 0 alike, 1 disjoint [choice]
    effective area  = exp(H(pixel affinity)) / s                               share of the source cells [choice]
    mean distance   = Σ pixel affinity · distance(p, cell centre)              image pixels [choice]

Every reading holds the affinity fixed: it says what was added at this stage, not what would happen without it. Sources are cells
of a map that has already seen the whole image, and stages also reach the logits by other ways than the update. [choice]

Not known here: why a source is read, and what the logits would be without the update.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.attention import attention_weights
from engine.cell_labels import UNKNOWN, CellLabels, cell_labels
from engine.errors import LoupeError
from engine.images import cell as cell_of
from engine.shapes import Float, Int
from engine.stage import BLOCK_BYTES
from engine.trace import Stage, Trace

TOP = 8  # sources listed
SINK = 3.0  # × uniform: a source that the whole image reads more than this is a sink  [choice]
MOST_SINKS = 4
# Of affinity that looking for sinks may compute: tens of milliseconds on two idle cores. Pictures of 256×256 are asked in full.
SINK_ENTRIES = 1 << 24


@dataclass(frozen=True)
class Source:
    """One source that a pixel reads.

    index: flat in m. category: its prototype's, None for pixel sources. cell: (y, x) of a pixel source, None for prototypes.
    weight: mean over heads of the affinity, 0 to 1. norm: ‖c_j‖, in units of the features. share: signed, sums to 1 over m.
    """

    index: int
    category: int | None
    cell: tuple[int, int] | None
    weight: float
    norm: float
    share: float


@dataclass(frozen=True)
class OwnCategory:
    """How much of what a pixel reads belongs to one category.

    prototype_weight: affinity (mean over heads) to the category's prototype; None for stages without prototypes.
    pixel_mass: Σ pixel affinity over the source cells of this category (majority label, cells at least 75 % pure); at most
    1 − μ. cells: how many such cells there are.
    """

    category: int
    prototype_weight: float | None
    pixel_mass: float
    cells: int


@dataclass(frozen=True)
class Reading:
    """Exact numbers for one pixel at one stage; definitions at the head of the file. None: not defined for this stage.

    pixel (row, col) of the oriented original, None when asked by cell · cell (row, col) of `grid` · predicted and true
    category (true: None where unknown).
    by_weight, by_contribution: at most `TOP` sources, largest first; those that are not read at all are left out.
    blend_weight: μ, the memory's share of every source, a constant and no property of the pixel.
    memory_share: the memory part's signed share of the update (0 without memory; it may be negative or above 1).
    image_norm, memory_norm, update_norm, residual_norm: ‖·‖ of the update's image part, its memory part, the update with
    its biases as it is added, and the un-normed low that it is added to; units of the features.
    update_share: update_norm / (update_norm + residual_norm).
    entropy: of the mean over heads; entropy_heads: one a head. disagreement: None for one head.
    mixed_mass, mixed_cells: pixel affinity on the cells that belong to no category, and their number.
    absent_mass: prototype weight on categories that are not in the image, None for stages without prototypes; absent: which;
    labels_by: what "in the image" and "majority" go by, "ground truth" or "prediction".
    effective_area: share of the source cells, 1/s to 1. mean_distance: pixels of the original image, and
    uniform_distance what it would be if all cells were read alike.
    """

    stage: str
    sources: str
    grid: tuple[int, int]
    source_grid: tuple[int, int]
    heads: int
    pixel: tuple[int, int] | None
    cell: tuple[int, int]
    predicted: int
    true: int | None
    by_weight: tuple[Source, ...]
    by_contribution: tuple[Source, ...]
    blend_weight: float
    memory_share: float
    image_norm: float
    memory_norm: float
    update_norm: float
    residual_norm: float
    update_share: float
    entropy: float | None
    entropy_heads: tuple[float, ...]
    disagreement: float | None
    own_predicted: OwnCategory
    own_true: OwnCategory | None
    mixed_mass: float
    mixed_cells: int
    absent_mass: float | None
    absent: tuple[int, ...]
    labels_by: str
    effective_area: float
    mean_distance: float
    uniform_distance: float

    def json(self) -> dict[str, Any]:
        """Plain lists, numbers and None, ready for a JSON encoder."""
        return _plain(asdict(self))


@dataclass(frozen=True)
class Sink:
    """A source that everyone reads.

    weight: mean over the asked fine pixels and all heads; times_uniform: weight · m; read_most_by: how many of the `present`
    predicted categories read this source more than any other (by their pixels' mean affinity). asked: of the stage's `queries`,
    how many the means are over: all, or a regular sample.
    """

    index: int
    category: int | None
    cell: tuple[int, int] | None
    weight: float
    times_uniform: float
    read_most_by: int
    present: int
    asked: int
    queries: int


def reading(
    trace: Trace,
    stage: Stage | str,
    pixel: tuple[int, int] | None = None,
    cell: tuple[int, int] | None = None,
    truth: np.ndarray | None = None,
    labels: CellLabels | None = None,
    size: tuple[int, int] | None = None,
) -> Reading:
    """What the pixel reads at the stage, in numbers.

    trace: of one image (no batch axis). pixel: (row, col) of the oriented original image; or cell: (row, col) of the stage's
    grid. truth: (H, W) category indices of the original or of the traced image, 255 unknown. labels: `cell_labels` of this
    stage, where the caller keeps them; made here otherwise. size: (H0, W0) of the original, by default the trace's own.
    Raises LoupeError for an unknown stage, a pixel outside the image or a cell outside the grid.
    """
    stage = trace.stage(stage) if isinstance(stage, str) else stage
    size = size or (trace.image.original_size if trace.image is not None else trace.image_size)
    if (pixel is None) == (cell is None):
        raise LoupeError("a reading is of one pixel or of one cell")
    if pixel is not None:
        cell = cell_of(*pixel, size, stage.grid)
        at = (pixel[0] + 0.5, pixel[1] + 0.5)
    else:
        assert cell is not None
        at = tuple((cell[i] + 0.5) * size[i] / stage.grid[i] for i in (0, 1))
    weights = stage.affinity(*cell)
    over_pixels = stage.over_pixels(weights.mean(dim=0))
    labels = labels or cell_labels(trace, stage, truth)
    y, x = (int((at[i]) * trace.image_size[i] / size[i]) for i in (0, 1))
    predicted = int(trace.labels[y, x])
    true = _label_at(truth, at, size)
    parts = stage.contribution(*cell)
    residual = float(stage.residual[:, cell[0], cell[1]].float().norm())
    update = float(stage.update[:, cell[0], cell[1]].float().norm())
    mass = over_pixels.double().cpu().numpy()
    prototypes = weights.mean(dim=0).double().cpu().numpy() if stage.assignment is not None else None
    absent = tuple(int(c) for c in np.flatnonzero(~labels.present))
    mixed = labels.majority == UNKNOWN
    spread = mass / max(mass.sum(), np.finfo(np.float64).tiny)  # with μ = 1 nothing of the image is read
    distances = _distances(at, stage.source_grid, size)
    total = parts.vectors.sum(dim=0)
    entropies = entropy(weights)
    return Reading(
        stage=stage.name,
        sources=stage.sources,
        grid=stage.grid,
        source_grid=stage.source_grid,
        heads=stage.heads,
        pixel=pixel,
        cell=(int(cell[0]), int(cell[1])),
        predicted=predicted,
        true=true,
        by_weight=_top(stage, weights.mean(dim=0), parts.norm, parts.signed, weights.mean(dim=0)),
        by_contribution=_top(stage, weights.mean(dim=0), parts.norm, parts.signed, parts.norm),
        blend_weight=stage.memory_share,
        memory_share=_share(parts.memory.sum(dim=0), total),
        image_norm=float(parts.image.sum(dim=0).norm()),
        memory_norm=float(parts.memory.sum(dim=0).norm()),
        update_norm=update,
        residual_norm=residual,
        update_share=update / (update + residual) if update + residual > 0 else 0.0,
        entropy=None if stage.source_count < 2 else float(entropy(weights.mean(dim=0))),
        entropy_heads=() if stage.source_count < 2 else tuple(float(value) for value in entropies),
        disagreement=disagreement(weights),
        own_predicted=_own(predicted, prototypes, mass, labels),
        own_true=None if true is None else _own(true, prototypes, mass, labels),
        mixed_mass=float(mass[mixed].sum()),
        mixed_cells=int(mixed.sum()),
        absent_mass=None if prototypes is None else float(prototypes[list(absent)].sum()),
        absent=absent,
        labels_by=labels.by,
        effective_area=math.exp(float(-np.sum(spread * np.log(np.where(spread > 0, spread, 1.0)))))
        / spread.size,
        mean_distance=float((spread * distances).sum()),
        uniform_distance=float(distances.mean()),
    )


def entropy(weights: Float[Tensor, "*b m"]) -> Float[Tensor, "*b"]:
    """Entropy of distributions over m ≥ 2 sources, divided by ln m: 0 for one source, 1 for all alike."""
    return torch.special.entr(weights.double()).sum(dim=-1) / math.log(weights.shape[-1])


def disagreement(weights: Float[Tensor, "n m"]) -> float | None:
    """Jensen–Shannon divergence of n heads, equal weights, divided by ln n: 0 alike, 1 disjoint. None for one head.  [choice]

    It is the mean over heads of KL(head ‖ mean of heads).
    """
    if weights.shape[0] < 2:
        return None
    weights = weights.double()
    nats = torch.special.entr(weights.mean(dim=0)).sum() - torch.special.entr(weights).sum(dim=-1).mean()
    return max(0.0, float(nats) / math.log(weights.shape[0]))


def sinks(trace: Trace, stage: Stage | str) -> tuple[Sink, ...]:
    """The sources that the image as a whole reads more than `SINK` × uniform, most read first, at most `MOST_SINKS`.  [choice]

    Walks the affinity once, in blocks. Above `SINK_ENTRIES` of it (large grids of pixel sources) only every p-th row and column
    of queries is asked, p as small as that allows. A bilinear stage has none: its average follows from the grids alone.
    """
    stage = trace.stage(stage) if isinstance(stage, str) else stage
    if stage.query is None or stage.key is None:
        return ()
    h, w = stage.grid
    asked = _spread(h, w, SINK_ENTRIES // (stage.heads * stage.source_count))
    height, width = trace.image_size
    rows, cols = (
        (2 * (asked // w) + 1) * height // (2 * h),
        (2 * (asked % w) + 1) * width // (2 * w),
    )
    labels = trace.labels[rows.to(trace.labels.device), cols.to(trace.labels.device)].long()
    sums = torch.zeros(trace.logits.shape[0], stage.source_count, dtype=torch.float32, device=labels.device)
    step = max(1, BLOCK_BYTES // (4 * stage.heads * stage.source_count))
    for queries, of in zip(asked.to(labels.device).split(step), labels.split(step), strict=True):
        sums.index_add_(0, of, attention_weights(stage.query[:, queries], stage.key).mean(dim=0))
    present = torch.nonzero(labels.bincount(minlength=len(sums)))[:, 0]
    favourites = sums[present].argmax(dim=1).bincount(minlength=stage.source_count)
    weight = sums.sum(dim=0) / len(asked)
    top = weight.topk(min(MOST_SINKS, stage.source_count)).indices.tolist()
    return tuple(
        Sink(
            index,
            *_place(stage, index),
            float(weight[index]),
            float(weight[index]) * stage.source_count,
            int(favourites[index]),
            len(present),
            len(asked),
            h * w,
        )
        for index in top
        if float(weight[index]) * stage.source_count > SINK
    )


def _spread(h: int, w: int, most: int) -> Int[Tensor, " q"]:
    """Flat indices of every p-th row and column of a grid, p the smallest that leaves at most `most` (or one)."""
    p = 1
    while -(-h // p) * -(-w // p) > max(1, most):
        p += 1
    rows, cols = torch.arange(min(p // 2, h - 1), h, p), torch.arange(min(p // 2, w - 1), w, p)
    return (rows[:, None] * w + cols).flatten()


def _place(stage: Stage, index: int) -> tuple[int | None, tuple[int, int] | None]:
    """(category, cell) of a source: one of them."""
    return (index, None) if stage.assignment is not None else (None, divmod(index, stage.source_grid[1]))


def _top(stage: Stage, weight: Tensor, norm: Tensor, share: Tensor, by: Tensor) -> tuple[Source, ...]:
    return tuple(
        Source(
            index,
            *_place(stage, index),
            float(weight[index]),
            float(norm[index]),
            float(share[index]),
        )
        for index in by.topk(min(TOP, len(by))).indices.tolist()
        if by[index] > 0
    )


def _own(category: int, prototypes: np.ndarray | None, mass: np.ndarray, labels: CellLabels) -> OwnCategory:
    mine = labels.majority == category
    weight = None if prototypes is None or category >= len(prototypes) else float(prototypes[category])
    return OwnCategory(category, weight, float(mass[mine].sum()), int(mine.sum()))


def _share(part: Tensor, total: Tensor) -> float:
    square = float(total.square().sum())
    return float((part * total).sum()) / square if square > 0 else 0.0


def _label_at(truth: np.ndarray | None, at: tuple[float, ...], size: tuple[int, int]) -> int | None:
    if truth is None:
        return None
    label = int(truth[int(at[0] * truth.shape[0] / size[0]), int(at[1] * truth.shape[1] / size[1])])
    return None if label == UNKNOWN else label


def _distances(at: tuple[float, ...], grid: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """(y, x): from the point to each source cell's centre, in pixels of the original image."""
    rows = (np.arange(grid[0]) + 0.5) * (size[0] / grid[0]) - at[0]
    cols = (np.arange(grid[1]) + 0.5) * (size[1] / grid[1]) - at[1]
    return np.hypot(rows[:, None], cols[None, :])


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value
