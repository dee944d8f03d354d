"""What an atlas says, as named values. Axes as everywhere: k categories, c channels, n heads, i images.

"present" in an image: at least one pixel of the ground truth ("true") or of the prediction ("predicted").
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

PARTS = ("image", "memory", "update", "residual")  # whose norms are kept, of every query
AS_IT_IS = "as it is"  # the effect that changes of the memory are compared with
PriceKind = Literal["before", "after", "null"]


@dataclass(frozen=True)
class Skipped:
    """An image that could not be read, and why."""

    index: int
    id: str
    reason: str


@dataclass(frozen=True)
class Site:
    """A map that was measured. level: whose grid it is on, 0..3 as the backbone's f0..f3; -1 for the stride-2 grid."""

    channels: int
    level: int


@dataclass(frozen=True)
class Manifest:
    """What an atlas was made of; the first thing that is read."""

    model: str  # catalogue id
    checkpoint: str  # SHA-256 of its file, hex
    method: str
    sources: str | None
    memory_share: float | None
    data: str
    dataset_size: int  # images that the walk was over; `images` of them could be read
    classes: tuple[str, ...]
    stages: tuple[str, ...]  # those with prototypes, coarse → fine
    sites: dict[str, Site]
    seed: int  # of the reservoir's hash
    rows: int  # most rows of the reservoir, per category
    images: int = 0
    skipped: tuple[Skipped, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    format: str = ""

    def json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Manifest:
        values = dict(data)
        values["classes"], values["stages"] = tuple(data["classes"]), tuple(data["stages"])
        values["sites"] = {name: Site(**site) for name, site in data["sites"].items()}
        values["skipped"] = tuple(Skipped(**one) for one in data["skipped"])
        return cls(**values)


@dataclass(frozen=True, eq=False)
class Moments:
    """Of a site's features, per category of the ground truth; cells less than 75 % pure are left out.

    count (k,) int64 cells · mean (k, c) · m2 (k, c): Σ (x − mean)². Categories never met have count 0 and mean 0.
    """

    count: np.ndarray
    mean: np.ndarray
    m2: np.ndarray

    @property
    def trace(self) -> np.ndarray:
        """(k,) trace of the covariance; nan where the category was never met."""
        return np.divide(
            self.m2.sum(1), self.count, out=np.full(len(self.count), np.nan), where=self.count > 0
        )


@dataclass(frozen=True, eq=False)
class Usage:
    """Who reads which prototype at one stage: affinity summed over query cells.

    mass (n, k, k): [head, category of the reader, source]; absent: the part of it on categories that the reader's image does
    not hold (ground truth). cells (k + 1,): readers of each category, and last those less than 75 % pure, which belong to none.
    everyone (n, k): over all query cells, mixed ones too; everyone_absent: its part on absent categories. labelled: how many
    query cells lie in images with any label; only there is a category known to be absent.
    """

    mass: np.ndarray
    absent: np.ndarray
    cells: np.ndarray
    everyone: np.ndarray
    everyone_absent: np.ndarray
    labelled: int

    @property
    def rate(self) -> np.ndarray:
        """(k, k) mean affinity of a category's readers to each source, heads averaged; rows sum to 1, nan without readers."""
        return _rows(self.mass.mean(0), self.cells[:-1])

    @property
    def absent_rate(self) -> np.ndarray:
        """(k, k) the part of `rate` that falls on sources absent from the reader's image."""
        return _rows(self.absent.mean(0), self.cells[:-1])

    @property
    def share(self) -> np.ndarray:
        """(k,) mean affinity of all query cells to each source; sums to 1."""
        return self.everyone.mean(0) / max(1, int(self.cells.sum()))

    @property
    def absent_share(self) -> float:
        """Mean affinity of labelled images' query cells to absent categories' prototypes, 0..1; nan without such images."""
        return float(self.everyone_absent.mean(0).sum() / self.labelled) if self.labelled else float("nan")


@dataclass(frozen=True, eq=False)
class PrototypeMeans:
    """Means of live prototypes over images, raw (not normalised), and the number of images behind each row.

    everywhere (k, c): over all images, as the author's bank averages. true (k, c): over images that hold the category by the
    ground truth; predicted: by the prediction. Rows without an image are 0.
    """

    everywhere: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    images: int
    true_images: np.ndarray
    predicted_images: np.ndarray

    @property
    def absent(self) -> np.ndarray:
        """(k, c) over images that do not hold the category (ground truth); 0 where all do."""
        rest = self.images - self.true_images
        total = self.everywhere * self.images - self.true * self.true_images[:, None]
        return np.divide(total, rest[:, None], out=np.zeros_like(total), where=rest[:, None] > 0)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Cosines between live prototypes of the same image. everywhere (k, k): mean over all images; present (k, k): over images
    that hold both (nan without one); together (k, k) int64: how many those are."""

    everywhere: np.ndarray
    present: np.ndarray
    together: np.ndarray


@dataclass(frozen=True, eq=False)
class Parts:
    """Mean norms over query cells. names: image, memory, update, residual. mean (k + 1, 4) by the reader's category, the last
    row cells that are less than 75 % pure; nan without cells. overall (4,): over all cells."""

    names: tuple[str, ...]
    mean: np.ndarray
    overall: np.ndarray


@dataclass(frozen=True, eq=False)
class Live:
    """Live prototypes image by image, in the order of `Atlas.images`. norm (i, k); cosine (i, k) with the memory row as it is
    in the checkpoint, None without memory."""

    norm: np.ndarray
    cosine: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Images:
    """One row an image. index: in the dataset; size (i, 2) height, width; true and predicted (i, k) pixels of each category;
    presence (i, k): maximum of the summed mask logits, None without mask logits."""

    index: np.ndarray
    id: tuple[str, ...]
    size: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    presence: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Patch:
    """Where a prototype's mask logit is strongest in one image: one patch an image.

    index: the image in the dataset, id: its name. cell (y, x) on the source grid; pixel (row, col): the cell's centre in the
    original image; size: (H, W) of the original. logit: the mask logit there. share: of the assignment in that cell, × s ("×
    uniform"). window (≤ 16, ≤ 16): the assignment around it, × s, `origin` (y, x) its first cell. true, predicted: majority
    category of the cell, 255 where it is less than 75 % pure. held: the image holds the category (ground truth).
    """

    index: int
    id: str
    cell: tuple[int, int]
    grid: tuple[int, int]
    pixel: tuple[int, int]
    size: tuple[int, int]
    logit: float
    share: float
    window: np.ndarray
    origin: tuple[int, int]
    true: int
    predicted: int
    held: bool


@dataclass(frozen=True)
class Price:
    """Intra-category variance ÷ distance between categories in `value_i`, at one stage.

    kind "before": the aligned pixels' values on the fine grid · "after": what the query update broadcasts · "null": the same with
    the affinity rows shuffled over the pixels of an image. within: mean over categories of the trace of the covariance;
    between: mean over categories of ‖mean − mean of means‖². ratio = within ÷ between; low, high: 95 % over images
    (bootstrap standard error of the logarithm, 2000 resamples).
    categories: name → (trace of the category's covariance) ÷ between.
    """

    stage: str
    kind: PriceKind
    within: float
    between: float
    ratio: float
    low: float
    high: float
    images: int
    categories: dict[str, float | None]


@dataclass(frozen=True)
class Effect:
    """What a change of the memory bank does. name: "zeroed", "permuted", "normalised live" …; mIoU in percent; delta against the
    bank as it is, low and high 95 % of resamples of images; changed: share of pixels whose category changes, 0..1."""

    name: str
    mIoU: float
    delta: float
    low: float
    high: float
    changed: float
    images: int


@dataclass(frozen=True, eq=False)
class Reservoir:
    """A uniform sample of pixels, at most `Manifest.rows` per category of the ground truth, and a site's features there.

    image: index in the dataset; pixel (r, 2) row, col of the traced image; mode: planted mode, 255 where none; pure (r,): the
    site's cell is at least 75 % of the pixel's category. features (r, c) fp32.
    """

    image: np.ndarray
    pixel: np.ndarray
    category: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    mode: np.ndarray
    pure: np.ndarray
    features: np.ndarray


def _rows(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.divide(sums, counts[:, None], out=np.full(sums.shape, np.nan), where=counts[:, None] > 0)
