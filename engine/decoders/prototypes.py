"""Category prototypes and their memory.  [paper] idea, [author] details.

    Z = W_2 (W_1 ⊛ LN(high))                  mask logits (k, y, x); W_1 grouped 1×1, W_2 1×1, no biases
    S = softmax over space of Z               assignment, one distribution over the s coarse pixels per category
    P = S · alignedᵀ,  aligned = W_a ⊛ LN(high)      prototypes (k, C); W_a grouped 1×1, no bias
    sources = (1 − μ) P + μ M                 with the memory M as it was before this step
    M ← (1 − μ) M + μ normalise(mean over the batch and all processes of P)        in training only, no gradient

| symbol | attribute |
|---|---|
| W_1, W_2 | `MaskHead.hidden`, `.logits` |
| W_a | `CategoryPrototypes.align` |
| M, μ | `MemoryBank.bank` (1, k, C), `.memory_share` |

The average is this learned soft one, never ground truth. All categories are averaged and remembered, absent ones too.
M's rows are normalised when it is initialised and never again: their norms fall below 1.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from einops import einsum, rearrange
from torch import Tensor, nn

from engine.edits import applying
from engine.edits.plan import StageEdit
from engine.shapes import Float

UNEDITED = StageEdit()
GROUPS = 4  # of every grouped 1×1 convolution, whatever the number of heads; in the older CFT as many as heads  [author]


def spatial_softmax(mask_logits: Float[Tensor, "b k y x"]) -> Float[Tensor, "b k y x"]:
    """The assignment: a softmax over space for each category, in fp32; each sums to 1, absent ones' too."""
    return mask_logits.float().flatten(2).softmax(dim=-1).view(mask_logits.shape)


def average(
    assignment: Float[Tensor, "b k y x"], aligned: Float[Tensor, "b c y x"]
) -> Float[Tensor, "b k c"]:
    """Prototypes: each category's weighted mean of the aligned pixels."""
    return einsum(assignment.to(aligned.dtype), aligned, "b k y x, b c y x -> b k c")


class MaskHead(nn.Module):
    """(b, C, y, x) → mask logits (b, k, y, x). Also the auxiliary head of decoders whose sources need no masks."""

    def __init__(self, channels: int, classes: int, groups: int = GROUPS) -> None:
        super().__init__()
        self.hidden = nn.Conv2d(channels, channels, 1, groups=groups, bias=False)
        self.logits = nn.Conv2d(channels, classes, 1, bias=False)

    def forward(self, high: Float[Tensor, "b c y x"]) -> Float[Tensor, "b k y x"]:
        return self.logits(self.hidden(high))


class MemoryBank(nn.Module):
    """Prototypes of the whole data set, an exponential moving average held per block.

    Args:
        memory_share: μ in [0, 1], both the blend weight and the update rate.
    """

    bank: Tensor

    def __init__(self, classes: int, channels: int, memory_share: float) -> None:
        super().__init__()
        self.memory_share = float(memory_share)
        self.register_buffer("bank", F.normalize(torch.randn(1, classes, channels), dim=-1))

    def initialise(self, features: Float[Tensor, "k channels"]) -> None:
        """Start from per-category mean features (k, ≥ C), rows L2-normalised.  [author]"""
        _, classes, channels = self.bank.shape
        if features.ndim != 2 or features.shape[0] != classes or features.shape[1] < channels:
            raise ValueError(
                f"memory features of shape {tuple(features.shape)} do not fit a bank of {classes} × {channels}"
            )
        self.bank.copy_(F.normalize(features[:, :channels].to(self.bank), dim=-1).unsqueeze(0))

    def blend(
        self,
        prototypes: Float[Tensor, "b k c"],
        bank: Float[Tensor, "k c"] | None = None,
        memory_share: float | None = None,
    ) -> Float[Tensor, "b k c"]:
        """(1 − μ)P + μM; M and μ are the bank's own unless others are given."""
        mu = self.memory_share if memory_share is None else memory_share
        rows = self.bank[0] if bank is None else bank
        return (1 - mu) * prototypes + mu * rows.to(prototypes.dtype)

    @torch.no_grad()
    def update(self, prototypes: Float[Tensor, "b k c"]) -> None:
        """One step of the moving average."""
        mean = prototypes.detach().float().mean(dim=0, keepdim=True)
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            dist.all_reduce(mean)
            mean /= dist.get_world_size()
        mu = self.memory_share
        self.bank.copy_((1 - mu) * self.bank + mu * F.normalize(mean, dim=-1))


class Sources(NamedTuple):
    """What the queries read, and how it came about. Fields that a kind of source has not are None."""

    vectors: Float[Tensor, "b m c"]  # what key and value are made from
    mask_logits: Float[Tensor, "b k y x"] | None = None
    assignment: Float[Tensor, "b k y x"] | None = None
    aligned: Float[Tensor, "b c y x"] | None = None
    prototypes: Float[Tensor, "b k c"] | None = None
    memory: Float[Tensor, "k c"] | None = None


class PixelSources(nn.Module):
    """Every coarse pixel is a source: m = y·x.  [paper] idea, [choice] details: aligned as for prototypes."""

    def __init__(self, channels: int, groups: int = GROUPS) -> None:
        super().__init__()
        self.align = nn.Conv2d(channels, channels, 1, groups=groups, bias=False)

    def forward(
        self, high: Float[Tensor, "b c y x"], edit: StageEdit = UNEDITED, known: Sources | None = None
    ) -> Sources:
        aligned = self.align(high) if known is None or known.aligned is None else known.aligned
        return Sources(rearrange(aligned, "b c y x -> b (y x) c"), aligned=aligned)


class CategoryPrototypes(nn.Module):
    """The k category prototypes of one image are the sources: m = k."""

    def __init__(self, channels: int, classes: int, groups: int = GROUPS) -> None:
        super().__init__()
        self.mask = MaskHead(channels, classes, groups)
        self.align = nn.Conv2d(channels, channels, 1, groups=groups, bias=False)

    def forward(
        self, high: Float[Tensor, "b c y x"], edit: StageEdit = UNEDITED, known: Sources | None = None
    ) -> Sources:
        return self.live(high, edit, None, known)

    def live(
        self,
        high: Float[Tensor, "b c y x"],
        edit: StageEdit,
        bank: Float[Tensor, "k c"] | None,
        known: Sources | None,
    ) -> Sources:
        """The image's prototypes as the only sources; `bank` is what an edit may replace them by."""
        if known is None or known.mask_logits is None or known.aligned is None:
            mask_logits, aligned = self.mask(high), self.align(high)
        else:
            mask_logits, aligned = known.mask_logits, known.aligned
        if known is None or edit.hidden is not None or edit.truth is not None:
            assignment = applying.assign(spatial_softmax(applying.hide(mask_logits, edit)), edit)
            assignment, aligned = applying.as_many(assignment, aligned)
            prototypes = average(assignment, aligned)
        else:
            assignment, prototypes = known.assignment, known.prototypes
            assert assignment is not None and prototypes is not None
        assignment, prototypes = applying.move_rows(assignment, prototypes, aligned, bank, edit)
        return Sources(prototypes, mask_logits, assignment, aligned, prototypes)


class RememberedPrototypes(CategoryPrototypes):
    """Prototypes blended with the memory bank; in training each forward updates the bank after reading it."""

    memory: MemoryBank

    def __init__(self, channels: int, classes: int, memory_share: float, groups: int = GROUPS) -> None:
        super().__init__(channels, classes, groups)
        self.memory = MemoryBank(classes, channels, memory_share)

    def forward(
        self, high: Float[Tensor, "b c y x"], edit: StageEdit = UNEDITED, known: Sources | None = None
    ) -> Sources:
        # The bank changes in place below (in training), so what is handed out is a copy.
        before = applying.edited_bank(self.memory.bank[0].clone(), edit)
        live = self.live(high, edit, before, known)
        blended = self.memory.blend(live.vectors, before, edit.memory_share)
        if self.training:
            self.memory.update(live.vectors)
        return live._replace(vectors=blended, memory=before)
