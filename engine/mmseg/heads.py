"""The author's heads in mmsegmentation's layout: CPT, and the older CFT (no memory, no image pool).  [author]

Renaming alone: no weight is changed. What a state dict does not say is said here: every published CPT head has four attention
heads, CFT's has as many as its convolutions have groups, and μ is the caller's to supply (a wrong μ changes the labels).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from engine.decoders.cpt import CPTDecoder
from engine.errors import LoupeError
from engine.mmseg.keys import PREFIX_HEAD, Renames, fit, renamed, under

HEADS = 4
DROPPED = re.compile(r"loss_.*criterion\.empty_weight$")
BLOCK = r"^(?:cft_blocks|cfts)\.(\d)\."
KV = BLOCK + r"cross_attn\.kv\."
MEMORY = "blocks.0.update.sources.memory.bank"
POOL = "pool_conv.conv.weight"

RENAMES: Renames = [
    (r"^lateral_convs\.(\d)\.(?:conv\.)?", r"laterals.\1."),
    (r"^fpn_convs\.(\d)\.(?:conv\.)?", r"smooth.\1."),
    (r"^(?:fusion_conv|scale_heads(?:\.0)?)\.(?=conv|bn)", "fuse_conv."),
    (r"^img_pool\.1\.", "pool_conv."),
    (r"^conv_seg\.", "classifier."),
    (BLOCK + r"cross_attn\.q\.depthwise_conv\.(?:conv\.)?", r"blocks.\1.update.weights.depthwise."),
    (BLOCK + r"cross_attn\.q\.pointwise_conv\.(?:conv\.)?", r"blocks.\1.update.weights.pointwise."),
    (BLOCK + r"cross_attn\.proj\.", r"blocks.\1.update.weights.output."),
    (KV + r"(?:cf_)?embed\.", r"blocks.\1.update.weights.key_value."),
    (KV + r"memory$", r"blocks.\1.update.sources.memory.bank"),
    (KV + r"(?:mask_)?learner\.0\.", r"blocks.\1.update.sources.mask.hidden."),
    (KV + r"(?:mask_)?learner\.1\.", r"blocks.\1.update.sources.mask.logits."),
    (KV + r"(?:align_)?conv\.", r"blocks.\1.update.sources.align."),
    (BLOCK + r"mlp\.0\.", r"blocks.\1.mlp.expand."),
    (BLOCK + r"mlp\.1\.", r"blocks.\1.mlp.depthwise."),
    (BLOCK + r"mlp\.4\.", r"blocks.\1.mlp.project."),
    (BLOCK + r"norm_", r"blocks.\1.norm_"),
]


def load_head(state_dict: Mapping[str, Tensor], memory_share: float = 0.1) -> CPTDecoder:
    """The author's CPT or CFT head as our decoder, in evaluation mode.

    Args:
        state_dict: with or without the `decode_head.` prefix; other prefixes are left out.
        memory_share: μ, which the file does not hold; without a memory it is not used.

    Raises:
        LoupeError: keys or shapes that are no such head; the sentence names them as the file does.
    """
    head = under(state_dict, PREFIX_HEAD) or dict(state_dict)
    names = renamed([key for key in head if not DROPPED.search(key)], RENAMES)
    try:
        shapes = {ours: head[theirs].shape for ours, theirs in names.items()}
        in_channels = [shapes[f"laterals.{i}.weight"][1] for i in range(4)]
        channels, classes = shapes["laterals.0.weight"][0], shapes["classifier.weight"][0]
        groups = channels // shapes["blocks.0.update.sources.align.weight"][1]
    except (KeyError, IndexError) as missing:
        raise LoupeError(
            f"the state dict is no CPT head: it lacks {missing.args[0]} (in this program's names)"
        ) from missing
    decoder = CPTDecoder(
        in_channels,
        classes,
        sources="memory" if MEMORY in names else "prototypes",
        channels=channels,
        heads=HEADS if POOL in names else groups,
        groups=groups,
        memory_share=memory_share,
        pool_channels=shapes[POOL][0] if POOL in names else 0,
    )
    fit(decoder, {ours: head[theirs] for ours, theirs in names.items()}, names, "CPT head")
    return decoder.eval()
