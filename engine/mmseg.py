"""Reads the CPT author's checkpoints (mmsegmentation layout).  [author]

Renaming alone: no weight is changed. What a state dict does not say is said here: every published head has four
attention heads, and μ is the caller's to supply (a wrong μ changes the labels).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from engine.decoders.cpt import CPTDecoder
from engine.errors import LoupeError

PREFIX = "decode_head."
HEADS = 4
DROPPED = re.compile(r"loss_.*criterion\.empty_weight$")

RENAMES = [
    (r"^lateral_convs\.(\d)\.(?:conv\.)?", r"laterals.\1."),
    (r"^fpn_convs\.(\d)\.(?:conv\.)?", r"smooth.\1."),
    (r"^fusion_conv\.", "fuse_conv."),
    (r"^img_pool\.1\.", "pool_conv."),
    (r"^conv_seg\.", "classifier."),
    (r"^cft_blocks\.(\d)\.cross_attn\.q\.depthwise_conv\.conv\.", r"blocks.\1.update.weights.depthwise."),
    (r"^cft_blocks\.(\d)\.cross_attn\.q\.pointwise_conv\.conv\.", r"blocks.\1.update.weights.pointwise."),
    (r"^cft_blocks\.(\d)\.cross_attn\.kv\.cf_embed\.", r"blocks.\1.update.weights.key_value."),
    (r"^cft_blocks\.(\d)\.cross_attn\.proj\.", r"blocks.\1.update.weights.output."),
    (r"^cft_blocks\.(\d)\.cross_attn\.kv\.memory$", r"blocks.\1.update.sources.memory.bank"),
    (r"^cft_blocks\.(\d)\.cross_attn\.kv\.mask_learner\.0\.", r"blocks.\1.update.sources.mask.hidden."),
    (r"^cft_blocks\.(\d)\.cross_attn\.kv\.mask_learner\.1\.", r"blocks.\1.update.sources.mask.logits."),
    (r"^cft_blocks\.(\d)\.cross_attn\.kv\.align_conv\.", r"blocks.\1.update.sources.align."),
    (r"^cft_blocks\.(\d)\.mlp\.0\.", r"blocks.\1.mlp.expand."),
    (r"^cft_blocks\.(\d)\.mlp\.1\.", r"blocks.\1.mlp.depthwise."),
    (r"^cft_blocks\.(\d)\.mlp\.4\.", r"blocks.\1.mlp.project."),
    (r"^cft_blocks\.(\d)\.norm_", r"blocks.\1.norm_"),
]


def load_head(state_dict: Mapping[str, Tensor], memory_share: float = 0.1) -> CPTDecoder:
    """The author's CPT head as our decoder, in evaluation mode.

    Args:
        state_dict: with or without the `decode_head.` prefix; other prefixes are left out.
        memory_share: μ, which the file does not hold; without a memory it is not used.

    Raises:
        LoupeError: keys or shapes that are no CPT head.
    """
    weights = {_rename(key): tensor for key, tensor in _head(state_dict).items()}
    try:
        in_channels = [weights[f"laterals.{i}.weight"].shape[1] for i in range(4)]
        channels = weights["laterals.0.weight"].shape[0]
        classes = weights["classifier.weight"].shape[0]
        pool_channels = weights["pool_conv.conv.weight"].shape[0]
    except KeyError as missing:
        raise LoupeError(
            f"the state dict is no CPT head: it lacks {missing.args[0]} (in this program's names)"
        ) from missing
    remembered = "blocks.0.update.sources.memory.bank" in weights
    decoder = CPTDecoder(
        in_channels,
        classes,
        sources="memory" if remembered else "prototypes",
        channels=channels,
        heads=HEADS,
        memory_share=memory_share,
        pool_channels=pool_channels,
    )
    wanted = decoder.state_dict()
    wrong = sorted(set(wanted) ^ set(weights)) + sorted(
        k for k in set(wanted) & set(weights) if wanted[k].shape != weights[k].shape
    )
    if wrong:
        raise LoupeError(
            f"the state dict is no CPT head: {len(wrong)} weights are missing, unknown or misshapen, first {wrong[0]}"
        )
    decoder.load_state_dict(weights)
    return decoder.eval()


def _head(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefixed = {k.removeprefix(PREFIX): v for k, v in state_dict.items() if k.startswith(PREFIX)}
    head = prefixed or dict(state_dict)
    return {key: tensor for key, tensor in head.items() if not DROPPED.search(key)}


def _rename(key: str) -> str:
    for pattern, replacement in RENAMES:
        key, changed = re.subn(pattern, replacement, key)
        if changed:
            break
    return key
