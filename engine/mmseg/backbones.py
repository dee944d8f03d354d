"""mmsegmentation's backbones: which one a state dict holds, and its weights under our keys.  [author]

ResNetV1c   stem.{0,1,3,4,6,7} → conv1.{0,1,3,4,6}, bn1; the rest by the same names
Swin        stages → layers, attn.w_msa → attn, ffn → mlp, stages.i.downsample → layers.(i + 1).downsample; the channels of
            patch merging lie (c, kh, kw) there and (kw, kh, c) here, so its weights are permuted
MiT         layers.i.{0, 1.j, 2} → stages.i.{patch_embeddings, blocks.j, layer_norm}; one in_proj → q, k, v; 1×1 convolutions
            → linear layers
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from engine.backbones import Backbone, build_backbone
from engine.backbones.mix_transformer import WIDTH_AND_DEPTHS
from engine.backbones.swin import DEPTHS_AND_WIDTH
from engine.errors import LoupeError
from engine.mmseg.keys import Renames, fit, renamed

INDEX = re.compile(r"relative_position_index$")  # a constant of the window's size

RESNET: Renames = [
    (r"^stem\.([01346])\.", r"body.conv1.\1."),
    (r"^stem\.7\.", "body.bn1."),
    (r"^layer", "body.layer"),
]
RESNET_DEPTHS = {6: 50, 23: 101, 36: 152}  # blocks of layer3

SWIN: Renames = [
    (r"^patch_embed\.projection\.", "patch_embed.proj."),
    (r"^stages\.0\.downsample\.", "layers.1.downsample."),
    (r"^stages\.1\.downsample\.", "layers.2.downsample."),
    (r"^stages\.2\.downsample\.", "layers.3.downsample."),
    (r"^stages\.(\d+\.blocks\.\d+)\.attn\.w_msa\.", r"layers.\1.attn."),
    (r"^stages\.(\d+\.blocks\.\d+)\.ffn\.layers\.0\.0\.", r"layers.\1.mlp.fc1."),
    (r"^stages\.(\d+\.blocks\.\d+)\.ffn\.layers\.1\.", r"layers.\1.mlp.fc2."),
    (r"^stages\.(\d+\.blocks\.\d+\.norm)", r"layers.\1"),
    (r"^norm(\d)\.", r"norms.\1."),
]

MIT: Renames = [
    (r"^layers\.(\d)\.0\.projection\.", r"stages.\1.patch_embeddings.proj."),
    (r"^layers\.(\d)\.0\.norm\.", r"stages.\1.patch_embeddings.layer_norm."),
    (r"^layers\.(\d)\.2\.", r"stages.\1.layer_norm."),
    (r"^layers\.(\d)\.1\.(\d+)\.norm1\.", r"stages.\1.blocks.\2.layernorm_before."),
    (r"^layers\.(\d)\.1\.(\d+)\.norm2\.", r"stages.\1.blocks.\2.layernorm_after."),
    (r"^layers\.(\d)\.1\.(\d+)\.attn\.attn\.out_proj\.", r"stages.\1.blocks.\2.attention.o_proj."),
    (r"^layers\.(\d)\.1\.(\d+)\.attn\.attn\.in_proj_", r"stages.\1.blocks.\2.attention.in_proj."),
    (
        r"^layers\.(\d)\.1\.(\d+)\.attn\.sr\.",
        r"stages.\1.blocks.\2.attention.sequence_reduction.sequence_reduction.",
    ),
    (
        r"^layers\.(\d)\.1\.(\d+)\.attn\.norm\.",
        r"stages.\1.blocks.\2.attention.sequence_reduction.layer_norm.",
    ),
    (r"^layers\.(\d)\.1\.(\d+)\.ffn\.layers\.0\.", r"stages.\1.blocks.\2.mlp.fc1."),
    (r"^layers\.(\d)\.1\.(\d+)\.ffn\.layers\.1\.", r"stages.\1.blocks.\2.mlp.dwconv.dwconv."),
    (r"^layers\.(\d)\.1\.(\d+)\.ffn\.layers\.4\.", r"stages.\1.blocks.\2.mlp.fc2."),
]


class Found(NamedTuple):
    """A backbone with its weights, and its name."""

    backbone: Backbone
    name: str


def load_backbone(state_dict: Mapping[str, Tensor], output_stride: int = 32) -> Found:
    """The backbone whose weights these are, without the prefix `backbone.`.

    Args:
        output_stride: 32, or 16 or 8 for a ResNet that was trained dilated; the weights do not say.

    Raises:
        LoupeError: none of the three families, or weights that do not fit; an output stride that it cannot have.
    """
    weights = {key: x for key, x in state_dict.items() if not INDEX.search(key)}
    if "stem.0.weight" in weights:
        name, renames = f"resnet{_resnet_depth(weights)}c", RESNET
    elif "patch_embed.projection.weight" in weights:
        name, renames = _swin_name(weights), SWIN
    elif "layers.0.0.projection.weight" in weights:
        name, renames = _mit_name(weights), MIT
    else:
        some = ", ".join(sorted(weights)[:3]) or "nothing"
        raise LoupeError(f"no ResNetV1c, Swin or MiT: its backbone holds {some}")
    theirs = renamed(weights, renames)
    ours = {key: weights[source] for key, source in theirs.items()}
    if renames is SWIN:
        ours = {key: _merged(x) if ".downsample." in key else x for key, x in ours.items()}
    if renames is MIT:
        ours = dict(each for key, x in ours.items() for each in _mit_layers(key, x))
    backbone = build_backbone(name, output_stride=output_stride)
    fit(backbone, ours, theirs, name)
    return Found(backbone, name)


def _count(weights: Mapping[str, Tensor], pattern: str) -> int:
    """How many numbers a pattern's group takes."""
    return len({found[1] for key in weights if (found := re.match(pattern, key))})


def _resnet_depth(weights: Mapping[str, Tensor]) -> int:
    blocks = _count(weights, r"layer3\.(\d+)\.")
    if blocks not in RESNET_DEPTHS or "layer1.0.conv3.weight" not in weights:
        raise LoupeError(f"a ResNet with {blocks} blocks in layer3 is none of ResNet-50, 101 and 152")
    return RESNET_DEPTHS[blocks]


def _swin_name(weights: Mapping[str, Tensor]) -> str:
    width = weights["patch_embed.projection.weight"].shape[0]
    depths = tuple(_count(weights, rf"stages\.{i}\.blocks\.(\d+)\.") for i in range(4))
    for size, known in DEPTHS_AND_WIDTH.items():
        if known == (depths, width):
            table = weights.get("stages.0.blocks.0.attn.w_msa.relative_position_bias_table")
            if table is None:
                raise LoupeError(
                    "the Swin lacks stages.0.blocks.0.attn.w_msa.relative_position_bias_table, which says its window"
                )
            return f"mmseg/swin_{size}_window{(round(len(table) ** 0.5) + 1) // 2}"
    raise LoupeError(
        f"a Swin with {width} channels and {depths} blocks is none of {', '.join(DEPTHS_AND_WIDTH)}"
    )


def _mit_name(weights: Mapping[str, Tensor]) -> str:
    width = weights["layers.0.0.projection.weight"].shape[0]
    depths = tuple(_count(weights, rf"layers\.{i}\.1\.(\d+)\.") for i in range(4))
    for size, known in WIDTH_AND_DEPTHS.items():
        if known == (width, depths):
            return f"mmseg/mit_{size}"
    raise LoupeError(
        f"a MiT with {width} channels and {depths} blocks is none of {', '.join(WIDTH_AND_DEPTHS)}"
    )


def _merged(x: Tensor) -> Tensor:
    """The last axis of patch merging, 4C: from c·4 + 2·kh + kw to (2·kw + kh)·C + c."""
    return x.unflatten(-1, (-1, 2, 2)).transpose(-1, -3).flatten(-3)


def _mit_layers(key: str, x: Tensor) -> list[tuple[str, Tensor]]:
    if ".in_proj." in key:
        kinds = zip("qkv", x.chunk(3), strict=True)
        return [(key.replace(".in_proj.", f".{kind}_proj."), part) for kind, part in kinds]
    if re.search(r"\.fc[12]\.weight$", key):
        return [(key, x.flatten(1) if x.ndim == 4 else x)]
    return [(key, x)]
