"""Deletion: which map tells the truth about a decision?

    m(p) = logit of the shown category − best other, at one pixel, when the top p % of a stage's source cells are hidden
    a map is the truer, the faster m falls while the cells that it ranks highest go first    (Petsiuk et al. 2018, for cells)

    affinity, relative    what the pixel reads, and that ÷ its average over the image's queries (`engine.overlays`)
    contribution          norm of what each cell adds to the pixel, through the assignment where there are prototypes
    influence             Σ_c |∂m/∂x_c · x_c| at the stage's `high`, by what this stage reads of it alone: its other ways to the
                          logits are held  [choice]
    distance              the nearest first
    random                a seeded order of the pixel's own

A hidden cell cannot be read by any query of the stage: its affinity is 0 and the others' are renormalised; with prototypes its
assignment is (`engine.edits`). At least one cell is hidden at each share above 0. Variants are run from one unedited trace; at
the last stage only the cells around the pixel are, since no others reach its logits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from engine.atlas.hashing import pixel_hashes
from engine.audit.records import MAPS, SHARES
from engine.audit.sample import Drawn
from engine.audit.scores import Cells
from engine.audit.site import CONTEXT, Site
from engine.decoders.decoder import Decoder, Parts
from engine.edits import Plan, StageEdit
from engine.overlays import Ask, overlay
from engine.resample import logits_of
from engine.shapes import Float
from engine.stage import Stage, go_on
from engine.trace import Trace

VARIANT_BYTES = 64 << 20  # of the widest map of the variants that run together
GRADIENT_BYTES = (
    512 << 20
)  # of the widest maps that autograd keeps of the pixels that are asked for influence together

REACH = 4
WINDOW = 2 * REACH + 3  # cells a side

BY_OVERLAY = {"affinity": Ask(), "relative": Ask(relative=True), "contribution": Ask(contribution=True)}


def undeletable(site: Site) -> str | None:
    """Why no source cell of a site can be hidden; None where they can."""
    if site.name == CONTEXT:
        return "the CAE's cells cannot be hidden: edits reach query updates alone"
    if site.sources == "bilinear":
        return f"{site.name} reads four fixed neighbours by place: hiding cells means nothing there"
    return None


def margins(
    decoder: Decoder,
    base: Trace,
    parts: Parts,
    stage: Stage,
    drawn: Drawn,
    cells: Cells,
    rows: np.ndarray,
    name: str,
    seed: int,
    stop: Callable[[], bool] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(margins (d, maps, shares) logits, shares of cells truly hidden (d, shares)) of some of an image's pixels.

    Args:
        base: the unedited trace, batched, b = 1; parts: what the decoder keeps of it. stage: of `base[0]`.
        drawn, cells: the image's pixels, of which `rows` (d,) are asked. name: the image's, for the random orders.
        stop: asked before each batch of variants.

    Raises:
        Stopped: `stop` said yes.
    """
    at = np.stack([drawn.row[rows], drawn.col[rows]], axis=1).astype(np.int64)
    d, s = len(rows), len(cells.majority)
    shown = logits_of(base.logits, np.zeros(d, np.int64), at, base.image_size)
    category = shown.argmax(1)
    found = np.empty((d, len(MAPS), len(SHARES)), np.float32)
    found[:, :, 0] = _margin(shown, category)[:, None]
    counts = np.array([0, *(max(1, round(share * s)) for share in SHARES[1:])])
    orders = _orders(decoder, base, parts, stage, at, category, cells.of(rows).distance, name, seed)
    ranks = np.argsort(orders, axis=-1)  # (d, maps, s): in which place each cell goes
    hidden = torch.from_numpy(ranks[:, :, None, :] < counts[1:, None]).to(base.logits.device)
    variants = hidden.flatten(0, 2).unflatten(-1, stage.source_grid)
    pixel = np.repeat(np.arange(d), len(MAPS) * (len(SHARES) - 1))
    near = stage.name == base.stages[-1].name and _windows_fit(base)
    size = WINDOW * WINDOW if near else stage.grid[0] * stage.grid[1]
    fallen = []
    for block in np.array_split(np.arange(len(pixel)), -(-len(pixel) // _together(base, size))):
        go_on(stop)
        edit = Plan({stage.name: StageEdit(hidden=variants[torch.from_numpy(block)])})
        here = at[pixel[block]]
        source, held, here, seen = (
            _around(base, parts, here) if near else (base, parts, here, base.image_size)
        )
        logits = decoder.rerun(source, edit, held).trace.logits
        logits = logits.expand(len(block), -1, -1, -1)  # where no update changed it is the base's, of b = 1
        chosen = logits_of(logits, np.arange(len(block)), here, seen)
        fallen.append(_margin(chosen, category[torch.from_numpy(pixel[block])]))
    found[:, :, 1:] = np.concatenate(fallen).reshape(d, len(MAPS), -1)
    return found, np.tile((counts / s).astype(np.float32), (d, 1))


def _margin(logits: Float[Tensor, "r k"], category: Tensor) -> np.ndarray:
    """(r,) the category's logit minus the best other."""
    return _margins(logits, category).detach().numpy()


def _margins(logits: Float[Tensor, "r k"], category: Tensor) -> Float[Tensor, " r"]:
    own = logits.gather(1, category[:, None])[:, 0]
    others = logits.scatter(1, category[:, None], -torch.inf)
    return own - others.amax(1)


def _together(base: Trace, cells: int) -> int:
    """How many variants run side by side: the block's MLP is four times as wide as its map."""
    return max(1, VARIANT_BYTES // (16 * base.stages[-1].out.shape[1] * cells))


def _windows_fit(base: Trace) -> bool:
    """Cells must be whole pixels, for a window to be an image of its own to the bilinear resize."""
    grid = base.stages[-1].grid
    return min(grid) > WINDOW and not any(side % n for side, n in zip(base.image_size, grid, strict=True))


def _around(base: Trace, parts: Parts, at: np.ndarray) -> tuple[Trace, Parts, np.ndarray, tuple[int, int]]:
    """The last stage cut to the cells around each of b pixels: (trace, parts, the pixels' places in the windows, their size).

    What a variant changes reaches a pixel's logits through three 3×3 convolutions and a bilinear resize: `REACH` cells. A window
    at the image's border ends there, so that the convolutions' padding is what it is in the whole.
    """
    last = base.stages[-1]
    scale = base.image_size[0] // last.grid[0], base.image_size[1] // last.grid[1]
    start = np.stack(
        [np.clip(at[:, i] // scale[i] - REACH - 1, 0, last.grid[i] - WINDOW) for i in (0, 1)], axis=1
    )
    rows, cols = (
        torch.from_numpy(start[:, i, None] + np.arange(WINDOW)).to(last.residual.device) for i in (0, 1)
    )

    def cut(x: Float[Tensor, "1 c h w"]) -> Float[Tensor, "b c W W"]:
        return x[0][:, rows[:, :, None], cols[:, None, :]].transpose(0, 1).contiguous()

    assert last.query is not None  # something can be hidden
    channels = last.query.transpose(-1, -2).flatten(1, 2).unflatten(-1, last.grid)
    query = cut(channels).flatten(-2).unflatten(1, (last.heads, -1)).transpose(-1, -2)
    stage = last.repeated(len(at))
    stage = replace(
        stage,
        grid=(WINDOW, WINDOW),
        query=query,
        residual=cut(last.residual),
        update=cut(last.update),
        out=cut(last.out),
    )
    seen = (WINDOW * scale[0], WINDOW * scale[1])
    window = replace(base, stages=(*base.stages[:-1], stage), image_size=seen)
    return window, tuple(map(cut, parts)), at - start * np.array(scale), seen


def _orders(
    decoder: Decoder,
    base: Trace,
    parts: Parts,
    stage: Stage,
    at: np.ndarray,
    category: Tensor,
    distance: np.ndarray,
    name: str,
    seed: int,
) -> np.ndarray:
    """(d, maps, s): the cells in the order in which they go; equal ones in the pixel's random order."""
    image = base[0]
    random = np.stack([pixel_hashes(seed, f"{name}/{row},{col}", distance.shape[1]) for row, col in at])
    influence = influences(decoder, base, parts, stage, at, category).numpy()
    found = np.empty((len(at), len(MAPS), distance.shape[1]), np.int64)
    for place in range(len(at)):  # of the few pixels of one image
        pixel = int(at[place, 0]), int(at[place, 1])
        maps = {each: overlay(image, stage, pixel, ask).values.ravel() for each, ask in BY_OVERLAY.items()}
        maps |= {"influence": influence[place].ravel(), "distance": -distance[place]}
        maps["random"] = np.zeros(distance.shape[1])
        for which, each in enumerate(MAPS):
            found[place, which] = np.lexsort((random[place], -maps[each]))
    return found


def influences(
    decoder: Decoder, base: Trace, parts: Parts, stage: Stage, at: np.ndarray, category: Tensor
) -> Float[Tensor, "d y x"]:
    """|gradient × feature| of each pixel's margin at the stage's `high`, summed over channels; on the CPU.

    Only what the stage reads of `high` counts: its other way to the logits, through the fusion, is in `parts`, which are held.
    Each pixel is a run of its own with all of its maps kept, so on large images few go together.
    """
    last = base.stages[-1]
    step = max(1, GRADIENT_BYTES // (48 * last.out.shape[1] * last.grid[0] * last.grid[1]))  # three 4 C wide
    if step >= len(at):
        return _influences(decoder, base, parts, stage, at, category)
    groups = (slice(first, first + step) for first in range(0, len(at), step))
    return torch.cat([_influences(decoder, base, parts, stage, at[g], category[g]) for g in groups])


def _influences(
    decoder: Decoder, base: Trace, parts: Parts, stage: Stage, at: np.ndarray, category: Tensor
) -> Float[Tensor, "d y x"]:
    """The same of pixels that go together."""
    place = [each.name for each in base.stages].index(stage.name)
    high = base.laterals[3] if place == 0 else base.stages[place - 1].out
    with torch.enable_grad():
        leaf = high.detach().expand(len(at), -1, -1, -1).clone().requires_grad_()
        stages, laterals = [each.repeated(len(at)) for each in base.stages], base.laterals
        if place == 0:
            laterals = (*laterals[:3], leaf)
        else:
            stages[place - 1] = replace(stages[place - 1], out=leaf)
        # A decoder goes on with an update that it finds unchanged, which has no gradient: nothing equals nan.
        unlike = torch.full_like(stages[place].update, torch.nan)
        stages[place] = replace(stages[place], update=unlike)
        source = replace(base, stages=tuple(stages), laterals=laterals)
        run = decoder.rerun(source, Plan({stage.name: StageEdit()}), parts).trace
        logits = logits_of(run.logits, np.arange(len(at)), at, base.image_size)
        (gradient,) = torch.autograd.grad(_margins(logits, category).sum(), leaf)
    return (gradient * leaf.detach()).abs().sum(1).cpu()
