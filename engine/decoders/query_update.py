"""Q-UP: feature reconstruction as a query update.  [paper] CPT, IEEE TIP 2025; details [author].

    q_n = pointwise(depthwise(LN(low)))                          queries, one for every fine pixel
    [k_n | v_n] = W_kv · source + b_kv                           keys and values, one for every source
    A_n = softmax over the m sources of  −(q_n · k_n) / √d       global affinity
    update = W_o [A_1 v_1 … A_n v_n] + b_o

| symbol | attribute |
|---|---|
| depthwise, pointwise | `QueryUpdate.depthwise`, `.pointwise` |
| W_kv, b_kv | `.key_value` (outputs ordered key | value, then head, then channel) |
| W_o, b_o | `.output` (1×1) |
| the minus sign and 1/√d | `engine.attention.fold_scale`; stages hold the folded query |

Deviations: none for `prototypes` and `memory`. Fused attention computes A·v without materialising A.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from engine.attention import fold_scale
from engine.shapes import Float


class QueryUpdate(nn.Module):
    """Weights of one query update over any sources.

    Args:
        channels: C, a multiple of `heads`.
        heads: n; d = C / n.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.pointwise = nn.Conv2d(channels, channels, 1)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.output = nn.Conv2d(channels, channels, 1)

    def query(self, low: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n q d"]:
        """Folded queries of the normed fine map; q = h·w in row-major order."""
        return fold_scale(
            rearrange(self.pointwise(self.depthwise(low)), "b (n d) h w -> b n (h w) d", n=self.heads)
        )

    def keys_values(
        self, sources: Float[Tensor, "b m c"]
    ) -> tuple[Float[Tensor, "b n m d"], Float[Tensor, "b n m d"]]:
        """Keys and values of the sources."""
        both = rearrange(self.key_value(sources), "b m (two n d) -> two b n m d", two=2, n=self.heads)
        return both[0], both[1]

    def merge(self, heads: Float[Tensor, "b n q d"], grid: tuple[int, int]) -> Float[Tensor, "b c h w"]:
        """Heads side by side, then W_o and b_o."""
        return self.output(rearrange(heads, "b n (h w) d -> b (n d) h w", h=grid[0], w=grid[1]))

    def output_weight(self) -> Float[Tensor, "c n d"]:
        """W_o split by head."""
        return rearrange(self.output.weight.detach(), "c (n d) 1 1 -> c n d", n=self.heads)

    def output_bias(self) -> Float[Tensor, " c"]:
        assert self.output.bias is not None
        return self.output.bias.detach()

    def value_weight(self) -> Float[Tensor, "n d c"]:
        """W_v split by head."""
        return rearrange(self.key_value.weight.detach(), "(two n d) c -> two n d c", two=2, n=self.heads)[1]

    def value_bias(self) -> Float[Tensor, "n d"]:
        return rearrange(self.key_value.bias.detach(), "(two n d) -> two n d", two=2, n=self.heads)[1]


class BilinearUpdate(nn.Module):
    """What the paper argues against, in the same shell: a pixel reads its four nearest sources, weights fixed.

        update = W_o resize(LN(high)) + b_o        [choice] details

    It has one "head" whose value is the source itself, so that its contributions are defined as everywhere else.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = 1
        self.output = nn.Conv2d(channels, channels, 1)

    def forward(self, high: Float[Tensor, "b c y x"], grid: tuple[int, int]) -> Float[Tensor, "b c h w"]:
        return self.output(F.interpolate(high, size=grid, mode="bilinear", align_corners=False))

    def output_weight(self) -> Float[Tensor, "c n d"]:
        return self.output.weight.detach()[:, :, 0, 0].unsqueeze(1)

    def output_bias(self) -> Float[Tensor, " c"]:
        assert self.output.bias is not None
        return self.output.bias.detach()

    def value_weight(self) -> Float[Tensor, "n d c"]:
        weight = self.output.weight
        return torch.eye(weight.shape[1], device=weight.device, dtype=weight.dtype).unsqueeze(0)

    def value_bias(self) -> Float[Tensor, "n d"]:
        weight = self.output.weight
        return torch.zeros(1, weight.shape[1], device=weight.device, dtype=weight.dtype)
