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
from dataclasses import replace
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.decoders.block import AttentiveUpdate, InterpolatedUpdate, ReconstructionBlock
from engine.decoders.decoder import Decoder, Parts, Prediction, Rerun
from engine.decoders.layers import ConvNormRelu
from engine.decoders.prototypes import GROUPS, UNEDITED, MemoryBank
from engine.edits.plan import Plan
from engine.errors import LoupeError
from engine.guidance import Cuts
from engine.shapes import Float
from engine.stage import SourceKind, Stage
from engine.trace import Pyramid, Trace

STAGE_NAMES = ("stride4", "stride8", "stride16")  # of block 0, 1, 2


class CPTDecoder(Decoder):
    """Category Prototype Transformer, or one of its ablations.

    Args:
        in_channels: of f0..f3 (strides 4, 8, 16, 32).
        classes: k.
        sources: "bilinear", "pixels", "prototypes" or "memory".
        channels: C, a multiple of `groups` and of `heads`.
        heads: n.
        memory_share: μ, used by "memory" only.
        pool_channels: of the image pool; 0 for none, as in the older CFT.
        groups: of the grouped 1×1 convolutions.
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
        groups: int = GROUPS,
    ) -> None:
        super().__init__()
        if sources not in get_args(SourceKind):
            raise LoupeError(f'no kind of sources "{sources}": choose bilinear, pixels, prototypes or memory')
        if channels % groups or channels % heads:
            raise LoupeError(
                f"{channels} decoder channels must be a multiple of {groups} and of the {heads} heads"
            )
        if not 0 <= memory_share <= 1:
            raise LoupeError(f"memory share μ = {memory_share} is not in [0, 1]")
        kind: SourceKind = sources  # pyright: ignore[reportAssignmentType]  (checked above)
        self.sources = kind
        self.classes = classes
        self.in_channels, self.heads, self.groups = tuple(in_channels), heads, groups
        self.channels, self.pool_channels = channels, pool_channels

        def update() -> AttentiveUpdate | InterpolatedUpdate:
            if kind == "bilinear":
                return InterpolatedUpdate(channels, classes, auxiliary_masks)
            return AttentiveUpdate(kind, channels, classes, heads, memory_share, auxiliary_masks, groups)

        self.laterals = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in in_channels)
        self.blocks = nn.ModuleList(ReconstructionBlock(name, channels, update()) for name in STAGE_NAMES)
        self.smooth = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in STAGE_NAMES)
        self.fuse_conv = ConvNormRelu(4 * channels, channels, 3)
        self.pool_conv = ConvNormRelu(in_channels[3], pool_channels, 1) if pool_channels else None
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

    def rerun(self, base: Trace, plan: Plan, parts: Parts | None = None) -> Rerun:
        """An edited run from an unedited one: its queries, earlier stages and their parts of the fusion are kept.

        base: batched and itself unedited; with b = 1 the plan's tensors may hold many variants of the one image, and then
        everything that comes back has their b. parts: `parts(base)`, where the caller keeps them. When the edits change no
        update, the logits are the base's own.

        Raises:
            ValueError: `base` was edited: its queries are not the model's.
        """
        if base.edits:
            raise ValueError("edits are applied to an unedited trace, all at once")
        high = base.laterals[3]
        stages, anew = [], []
        for i, before in zip((2, 1, 0), base.stages, strict=True):
            edit = plan.stages.get(before.name)
            if edit is None and not anew:
                stages.append(before)
                high = before.out
                continue
            # Under autograd everything is computed: what is kept has no history.
            same = before if not anew and not torch.is_grad_enabled() else None
            _, _, stage = self.blocks[i](before.residual, high, True, edit or UNEDITED, before.query, same)
            if stage.update is not before.update:
                anew.append(before.name)
            stages.append(stage)
            high = stage.out
        if not anew:
            return Rerun(replace(base, stages=tuple(stages)), ())
        kept = len(stages) - len(anew)
        grid = stages[-1].grid
        before = (self._sums(base, kept) if parts is None else parts)[kept]
        fused = self.fuse_again(before, [stage.out for stage in stages[kept:]], grid)
        base = base.repeated(len(fused))
        assert base.pooled is not None
        logits = self.classify_again(fused, base.pooled[..., None, None]).float()
        stages = (stage.repeated(len(fused)) for stage in stages)
        return Rerun(
            replace(base, logits=logits, stages=tuple(stages), fused=fused), (*anew, "fusion", "classifier")
        )

    def parts(self, base: Trace) -> Parts:
        """What the top, and the top with one and with two levels (coarse → fine), add to the fused map before its norm.

        Three maps (b, C, h, w). The fusion is linear up to its norm, so an edited run computes the parts of changed levels alone.
        """
        return self._sums(base, len(base.stages) - 1)

    def _sums(self, base: Trace, levels: int) -> Parts:
        """The top's part of the fused map, and its running sums with those of the coarsest `levels` levels."""
        grid = base.stages[-1].grid
        sums = [self._fuse_part(base.laterals[3], 0, grid)]
        for i, stage in enumerate(base.stages[:levels]):
            sums.append(sums[-1] + self._fuse_part(stage.out, 1 + i, grid))
        return tuple(sums)

    def _fuse_part(self, x: Tensor, level: int, grid: tuple[int, int]) -> Float[Tensor, "b c h w"]:
        """level 0: lateral_3; 1, 2, 3: the blocks' outputs, coarse → fine, smoothed here."""
        x = x if level == 0 else self.smooth[3 - level](x)
        if x.shape[-2:] != grid:
            x = F.interpolate(x, size=grid, mode="bilinear", align_corners=False)
        channels = x.shape[1]
        weight = self.fuse_conv.conv.weight[:, level * channels : (level + 1) * channels]
        return F.conv2d(x, weight, padding=1)

    def fuse_again(
        self, before: Float[Tensor, "_ c h w"], outs: Sequence[Tensor], grid: tuple[int, int]
    ) -> Float[Tensor, "b c h w"]:
        """The fused map from the sum of the kept levels' parts and the outputs (coarse → fine) of the changed ones."""
        total = before
        for i, out in enumerate(outs, start=1 + len(STAGE_NAMES) - len(outs)):
            part = self._fuse_part(out, i, grid)
            total = part.add_(total)  # the part is ours; `before` may be kept
        return self.fuse_conv.relu(self.fuse_conv.bn(total))

    def fuse(self, top: Tensor, outs: Sequence[Tensor]) -> Float[Tensor, "b c h w"]:
        """lateral_3 and the smoothed block outputs (coarse → fine) on the finest grid, fused."""
        grid = outs[-1].shape[-2:]
        levels = [top] + [smooth(out) for smooth, out in zip(reversed(self.smooth), outs, strict=True)]
        resized = [F.interpolate(x, size=grid, mode="bilinear", align_corners=False) for x in levels[:-1]]
        return self.fuse_conv(torch.cat([*resized, levels[-1]], dim=1))

    def pool(self, f3: Tensor) -> Float[Tensor, "b p 1 1"]:
        """The image pool; p = 0 where there is none."""
        if self.pool_conv is None:
            return f3.new_zeros(len(f3), 0, 1, 1)
        if self.training and f3.shape[0] < 2:
            raise LoupeError(
                "training needs at least two images a batch: the image pool's BatchNorm sees one value per image"
            )
        return self.pool_conv(f3.mean(dim=(2, 3), keepdim=True))

    def classify(self, fused: Tensor, pooled: Tensor) -> Float[Tensor, "b k h w"]:
        """Logits of the fused map beside the broadcast pool (b, p, 1, 1)."""
        h, w = fused.shape[-2:]
        return self.classifier(self.dropout(torch.cat([fused, pooled.expand(-1, -1, h, w)], dim=1)))

    def classify_again(self, fused: Tensor, pooled: Tensor) -> Float[Tensor, "b k h w"]:
        """The same in evaluation mode, without laying the pool out over the grid: it adds one number to each category."""
        channels, weight = fused.shape[1], self.classifier.weight
        if self.pool_conv is None:
            return self.classifier(fused)
        pool = F.conv2d(pooled, weight[:, channels:], self.classifier.bias)
        return F.conv2d(fused, weight[:, :channels]).add_(pool)

    def memory_banks(self) -> list[MemoryBank]:
        """The banks, coarse → fine like a trace's stages; empty without memory."""
        banks = [m for m in self.blocks.modules() if isinstance(m, MemoryBank)]
        return banks[::-1]
