"""The CPT decoder.  [paper] IEEE TIP 2025, structure and constants [author].

    high = lateral_3(f3)
    for i = 2, 1, 0:   x = QUP(LN(lateral_i), LN(high)) + lateral_i;   high = MLP(LN(x)) + x;   fpn_i = 3×3(high)
    fused = BN-ReLU 3×3 [lateral_3 | fpn_2 | fpn_1 | fpn_0], each resized to f0's grid
    logits = 1×1 Dropout [fused | pool],  pool = BN-ReLU 1×1 of the global average of f3

| symbol | attribute |
|---|---|
| lateral_i, fpn_i | `laterals[i]`, `smooth[i]` |
| Block_i | `blocks[i]`, 0 is the finest; a trace's stages run coarse → fine |
| QUP | `blocks[i].update` (weights), `blocks[i].sources` (what is read) |
| fused, pool | `fuse`, `pool` |

Four kinds of sources share this shell, so that nothing else differs: bilinear, pixels, prototypes, memory. bilinear and
pixels carry the same mask head as an auxiliary if asked: trained, read by nothing  [choice].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import torch
import torch.nn.functional as F
from einops import rearrange
from timm.layers import LayerNorm2d  # pyright: ignore[reportPrivateImportUsage]
from torch import Tensor, nn

from engine.attention import attend
from engine.decoders.decoder import Decoder, Prediction
from engine.decoders.layers import ConvNormRelu
from engine.decoders.prototypes import (
    CategoryPrototypes,
    MaskHead,
    MemoryBank,
    PixelSources,
    RememberedPrototypes,
)
from engine.decoders.query_update import BilinearUpdate, QueryUpdate
from engine.errors import LoupeError
from engine.guidance import Cuts
from engine.shapes import Float
from engine.stage import SourceKind, Stage
from engine.trace import Pyramid, Trace

NORM_EPS = 1e-6
STAGE_NAMES = ("stride4", "stride8", "stride16")  # of block 0, 1, 2


class BlockMLP(nn.Sequential):
    """1×1 C → 4C, depthwise 3×3, GELU (erf), 1×1 4C → C."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, 4 * channels, 1)
        self.depthwise = nn.Conv2d(4 * channels, 4 * channels, 3, padding=1, groups=4 * channels)
        self.gelu = nn.GELU()
        self.project = nn.Conv2d(4 * channels, channels, 1)


class AttentiveUpdate(nn.Module):
    """Fine queries read sources of any attentive kind: Q-UP."""

    def __init__(
        self, kind: SourceKind, channels: int, classes: int, heads: int, memory_share: float, auxiliary: bool
    ) -> None:
        super().__init__()
        self.kind: SourceKind = kind
        self.weights = QueryUpdate(channels, heads)
        self.sources = {
            "pixels": lambda: PixelSources(channels),
            "prototypes": lambda: CategoryPrototypes(channels, classes),
            "memory": lambda: RememberedPrototypes(channels, classes, memory_share),
        }[kind]()
        self.auxiliary = MaskHead(channels, classes) if auxiliary and kind == "pixels" else None

    @property
    def memory(self) -> MemoryBank | None:
        return getattr(self.sources, "memory", None)

    def forward(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor | None, dict[str, Any]]:
        """(update (b, C, h, w), mask logits or None, the fields of a Stage that belong to the update)."""
        grid = (low.shape[-2], low.shape[-1])
        query = self.weights.query(low)
        sources = self.sources(high)
        key, value = self.weights.keys_values(sources.vectors)
        update = self.weights.merge(attend(query, key, value), grid)
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
        }
        return update, masks, fields


class InterpolatedUpdate(nn.Module):
    """Every fine pixel reads its four nearest sources: the ablation, in the same shell."""

    kind: SourceKind = "bilinear"
    memory: MemoryBank | None = None

    def __init__(self, channels: int, classes: int, auxiliary: bool) -> None:
        super().__init__()
        self.weights = BilinearUpdate(channels)
        self.auxiliary = MaskHead(channels, classes) if auxiliary else None

    def forward(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor | None, dict[str, Any]]:
        update = self.weights(high, (low.shape[-2], low.shape[-1]))
        masks = self.auxiliary(high) if self.auxiliary is not None and self.training else None
        pixels = rearrange(high, "b c y x -> b (y x) c")
        none = dict.fromkeys(("query", "key", "aligned", "assignment", "prototypes", "mask_logits", "memory"))
        return update, masks, {**none, "value": pixels.unsqueeze(1), "blended": pixels}


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

    def forward(self, low: Tensor, high: Tensor, keep: bool) -> tuple[Tensor, Tensor | None, Stage | None]:
        update, masks, fields = self.update(self.norm_low(low), self.norm_high(high))
        out = self.finish(update, low)
        if not keep:
            return out, masks, None
        weights, memory = self.update.weights, self.update.memory
        stage = Stage(
            name=self.name,
            sources=self.update.kind,
            grid=(low.shape[-2], low.shape[-1]),
            source_grid=(high.shape[-2], high.shape[-1]),
            heads=weights.heads,
            memory_share=0.0 if memory is None else memory.memory_share,
            residual=low,
            update=update,
            out=out,
            value_weight=weights.value_weight(),
            value_bias=weights.value_bias(),
            output_weight=weights.output_weight(),
            output_bias=weights.output_bias(),
            **fields,
        )
        return out, masks, stage


class CPTDecoder(Decoder):
    """Category Prototype Transformer, or one of its ablations.

    Args:
        in_channels: of f0..f3 (strides 4, 8, 16, 32).
        classes: k.
        sources: "bilinear", "pixels", "prototypes" or "memory".
        channels: C, a multiple of 4 (grouped convolutions) and of `heads`.
        heads: n.
        memory_share: μ, used by "memory" only.
        pool_channels: of the image pool.
        auxiliary_masks: give "bilinear" and "pixels" the mask head too (trained, read by nothing).
        dropout: Dropout2d before the classifier.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        classes: int,
        sources: str = "memory",
        channels: int = 256,
        heads: int = 4,
        memory_share: float = 0.1,
        pool_channels: int = 48,
        auxiliary_masks: bool = False,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if sources not in get_args(SourceKind):
            raise LoupeError(f'no kind of sources "{sources}": choose bilinear, pixels, prototypes or memory')
        if channels % 4 or channels % heads:
            raise LoupeError(f"{channels} decoder channels must be a multiple of 4 and of the {heads} heads")
        if not 0 <= memory_share <= 1:
            raise LoupeError(f"memory share μ = {memory_share} is not in [0, 1]")
        kind: SourceKind = sources  # pyright: ignore[reportAssignmentType]  (checked above)
        self.sources = kind
        self.classes = classes

        def update() -> AttentiveUpdate | InterpolatedUpdate:
            if kind == "bilinear":
                return InterpolatedUpdate(channels, classes, auxiliary_masks)
            return AttentiveUpdate(kind, channels, classes, heads, memory_share, auxiliary_masks)

        self.laterals = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in in_channels)
        self.blocks = nn.ModuleList(ReconstructionBlock(name, channels, update()) for name in STAGE_NAMES)
        self.smooth = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in STAGE_NAMES)
        self.fuse_conv = ConvNormRelu(4 * channels, channels, 3)
        self.pool_conv = ConvNormRelu(in_channels[3], pool_channels, 1)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(channels + pool_channels, classes, 1)

    def predict(self, features: Pyramid | Sequence[Tensor], cuts: Cuts | None = None) -> Prediction:
        """Logits at stride 4, and the mask logits that are supervised. No affinity is materialised; there are no cuts."""
        logits, masks, *_ = self._run(Pyramid.of(features), keep=False)
        return Prediction(logits, masks)

    def trace(self, features: Pyramid | Sequence[Tensor]) -> Trace:
        """The same path, with everything kept."""
        pyramid = Pyramid.of(features)
        logits, _, stages, fused, pooled, top = self._run(pyramid, keep=True)
        return Trace(
            logits.float(),
            pyramid.levels,
            stages,
            image_size=pyramid.image_size,
            fused=fused,
            pooled=pooled.flatten(1),
            laterals=(*(stage.residual for stage in reversed(stages)), top),
        )

    def _run(
        self, pyramid: Pyramid, keep: bool
    ) -> tuple[Tensor, tuple[Tensor, ...], tuple[Stage, ...], Tensor, Tensor, Tensor]:
        high = top = self.laterals[3](pyramid.levels[3])
        outs, masks, stages = [], [], []
        for i in (2, 1, 0):
            high, mask_logits, stage = self.blocks[i](self.laterals[i](pyramid.levels[i]), high, keep)
            outs.append(high)
            if mask_logits is not None:
                masks.append(mask_logits)
            if stage is not None:
                stages.append(stage)
        fused = self.fuse(top, outs)
        pooled = self.pool(pyramid.levels[3])
        return self.classify(fused, pooled), tuple(masks), tuple(stages), fused, pooled, top

    def fuse(self, top: Tensor, outs: Sequence[Tensor]) -> Float[Tensor, "b c h w"]:
        """lateral_3 and the smoothed block outputs (coarse → fine) on the finest grid, fused."""
        grid = outs[-1].shape[-2:]
        levels = [top] + [smooth(out) for smooth, out in zip(reversed(self.smooth), outs, strict=True)]
        resized = [F.interpolate(x, size=grid, mode="bilinear", align_corners=False) for x in levels[:-1]]
        return self.fuse_conv(torch.cat([*resized, levels[-1]], dim=1))

    def pool(self, f3: Tensor) -> Float[Tensor, "b p 1 1"]:
        """The image pool."""
        if self.training and f3.shape[0] < 2:
            raise LoupeError(
                "training needs at least two images a batch: the image pool's BatchNorm sees one value per image"
            )
        return self.pool_conv(f3.mean(dim=(2, 3), keepdim=True))

    def classify(self, fused: Tensor, pooled: Tensor) -> Float[Tensor, "b k h w"]:
        """Logits of the fused map beside the broadcast pool (b, p, 1, 1)."""
        h, w = fused.shape[-2:]
        return self.classifier(self.dropout(torch.cat([fused, pooled.expand(-1, -1, h, w)], dim=1)))

    def memory_banks(self) -> list[MemoryBank]:
        """The banks, coarse → fine like a trace's stages; empty without memory."""
        banks = [m for m in self.blocks.modules() if isinstance(m, MemoryBank)]
        return banks[::-1]
