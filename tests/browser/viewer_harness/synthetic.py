"""Made-up traces with affinities worth looking at: no model, no weights, any size, every kind of source.

A query of head n is the mixture of category vectors in its cell, plus a little of its position and of noise; keys are category
vectors (prototypes) or the same mixture at the source cells (pixels), plus one sink that everyone reads a little.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, one_hot

from engine.images import LoadedImage, load_image
from engine.runtime import ModelCard
from engine.stage import SourceKind, Stage
from engine.trace import Trace


def trace(
    image: np.ndarray,
    labels: np.ndarray,
    classes: int,
    sources: SourceKind = "memory",
    *,
    channels: int = 64,
    heads: int = 4,
    strides: tuple[int, ...] = (16, 8, 4),
    contrast: float = 6.0,
    seed: int = 0,
) -> Trace:
    """A trace of `image` (H, W, 3) uint8 whose prediction is `labels` (H, W), slightly wrong along its edges."""
    torch.manual_seed(seed)
    height, width = labels.shape
    planes = one_hot(torch.from_numpy(labels.astype(np.int64)), classes).permute(2, 0, 1).float()
    grids = {s: (math.ceil(height / s), math.ceil(width / s)) for s in (*strides, 2 * strides[0])}
    stages = tuple(
        stage(f"stride{s}", sources, planes, grids[s], grids[2 * s], channels, heads, contrast)
        for s in strides
    )
    finest = adaptive_avg_pool2d(planes, grids[strides[-1]])
    logits = 8 * finest + 0.3 * torch.randn_like(finest)
    card = cast(
        ModelCard,
        SimpleNamespace(id=f"made-up-{sources}", title=f"made up: {sources}", hash=f"{sources}-{seed}"),
    )
    loaded: LoadedImage = load_image(image, long_side=None, name="scene")
    return Trace(logits, (), stages, (height, width), model=card, image=loaded)


def stage(
    name: str,
    sources: SourceKind,
    planes: Tensor,
    grid: tuple[int, int],
    source_grid: tuple[int, int],
    channels: int,
    heads: int,
    contrast: float,
) -> Stage:
    """One stage over the category planes (k, H, W)."""
    k = planes.shape[0]
    fine, coarse = (adaptive_avg_pool2d(planes, size) for size in (grid, source_grid))
    s = math.prod(source_grid)
    residual = torch.randn(channels, *grid)
    high = torch.randn(channels, k) @ coarse.flatten(1) + 0.2 * torch.randn(channels, s)
    common = {
        "name": name,
        "sources": sources,
        "grid": grid,
        "source_grid": source_grid,
        "residual": residual,
        "update": torch.randn(channels, *grid) * (0.3 + fine.amax(0)),
        "out": residual,
        "output_bias": torch.zeros(channels),
    }
    if sources == "bilinear":
        return Stage(
            **common,
            heads=1,
            memory_share=0.0,
            query=None,
            key=None,
            value=high.T[None],
            blended=high.T,
            aligned=None,
            assignment=None,
            prototypes=None,
            mask_logits=None,
            memory=None,
            value_weight=torch.eye(channels)[None],
            value_bias=torch.zeros(1, channels),
            output_weight=torch.randn(channels, 1, channels) / math.sqrt(channels),
        )
    d = channels // heads
    words = torch.randn(heads, d, k)
    words /= words.norm(dim=1, keepdim=True)
    where = _positions(grid, d), _positions(source_grid, d)
    query = words @ fine.flatten(1) + 0.35 * where[0] + 0.1 * torch.randn(heads, d, math.prod(grid))
    if sources == "pixels":
        key = words @ coarse.flatten(1) + 0.35 * where[1] + 0.1 * torch.randn(heads, d, s)
        key[:, :, s // 3] *= 2.5
        assignment = mask = prototypes = memory = None
        blended, mu = high.T, 0.0
    else:
        mask = 5 * coarse + torch.randn(k, *source_grid)
        assignment = (mask + 0.5).flatten(1).softmax(-1).unflatten(-1, source_grid)
        prototypes = assignment.flatten(1) @ high.T
        key = words + 0.3 * torch.randn(heads, d, k)
        key[:, :, 2] += 0.25 * query.mean(-1) / query.mean(-1).norm(dim=-1, keepdim=True)
        mu = 0.1 if sources == "memory" else 0.0
        memory = torch.randn(k, channels) / math.sqrt(channels) if mu else None
        blended = prototypes if memory is None else (1 - mu) * prototypes + mu * memory
    value_weight = torch.randn(heads, d, channels) / math.sqrt(channels)
    value_bias = 0.1 * torch.randn(heads, d)
    return Stage(
        **common,
        heads=heads,
        memory_share=mu,
        query=contrast * query.transpose(1, 2),
        key=key.transpose(1, 2),
        value=torch.einsum("ndc,mc->nmd", value_weight, blended) + value_bias[:, None],
        blended=blended,
        aligned=high.unflatten(-1, source_grid),
        assignment=assignment,
        prototypes=prototypes,
        mask_logits=mask,
        memory=memory,
        value_weight=value_weight,
        value_bias=value_bias,
        output_weight=torch.randn(channels, heads, d) / math.sqrt(channels),
    )


def _positions(grid: tuple[int, int], d: int) -> Tensor:
    """(d, h·w): waves over the grid."""
    rows = torch.linspace(0, 1, grid[0])[:, None].expand(grid)
    cols = torch.linspace(0, 1, grid[1]).expand(grid)
    waves = [f(math.pi * (1 + i // 4) * axis) for i in range(d) for axis, f in [_waves(rows, cols)[i % 4]]]
    return torch.stack(waves).flatten(1) / math.sqrt(d)


def _waves(rows: Tensor, cols: Tensor):
    return (rows, torch.sin), (rows, torch.cos), (cols, torch.sin), (cols, torch.cos)
