"""Backbones by name: images → a pyramid of maps at strides 4, 8, 16, 32."""

from __future__ import annotations

from engine.backbones import mix_transformer, swin
from engine.backbones.base import Backbone
from engine.backbones.timm_features import TimmBackbone
from engine.errors import LoupeError

__all__ = ["Backbone", "TimmBackbone", "build_backbone"]


def build_backbone(name: str, pretrained: bool = False, output_stride: int = 32) -> Backbone:
    """The backbone of that name.

    Args:
        name: timm's model name, or one in mmsegmentation's form: "mmseg/swin_tiny_window7", "mmseg/mit_b2".
        pretrained: with weights from the hub (needs the network, or its cache).
        output_stride: 32, or 16 or 8 where the architecture can be dilated.

    Raises:
        LoupeError: no such backbone, stride or weights.
    """
    if not name.startswith("mmseg/"):
        return TimmBackbone(name, pretrained, output_stride)
    if output_stride != 32:
        raise LoupeError(f'output stride {output_stride} of backbone "{name}": only 32 can be had')
    if name.startswith(mix_transformer.PREFIX):
        return mix_transformer.MixTransformer(name, pretrained)
    return swin.MmsegSwin(name, pretrained)
