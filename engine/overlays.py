"""The map that a reading draws for one pixel, computed exactly: what the viewer computes in the browser in half precision.

    reads        where the pixel's query gets its information      on the source grid (y, x)
    read by      which queries read a source                       on the query grid (h, w)
    made of      which source cells a prototype averages           on the source grid
    reads alike  whose affinity profile is like the pixel's        on the query grid

Weights are affinities; contributions are norms of what is added: ‖Σ_n A_nj W_oⁿ v_nj‖, followed through the assignment to
source cells where there are prototypes (the image's part only). "relative" divides by the average over the image's queries,
"uniform" by what equal weights would give. [choice]

Not known here: colours, captions, what a page calls its switches' positions in words.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from engine.errors import LoupeError
from engine.images import cell as cell_of
from engine.shapes import Float
from engine.trace import Stage, Trace

READINGS = ("reads", "read by", "made of", "reads alike")


@dataclass(frozen=True, eq=False)
class Ask:
    """Which map. head: None for the mean. relative and uniform exclude each other: relative wins. source: a prototype."""

    reading: str = "reads"
    head: int | None = None
    contribution: bool = False
    relative: bool = False
    uniform: bool = False
    source: int | None = None


@dataclass(frozen=True, eq=False)
class Overlay:
    """values (rows, cols) fp32; scale "linear", "uniform" or "relative"; limits of a linear scale; unit in words.

    source: the prototype or source cell (y, x) that the map is about, None where it is about the pixel.
    """

    values: np.ndarray
    scale: str
    limits: tuple[float, float]
    unit: str
    source: int | tuple[int, int] | None = None


def in_force(stage: Stage, ask: Ask) -> Ask:
    """What can be drawn: settings that mean nothing for a reading or its sources fall back, as they do in the viewer."""
    reading = "reads" if ask.reading == "made of" and stage.assignment is None else ask.reading
    whole = reading in ("made of", "reads alike")
    contribution = ask.contribution and not whole
    relative = ask.relative and not whole and not (reading == "reads" and contribution)
    uniform = ask.uniform and not relative and reading != "reads alike"
    head = ask.head if ask.head is not None and ask.head < stage.heads else None
    source = ask.source if stage.assignment is not None and (ask.source or 0) < stage.source_count else None
    return Ask(reading, head, contribution, relative, uniform, source)


def overlay(trace: Trace, stage: Stage | str, pixel: tuple[int, int], ask: Ask) -> Overlay:
    """The map of a pixel (row, col) of the original image.

    Raises LoupeError for an unknown stage or reading, or a pixel outside the image.
    """
    stage = trace.stage(stage) if isinstance(stage, str) else stage
    if ask.reading not in READINGS:
        raise LoupeError(f'no reading "{ask.reading}": there are {", ".join(READINGS)}')
    ask = in_force(stage, ask)
    size = trace.image.original_size if trace.image is not None else trace.image_size
    query = cell_of(*pixel, size, stage.grid)
    if ask.reading == "reads":
        return _reads(stage, query, ask)
    if ask.reading == "read by":
        return _read_by(stage, ask, cell_of(*pixel, size, stage.source_grid))
    if ask.reading == "made of":
        y, x = cell_of(*pixel, size, trace.image_size)
        return _made_of(stage, ask, int(trace.labels[y, x]))
    alike = stage.profile_similarity(*query, head=ask.head)
    unit = "similarity of affinity profiles (Bhattacharyya), 0 to 1"
    return _finish(alike, ask, 1, 1.0, unit, limits=(max(0.0, float(alike.min())), 1.0))


def _reads(stage: Stage, query: tuple[int, int], ask: Ask) -> Overlay:
    y, x = stage.source_grid
    weights = stage.affinity(*query)
    if ask.contribution:
        values = _cell_contributions(stage, _only(stage.added_weights(*query), ask.head))
        unit = f"‖contribution‖{_part(stage)} of each of {y}×{x} source cells"
        return _finish(values, ask, 1 / max(float(values.mean()), 1e-30), 1.0, unit)
    values = stage.over_pixels(_reduced(weights, ask.head))
    # The average walks the whole affinity, which takes seconds on large grids of pixel sources.
    average = stage.over_pixels(_reduced(stage.mean_affinity(), ask.head)) if ask.relative else 1.0
    unit = f"weight; {y}×{x} source cells sum to {1 - stage.memory_share:g}"
    return _finish(values, ask, y * x, average, unit)


def _read_by(stage: Stage, ask: Ask, cell: tuple[int, int]) -> Overlay:
    by_cell = ask.source is None
    if ask.contribution and stage.source_mix is not None:
        stage = replace(stage, assignment=stage.added_assignment())
    columns, vectors = _columns(stage, cell if ask.source is None else ask.source)
    if ask.contribution:
        if stage.averaged:
            columns = columns.mean(dim=-1, keepdim=True).expand_as(columns)
        if ask.head is not None:
            columns, vectors = columns[ask.head, None], vectors[ask.head, None]
        values = torch.einsum("nq,nc->qc", columns, vectors).norm(dim=-1)
        unit = f"‖contribution‖{_part(stage) if by_cell else ''} of the source to each pixel"
        times = 1 / max(float(values.mean()), 1e-30)
    else:
        share = 1 - stage.memory_share if by_cell and stage.assignment is not None else 1.0
        values = share * _reduced(columns, ask.head)
        unit = "weight that each pixel gives to the source"
        times = cell_count(stage) if by_cell else stage.source_count
    average = values.mean().clamp_min(1e-30)
    about = cell if ask.source is None else ask.source
    return _finish(values.unflatten(-1, stage.grid), ask, times, average, unit, source=about)


def _made_of(stage: Stage, ask: Ask, label: int) -> Overlay:
    assert stage.assignment is not None
    source = ask.source if ask.source is not None else min(label, stage.source_count - 1)
    y, x = stage.source_grid
    unit = f"assignment of the prototype; {y}×{x} source cells sum to 1"
    return _finish(stage.assignment[source].float(), ask, y * x, 1.0, unit, source=source)


def _finish(
    values: Tensor,
    ask: Ask,
    times: float,
    average: Tensor | float,
    unit: str,
    limits: tuple[float, float] | None = None,
    source: int | tuple[int, int] | None = None,
) -> Overlay:
    scale = "linear"
    if ask.relative:
        values, scale, unit = (
            values / average,
            "relative",
            f"{unit.partition(';')[0]} ÷ its average over the image",
        )
    elif ask.uniform:
        values, scale, unit = values * times, "uniform", f"{unit.partition(';')[0]}, times uniform"
    array = values.float().cpu().numpy()
    return Overlay(array, scale, limits or (0.0, float(array.max()) or 1.0), unit, source)


def _part(stage: Stage) -> str:
    """What the norms of source cells leave out: no cell of the image adds the memory's part."""
    return " (image part)" if stage.assignment is not None and stage.memory_share else ""


def cell_count(stage: Stage) -> int:
    """s: the number of source cells."""
    return stage.source_grid[0] * stage.source_grid[1]


def _reduced(rows: Float[Tensor, "n m"], head: int | None) -> Float[Tensor, " m"]:
    return rows.mean(dim=0) if head is None else rows[head]


def _only(rows: Float[Tensor, "n m"], head: int | None) -> Float[Tensor, "n m"]:
    """All heads, or one with the others silent."""
    if head is None:
        return rows
    kept = torch.zeros_like(rows)
    kept[head] = rows[head]
    return kept


def _cell_contributions(stage: Stage, weights: Float[Tensor, "n m"]) -> Float[Tensor, "y x"]:
    """Norm of what each source cell adds, in blocks of cells."""
    output = stage.output_weight.float()
    if stage.assignment is None or stage.aligned is None:
        values, spread = stage.source_values()[0], weights
    else:
        pixels = stage.aligned.float().flatten(-2)
        values = (1 - stage.memory_share) * torch.einsum("ndc,cs->nsd", stage.value_weight.float(), pixels)
        assignment = stage.added_assignment()
        assert assignment is not None
        spread = weights @ assignment.float().flatten(-2)
    norms = [
        torch.einsum("ns,nsd,cnd->sc", s, v, output).norm(dim=-1)
        for s, v in zip(spread.split(4096, dim=-1), values.split(4096, dim=-2), strict=True)
    ]
    return torch.cat(norms).unflatten(-1, stage.source_grid)


def _columns(
    stage: Stage, source: int | tuple[int, int]
) -> tuple[Float[Tensor, "n q"], Float[Tensor, "n c"]]:
    """Per head: every query's affinity to a source or source cell (without 1 − μ), and what its value adds at weight 1."""
    output = stage.output_weight.float()
    if isinstance(source, int) or stage.assignment is None or stage.aligned is None:
        index = source if isinstance(source, int) else source[0] * stage.source_grid[1] + source[1]
        columns = stage.columns(index)
        value = sum(part[:, index] for part in stage.source_values())
    else:
        columns = stage.pixel_columns(*source)
        pixel = stage.aligned[:, source[0], source[1]].float()
        value = (1 - stage.memory_share) * torch.einsum("ndc,c->nd", stage.value_weight.float(), pixel)
    assert isinstance(value, Tensor)
    return columns, torch.einsum("cnd,nd->nc", output, value)
