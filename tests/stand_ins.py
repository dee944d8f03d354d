"""Tiny untrained models under the names that a catalogue gives them: for what does not depend on having learned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.segmenter import Segmenter

BACKBONE = "mobilenetv4_conv_small_050"
SMALL = {"channels": 16, "level_channels": 8, "context_channels": 16, "context_keys": 8}


def save(folder: Path, name: str, seed: int = 3, recipe: str = "stand-in", **fields: Any) -> Segmenter:
    """Writes `folder/name.safetensors` and returns the model; `fields` are the spec's, with the demo world's categories."""
    import torch

    from engine import checkpoints
    from engine.data.categories import CLASS_NAMES
    from engine.segmenter import SegmenterSpec, build

    torch.manual_seed(seed)
    made = build(SegmenterSpec(**{"backbone": BACKBONE, "classes": CLASS_NAMES, **SMALL, **fields}))
    checkpoints.save(folder / f"{name}.safetensors", made, provenance={"recipe": recipe, "seed": seed})
    return made
