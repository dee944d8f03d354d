"""What an audit asks an affinity: a stage's, or the CAE's, both in one shape.

The CAE ("context") reads the cells of the guide's map by the queries of the same map, with one head: its sources are pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.attention import attention_weights
from engine.resample import linear_matrix
from engine.shapes import Float, Int
from engine.stage import Stage
from engine.trace import Trace

CONTEXT = "context"


@dataclass(frozen=True, eq=False)
class Site:
    """One affinity of one image. stage: None for the CAE's; axes as in `engine.stage`."""

    name: str
    sources: str  # as `Stage.sources`, or "context"
    grid: tuple[int, int]
    source_grid: tuple[int, int]
    heads: int
    query: Float[Tensor, "n q e"] | None  # None for bilinear
    key: Float[Tensor, "n m e"] | None
    stage: Stage | None

    @property
    def prototypes(self) -> bool:
        """Whether sources are prototypes, one a category."""
        return self.stage is not None and self.stage.assignment is not None

    def weights(self, queries: Int[Tensor, " p"]) -> Float[Tensor, "n p m"]:
        """Affinity of chosen queries (flat) to every source, per head; rows sum to 1."""
        if self.query is not None and self.key is not None:
            return attention_weights(self.query[:, queries], self.key)
        (h, w), (y, x) = self.grid, self.source_grid
        rows = linear_matrix(h, y, queries.device)[queries // w]
        cols = linear_matrix(w, x, queries.device)[queries % w]
        return (rows[:, :, None] * cols[:, None, :]).flatten(1)[None]

    def over_pixels(self, weights: Float[Tensor, "p m"]) -> Float[Tensor, "p s"]:
        """Followed back to the source cells; sums to 1 − μ."""
        return weights if self.stage is None else self.stage.over_pixels(weights).flatten(-2)

    def memory_shares(self, weights: Float[Tensor, "n p m"]) -> Float[Tensor, " p"] | None:
        """⟨memory part, u⟩ / ‖u‖² of the update u without its biases; None without a memory."""
        if self.stage is None or self.stage.memory is None:
            return None
        image, memory = (
            torch.einsum("npm,nmd,cnd->pc", weights, values, self.stage.output_weight.float())
            for values in self.stage.source_values()
        )
        total = image + memory
        square = total.square().sum(-1)
        return (memory * total).sum(-1) / square.clamp_min(torch.finfo(torch.float32).tiny)

    @property
    def device(self) -> torch.device:
        if self.key is not None:
            return self.key.device
        assert self.stage is not None  # only a stage has no keys
        return self.stage.update.device


def sites_of(trace: Trace) -> dict[str, Site]:
    """Every affinity of a trace without batch axis, coarse → fine; empty where a decoder has none."""
    found = {
        stage.name: Site(
            stage.name,
            stage.sources,
            stage.grid,
            stage.source_grid,
            stage.heads,
            stage.query,
            stage.key,
            stage,
        )
        for stage in trace.stages
    }
    guidance = trace.guidance
    if guidance is not None and guidance.context_query is not None and guidance.context_key is not None:
        query, key = guidance.context_query[None], guidance.context_key[None]
        found[CONTEXT] = Site(CONTEXT, CONTEXT, guidance.grid, guidance.grid, 1, query, key, None)
    return found
