"""One reconstruction stage as data: what was read, by whom, and what it added.

Axes (the glossary, used in names and shapes everywhere):
    b batch · c channels · h w the fine (query) grid · y x the coarse (source) grid, s = y·x · k categories · n heads ·
    d channels per head · m sources that a query reads (s for bilinear and pixels, k for prototypes and memory) ·
    q queries, h·w in row-major order

Tensors that are cheap are fields; the affinity, (n, h·w, m), is never one: methods return a row, a column or a block.
From a decoder a leading b is everywhere; `stage[j]` drops it, in every method's result too (written `*b`).
Affinities are computed in fp32 whatever the precision of the fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from engine.attention import attend, attention_weights
from engine.errors import LoupeError
from engine.resample import linear_matrix
from engine.shapes import Float

SourceKind = Literal["bilinear", "pixels", "prototypes", "memory"]

BLOCK_BYTES = 32 << 20  # of affinity held at any time by whole-grid sums


# Fields with a leading batch axis.
PER_IMAGE = (
    *("query", "key", "value", "blended", "residual", "update", "out"),
    *("aligned", "assignment", "prototypes", "mask_logits"),
)


class Stopped(Exception):
    """A computation was given up between two blocks because its caller's `stop` said so."""


class Contribution(NamedTuple):
    """What each source adds at one query: c_j = Σ_n A_nj W_oⁿ v_nj, biases left out.  [choice]"""

    vectors: Float[Tensor, "*b m c"]  # c_j; Σ_j c_j = update − bias part
    norm: Float[Tensor, "*b m"]  # ‖c_j‖, in the units of the update
    signed: Float[Tensor, "*b m"]  # ⟨c_j, u⟩ / ‖u‖² with u = Σ c_j; sums to 1
    image: Float[Tensor, "*b m c"]  # the part of c_j that comes from this image
    memory: Float[Tensor, "*b m c"]  # the part that comes from the memory bank; image + memory = vectors


class UpdateParts(NamedTuple):
    """The update split exactly: image + memory + bias = update."""

    image: Float[Tensor, "*b c h w"]
    memory: Float[Tensor, "*b c h w"]
    bias: Float[Tensor, " c"]


@dataclass(frozen=True, eq=False)
class Stage:
    """One block of the decoder, from `low` (fine) and `high` (coarse) to `out` (fine)."""

    name: str  # "stride16", "stride8", "stride4": of the fine grid when the backbone's output stride is 32
    sources: SourceKind
    grid: tuple[int, int]  # (h, w), where the queries live
    source_grid: tuple[int, int]  # (y, x), where the source pixels live
    heads: int  # n; 1 for bilinear
    memory_share: float  # μ, the blend weight; 0 unless sources == "memory"
    query: Float[Tensor, "*b n q e"] | None  # sign and 1/√d folded in; None for bilinear
    key: Float[Tensor, "*b n m e"] | None  # None for bilinear. e = d, or d + 1 where an edit closes sources
    value: Float[Tensor, "*b n m d"]  # W_v source + b_v; for bilinear the source itself (d = c)
    blended: Float[Tensor, "*b m c"]  # what key and value are made from
    residual: Float[Tensor, "*b c h w"]  # the un-normed low
    update: Float[Tensor, "*b c h w"]  # what the query update adds to it
    out: Float[Tensor, "*b c h w"]  # after the block's MLP; the next stage's high
    aligned: Float[Tensor, "*b c y x"] | None  # aligned source pixels; None for bilinear
    assignment: Float[Tensor, "*b k y x"] | None  # sums to 1 over (y, x); None for pixels and bilinear
    prototypes: Float[Tensor, "*b k c"] | None  # P, before blending
    mask_logits: Float[Tensor, "*b k y x"] | None  # None for pixels and bilinear
    memory: Float[Tensor, "k c"] | None  # M as it was read
    value_weight: Float[Tensor, "n d c"]  # W_v; the identity for bilinear
    value_bias: Float[Tensor, "n d"]  # b_v; zero for bilinear
    output_weight: Float[Tensor, "c n d"]  # W_o split by head
    output_bias: Float[Tensor, " c"]  # b_o
    source_mix: Float[Tensor, "m m"] | None = (
        None  # R, where an edit silences sources: what is added is R · W_v source
    )
    averaged: bool = False  # an edit put the update's mean over the queries in its place

    def __getitem__(self, image: int) -> Stage:
        """The same stage for one image of the batch, without the batch axis."""
        return replace(self, **{name: _pick(getattr(self, name), image) for name in PER_IMAGE})

    def batched(self) -> Stage:
        """The same with a leading b = 1."""
        grown = {name: getattr(self, name) for name in PER_IMAGE}
        return replace(self, **{name: None if t is None else t[None] for name, t in grown.items()})

    def repeated(self, many: int) -> Stage:
        """The one image of a batched stage standing for `many`, as views; a stage of `many` as it is."""
        if len(self.update) == many:
            return self
        grown = {name: getattr(self, name) for name in PER_IMAGE}
        return replace(
            self, **{n: None if t is None else t.expand(many, *t.shape[1:]) for n, t in grown.items()}
        )

    @property
    def source_count(self) -> int:
        """m."""
        return self.blended.shape[-2]

    # ---------------------------------------------------------------- rows: where does a query read?

    def affinity(self, row: int, col: int) -> Float[Tensor, "*b n m"]:
        """Affinity of the query at cell (row, col) to every source, per head; a share, sums to 1 over m.

        Raises:
            LoupeError: the cell is not on the stage's grid.
        """
        index = self._index(row, col, self.grid)
        return self.affinity_block(slice(index, index + 1))[..., 0, :]

    def affinity_block(self, queries: slice) -> Float[Tensor, "*b n q m"]:
        """Affinity of a range of queries (row-major), per head: the explicit matrix, one block of it."""
        if self.query is not None and self.key is not None:
            return attention_weights(self.query[..., queries, :], self.key)
        (h, w), (y, x) = self.grid, self.source_grid
        device = self.update.device
        index = torch.arange(h * w, device=device)[queries]
        rows = linear_matrix(h, y, device)[index // w]
        cols = linear_matrix(w, x, device)[index % w]
        block = (rows[:, :, None] * cols[:, None, :]).flatten(1)
        return block.expand(*self.value.shape[:-3], 1, *block.shape)

    def pixel_affinity(self, row: int, col: int) -> Float[Tensor, "*b y x"]:
        """Global affinity of a query to every source pixel, heads averaged; sums to 1 − μ.

        For prototypes it is exact: a prototype is a linear average of pixels, so affinity · assignment follows it back.
        It acts on the aligned pixels; the share μ goes to the memory.
        """
        return self.over_pixels(self.affinity(row, col).mean(dim=-2))

    def over_pixels(self, over_sources: Float[Tensor, "*b m"]) -> Float[Tensor, "*b y x"]:
        """Any weights over sources, followed back to the source pixels (times 1 − μ)."""
        if self.assignment is None:
            return over_sources.unflatten(-1, self.source_grid)
        return (1 - self.memory_share) * torch.einsum(
            "...k,...kyx->...yx", over_sources, self.assignment.float()
        )

    # ---------------------------------------------------------------- columns: who reads a source?

    def readers(self, source: int, head: int | None = None) -> Float[Tensor, "*b h w"]:
        """Affinity of every query to one source (flat in m): of one head, or the heads' mean.

        Raises:
            LoupeError: no such source or head.
        """
        return self._of_head(self.columns(source), head).unflatten(-1, self.grid)

    def pixel_readers(self, y: int, x: int, head: int | None = None) -> Float[Tensor, "*b h w"]:
        """The column of `pixel_affinity`: how much every query reads the source pixel (y, x); heads as in `readers`."""
        share = 1.0 if self.assignment is None else 1 - self.memory_share
        return share * self._of_head(self.pixel_columns(y, x), head).unflatten(-1, self.grid)

    def columns(self, source: int) -> Float[Tensor, "*b n q"]:
        """Affinity of every query to one source (flat in m), per head.

        Raises:
            LoupeError: no such source.
        """
        if not 0 <= source < self.source_count:
            raise LoupeError(f"source {source} is not one of the {self.source_count} sources of {self.name}")
        return torch.cat([block[..., source] for block in self.blocks()], dim=-1)

    def pixel_columns(self, y: int, x: int) -> Float[Tensor, "*b n q"]:
        """The same to the source pixel (y, x), followed through the assignment where there is one; without 1 − μ."""
        index = self._index(y, x, self.source_grid)
        if self.assignment is None:
            return self.columns(index)
        weights = self.assignment.flatten(-2)[..., index].float()
        return torch.cat([torch.einsum("...nqm,...m->...nq", b, weights) for b in self.blocks()], dim=-1)

    def _of_head(self, columns: Float[Tensor, "*b n q"], head: int | None) -> Float[Tensor, "*b q"]:
        if head is None:
            return columns.mean(dim=-2)
        if not 0 <= head < self.heads:
            raise LoupeError(f"{self.name} has no head {head}: they are 0 to {self.heads - 1}")
        return columns[..., head, :]

    # ---------------------------------------------------------------- whole-grid sums, in blocks

    def blocks(self) -> Iterator[Float[Tensor, "*b n q m"]]:
        """The affinity, block after block of queries, each at most `BLOCK_BYTES`."""
        batch = self.value.shape[0] if self.value.ndim == 4 else 1
        step = max(1, BLOCK_BYTES // (4 * batch * self.heads * self.source_count))
        for start in range(0, self.grid[0] * self.grid[1], step):
            yield self.affinity_block(slice(start, start + step))

    @cached_property
    def _mean_affinity(self) -> Tensor:
        total = sum(block.sum(dim=-2) for block in self.blocks())
        assert isinstance(total, Tensor)
        return total / (self.grid[0] * self.grid[1])

    def mean_affinity(self) -> Float[Tensor, "*b n m"]:
        """The image's average affinity to each source, per head; sums to 1. A sink is a source that everyone reads."""
        return self._mean_affinity

    @cached_property
    def _normaliser(self) -> Tensor:
        return self._normalise(None)

    def _normalise(self, stop: Callable[[], bool] | None) -> Tensor:
        assert self.query is not None and self.key is not None
        step = max(1, BLOCK_BYTES // (4 * self.heads * self.source_count))
        key = self.key.float().transpose(-1, -2)
        parts = []
        for query in self.query.split(step, dim=-2):
            go_on(stop)
            parts.append((query.float() @ key).logsumexp(dim=-1))
        return torch.cat(parts, dim=-1)

    def normaliser(self) -> Float[Tensor, "*b n q"] | None:
        """log Σ_m exp(q·k) of every query, per head: affinity = exp(q·k − normaliser). None for bilinear."""
        return None if self.query is None else self._normaliser

    def profile_similarity(
        self, row: int, col: int, head: int | None = None, stop: Callable[[], bool] | None = None
    ) -> Float[Tensor, "*b h w"]:
        """How alike every query reads to the one at (row, col): Σ_m √(A(p) A(r)) of one head or the heads' mean, in [0, 1].

        The Bhattacharyya coefficient of the two affinity profiles. `stop` is asked before each block.

        [choice] For attention it needs no second softmax: √(A(p) A(r)) = exp((q_p + q_r)/2 · k − (Z_p + Z_r)/2).

        Raises:
            LoupeError: no such cell or head.
            Stopped: `stop` said yes.
        """
        index = self._index(row, col, self.grid)
        if head is not None and not 0 <= head < self.heads:
            raise LoupeError(f"{self.name} has no head {head}: they are 0 to {self.heads - 1}")
        if self.query is None or self.key is None:  # one head
            root = self.affinity_block(slice(index, index + 1)).sqrt()
            return torch.cat([(b.sqrt() * root).sum(-1).mean(-2) for b in self.blocks()], dim=-1).unflatten(
                -1, self.grid
            )
        if "_normaliser" not in self.__dict__:  # kept by every other caller too, once it was not stopped
            self.__dict__["_normaliser"] = self._normalise(stop)
        chosen = slice(None) if head is None else slice(head, head + 1)
        query, z = self.query[..., chosen, :, :].float(), self._normaliser[..., chosen, :]
        key = self.key[..., chosen, :, :].float().transpose(-1, -2)
        step = max(1, BLOCK_BYTES // (4 * self.heads * self.source_count))
        parts = []
        for start in range(0, query.shape[-2], step):
            go_on(stop)
            here = slice(start, start + step)
            middle = (query[..., here, :] + query[..., index : index + 1, :]) / 2
            parts.append(
                ((middle @ key).logsumexp(-1) - (z[..., here] + z[..., index : index + 1]) / 2).exp().mean(-2)
            )
        return torch.cat(parts, dim=-1).unflatten(-1, self.grid).clamp(0, 1)

    # ---------------------------------------------------------------- what is added

    def source_values(self) -> tuple[Float[Tensor, "*b n m d"], Float[Tensor, "*b n m d"]]:
        """Values without bias, split into their image and memory parts: together they are value − b_v."""
        everything = self.value.float() - self.value_bias.float()[:, None, :]
        if self.memory is None:
            return everything, torch.zeros_like(everything)
        memory = self.memory_share * torch.einsum(
            "ndc,kc->nkd", self.value_weight.float(), self.memory.float()
        )
        if self.source_mix is not None:
            memory = self.source_mix @ memory
        return everything - memory, memory.expand_as(everything)

    def added_weights(self, row: int, col: int) -> Float[Tensor, "*b n m"]:
        """Weights with which values enter the update at (row, col): the affinity, or its mean where the update was averaged.

        Raises:
            LoupeError: the cell is not on the stage's grid.
        """
        weights = self.affinity(row, col)
        return self.mean_affinity() if self.averaged else weights

    def added_assignment(self) -> Float[Tensor, "*b k y x"] | None:
        """The assignment through which pixels enter the update: with silenced sources mixed as their values are."""
        if self.assignment is None or self.source_mix is None:
            return self.assignment
        return torch.einsum("lk,...kyx->...lyx", self.source_mix, self.assignment.float())

    def contribution(self, row: int, col: int) -> Contribution:
        """What each source adds to the query at (row, col). The affinity is held fixed: no counterfactual.

        Raises:
            LoupeError: the cell is not on the stage's grid.
        """
        weights = self.added_weights(row, col)
        output = self.output_weight.float()
        image, memory = (
            torch.einsum("...nm,...nmd,cnd->...mc", weights, v, output) for v in self.source_values()
        )
        vectors = image + memory
        total = vectors.sum(dim=-2, keepdim=True)
        signed = (vectors * total).sum(-1) / total.square().sum(-1).clamp_min(torch.finfo(torch.float32).tiny)
        return Contribution(vectors, vectors.norm(dim=-1), signed, image, memory)

    def update_parts(self) -> UpdateParts:
        """The whole update split into image, memory and bias part, for every query; memory is 0 without a bank."""
        image, memory = (self._broadcast(value) for value in self.source_values())
        bias = (
            torch.einsum("cnd,nd->c", self.output_weight.float(), self.value_bias.float())
            + self.output_bias.float()
        )
        return UpdateParts(image, memory, bias)

    def _broadcast(self, value: Float[Tensor, "*b n m d"]) -> Float[Tensor, "*b c h w"]:
        """Values read through this stage's affinity and W_o, without biases."""
        if self.query is not None and self.key is not None:
            read = attend(self.query.float(), self.key.float(), value)
        else:
            grid = value.unflatten(-2, self.source_grid)
            rows = linear_matrix(self.grid[0], self.source_grid[0], value.device)
            cols = linear_matrix(self.grid[1], self.source_grid[1], value.device)
            read = torch.einsum("hy,wx,...nyxd->...nhwd", rows, cols, grid).flatten(-3, -2)
        if self.averaged:
            read = read.mean(dim=-2, keepdim=True).expand_as(read)
        return torch.einsum("...nqd,cnd->...cq", read, self.output_weight.float()).unflatten(-1, self.grid)

    def _index(self, row: int, col: int, grid: tuple[int, int]) -> int:
        if not (0 <= row < grid[0] and 0 <= col < grid[1]):
            raise LoupeError(f"cell ({row}, {col}) lies outside the {grid[0]}×{grid[1]} grid of {self.name}")
        return row * grid[1] + col


def go_on(stop: Callable[[], bool] | None) -> None:
    """Raises Stopped where `stop` says so."""
    if stop is not None and stop():
        raise Stopped


def _pick(tensor: Tensor | None, image: int) -> Tensor | None:
    return None if tensor is None else tensor[image]
