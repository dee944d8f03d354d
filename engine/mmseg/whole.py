"""Whole models of mmsegmentation: state dict → Segmenter, file → checkpoint of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from engine import checkpoints
from engine.errors import LoupeError
from engine.mmseg.backbones import INDEX, load_backbone
from engine.mmseg.heads import DROPPED, load_head
from engine.mmseg.keys import PREFIX_BACKBONE, PREFIX_HEAD, under
from engine.mmseg.pickles import read_state_dict
from engine.segmenter import Segmenter, SegmenterSpec

PLAIN = (str, int, float, bool)


@dataclass(frozen=True)
class Imported:
    """What an import gave. unused: keys of the file that no model needs. notes: sentences on what was taken for granted."""

    path: Path
    segmenter: Segmenter
    used: int
    unused: tuple[str, ...]
    notes: tuple[str, ...]


def load_segmenter(
    state_dict: Mapping[str, Tensor],
    memory_share: float = 0.1,
    output_stride: int = 32,
    classes: Sequence[str] | None = None,
) -> Segmenter:
    """A whole model in mmsegmentation's layout, in evaluation mode.

    Args:
        state_dict: `backbone.…` of a ResNetV1c, Swin or MiT, and `decode_head.…` of CPT or CFT.
        memory_share: μ, which the file does not hold.
        output_stride: of a dilated ResNet, which the file does not say.
        classes: names of the k categories; "category 0" and so on otherwise.

    Raises:
        LoupeError: other keys or shapes, or another number of names.
    """
    decoder = load_head(under(state_dict, PREFIX_HEAD), memory_share)
    k = decoder.classes
    names = tuple(classes) if classes is not None else tuple(f"category {i}" for i in range(k))
    if len(names) != k:
        raise LoupeError(f"{len(names)} class names for a model of {k} categories")
    backbone, name = load_backbone(under(state_dict, PREFIX_BACKBONE), output_stride)
    spec = SegmenterSpec(
        backbone=name,
        classes=names,
        sources=decoder.sources,
        channels=decoder.channels,
        heads=decoder.heads,
        groups=decoder.groups,
        memory_share=float(memory_share),
        pool_channels=decoder.pool_channels,
        output_stride=output_stride,
    )
    spec.check()
    if backbone.channels != decoder.in_channels:
        raise LoupeError(
            f"the head expects maps of {decoder.in_channels} channels, the {name} gives {backbone.channels}"
        )
    return Segmenter(spec, backbone, decoder).eval()


def import_checkpoint(
    path: str | Path,
    out: str | Path,
    memory_share: float | None = None,
    output_stride: int = 32,
    classes: Sequence[str] | None = None,
    half: bool = False,
    named: str = "",
) -> Imported:
    """Reads a checkpoint of theirs (.pth or .safetensors) and writes one of ours.

    Args:
        memory_share: μ; 0.1 where none is given, and a note says so.
        output_stride: as in `load_segmenter`.
        classes: names of the categories; else those that the file itself gives, else "category 0" and so on.
        half: write fp16.
        named: what the file is called, where its path is none of the person's.

    Raises:
        LoupeError: as `load_segmenter` and `read_state_dict`; nothing is written then.
    """
    path, out = Path(path), Path(out)
    if out.suffix != ".safetensors":
        raise LoupeError(f"{out.name} must end in .safetensors")
    weights, meta = read_state_dict(path)
    notes = []
    if classes is None:
        classes = _classes_of(meta)
        if classes is None:
            notes.append("the file names no classes: they are called by their numbers")
    segmenter = load_segmenter(weights, 0.1 if memory_share is None else memory_share, output_stride, classes)
    if segmenter.spec.remembers and memory_share is None:
        notes.append(
            "μ is not in the file: 0.1 was taken; the author's larger configurations use 0.2, and a wrong μ changes labels"
        )
    if output_stride == 32 and segmenter.spec.backbone.startswith("resnet"):
        notes.append(
            "output stride 32 was taken: the file does not say whether the ResNet was trained dilated"
        )
    unused = tuple(sorted(key for key in weights if not _used(key)))
    provenance: dict[str, Any] = {
        "imported_from": named or path.name,
        "imported_hash": checkpoints.file_hash(path),
        "layout": "mmsegmentation",
        "memory_share_given": memory_share is not None,
        "unused_keys": list(unused),
        "notes": notes,
        "meta": {
            str(key): value for key, value in meta.items() if isinstance(value, PLAIN) and key != "config"
        },
    }
    checkpoints.save(out, segmenter, provenance, half=half)
    return Imported(out, segmenter, len(weights) - len(unused), unused, tuple(notes))


def _used(key: str) -> bool:
    mine = key.startswith((PREFIX_BACKBONE, PREFIX_HEAD))
    return mine and not DROPPED.search(key) and not INDEX.search(key)


def _classes_of(meta: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Class names as mmcv (`CLASSES`) and mmengine (`dataset_meta`) write them."""
    found = meta.get("CLASSES")
    if found is None and isinstance(meta.get("dataset_meta"), Mapping):
        found = meta["dataset_meta"].get("classes")
    if not isinstance(found, tuple | list) or not found or not all(isinstance(name, str) for name in found):
        return None
    return tuple(found)
