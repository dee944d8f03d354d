"""Which category each source cell of a stage belongs to: majority labels with a purity limit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.errors import LoupeError
from engine.trace import Stage, Trace

UNKNOWN = 255  # the label of pixels without one
PURE = 0.75  # of a cell's pixels must share a category for the cell to count as that category's  [choice]


@dataclass(frozen=True)
class CellLabels:
    """The majority label of each source cell.

    majority (y, x) int: category, or 255 where less than 75 % of the cell's pixels share one. present (k) bool: categories
    with at least one pixel. by: "ground truth" or "prediction".
    """

    majority: np.ndarray
    present: np.ndarray
    by: str


def cell_labels(trace: Trace, stage: Stage | str, truth: np.ndarray | None = None) -> CellLabels:
    """The majority label of each source cell of a stage, and which categories the image holds.

    By ground truth (H, W), 255 unknown, where it is given; otherwise by the prediction. Unknown pixels belong to their cell
    without supporting any category. Only labels below k count as categories.
    """
    stage = trace.stage(stage) if isinstance(stage, str) else stage
    known = trace.labels.cpu().numpy() if truth is None else truth
    if known.ndim != 2:
        raise LoupeError(
            f"labels have the shape {'×'.join(map(str, known.shape))}; one category for each pixel is needed"
        )
    classes = trace.logits.shape[0]
    counts, sizes = counts_of(known, stage.source_grid, classes)
    return CellLabels(
        majority_of(counts, sizes, stage.source_grid),
        counts.sum(axis=0) > 0,
        "prediction" if truth is None else "ground truth",
    )


def majority_labels(known: np.ndarray, grid: tuple[int, int], classes: int) -> np.ndarray:
    """(y, x) the category of each cell of any grid over labels (H, W); 255 where less than 75 % of its pixels share one."""
    return majority_of(*counts_of(known, grid, classes), grid)


def counts_of(known: np.ndarray, grid: tuple[int, int], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(pixels of each category in each cell (y·x, k), pixels of each cell (y·x,)) of labels (H, W)."""
    height, width = known.shape
    y, x = grid
    rows = (2 * np.arange(height) + 1) * y // (2 * height)
    cols = (2 * np.arange(width) + 1) * x // (2 * width)
    cells = rows[:, None] * x + cols
    valid = known < classes
    counts = np.bincount(cells[valid] * classes + known[valid], minlength=y * x * classes)
    return counts.reshape(y * x, classes), np.bincount(cells.ravel(), minlength=y * x)


def pooled_counts(
    counts: np.ndarray, sizes: np.ndarray, fine: tuple[int, int], grid: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The same on a grid whose sides divide those of `fine`: every cell is a block of finer ones."""
    (y, x), (tall, wide) = grid, (fine[0] // grid[0], fine[1] // grid[1])
    pooled = counts.reshape(y, tall, x, wide, -1).sum((1, 3))
    return pooled.reshape(y * x, -1), sizes.reshape(y, tall, x, wide).sum((1, 3)).ravel()


def majority_of(counts: np.ndarray, sizes: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """(y, x) the category of each cell, 255 where less than 75 % of its pixels share one."""
    pure = (counts.max(axis=1) >= PURE * sizes) & (sizes > 0)
    return np.where(pure, counts.argmax(axis=1), UNKNOWN).reshape(grid)
