"""One reconstruction block: a query update of any kind in the same shell.  [author], the kinds [choice]

    x = update(LN(low), LN(high)) + low;   out = MLP(LN(x)) + x

| symbol | attribute |
|---|---|
| update | `ReconstructionBlock.update`: `.weights` are Q-UP's, `.sources` what is read |
| MLP | `ReconstructionBlock.mlp`: 1×1 C → 4C, depthwise 3×3, GELU, 1×1 4C → C |

An edit (`engine.edits`) changes what is computed here and nowhere else; without one it is the same path.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from timm.layers import LayerNorm2d  # pyright: ignore[reportPrivateImportUsage]
from torch import Tensor, nn

from engine.attention import attend
from engine.decoders.prototypes import (
    GROUPS,
    UNEDITED,
    CategoryPrototypes,
    MaskHead,
    MemoryBank,
    PixelSources,
    RememberedPrototypes,
    Sources,
)
from engine.decoders.query_update import BilinearUpdate, QueryUpdate
from engine.edits import applying
from engine.edits.plan import StageEdit
from engine.shapes import Float
from engine.stage import PER_IMAGE, SourceKind, Stage

NORM_EPS = 1e-6
BAND_BYTES = 2 << 20  # of the MLP's widest map at a time on a CPU: larger memory is new pages at every use


class BlockMLP(nn.Sequential):
    """1×1 C → 4C, depthwise 3×3, GELU (erf), 1×1 4C → C. Large maps go through it in bands of rows on a CPU: the same sums."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, 4 * channels, 1)
        self.depthwise = nn.Conv2d(4 * channels, 4 * channels, 3, padding=1, groups=4 * channels)
        self.gelu = nn.GELU()
        self.project = nn.Conv2d(4 * channels, channels, 1)

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        x = input
        rows = max(1, BAND_BYTES // (4 * x[..., 0, :].numel() * x.element_size()))
        if x.device.type != "cpu" or torch.is_grad_enabled() or rows >= x.shape[-2]:
            return super().forward(x)
        out = torch.empty_like(x)
        for start, band in zip(range(0, x.shape[-2], rows), self._bands(x, rows), strict=True):
            out[..., start : start + rows, :] = band
        return out

    def _bands(self, x: Float[Tensor, "b c h w"], rows: int) -> Iterator[Float[Tensor, "b c r w"]]:
        """The output, `rows` rows at a time. The depthwise 3×3 needs a row more on either side: zeros at the borders, and between
        two bands the last two expanded rows of the one before."""
        height, depthwise = x.shape[-2], self.depthwise
        border = x.new_zeros(len(x), depthwise.in_channels, 1, x.shape[-1])
        above = border
        for start in range(0, height, rows):
            stop = min(height, start + rows)
            below = x[..., start + min(start, 1) : stop + 1, :]
            wide = [above, *([self.expand(below)] if below.shape[-2] else []), *([border] * (stop == height))]
            band = torch.cat(wide, dim=-2)
            above = band[..., -2:, :]
            band = F.conv2d(band, depthwise.weight, depthwise.bias, padding=(0, 1), groups=depthwise.groups)
            yield self.project(self.gelu(band))


class AttentiveUpdate(nn.Module):
    """Fine queries read sources of any attentive kind: Q-UP."""

    def __init__(
        self,
        kind: SourceKind,
        channels: int,
        classes: int,
        heads: int,
        memory_share: float,
        auxiliary: bool,
        groups: int = GROUPS,
    ) -> None:
        super().__init__()
        self.kind: SourceKind = kind
        self.weights = QueryUpdate(channels, heads)
        self.sources = {
            "pixels": lambda: PixelSources(channels, groups),
            "prototypes": lambda: CategoryPrototypes(channels, classes, groups),
            "memory": lambda: RememberedPrototypes(channels, classes, memory_share, groups),
        }[kind]()
        self.auxiliary = MaskHead(channels, classes) if auxiliary and kind == "pixels" else None
        self.classes = classes

    @property
    def memory(self) -> MemoryBank | None:
        return getattr(self.sources, "memory", None)

    def forward(
        self,
        query: Float[Tensor, "b n q d"],
        high: Tensor,
        grid: tuple[int, int],
        edit: StageEdit = UNEDITED,
        before: Stage | None = None,
    ) -> tuple[Tensor, Tensor | None, dict[str, Any]]:
        """(update (b, C, h, w), mask logits or None, the fields of a Stage that belong to the update).

        before: the unedited stage of the same `high` and query. What the edit does not reach is taken from it, and where it
        reaches nothing the update is that very tensor: two runs of one sum need not agree in the last bit.
        """
        known = None if before is None else _sources_of(before)
        sources = self.sources(high, edit, known)
        if before is None or not torch.equal(sources.vectors, before.blended):
            key, value = self.weights.keys_values(sources.vectors)
        else:
            key, value = before.key, before.value
            assert key is not None
        query, key = applying.scores(query, key, edit, pixels=self.kind == "pixels")
        value = self._heard(value, edit)
        query, key, value = applying.as_many(query, key, value)
        if before is not None and _alike((query, key, value), before) and edit.update is None:
            update = before.update
        else:
            update = applying.edited_update(self.weights.merge(attend(query, key, value), grid), edit)
        masks = self.auxiliary(high) if self.auxiliary is not None and self.training else sources.mask_logits
        fields = {
            "query": query,
            "key": key,
            "value": value,
            "blended": sources.vectors,
            "aligned": sources.aligned,
            "assignment": sources.assignment,
            "prototypes": sources.prototypes,
            "mask_logits": sources.mask_logits,
            "memory": sources.memory,
            "memory_share": self._memory_share(edit),
            **self._weights(edit),
        }
        return update, masks, fields

    def _heard(self, value: Float[Tensor, "b n m d"], edit: StageEdit) -> Float[Tensor, "b n m d"]:
        """Values after an edit has silenced sources or heads."""
        mix = applying.source_mix(edit, value.shape[-2], value.device)
        if mix is not None:
            bias = self.weights.value_bias()[:, None, :].to(value)
            value = torch.einsum("lm,bnmd->bnld", mix.to(value), value - bias) + bias
        return applying.silence(value, edit.silent_heads, axis=1)

    def _memory_share(self, edit: StageEdit) -> float:
        if self.memory is None:
            return 0.0
        return self.memory.memory_share if edit.memory_share is None else edit.memory_share

    def _weights(self, edit: StageEdit) -> dict[str, Any]:
        """Of a Stage: the weights with which its update splits into parts, as edited."""
        weights, silent = self.weights, edit.silent_heads
        off = edit.update == "zero"
        return {
            "value_weight": applying.silence(weights.value_weight(), silent, axis=0),
            "value_bias": applying.silence(weights.value_bias(), silent, axis=0),
            "output_weight": applying.switched(weights.output_weight(), off),
            "output_bias": applying.switched(weights.output_bias(), off),
            "source_mix": applying.source_mix(edit, self.classes, weights.output_bias().device),
            "averaged": edit.update == "mean",
        }


def _sources_of(stage: Stage) -> Sources:
    """What an unedited stage read."""
    return Sources(
        stage.blended, stage.mask_logits, stage.assignment, stage.aligned, stage.prototypes, stage.memory
    )


def _alike(read: tuple[Tensor, Tensor, Tensor], stage: Stage) -> bool:
    """Queries, keys and values are the stage's own."""
    return all(one is other for one, other in zip(read, (stage.query, stage.key, stage.value), strict=True))


class InterpolatedUpdate(nn.Module):
    """Every fine pixel reads its four nearest sources: the ablation, in the same shell."""

    kind: SourceKind = "bilinear"
    memory: MemoryBank | None = None

    def __init__(self, channels: int, classes: int, auxiliary: bool) -> None:
        super().__init__()
        self.weights = BilinearUpdate(channels)
        self.auxiliary = MaskHead(channels, classes) if auxiliary else None

    def forward(
        self,
        query: None,
        high: Tensor,
        grid: tuple[int, int],
        edit: StageEdit = UNEDITED,
        before: Stage | None = None,
    ) -> tuple[Tensor, Tensor | None, dict[str, Any]]:
        update = applying.edited_update(self.weights(high, grid), edit)
        masks = self.auxiliary(high) if self.auxiliary is not None and self.training else None
        pixels = rearrange(high, "b c y x -> b (y x) c")
        none = dict.fromkeys(("query", "key", "aligned", "assignment", "prototypes", "mask_logits", "memory"))
        weights, off = self.weights, edit.update == "zero"
        fields = {
            "value": pixels.unsqueeze(1),
            "blended": pixels,
            "memory_share": 0.0,
            "value_weight": weights.value_weight(),
            "value_bias": weights.value_bias(),
            "output_weight": applying.switched(weights.output_weight(), off),
            "output_bias": applying.switched(weights.output_bias(), off),
            "averaged": edit.update == "mean",
        }
        return update, masks, {**none, **fields}


class ReconstructionBlock(nn.Module):
    """x = update(LN(low), LN(high)) + low;  out = MLP(LN(x)) + x."""

    def __init__(self, name: str, channels: int, update: AttentiveUpdate | InterpolatedUpdate) -> None:
        super().__init__()
        self.name = name
        self.norm_low = LayerNorm2d(channels, eps=NORM_EPS)
        self.norm_high = LayerNorm2d(channels, eps=NORM_EPS)
        self.norm_mlp = LayerNorm2d(channels, eps=NORM_EPS)
        self.update = update
        self.mlp = BlockMLP(channels)

    def finish(self, update: Tensor, low: Tensor) -> Tensor:
        """Residual and MLP: from the update to the block's output."""
        x = update + low
        return self.mlp(self.norm_mlp(x)) + x

    def query(self, low: Tensor) -> Float[Tensor, "b n q d"] | None:
        """Folded queries of the fine map; None where nobody asks."""
        weights = self.update.weights
        return None if isinstance(weights, BilinearUpdate) else weights.query(self.norm_low(low))

    def forward(
        self,
        low: Tensor,
        high: Tensor,
        keep: bool,
        edit: StageEdit = UNEDITED,
        query: Tensor | None = None,
        before: Stage | None = None,
    ) -> tuple[Tensor, Tensor | None, Stage | None]:
        """(out, mask logits, the stage if `keep`); `query` where it is known already, since no edit reaches it; `before`: the
        unedited stage, where `high` is what it was."""
        grid = (low.shape[-2], low.shape[-1])
        query = self.query(low) if query is None else query
        update, masks, fields = self.update(query, self.norm_high(high), grid, edit, before)
        out = self.finish(update, low) if before is None or update is not before.update else before.out
        if not keep:
            return out, masks, None
        fields |= {"residual": low, "update": update, "out": out}
        fields |= zip(PER_IMAGE, applying.as_many(*(fields.get(name) for name in PER_IMAGE)), strict=True)
        stage = Stage(
            name=self.name,
            sources=self.update.kind,
            grid=grid,
            source_grid=(high.shape[-2], high.shape[-1]),
            heads=self.update.weights.heads,
            **fields,
        )
        return out, masks, stage
