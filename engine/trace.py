"""The trace: everything a decoder did to one batch, as frozen, named, shaped data. A return value, not hooks.

The glossary of axes is in `engine.stage`. `decoder.trace(pyramid)` keeps a leading b, `trace[j]` drops it, and
`Engine.trace` returns it dropped. `decoder.forward` runs the same path and keeps nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from engine.guidance import Guidance
from engine.resample import bilinear_labels
from engine.shapes import Float, Integer
from engine.stage import Contribution, SourceKind, Stage, UpdateParts

if TYPE_CHECKING:
    from engine.catalogue import ModelCard
    from engine.edits.values import Edit
    from engine.images import LoadedImage

__all__ = [
    "Contribution",
    "Pyramid",
    "SourceKind",
    "Stage",
    "Trace",
    "UpdateParts",
    "tensor_bytes",
    "tensors_of",
    "to_device",
]


@dataclass(frozen=True, eq=False)
class Pyramid:
    """What a backbone gives a decoder."""

    levels: tuple[Tensor, Tensor, Tensor, Tensor]  # strides 4, 8, 16, 32, each (b, c_i, h_i, w_i)
    image_size: tuple[int, int]  # (H, W) of the image that went in
    image: Float[Tensor, "b 3 H W"] | None = None  # the normalised image, for decoders with an image stem
    stride2: Float[Tensor, "b c h w"] | None = None  # where the backbone has such a map

    @staticmethod
    def of(features: Pyramid | Sequence[Tensor]) -> Pyramid:
        """A Pyramid, or the plain list of four: then the image is taken as 4 × the finest grid."""
        if isinstance(features, Pyramid):
            return features
        if len(features) != 4:
            raise ValueError(f"a decoder reads four feature maps (strides 4, 8, 16, 32), got {len(features)}")
        h, w = features[0].shape[-2:]
        return Pyramid((features[0], features[1], features[2], features[3]), (4 * h, 4 * w))


@dataclass(frozen=True, eq=False)
class Trace:
    """One run of a decoder."""

    logits: Float[
        Tensor, "*b k h w"
    ]  # at the decoder's stride (mostly 4), fp32; bilinear to the image gives the prediction
    features: tuple[Tensor, ...]  # what the backbone gave: four maps (*b, c_i, h_i, w_i)
    stages: tuple[Stage, ...]  # coarse → fine; empty for decoders without Q-UP
    image_size: tuple[int, int]  # (H, W) of the traced image, after any reduction
    fused: Float[Tensor, "*b c h w"] | None = None  # the map that is classified; CPT: all levels fused
    pooled: Float[Tensor, "*b p"] | None = None  # CPT: the image pool beside it
    laterals: tuple[
        Tensor, ...
    ] = ()  # each level after the decoder's own 1×1, finest first; CPT: f0..f3, HFGD: its skips
    high: Float[Tensor, "*b c y x"] | None = (
        None  # F_h, where there is a context encoder (HFGD and its baselines)
    )
    guidance: Guidance | None = None  # decoders with class tokens
    model: ModelCard | None = None  # set by Engine: which model this is
    image: LoadedImage | None = None  # set by Engine: which image
    milliseconds: float | None = None  # set by Engine: what this run took
    edits: tuple[Edit, ...] = ()  # what was changed in this run
    recomputed: tuple[
        str, ...
    ] = ()  # with edits: which parts were computed anew; the rest is the unedited run's

    def __getitem__(self, image: int) -> Trace:
        """One image of the batch, without the batch axis."""
        return replace(
            self,
            logits=self.logits[image],
            features=tuple(f[image] for f in self.features),
            stages=tuple(stage[image] for stage in self.stages),
            fused=None if self.fused is None else self.fused[image],
            pooled=None if self.pooled is None else self.pooled[image],
            laterals=tuple(lateral[image] for lateral in self.laterals),
            high=None if self.high is None else self.high[image],
            guidance=None if self.guidance is None else self.guidance[image],
        )

    def batched(self) -> Trace:
        """The same with a leading b = 1: the inverse of `trace[0]`."""
        return replace(
            self,
            logits=self.logits[None],
            features=tuple(f[None] for f in self.features),
            stages=tuple(stage.batched() for stage in self.stages),
            fused=None if self.fused is None else self.fused[None],
            pooled=None if self.pooled is None else self.pooled[None],
            laterals=tuple(lateral[None] for lateral in self.laterals),
            high=None if self.high is None else self.high[None],
            guidance=None if self.guidance is None else self.guidance.batched(),
        )

    def repeated(self, many: int) -> Trace:
        """The one image of a batched trace standing for `many`, as views; a trace of `many` as it is."""
        if len(self.logits) == many:
            return self

        def grown(x: Tensor | None) -> Any:
            return None if x is None else x.expand(many, *x.shape[1:])

        return replace(
            self,
            logits=grown(self.logits),
            features=tuple(grown(f) for f in self.features),
            stages=tuple(stage.repeated(many) for stage in self.stages),
            fused=grown(self.fused),
            pooled=grown(self.pooled),
            laterals=tuple(grown(lateral) for lateral in self.laterals),
            high=grown(self.high),
        )

    @cached_property
    def labels(self) -> Integer[Tensor, "*b H W"]:
        """Predicted category of every pixel of the traced image: argmax of the logits resized bilinearly."""
        if self.logits.ndim == 3:
            return bilinear_labels(self.logits[None], self.image_size)[0]
        return bilinear_labels(self.logits, self.image_size)

    def _with_memory_of(self, other: Trace) -> Trace:
        """This trace, with the labels that an equal one has computed already."""
        if "labels" in other.__dict__:
            self.__dict__["labels"] = other.__dict__["labels"]
        return self

    def stage(self, name: str) -> Stage:
        """The stage of that name.

        Raises:
            LoupeError: there is none.
        """
        from engine.errors import LoupeError

        for stage in self.stages:
            if stage.name == name:
                return stage
        names = ", ".join(stage.name for stage in self.stages) or "none at all"
        raise LoupeError(f'no stage "{name}": this model has {names}')


def tensors_of(value: Any) -> Iterator[Tensor]:
    """Every tensor in nested dataclasses and tuples."""
    if isinstance(value, Tensor):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for f in fields(value):
            yield from tensors_of(getattr(value, f.name))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_of(item)


def tensor_bytes(value: Any) -> int:
    """Bytes of the distinct storages held by a trace or pyramid."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors_of(value)}
    return sum(storages.values())


def to_device(value: Any, device: torch.device | str | torch.dtype) -> Any:
    """The same trace or pyramid with its tensors on another device, or of another type."""
    if isinstance(value, Tensor):
        return value.to(device)
    if is_dataclass(value) and not isinstance(value, type):
        moved = {f.name: to_device(getattr(value, f.name), device) for f in fields(value) if f.init}
        return replace(value, **moved)
    if isinstance(value, tuple):
        return tuple(to_device(item, device) for item in value)
    return value
