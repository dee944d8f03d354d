"""CAE, the context augmentation encoder of HFGD.  [choice], built from the author's public blocks (methods: TCSVT 2024).

    x   = BN-ReLU 3×3 (f3)                     → E channels;  with `fine`: of [f3 | f2 resized to f3's grid]
    A   = softmax over the s cells of  q·k / √d,      q, k = 1×1 (x) → d channels, one head
    F_h = 1×1 (x + A · v),                     v = 1×1 (x) → E channels;  F_h has C channels

| symbol | attribute |
|---|---|
| BN-ReLU 3×3 | `embed` |
| q, k, v | `query`, `key`, `value` |
| the last 1×1 | `project` |

Every cell of the coarsest map reads every other: A is a global affinity, and a trace exposes it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from engine.attention import attend
from engine.decoders.layers import ConvNormRelu
from engine.shapes import Float


class ContextEncoder(nn.Module):
    """f3 (and f2) → F_h.

    Args:
        in_channels: of f3; with `fine` of f3 and f2 together.
        channels: C, of F_h.
        width: E, inside.
        keys: d, of queries and keys.
        fine: concatenate f2, resized to f3's grid, first.
    """

    def __init__(self, in_channels: int, channels: int, width: int, keys: int, fine: bool = False) -> None:
        super().__init__()
        self.fine = fine
        self.embed = ConvNormRelu(in_channels, width, 3)
        self.query = nn.Conv2d(width, keys, 1)
        self.key = nn.Conv2d(width, keys, 1)
        self.value = nn.Conv2d(width, width, 1)
        self.project = nn.Conv2d(width, channels, 1)

    def forward(
        self, f3: Float[Tensor, "b c3 y x"], f2: Float[Tensor, "b c2 h w"]
    ) -> tuple[Float[Tensor, "b c y x"], Float[Tensor, "b s d"], Float[Tensor, "b s d"]]:
        """(F_h, queries with 1/√d folded in, keys)."""
        grid = (f3.shape[-2], f3.shape[-1])
        if self.fine:
            resized = F.interpolate(f2, size=grid, mode="bilinear", align_corners=False)
            f3 = torch.cat([f3, resized], dim=1)
        x = self.embed(f3)
        query = rearrange(self.query(x), "b d y x -> b (y x) d")
        query = query * query.shape[-1] ** -0.5
        key, value = (rearrange(conv(x), "b d y x -> b (y x) d") for conv in (self.key, self.value))
        read = rearrange(attend(query, key, value), "b (y x) e -> b e y x", y=grid[0], x=grid[1])
        return self.project(x + read), query, key
