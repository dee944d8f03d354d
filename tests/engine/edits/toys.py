"""Untrained decoders with pairwise different sizes, one edit of every sort, and edited runs computed the slow way.

`slow` writes every edit out where it acts, in one full forward pass: no kept stages, no sums of parts, no extra channels, no
composed matrices. What it gives is what a rerun must give.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from engine.decoders.cpt import CPTDecoder
from engine.decoders.decoder import Rerun
from engine.edits import (
    Ablate,
    Edit,
    HideRegion,
    MemoryRow,
    MemoryShare,
    Move,
    Oracle,
    Region,
    Replace,
    ShareHead,
    SilenceHead,
    Subject,
    Swap,
    Temperature,
    Update,
    plan,
)
from engine.edits.checking import READING
from engine.trace import Trace

CLASSES = tuple("abcdefg")
STAGES = ("stride16", "stride8", "stride4")
K, C, HEADS, MU = len(CLASSES), 24, 3, 0.3
# 11 is no half of 21, and rows differ from columns: grids that are no exact halvings.
GRIDS = [(21, 29), (11, 15), (6, 8), (3, 4)]
CHANNELS = [5, 9, 10, 13]
SIZE = (4 * GRIDS[0][0], 4 * GRIDS[0][1])

_random = np.random.default_rng(5)
VECTOR = tuple(float(x) for x in _random.normal(size=C).round(3))
TRUTH = np.repeat(np.repeat(_random.choice([0, 1, 2, 4, 255], (7, 4)), 12, 0), 29, 1).astype(np.uint8)
CORNER = Region(2, 2, "1000")
PIXELS = ((3, 7), (50, 60), (83, 115))

# Each with the stage left open. Absent from TRUTH: d, f, g.
EDITS: tuple[Edit, ...] = (
    Ablate("b"),
    Ablate("b", "zero"),
    Ablate("b", "mean"),
    Oracle(),
    Oracle("masked"),
    Replace("c"),
    Replace("c", keep_norm=True),
    Replace("c", by="category", other="e"),
    Replace("c", by="pixels", pixels=PIXELS),
    Replace("c", by="vector", vector=VECTOR),
    Swap("a", "f"),
    Move("d", 0.4),
    Move("d", -1.5, "category", other="a"),
    Move("d", 0.7, "pixels", pixels=PIXELS),
    Move("d", 2.0, "vector", vector=VECTOR),
    Move("d", 1.3, "direction", vector=VECTOR),
    MemoryShare(0.8),
    MemoryRow("g"),
    MemoryRow("g", by="category", other="b"),
    MemoryRow("g", by="vector", vector=VECTOR),
    MemoryRow(None),
    HideRegion(CORNER),
    ShareHead(1),
    SilenceHead(2),
    Temperature(0.2),
    Update(),
    Update("mean"),
)

# Lists whose edits meet at one step or need each other's results.
LISTS: tuple[tuple[Edit, ...], ...] = (
    (HideRegion(CORNER), Oracle("masked")),
    (HideRegion(CORNER), HideRegion(Region(1, 3, "001")), Oracle()),
    (MemoryRow("c", by="vector", vector=VECTOR), Replace("c"), MemoryShare(0.6)),
    (Swap("a", "b"), Replace("a", by="category", other="b"), Move("b", 0.5, "category", other="a")),
    (Temperature(0.3), ShareHead(0), SilenceHead(1), Ablate("a"), Ablate("f", "mean"), Ablate("g", "zero")),
    (Replace("c", stage="stride16"), Ablate("c", stage="stride8"), Update("mean", stage="stride4")),
    (Replace("a", by="pixels", pixels=PIXELS, stage="stride16"), Move("a", 0.5, stage="stride4")),
)


@cache
def toy(sources: str) -> tuple[CPTDecoder, list[Tensor], Trace]:
    """(decoder, features of one image, its unedited trace without the batch axis)."""
    torch.manual_seed(3)
    decoder = CPTDecoder(CHANNELS, K, sources=sources, channels=C, heads=HEADS, memory_share=MU).eval()
    for name, parameter in decoder.named_parameters():
        if "norm" in name or "bn" in name:
            parameter.data.uniform_(0.5, 1.5)  # they start as the identity, which hides a wrong order
        # Peaked affinities and assignments, and updates as large as what they are added to: what an edit does must show.
        if "pointwise" in name or "mask.logits" in name or "update.weights.output.weight" in name:
            parameter.data *= 6
    for bank in decoder.memory_banks():
        bank.bank.mul_(3)
    features = [torch.randn(1, c, *g) * 3 for c, g in zip(CHANNELS, GRIDS, strict=True)]
    with torch.no_grad():
        return decoder, features, decoder.trace(features)[0]


def subject(sources: str) -> Subject:
    return Subject("toy", CLASSES, STAGES, sources, 1 if sources == "bilinear" else HEADS, C)


def fits(edit: Edit, sources: str) -> bool:
    """Whether a decoder that reads `sources` has what the edit is about."""
    wants_memory = isinstance(edit, Replace | Move) and "memory" in (
        getattr(edit, "by", None),
        getattr(edit, "toward", None),
    )
    return sources in READING[type(edit)] and not (wants_memory and sources != "memory")


@cache
def edited(sources: str, edits: tuple[Edit, ...], parts: bool = True) -> Rerun:
    """The engine's way: one image, batched."""
    decoder, _, base = toy(sources)
    with torch.no_grad():
        whole = base.batched()
        wanted = plan(edits, subject(sources), base, TRUTH)
        return decoder.rerun(whole, wanted, decoder.parts(whole) if parts else None)


def slow(sources: str, edits: tuple[Edit, ...]) -> tuple[Tensor, dict[str, dict[str, Tensor]]]:
    """(logits (k, h, w), per stage: affinity (n, q, m) and pixels (m, s), both absent for bilinear, and update (c, q))."""
    decoder, features, _ = toy(sources)
    with torch.no_grad():
        top = high = decoder.laterals[3](features[3])
        outs, seen = [], {}
        for i, name in zip((2, 1, 0), STAGES, strict=True):
            block, low = decoder.blocks[i], decoder.laterals[i](features[i])
            here = [e for e in edits if e.stage in (None, name)]
            seen[name] = _slow_update(block, low, high, here)
            x = seen[name]["update"].view_as(low) + low
            high = block.mlp(block.norm_mlp(x)) + x
            outs.append(high)
        return decoder.classify(decoder.fuse(top, outs), decoder.pool(features[3]))[0], seen


def _slow_update(block, low: Tensor, high: Tensor, edits: list[Edit]) -> dict[str, Tensor]:
    weights, source = block.update.weights, block.norm_high(high)
    grid, found = tuple(source.shape[-2:]), {}
    if block.update.kind == "bilinear":
        update = weights(source, low.shape[-2:])[0].flatten(1)
    else:
        hidden = torch.zeros(grid, dtype=torch.bool)
        for edit in edits:
            if isinstance(edit, HideRegion):
                hidden |= _covered(edit.region, grid)
        if block.update.kind == "pixels":
            vectors, found["pixels"] = _aligned(block, source).T, torch.eye(hidden.numel())
            closed = hidden.flatten()
        else:
            vectors, found["pixels"], closed = _slow_prototypes(block, source, hidden, edits)
        found["affinity"] = _slow_affinity(weights, block.norm_low(low), vectors, closed, edits)
        value = _slow_values(weights, vectors, edits)
        merged = torch.cat([a @ v for a, v in zip(found["affinity"], value, strict=True)], dim=1)  # (q, C)
        update = (merged @ weights.output.weight[:, :, 0, 0].T + weights.output.bias).T
    for edit in edits:
        if isinstance(edit, Update):
            update = update * 0 if edit.meaning == "zero" else update.mean(1, keepdim=True).expand_as(update)
    return {**found, "update": update}


def _aligned(block, source: Tensor) -> Tensor:
    """(c, s)"""
    return block.update.sources.align(source)[0].flatten(1)


def _covered(region: Region, grid: tuple[int, int]) -> Tensor:
    """At least half of each cell, counted on a raster that both grids divide."""
    painted = torch.tensor([int(bit) for bit in region.bits]).view(region.rows, region.cols)
    fine = painted.repeat_interleave(grid[0], 0).repeat_interleave(grid[1], 1)
    cells = fine.view(grid[0], region.rows, grid[1], region.cols).float().mean((1, 3))
    return cells >= 0.5


def _slow_prototypes(
    block, source: Tensor, hidden: Tensor, edits: list[Edit]
) -> tuple[Tensor, Tensor, Tensor]:
    """(vectors (k, c), assignment (k, s), closed (k))."""
    sources, grid = block.update.sources, hidden.shape
    logits = sources.mask(source)[0].flatten(1)
    logits[:, hidden.flatten()] = -torch.inf
    assignment, closed = logits.softmax(1), torch.zeros(K, dtype=torch.bool)
    for edit in edits:
        if isinstance(edit, Oracle):
            for c in range(K):
                rows, cols = np.nonzero(c == TRUTH)
                counts = np.zeros(grid, np.float32)
                y, x = (rows + 0.5) * grid[0] / SIZE[0], (cols + 0.5) * grid[1] / SIZE[1]
                np.add.at(counts, (y.astype(int), x.astype(int)), 1)
                share = torch.from_numpy(counts) * ~hidden
                if share.sum() > 0:
                    assignment[c] = share.flatten() / share.sum()
                elif edit.absent == "masked":
                    closed[c] = True
    aligned = _aligned(block, source)
    prototypes = assignment @ aligned.T
    memory = getattr(sources, "memory", None)
    bank = None if memory is None else memory.bank[0].clone()
    mu = 0.0 if memory is None else memory.memory_share
    for edit in edits:
        if isinstance(edit, MemoryRow):
            rows = range(K) if edit.category is None else [CLASSES.index(edit.category)]
            for row in rows:
                if edit.by == "zero":
                    bank[row] = 0
                elif edit.by == "vector":
                    bank[row] = torch.tensor(edit.vector)
                else:
                    bank[row] = memory.bank[0][CLASSES.index(edit.other)]
        if isinstance(edit, MemoryShare):
            mu = edit.value
        if isinstance(edit, Ablate) and edit.meaning == "masked":
            closed[CLASSES.index(edit.category)] = True
    for edit in edits:
        if isinstance(edit, Swap):
            a, b = CLASSES.index(edit.category), CLASSES.index(edit.other)
            prototypes[[a, b]], assignment[[a, b]] = prototypes[[b, a]], assignment[[b, a]]
        if isinstance(edit, Replace | Move):
            _slow_row(edit, prototypes, assignment, aligned, bank, grid)
    return prototypes if bank is None else (1 - mu) * prototypes + mu * bank, (1 - mu) * assignment, closed


def _slow_row(edit: Replace | Move, prototypes, assignment, aligned, bank, grid) -> None:
    c, by = CLASSES.index(edit.category), edit.by if isinstance(edit, Replace) else edit.toward
    norm, shares = prototypes[c].norm(), torch.zeros(assignment.shape[1])
    if by == "direction":
        prototypes[c] += edit.amount * norm * torch.tensor(edit.vector) / torch.tensor(edit.vector).norm()
        return
    if by == "memory":
        target = bank[c]
    elif by == "vector":
        target = torch.tensor(edit.vector)
    elif by == "category":
        target, shares = prototypes[CLASSES.index(edit.other)], assignment[CLASSES.index(edit.other)]
    else:
        cells = {
            (int((r + 0.5) * grid[0] / SIZE[0]), int((q + 0.5) * grid[1] / SIZE[1])) for r, q in edit.pixels
        }
        for y, x in cells:
            shares[y * grid[1] + x] = 1 / len(cells)
        target = aligned @ shares
    amount = edit.amount if isinstance(edit, Move) else 1.0
    prototypes[c] = (1 - amount) * prototypes[c] + amount * target
    assignment[c] = (1 - amount) * assignment[c] + amount * shares
    if isinstance(edit, Replace) and edit.keep_norm:
        factor = norm / prototypes[c].norm()
        prototypes[c] *= factor
        assignment[c] *= factor


def _slow_affinity(weights, low: Tensor, vectors: Tensor, closed: Tensor, edits: list[Edit]) -> Tensor:
    query, key = weights.query(low)[0], weights.keys_values(vectors[None])[0][0]
    scores = query @ key.transpose(1, 2)
    for edit in edits:
        if isinstance(edit, ShareHead):
            scores = scores[[edit.head] * HEADS]
        if isinstance(edit, Temperature):
            scores = scores / edit.value
    return scores.masked_fill(closed, -torch.inf).softmax(-1)


def _slow_values(weights, vectors: Tensor, edits: list[Edit]) -> Tensor:
    bias = weights.key_value.bias[C:].view(HEADS, 1, C // HEADS)
    plain = weights.keys_values(vectors[None])[1][0] - bias
    value = plain + bias
    for edit in edits:
        if isinstance(edit, Ablate) and edit.meaning != "masked":
            c = CLASSES.index(edit.category)
            others = [j for j in range(K) if j != c]
            value[:, c] = bias[:, 0] + (0 if edit.meaning == "zero" else plain[:, others].mean(1))
    for edit in edits:
        if isinstance(edit, SilenceHead):
            value[edit.head] = 0
    return value
