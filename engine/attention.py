"""The mathematics of a query update, as pure functions; `engine.decoders.query_update` owns the weights."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from engine.shapes import Float

FEW = 256  # sources, so few that a softmax along the memory's grain is ten times slower on a CPU than one across it


def fold_scale(query: Float[Tensor, "*b q d"]) -> Float[Tensor, "*b q d"]:
    """−1/√d folded into the queries, so that affinity = softmax(query · key). The only place that knows the sign.

    [author] computes softmax(max(s) − s): the softmax of the negative scores s = q·k/√d. Loaded checkpoints depend
    on it.
    """
    return query * (-1.0 / math.sqrt(query.shape[-1]))


def attention_weights(
    query: Float[Tensor, "*b q d"], key: Float[Tensor, "*b m d"]
) -> Float[Tensor, "*b q m"]:
    """The explicit affinity, in fp32 whatever the inputs' precision; rows sum to 1. `query` is folded."""
    query, key = query.float(), key.float()
    if key.shape[-2] < FEW:
        return (key @ query.transpose(-1, -2)).softmax(dim=-2).transpose(-1, -2)
    return (query @ key.transpose(-1, -2)).softmax(dim=-1)


def attend(
    query: Float[Tensor, "*b q d"], key: Float[Tensor, "*b m d"], value: Float[Tensor, "*b m e"]
) -> Float[Tensor, "*b q e"]:
    """affinity · value by fused attention: the (q, m) matrix never exists."""
    # Fused kernels refuse vectors that do not lie in one piece, and torch then makes the matrix without a word.
    query, key, value = (x if x.stride(-1) == 1 else x.contiguous() for x in (query, key, value))
    wide, narrow = query.shape[-1], value.shape[-1]
    if wide > narrow:  # an edited stage's: kernels that never hold the matrix want one width
        return F.scaled_dot_product_attention(query, key, F.pad(value, (0, wide - narrow)), scale=1.0)[
            ..., :narrow
        ]
    return F.scaled_dot_product_attention(query, key, value, scale=1.0)
