"""Class-token guidance as data: what an HFGD decoder's two branches saw, and where gradients are cut.

Axes as in `engine.stage`: b batch · c channels (one width for F_h, F_u and the tokens) · k categories · h w the upsampler's
grid · y x the guide's coarse grid, s = y·x · d channels of the context's queries and keys.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from engine.attention import attention_weights
from engine.errors import LoupeError
from engine.shapes import Float

PER_IMAGE = ("guide_logits", "upsampler_logits", "high", "upsampled", "context_query", "context_key")


@dataclass(frozen=True)
class Cuts:
    """Soft stop-gradients: the factor that multiplies the gradient of the upsampler's loss at each border.

    0 stops it (the method's default), 1 lets it through; the forward pass never changes.  [paper] the cuts, [choice] soft
    """

    token: float = 0.0  # into the class tokens
    high: float = 0.0  # into the guide's feature F_h, and so into the CAE and the backbone
    low: float = 0.0  # into the skips f0..f2 (and the stride-2 map), and so into the backbone

    def __post_init__(self) -> None:
        for name, factor in (("token", self.token), ("high", self.high), ("low", self.low)):
            if not 0 <= factor <= 1:
                raise LoupeError(f"the {name} cut's factor {factor!r} is not in [0, 1]")


CLOSED = Cuts()
OPEN = Cuts(1.0, 1.0, 1.0)


@dataclass(frozen=True, eq=False)
class Guidance:
    """The two branches of HFGD on one batch or, inside an engine's trace, one image (then without b)."""

    tokens: Float[Tensor, "k c"]  # T, trained by the guide's loss alone
    classifier: Float[Tensor, "k c"]  # what classifies F_u: T itself, or tokens of the upsampler's own
    guide_logits: Float[Tensor, "*b k y x"]  # Z_h = T · F_h, at the coarsest stride
    upsampler_logits: Float[Tensor, "*b k h w"]  # Z_u = classifier · F_u; the trace's logits
    high: Float[Tensor, "*b c y x"]  # F_h
    upsampled: Float[Tensor, "*b c h w"]  # F_u
    context_query: (
        Float[Tensor, "*b s d"] | None
    )  # of the CAE's attention, 1/√d folded in; None without a CAE
    context_key: Float[Tensor, "*b s d"] | None
    cuts: Cuts  # with which the decoder is trained
    own_tokens: bool  # the upsampler has tokens of its own

    def __getitem__(self, image: int) -> Guidance:
        """One image of the batch, without the batch axis."""
        picked = {name: getattr(self, name) for name in PER_IMAGE}
        return replace(self, **{name: None if t is None else t[image] for name, t in picked.items()})

    def batched(self) -> Guidance:
        """The same with a leading b = 1."""
        grown = {name: getattr(self, name) for name in PER_IMAGE}
        return replace(self, **{name: None if t is None else t[None] for name, t in grown.items()})

    @property
    def grid(self) -> tuple[int, int]:
        """(y, x) of the guide."""
        return (self.high.shape[-2], self.high.shape[-1])

    def context_affinity(self, row: int, col: int) -> Float[Tensor, "*b y x"]:
        """The CAE's global affinity: what the guide's cell (row, col) reads of every cell; sums to 1.

        Raises:
            LoupeError: the model has no CAE, or the cell is not on the guide's grid.
        """
        query, key = self._context()
        index = self._index(row, col)
        return attention_weights(query[..., index : index + 1, :], key)[..., 0, :].unflatten(-1, self.grid)

    def context_readers(self, row: int, col: int) -> Float[Tensor, "*b y x"]:
        """The column of it: how much every cell reads the cell (row, col). Raises as `context_affinity` does."""
        query, key = self._context()
        return attention_weights(query, key)[..., self._index(row, col)].unflatten(-1, self.grid)

    def logits_of(self, category: int) -> tuple[Float[Tensor, "*b y x"], Float[Tensor, "*b h w"]]:
        """(guide, upsampler): the logits of one category, each on its branch's own grid.

        Raises:
            LoupeError: no such category.
        """
        if not 0 <= category < self.tokens.shape[0]:
            raise LoupeError(f"category {category} is not one of the {self.tokens.shape[0]} of this model")
        return self.guide_logits[..., category, :, :], self.upsampler_logits[..., category, :, :]

    def token_cosines(self) -> Float[Tensor, "k k"]:
        """Cosine between every two class tokens."""
        unit = torch.nn.functional.normalize(self.tokens.float(), dim=-1)
        return unit @ unit.T

    def _context(self) -> tuple[Tensor, Tensor]:
        if self.context_query is None or self.context_key is None:
            raise LoupeError("this model has no context encoder: no affinity on its guide's map")
        return self.context_query, self.context_key

    def _index(self, row: int, col: int) -> int:
        height, width = self.grid
        if not (0 <= row < height and 0 <= col < width):
            raise LoupeError(f"cell ({row}, {col}) is not on the guide's grid of {height}×{width}")
        return row * width + col
