"""The scores of one image's pixels at one site, all pixels at once.

    raw         pixel affinity (heads averaged), over source cells
    relative    raw ÷ its average over the image's queries, one query for each source cell, the one at its centre  [choice]
    profile     Σ √(A(p) A(r)), mean over heads: how alike p and the query at the centre of cell r read (Bhattacharyya)
    distance    −(pixels from p to the cell's centre): what "near things are alike" alone would say

    auc, auc_relative, auc_profile, auc_distance    area under the ROC curve of "the cell is of p's own true category", over the
                cells that are at least 75 % pure. The cell that p itself lies in is left out: distance and profile would put it
                first by construction  [choice]. nan where no other cell is of the category, or all are.
    …_rings     the same over pairs of cells in one ring of equal distance, rings as wide as a source cell  [choice]
    entropy     of the affinity, heads averaged, ÷ log m
    prototype_weight    affinity to the own category's prototype; nan where sources are pixels
    pixel_mass  Σ pixel affinity over the pure cells of the own category, at most 1 − μ
    leaks_to    the other category on whose pure cells most pixel affinity falls; −1 where no pure cell is of another
    memory_share    signed share of the memory part in the update; nan without a memory
    mean_distance   Σ pixel affinity · distance, pixels of the image, of what is read of the image

With prototypes a map of source cells has as many degrees of freedom as there are categories.

Large maps: a pixel's affinity to 32768 sources is half a megabyte and its ranking some six, so many pixels of one image go in
bands, each with a walk of its own over the affinity; of the ranking in narrower ones. Nothing is reduced.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from engine.affinity import entropy
from engine.audit.ranking import roc_areas
from engine.audit.records import OF_STAGES
from engine.audit.sample import Drawn
from engine.audit.site import Site
from engine.cell_labels import UNKNOWN, majority_labels
from engine.shapes import Float, Int
from engine.stage import BLOCK_BYTES, go_on

TINY = float(np.finfo(np.float32).tiny)
BAND_BYTES = 128 << 20  # of the affinity of pixels that are scored together
RANK_BYTES = 256 << 20  # of what their ranking holds at a time


@dataclass(frozen=True, eq=False)
class Cells:
    """What does not depend on a model: p pixels of an image against the s cells of one source grid.

    majority (s,) category, 255 where mixed · own (p,) the pixel's cell · rows (p, y), cols (p, x) pixels from the pixel to the
    centres of the cells' rows and columns · side: of a cell, pixels. What is (p, s) is made when it is asked for, and kept.
    """

    majority: np.ndarray
    own: np.ndarray
    rows: np.ndarray
    cols: np.ndarray
    side: float

    @cached_property
    def distance(self) -> np.ndarray:
        """(p, s) float32 pixels."""
        squares = np.square(self.rows)[:, :, None] + np.square(self.cols)[:, None, :]
        return np.sqrt(squares, out=squares).reshape(len(self.own), -1).astype(np.float32)

    @cached_property
    def ring(self) -> np.ndarray:
        """(p, s) uint16: distance in cells, rounded down."""
        return (
            (np.sqrt(np.square(self.rows)[:, :, None] + np.square(self.cols)[:, None, :]) / self.side)
            .reshape(len(self.own), -1)
            .astype(np.uint16)
        )

    @property
    def valid(self) -> np.ndarray:
        """(p, s) bool: pure cells but the pixel's own."""
        valid = np.repeat((self.majority != UNKNOWN)[None], len(self.own), axis=0)
        valid[np.arange(len(self.own)), self.own] = False
        return valid

    def of(self, pixels: slice | np.ndarray) -> Cells:
        """The same of some of the pixels."""
        return replace(self, own=self.own[pixels], rows=self.rows[pixels], cols=self.cols[pixels])


def cells_of(truth: np.ndarray, drawn: Drawn, grid: tuple[int, int], classes: int) -> Cells:
    """truth (H, W) of the image that the pixels were drawn from."""
    size = truth.shape
    tall, wide = size[0] / grid[0], size[1] / grid[1]
    return Cells(
        majority_labels(truth, grid, classes).ravel(),
        flat_cells(drawn.row, drawn.col, size, grid),
        (np.arange(grid[0]) + 0.5) * tall - (drawn.row + 0.5)[:, None],
        (np.arange(grid[1]) + 0.5) * wide - (drawn.col + 0.5)[:, None],
        (tall + wide) / 2,
    )


def flat_cells(row: np.ndarray, col: np.ndarray, size: tuple[int, ...], grid: tuple[int, int]) -> np.ndarray:
    """(p,) int64: the cell, flat, that holds each pixel's centre, as `engine.images.cell` says for one."""
    rows, cols = (
        (2 * each.astype(np.int64) + 1) * n // (2 * side)
        for each, n, side in zip((row, col), grid, size, strict=True)
    )
    return rows * grid[1] + cols


def scores(
    site: Site, drawn: Drawn, cells: Cells, size: tuple[int, int], stop: Callable[[], bool] | None = None
) -> dict[str, np.ndarray]:
    """Columns of `OF_STAGES`, (p,) each: float32, leaks_to int16.

    Args:
        site: of the traced image. drawn, cells: its pixels, and the source grid's cells. size: (H, W) in which they are counted.
        stop: asked between blocks of queries.

    Raises:
        Stopped: `stop` said yes.
    """
    queries = torch.from_numpy(flat_cells(drawn.row, drawn.col, size, site.grid)).to(site.device)
    sources = site.source_grid[0] * site.source_grid[1] if site.key is None else site.key.shape[-2]
    step = max(1, BAND_BYTES // (4 * max(site.heads * sources, len(cells.majority))))
    if step >= len(queries):
        return _scores(site, queries, drawn.category, cells, len(drawn.counts), stop)
    bands = [slice(first, first + step) for first in range(0, len(queries), step)]
    found = [
        _scores(site, queries[band], drawn.category[band], cells.of(band), len(drawn.counts), stop)
        for band in bands
    ]
    return {name: np.concatenate([each[name] for each in found]) for name in OF_STAGES}


def _scores(
    site: Site,
    queries: Int[Tensor, " p"],
    category: np.ndarray,
    cells: Cells,
    classes: int,
    stop: Callable[[], bool] | None,
) -> dict[str, np.ndarray]:
    """The same of so few pixels that their affinities fit."""
    weights = site.weights(queries)
    mean = weights.mean(dim=0)
    average, alike = _profiles(site, weights, stop)
    raw = site.over_pixels(mean)
    relative = raw / site.over_pixels(average[None]).clamp_min(TINY)
    mass = raw.cpu().numpy()
    found = _areas(mass, relative.cpu().numpy(), alike.cpu().numpy(), category, cells)
    found |= _masses(mass, category, cells, classes)
    p = len(category)
    nothing = np.full(p, np.nan)
    read = mass / np.maximum(mass.sum(axis=1, keepdims=True), TINY)
    found["mean_distance"] = np.einsum("ps,ps->p", read, cells.distance)
    found["entropy"] = entropy(mean).cpu().numpy() if mean.shape[-1] > 1 else nothing
    shares = site.memory_shares(weights)
    found["memory_share"] = nothing if shares is None else shares.cpu().numpy()
    own = mean.cpu().numpy()
    found["prototype_weight"] = own[np.arange(p), category] if site.prototypes else nothing
    return {name: found[name].astype(np.int16 if name == "leaks_to" else np.float32) for name in OF_STAGES}


def _profiles(
    site: Site, weights: Float[Tensor, "n p m"], stop: Callable[[], bool] | None
) -> tuple[Float[Tensor, " m"], Float[Tensor, "p s"]]:
    """(the average affinity, heads averaged; profile similarity): one softmax for both, in blocks of source cells."""
    centres = _centre_queries(site)
    roots = weights.sqrt()
    step = max(1, BLOCK_BYTES // (4 * weights.shape[0] * weights.shape[2]))
    total = torch.zeros(weights.shape[2], device=weights.device)
    alike = []
    for queries in centres.split(step):
        go_on(stop)
        block = site.weights(queries)
        total += block.sum(dim=(0, 1))
        alike.append((roots @ block.sqrt_().transpose(1, 2)).mean(dim=0))
    return total / (len(centres) * weights.shape[0]), torch.cat(alike, dim=1)


def _centre_queries(site: Site) -> Int[Tensor, " s"]:
    """The query at the centre of each source cell."""
    (h, w), (y, x) = site.grid, site.source_grid
    rows = (2 * torch.arange(y, device=site.device) + 1) * h // (2 * y)
    cols = (2 * torch.arange(x, device=site.device) + 1) * w // (2 * x)
    return (rows[:, None] * w + cols).flatten()


def _areas(
    raw: np.ndarray, relative: np.ndarray, alike: np.ndarray, category: np.ndarray, cells: Cells
) -> dict[str, np.ndarray]:
    """All seven areas; each pixel's follow from its own row alone."""
    p, s = relative.shape
    step = max(
        1, RANK_BYTES // (200 * s)
    )  # four maps of 8-byte keys, and what sorting and counting them takes
    parts = [
        _areas_of(
            raw[rows], relative[rows], alike[rows], category[rows], cells.of(rows) if step < p else cells
        )
        for rows in (slice(first, first + step) for first in range(0, p, step))
    ]
    areas = np.concatenate(parts, axis=1) if parts else np.empty((7, 0))
    names = ("auc", "auc_relative", "auc_profile", "auc_distance")
    return dict(zip((*names, *(f"{name}_rings" for name in names[:3])), areas, strict=True))


def _areas_of(
    raw: np.ndarray, relative: np.ndarray, alike: np.ndarray, category: np.ndarray, cells: Cells
) -> np.ndarray:
    """(7, p)."""
    maps = np.stack([raw, relative, alike, -cells.distance])
    positive, valid = cells.majority == category[:, None], cells.valid
    return np.stack([*roc_areas(maps, positive, valid), *roc_areas(maps[:3], positive, valid, cells.ring)])


def _masses(mass: np.ndarray, category: np.ndarray, cells: Cells, classes: int) -> dict[str, np.ndarray]:
    """pixel_mass and leaks_to."""
    pure = cells.majority != UNKNOWN
    member = np.zeros((len(pure), classes), np.float32)
    member[pure, cells.majority[pure]] = 1
    on = mass @ member
    rows = np.arange(len(category))
    own = on[rows, category]
    others = np.where(member.any(axis=0), on, -1.0)
    others[rows, category] = -1
    leaks = np.where(others.max(axis=1) < 0, -1, others.argmax(axis=1))
    return {"pixel_mass": own, "leaks_to": leaks}
