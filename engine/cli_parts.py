"""What the commands read from their arguments and write to files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import LoupeError
from engine.writing import refusal, whole

if TYPE_CHECKING:
    from engine.affinity import Reading
    from engine.images import LoadedImage
    from engine.inference import Inference
    from engine.influence import Influence
    from engine.trace import Trace


def pixel_of(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"\s*(-?\d{1,9})\s*,\s*(-?\d{1,9})\s*", text)
    if match is None:
        raise LoupeError(f"pixel {text!r}: must be row,col in whole numbers, such as 120,200")
    return int(match[1]), int(match[2])


def inference_of(window: str, scales: str, flip: bool, short_side: int = 0) -> Inference:
    """How to ask a model: "crop,stride" or "", factors with commas between them.

    Raises:
        LoupeError: neither.
    """
    from engine.inference import Inference

    match = re.fullmatch(r"\s*(\d{1,6})\s*,\s*(\d{1,6})\s*", window)
    if match is None and window.strip():
        raise LoupeError(f"window {window!r}: must be crop,stride in pixels, such as 768,512")
    crop, stride = (0, 0) if match is None else (int(match[1]), int(match[2]))
    try:
        factors = tuple(float(each) for each in scales.split(","))
    except ValueError as error:
        raise LoupeError(
            f"scales {scales!r}: must be numbers with commas between them, such as 0.5,1"
        ) from error
    return Inference(crop, stride, factors, flip, short_side)


def truth_of(path: Path, image: LoadedImage) -> np.ndarray:
    """(H0, W0) category indices, from a PNG of one channel as large as the original image."""
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG",)) as file:
            labels = (
                np.asarray(file)
                if file.mode in ("L", "P") and file.size == image.original_size[::-1]
                else None
            )
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise LoupeError(f"{path}: the labels cannot be read as a PNG") from error
    if labels is None:
        height, width = image.original_size
        raise LoupeError(
            f"{path}: labels must be a PNG of one 8-bit channel and {width}×{height} pixels, as the image is"
        )
    return labels


def provenance_of(path: Path) -> dict[str, Any]:
    import json

    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return json.loads((file.metadata() or {}).get("provenance", "{}"))


def write_npz(
    path: Path, run: Trace, readings: Sequence[Reading], influence: Influence | None = None
) -> None:
    """labels, logits, and per stage the pixel's row of everything; shapes as in engine.stage. With class tokens both branches."""
    arrays = {"labels": run.labels.cpu().numpy(), "logits": run.logits.float().cpu().numpy()}
    for each in readings:
        stage, cell = run.stage(each.stage), each.cell
        contribution = stage.contribution(*cell)
        arrays |= {
            f"{each.stage}.cell": np.array(cell),
            f"{each.stage}.affinity": stage.affinity(*cell).cpu().numpy(),
            f"{each.stage}.pixel_affinity": stage.pixel_affinity(*cell).cpu().numpy(),
            f"{each.stage}.contribution_norm": contribution.norm.cpu().numpy(),
            f"{each.stage}.contribution_share": contribution.signed.cpu().numpy(),
        }
    if run.guidance is not None:
        guidance = run.guidance
        fields = ("tokens", "classifier", "guide_logits", "upsampler_logits", "high", "upsampled")
        arrays |= {f"guidance.{name}": getattr(guidance, name).float().cpu().numpy() for name in fields}
    if influence is not None:
        arrays[f"influence.{influence.site}"] = influence.shares.cpu().numpy()
    if not path.parent.is_dir():  # a slip in what was typed: no folder is made of it
        raise LoupeError(f"{path} cannot be written: there is no folder {path.parent}")
    try:
        with whole(path) as partial, partial.open("wb") as file:  # given a name, numpy would add an ending
            np.savez_compressed(file, allow_pickle=False, **arrays)
    except OSError as error:
        raise refusal(path, error) from error
