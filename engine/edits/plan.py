"""Edits + what one run is about → what each stage does differently, with every name, region and label map resolved to tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from engine.cell_labels import counts_of
from engine.edits.checking import Subject, check
from engine.edits.values import (
    Ablate,
    Edit,
    HideRegion,
    Meaning,
    MemoryRow,
    MemoryShare,
    Move,
    Oracle,
    Region,
    Replace,
    ShareHead,
    SilenceHead,
    Swap,
    Temperature,
    Token,
    Update,
    describe,
)
from engine.errors import LoupeError
from engine.images import cell as cell_of
from engine.shapes import Bool, Float
from engine.trace import Stage, Trace

HIDDEN = 0.5  # of a cell's area under the region hides it  [choice]


@dataclass(frozen=True, eq=False)
class Shift:
    """Row `category` ← row + amount · (target − row). target: "memory", a row's index, cells (p,) flat in s, or a vector (c,).

    along: the vector is a direction, scaled to the row's norm. keep_norm: the result is rescaled to it.
    """

    category: int
    amount: float
    target: str | int | Tensor
    along: bool = False
    keep_norm: bool = False


@dataclass(frozen=True)
class Exchange:
    """Rows a and b trade places."""

    a: int
    b: int


@dataclass(frozen=True, eq=False)
class StageEdit:
    """What one stage does differently; the default does nothing. Batched tensors may have b = 1."""

    hidden: Bool[Tensor, "b y x"] | None = None  # source cells that cannot be read
    truth: Float[Tensor, "b k y x"] | None = None  # oracle assignment; rows of absent categories are all 0
    rows: tuple[Shift | Exchange, ...] = ()  # on prototypes, in order
    bank: tuple[tuple[int | None, int | Tensor | None], ...] = ()  # (row or all, other row | vector | zero)
    memory_share: float | None = None
    temperature: float = 1.0
    shared_head: int | None = None
    unread: Bool[Tensor, "b m"] | None = None  # sources whose affinity is 0
    silenced_sources: tuple[tuple[int, Meaning], ...] = ()  # ("zero" or "mean")
    silent_heads: tuple[int, ...] = ()
    update: str | None = None  # "zero" or "mean"


@dataclass(frozen=True, eq=False)
class TokenEdit:
    """Row `category` of the tokens ← a row's index or a vector (c,), or turned towards it."""

    category: int
    target: int | Tensor
    degrees: float | None
    branch: str


@dataclass(frozen=True)
class Plan:
    """Of one run. stages: by name, only those that do something differently."""

    stages: Mapping[str, StageEdit] = field(default_factory=dict)
    tokens: tuple[TokenEdit, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.stages or self.tokens)


def plan(
    edits: Sequence[Edit],
    subject: Subject,
    base: Trace,
    truth: np.ndarray | None = None,
) -> Plan:
    """What the edits change in a run whose unedited trace is `base` (one image, without or with a leading b of its own).

    Args:
        truth: (H, W) integers, categories of the traced or of the original image, 255 unknown; oracle prototypes need it.

    Raises:
        LoupeError: an edit that does not fit the model, the image, or the others.
    """
    check(edits, subject)
    if truth is not None:
        _check_truth(truth, base)
    index = {name: i for i, name in enumerate(subject.classes)}
    stages = {}
    for stage in base.stages:
        here = [e for e in edits if not isinstance(e, Token) and e.stage in (None, stage.name)]
        if here:
            stages[stage.name] = _stage_edit(here, stage, base, truth, index)
    device = base.logits.device
    tokens = tuple(
        TokenEdit(index[e.category], _row_or_vector(e, index, device), e.degrees, e.branch)
        for e in edits
        if isinstance(e, Token)
    )
    return Plan(stages, tokens)


def _stage_edit(
    edits: Sequence[Edit], stage: Stage, base: Trace, truth: np.ndarray | None, index: Mapping[str, int]
) -> StageEdit:
    device = stage.update.device
    found: dict = {"rows": (), "bank": (), "silenced_sources": (), "silent_heads": ()}
    unread: set[int] = set()
    for edit in edits:
        match edit:
            case HideRegion(region):
                under = hidden_cells(region, stage.source_grid).to(device)
                earlier = found.get("hidden")
                found["hidden"] = under if earlier is None else earlier | under
                if bool(found["hidden"].all()):
                    raise LoupeError(
                        f"{describe(edit)}: at {stage.name} no source cell would be left to read"
                    )
            case Oracle():
                if truth is None:
                    raise LoupeError(f"{describe(edit)}: the ground truth of this image is not known")
                found["truth"] = oracle_assignment(truth, stage.source_grid, len(index)).to(device)[None]
            case Replace(category):
                target = _target(_by(edit), edit, index, stage, base)
                found["rows"] += (Shift(index[category], 1.0, target, keep_norm=edit.keep_norm),)
            case Move(category, amount):
                target = _target(_by(edit), edit, index, stage, base)
                found["rows"] += (Shift(index[category], amount, target, along=edit.toward == "direction"),)
            case Swap(category, other):
                found["rows"] += (Exchange(index[category], index[other]),)
            case MemoryRow(category):
                row = None if category is None else index[category]
                value = None if edit.by == "zero" else _row_or_vector(edit, index, device)
                found["bank"] += ((row, value),)
            case MemoryShare(value):
                found["memory_share"] = value
            case Temperature(value):
                found["temperature"] = value
            case ShareHead(head):
                found["shared_head"] = head
            case SilenceHead(head):
                found["silent_heads"] += (head,)
            case Ablate(category, "masked"):
                unread.add(index[category])
            case Ablate(category, meaning):
                found["silenced_sources"] += ((index[category], meaning),)
            case Update(meaning):
                found["update"] = meaning
    hidden = found.get("hidden")
    for edit in edits:
        if isinstance(edit, Oracle) and edit.absent == "masked":
            seen = found["truth"][0] if hidden is None else found["truth"][0] * ~hidden
            unread |= set(torch.nonzero(seen.sum((-2, -1)) == 0)[:, 0].tolist())
        if isinstance(edit, Replace | Move) and edit.pixels and hidden is not None:
            target = _target(_by(edit), edit, index, stage, base)
            if _by(edit) == "pixels" and bool(hidden.flatten()[target].any()):
                raise LoupeError(
                    f"{describe(edit)}: at {stage.name} a region hides the source cell of a chosen pixel"
                )
    if len(unread) == len(index):
        raise LoupeError(f"at {stage.name} no prototype would be left to read")
    if unread:
        flags = torch.zeros(1, len(index), dtype=torch.bool, device=device)
        flags[0, sorted(unread)] = True
        found["unread"] = flags
    return StageEdit(**found)


def _target(
    by: str, edit: Replace | Move, index: Mapping[str, int], stage: Stage, base: Trace
) -> str | int | Tensor:
    if by == "memory":
        return "memory"
    if by == "pixels":
        size = base.image.original_size if base.image is not None else base.image_size
        cells = {cell_of(*pixel, size, stage.source_grid) for pixel in edit.pixels}
        flat = sorted(row * stage.source_grid[1] + col for row, col in cells)
        return torch.tensor(flat, device=stage.update.device)
    return _row_or_vector(edit, index, stage.update.device)


def _by(edit: Replace | Move | MemoryRow | Token) -> str:
    return edit.toward if isinstance(edit, Move) else edit.by


def _row_or_vector(
    edit: Replace | Move | MemoryRow | Token, index: Mapping[str, int], device: torch.device
) -> int | Tensor:
    if edit.vector is not None and _by(edit) in ("vector", "direction"):
        return torch.tensor(edit.vector, dtype=torch.float32, device=device)
    assert edit.other is not None  # checked
    return index[edit.other]


def _check_truth(truth: np.ndarray, base: Trace) -> None:
    if truth.ndim != 2 or truth.dtype.kind not in "ui":
        raise LoupeError("the ground truth must be one whole number for each pixel: (H, W)")
    sizes = {base.image_size} | ({base.image.original_size} if base.image is not None else set())
    if tuple(truth.shape) not in sizes:
        raise LoupeError(
            f"the ground truth has {truth.shape[0]}×{truth.shape[1]} pixels, the image "
            f"{' or '.join(f'{h}×{w}' for h, w in sorted(sizes))}"
        )
    if truth.size and int(truth.min()) < 0:
        raise LoupeError("the ground truth holds categories below 0")


def hidden_cells(region: Region, grid: tuple[int, int]) -> Bool[Tensor, "1 y x"]:
    """Cells of a grid with at least half of their area under the region."""
    bits = np.frombuffer(region.bits.encode("ascii"), np.uint8) == ord("1")
    painted = torch.from_numpy(bits.astype(np.float32)).view(region.rows, region.cols)
    rows, cols = (_overlap(n, m) for n, m in zip(grid, (region.rows, region.cols), strict=True))
    return ((rows @ painted @ cols.T) >= HIDDEN - 1e-6)[None]


def _overlap(n_out: int, n_in: int) -> Float[Tensor, "n_out n_in"]:
    """Share of each output cell's length that each input cell covers; rows sum to 1."""
    edges_out, edges_in = (torch.arange(n + 1, dtype=torch.float64) / n for n in (n_out, n_in))
    low = torch.maximum(edges_out[:-1, None], edges_in[None, :-1])
    high = torch.minimum(edges_out[1:, None], edges_in[None, 1:])
    return ((high - low).clamp_min(0) * n_out).float()


def oracle_assignment(truth: np.ndarray, grid: tuple[int, int], classes: int) -> Float[Tensor, "k y x"]:
    """Each category's pixels as shares of the cells they lie in, normalised over space; all 0 for an absent category.

    The exact average over the category's pixels, each with its cell's feature.  [choice]
    """
    counts, _ = counts_of(truth, grid, classes)
    shares = torch.from_numpy(counts.T.astype(np.float32)).view(classes, *grid)
    return shares / shares.sum((-2, -1), keepdim=True).clamp_min(1)
