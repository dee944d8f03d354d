"""Swin Transformer as mmsegmentation runs it.  [author] Liu et al., ICCV 2021, in mmsegmentation's form.

timm's weights and layers, but not timm's forward pass. Four things differ, each of which changes the maps:

- windows: mmsegmentation pads the map to whole windows, then rolls it; timm rolls, then pads;
- a stage no larger than its window is shifted all the same; timm drops its shift;
- the mask of a shifted window is that of the padded map;
- each map passes a LayerNorm of its own (eps 1e-5) before it leaves; the next stage reads it un-normed.

An image whose sides are no multiples of 4 is padded with zeros at its right and bottom.
"""

from __future__ import annotations

import re
from typing import cast

import torch.nn.functional as F
from timm.models.swin_transformer import (
    SwinTransformer,
    SwinTransformerBlock,
    window_partition,
    window_reverse,
)
from torch import Tensor, nn

from engine.backbones.base import Backbone
from engine.backbones.timm_features import timm_model
from engine.errors import LoupeError

PREFIX = "mmseg/swin_"
PATCH = 4

DEPTHS_AND_WIDTH = {
    "tiny": ((2, 2, 6, 2), 96),
    "small": ((2, 2, 18, 2), 96),
    "base": ((2, 2, 18, 2), 128),
    "large": ((2, 2, 18, 2), 192),
}
HEAD_WIDTH = 32
BODY = ("patch_embed.", "layers.")


class MmsegSwinBlock(SwinTransformerBlock):
    """timm's block with mmsegmentation's order: pad, roll, partition; the mask on the padded map."""

    def _attn(self, x: Tensor) -> Tensor:
        _, height, width, channels = x.shape
        (tall, wide), shift = self.window_size, self.shift_size
        x = F.pad(x, (0, 0, 0, -width % wide, 0, -height % tall))
        padded = x.shape[1], x.shape[2]
        if any(shift):
            x = x.roll((-shift[0], -shift[1]), (1, 2))
        windows = window_partition(x, self.window_size).view(-1, tall * wide, channels)
        windows = self.attn(windows, mask=self.get_attn_mask(x))
        x = window_reverse(windows.view(-1, tall, wide, channels), self.window_size, *padded)
        if any(shift):
            x = x.roll(tuple(shift), (1, 2))
        return x[:, :height, :width].contiguous()


class MmsegSwin(Backbone):
    """Swin in the form that mmsegmentation's checkpoints were trained in.

    Args:
        name: "mmseg/swin_SIZE_windowN" with SIZE tiny, small, base or large.
        pretrained: timm's weights of the same layers (needs the network, or its cache); the four norms start fresh, as
            mmsegmentation's do.
        drop_path: of the last block; 0.3 in the author's recipes.

    Raises:
        LoupeError: no such name, or no such weights.
    """

    def __init__(self, name: str, pretrained: bool = False, drop_path: float = 0.3) -> None:
        known = re.fullmatch(rf"{PREFIX}({'|'.join(DEPTHS_AND_WIDTH)})_window(\d+)", name)
        if known is None or not 1 <= int(known[2]) <= 64:
            raise LoupeError(
                f'no backbone "{name}": {PREFIX}SIZE_windowN, SIZE one of {", ".join(DEPTHS_AND_WIDTH)}'
            )
        depths, width = DEPTHS_AND_WIDTH[known[1]]
        channels = [width << level for level in range(4)]
        super().__init__(name, channels)
        body = SwinTransformer(
            patch_size=PATCH,
            num_classes=0,
            embed_dim=width,
            depths=depths,
            num_heads=tuple(c // HEAD_WIDTH for c in channels),
            window_size=int(known[2]),
            always_partition=True,
            strict_img_size=False,
            drop_path_rate=drop_path,
        )
        for block in body.modules():
            if type(block) is SwinTransformerBlock:
                block.__class__ = MmsegSwinBlock  # timm offers no way to name the block's class
        self.patch_embed, self.layers = body.patch_embed, body.layers
        self.norms = nn.ModuleList(nn.LayerNorm(c) for c in channels)
        if pretrained:
            side = {7: 224, 12: 384}.get(int(known[2]), 0)
            theirs = timm_model(
                f"swin_{known[1]}_patch4_window{known[2]}_{side}", pretrained=True
            ).state_dict()
            self.load_state_dict({k: x for k, x in theirs.items() if k.startswith(BODY)} | self._norms_now())

    def _norms_now(self) -> dict[str, Tensor]:
        return {key: x for key, x in self.state_dict().items() if not key.startswith(BODY)}

    def maps(self, images: Tensor) -> list[Tensor]:
        height, width = images.shape[-2:]
        x = self.patch_embed(F.pad(images, (0, -width % PATCH, 0, -height % PATCH)))
        found = []
        for stage, norm in zip(cast("nn.Sequential", self.layers), self.norms, strict=True):
            x = stage(x)
            found.append(norm(x).permute(0, 3, 1, 2).contiguous())
        return found
