"""The upsampler: SemanticFPN, and U-SFPN with a stride-2 level.  [author]

    p_n = F_h (the top, taken as it is: C channels);   p_i = BN-ReLU 1×1 (f_i) + bilinear(p_{i+1})       no smoothing
    level i:  max(1, i) times [BN-ReLU 3×3 → L channels, and for i > 0 bilinear to the next finer grid]
    F_u = BN-ReLU 1×1 (Σ_i level_i)  → C channels

i counts from 0, the finest skip. Convolutions have no bias. Output stride 4 reads the skips f0..f2; output stride 2 reads one
more, the backbone's own stride-2 map or, where it has none, `ImageStem` of the image.

| symbol | attribute |
|---|---|
| BN-ReLU 1×1 of f_i | `laterals[i]` |
| level i | `levels[i]` |
| the last 1×1 | `merge` |
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from engine.decoders.layers import ConvNormRelu
from engine.errors import LoupeError
from engine.shapes import Float
from engine.trace import Pyramid

STEM_CHANNELS = 32


class Upsampler(nn.Module):
    """Skips (fine → coarse) and a top of C channels → F_u of C channels on the finest skip's grid.

    Args:
        skip_channels: of the skips, finest first.
        channels: C.
        level_channels: L.
    """

    def __init__(self, skip_channels: Sequence[int], channels: int, level_channels: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(ConvNormRelu(c, channels, 1) for c in skip_channels)
        self.levels = nn.ModuleList(
            nn.ModuleList(
                ConvNormRelu(channels if step == 0 else level_channels, level_channels, 3)
                for step in range(max(1, i))
            )
            for i in range(len(skip_channels) + 1)
        )
        self.merge = ConvNormRelu(level_channels, channels, 1)

    def forward(self, skips: Sequence[Tensor], top: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c h w"]:
        return self.climb(self.project(skips), top)

    def project(self, skips: Sequence[Tensor]) -> list[Float[Tensor, "b c h w"]]:
        """The laterals, finest first."""
        return [lateral(skip) for lateral, skip in zip(self.laterals, skips, strict=True)]

    def climb(self, laterals: Sequence[Tensor], top: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c h w"]:
        """F_u from the laterals and the top."""
        paths = [top]  # fine → coarse in the end
        for lateral in reversed(laterals):
            paths.insert(0, lateral + _resized(paths[0], lateral))
        total = None
        for i, (convs, x) in enumerate(zip(self.levels, paths, strict=True)):
            for step, conv in enumerate(convs):  # pyright: ignore[reportArgumentType]  (a ModuleList)
                x = conv(x)
                if i > 0:
                    x = _resized(x, paths[i - 1 - step])
            total = x if total is None else total + x
        return self.merge(total)


class Skips(nn.Module):
    """Chooses the upsampler's skips from a pyramid: f0..f2, and at output stride 2 a stride-2 map before them.

    Args:
        in_channels: of f0..f3.
        upsampler_stride: 4 or 2.
        stride2_channels: of the backbone's stride-2 map; 0 where it has none: then an image stem is learned.

    Raises:
        LoupeError: another output stride.
    """

    def __init__(self, in_channels: Sequence[int], upsampler_stride: int, stride2_channels: int) -> None:
        super().__init__()
        if upsampler_stride not in (2, 4):
            raise LoupeError(
                f"an upsampler to output stride {upsampler_stride} is not to be had: choose 4 or 2"
            )
        self.finer = upsampler_stride == 2
        own = self.finer and not stride2_channels
        self.stem = ImageStem() if own else None
        finest = [STEM_CHANNELS if own else stride2_channels] if self.finer else []
        self.channels: tuple[int, ...] = (*finest, *in_channels[:3])
        self.reads: tuple[str, ...] = (
            *(("image" if own else "f-1",) if self.finer else ()),
            "f0",
            "f1",
            "f2",
        )

    def sources(self, pyramid: Pyramid) -> list[Tensor]:
        """What the skips are made from: raw maps of the pyramid, finest first. Gradients are cut at these.

        Raises:
            LoupeError: the pyramid lacks the stride-2 map or the image that output stride 2 needs.
        """
        maps = list(pyramid.levels[:3])
        if not self.finer:
            return maps
        finest = pyramid.image if self.stem is not None else pyramid.stride2
        if finest is None:
            what = "the image" if self.stem is not None else "a stride-2 map"
            raise LoupeError(f"output stride 2 needs {what}, and this pyramid comes without")
        return [finest, *maps]

    def forward(self, sources: Sequence[Tensor]) -> list[Tensor]:
        """The skips, finest first."""
        return [sources[0] if self.stem is None else self.stem(sources[0]), *sources[1:]]


class ImageStem(nn.Sequential):
    """A stride-2 map for backbones without one: BN-ReLU 3×3, stride 2, of the image.  [choice] 32 channels"""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, STEM_CHANNELS, 3, stride=2, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(STEM_CHANNELS)
        self.relu = nn.ReLU()


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
