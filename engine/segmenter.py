"""Backbone + decoder = Segmenter, described by one frozen spec."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.backbones import Backbone, build_backbone
from engine.decoders.cpt import CPTDecoder
from engine.decoders.decoder import Decoder, Prediction
from engine.decoders.dilated import DilatedDecoder
from engine.decoders.hfgd import HFGDDecoder
from engine.errors import LoupeError
from engine.guidance import Cuts
from engine.shapes import Float
from engine.trace import Pyramid, Trace

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MOST = 16384  # channels and the like: more is a mistake, or meant to fill the memory


@dataclass(frozen=True)
class SegmenterSpec:
    """Everything that is needed to build a segmenter; what its checkpoint carries beside the weights."""

    backbone: str  # what `engine.backbones` makes: timm's name, or "mmseg/…"
    classes: tuple[str, ...]  # k category names
    method: str = "cpt"  # which decoder builds it: a key of DECODERS
    sources: str = "memory"  # CPT: "bilinear", "pixels", "prototypes", "memory"; no other method has any
    channels: int = 256  # C
    heads: int = 4  # n
    memory_share: float = 0.1  # μ; after a schedule the last value
    groups: int = 4  # CPT: of its grouped 1×1 convolutions
    pool_channels: int = 48  # CPT: of the image pool; 0 for none
    auxiliary_masks: bool = False  # mask head on sources that need none
    dropout: float = 0.1
    output_stride: int = 32  # of the backbone
    level_channels: int = 128  # HFGD and its baselines, from here on: L, inside the upsampler
    upsampler_stride: int = 4  # or 2
    context: bool = True  # the CAE; else a 1×1 convolution
    context_channels: int = 512  # E, inside the CAE
    context_keys: int = 64  # d, of its queries and keys
    context_fine: bool = False  # the CAE reads f2 as well
    own_tokens: bool = False  # the upsampler classifies with tokens of its own
    token_cut: float = 0.0  # factors of the upsampler's gradient, 0 stops it
    high_cut: float = 0.0
    low_cut: float = 0.0
    mean: tuple[float, float, float] = IMAGENET_MEAN  # of RGB in [0, 1]
    std: tuple[float, float, float] = IMAGENET_STD

    @property
    def remembers(self) -> bool:
        """Has memory banks."""
        return self.method == "cpt" and self.sources == "memory"

    @property
    def guided(self) -> bool:
        """Has class tokens of a guide branch."""
        return self.method == "hfgd"

    def json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> SegmenterSpec:
        """The inverse of `json`.

        Raises:
            LoupeError: unknown or missing fields.
        """
        known = {f.name for f in fields(cls)}
        if not isinstance(data, dict):
            raise LoupeError("the model's spec is not a JSON object")
        unknown, missing = sorted(set(data) - known), sorted({"backbone", "classes"} - set(data))
        if unknown or missing:
            raise LoupeError(f"the model's spec has unknown fields {unknown} or lacks {missing}")
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in data.items()}
        spec = cls(**values)
        spec.check()
        return spec

    def check(self) -> None:
        """Refuse values of the wrong type or out of range, before anything is built from them.

        Raises:
            LoupeError: names the first such field.
        """
        for f in fields(self):
            value, default = getattr(self, f.name), f.default
            kind = type(default) if default is not MISSING else {"backbone": str, "classes": tuple}[f.name]
            number = kind is float and isinstance(value, int) and not isinstance(value, bool)
            if type(value) is not kind and not number:
                raise LoupeError(f"{f.name} of the model's spec is {value!r}, not a {kind.__name__}")
        wanted = {
            "classes": len(self.classes) >= 2 and all(isinstance(name, str) for name in self.classes),
            "channels": 0 < self.channels <= MOST,
            "heads": 0 < self.heads <= MOST,
            "groups": 0 < self.groups <= MOST,
            "pool_channels": 0 <= self.pool_channels <= MOST,
            "memory_share": 0 <= self.memory_share <= 1,
            "dropout": 0 <= self.dropout < 1,
            "level_channels": 0 < self.level_channels <= MOST,
            "upsampler_stride": self.upsampler_stride in (2, 4),
            "context_channels": 0 < self.context_channels <= MOST,
            "context_keys": 0 < self.context_keys <= MOST,
            "token_cut": 0 <= self.token_cut <= 1,
            "high_cut": 0 <= self.high_cut <= 1,
            "low_cut": 0 <= self.low_cut <= 1,
            "mean": len(self.mean) == 3 and all(isinstance(m, int | float) for m in self.mean),
            "std": len(self.std) == 3 and all(isinstance(s, int | float) and s > 0 for s in self.std),
        }
        for name, right in wanted.items():
            if not right:
                raise LoupeError(f"{name} of the model's spec cannot be {getattr(self, name)!r}")


def _cpt(spec: SegmenterSpec, backbone: Backbone) -> Decoder:
    return CPTDecoder(
        backbone.channels,
        classes=len(spec.classes),
        sources=spec.sources,
        channels=spec.channels,
        heads=spec.heads,
        groups=spec.groups,
        memory_share=spec.memory_share,
        pool_channels=spec.pool_channels,
        auxiliary_masks=spec.auxiliary_masks,
        dropout=spec.dropout,
    )


def _hfgd(spec: SegmenterSpec, backbone: Backbone, guided: bool = True) -> Decoder:
    return HFGDDecoder(
        backbone.channels,
        classes=len(spec.classes),
        channels=spec.channels,
        level_channels=spec.level_channels,
        context=spec.context,
        context_channels=spec.context_channels,
        context_keys=spec.context_keys,
        context_fine=spec.context_fine,
        guided=guided,
        own_tokens=spec.own_tokens,
        cuts=Cuts(spec.token_cut, spec.high_cut, spec.low_cut),
        upsampler_stride=spec.upsampler_stride,
        stride2_channels=backbone.stride2_channels,
        dropout=spec.dropout,
    )


def _fpn(spec: SegmenterSpec, backbone: Backbone) -> Decoder:
    return _hfgd(spec, backbone, guided=False)


def _dilated(spec: SegmenterSpec, backbone: Backbone) -> Decoder:
    return DilatedDecoder(backbone.channels, len(spec.classes), spec.channels, spec.dropout)


DECODERS: dict[str, Callable[[SegmenterSpec, Backbone], Decoder]] = {
    "cpt": _cpt,
    "hfgd": _hfgd,
    "fpn": _fpn,
    "dilated": _dilated,
}


class Segmenter(nn.Module):
    """A backbone and a decoder."""

    backbone: Backbone
    decoder: Decoder
    mean: Tensor
    std: Tensor

    def __init__(self, spec: SegmenterSpec, backbone: Backbone, decoder: Decoder) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = backbone
        self.decoder = decoder
        self.register_buffer("mean", torch.tensor(spec.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(3, 1, 1), persistent=False)

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b k h w"]:
        """Normalised images → logits at the decoder's stride."""
        return self.decoder(self.backbone(images))

    def predict(self, images: Float[Tensor, "b 3 H W"]) -> Prediction:
        """Logits and auxiliary logits, for the losses."""
        return self.decoder.predict(self.backbone(images))

    def pyramid(self, images: Float[Tensor, "b 3 H W"]) -> Pyramid:
        return self.backbone(images)

    def trace(self, images: Float[Tensor, "b 3 H W"]) -> Trace:
        return self.decoder.trace(self.backbone(images))

    def normalise(self, images: np.ndarray | Tensor) -> Float[Tensor, "b 3 H W"]:
        """uint8 RGB, (H, W, 3) or (b, H, W, 3) → the network's input on the model's device."""
        # A loaded image is read-only, and torch warns of sharing such memory.
        pixels = images if isinstance(images, Tensor) else torch.from_numpy(np.array(images))
        if pixels.ndim == 3:
            pixels = pixels.unsqueeze(0)
        return (pixels.to(self.mean.device).permute(0, 3, 1, 2).float().div_(255) - self.mean) / self.std


def build(spec: SegmenterSpec, pretrained: bool = False) -> Segmenter:
    """A freshly initialised segmenter (backbone weights from the hub if `pretrained`).

    Raises:
        LoupeError: unknown method, backbone or sources, or sizes that do not fit.
    """
    if spec.method not in DECODERS:
        raise LoupeError(f'unknown method "{spec.method}": this engine builds {", ".join(DECODERS)}')
    spec.check()
    backbone = build_backbone(spec.backbone, pretrained, spec.output_stride)
    segmenter = Segmenter(spec, backbone, DECODERS[spec.method](spec, backbone))
    # Images come channels-last; weights that lie alike save convolutions a copy: 3 to 7 % of a pass (docs/performance.md).
    return segmenter.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
