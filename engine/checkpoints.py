"""Checkpoints: one safetensors file holds spec, weights and provenance.

Nothing in it is executed on reading. Half precision on disk halves the size; models are always loaded in fp32.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.backbones import Backbone
from engine.errors import LoupeError
from engine.segmenter import Segmenter, SegmenterSpec, build
from engine.writing import refusal, whole

FORMAT = "loupe-1"
BACKBONE_FORMAT = "loupe-backbone-1"
TRIES = 3  # of a file that is exchanged while it is read
Shapes = dict[str, tuple[int, ...]]
T = TypeVar("T")


@dataclass(frozen=True)
class Checkpoint:
    """A model as it was read."""

    segmenter: Segmenter  # in evaluation mode
    provenance: dict[str, Any]  # recipe, seed, step, mIoU, package versions …
    content_hash: str  # SHA-256 of the file, hex
    path: Path


@dataclass(frozen=True)
class Header:
    """What can be known of a checkpoint without its weights."""

    spec: SegmenterSpec
    provenance: dict[str, Any]
    parameters: int  # number of trainable values as built
    path: Path


def save(path: str | Path, segmenter: Segmenter, provenance: dict[str, Any], half: bool = True) -> None:
    """Write a checkpoint; a reader never sees half a file.

    Args:
        half: floating point weights as fp16, where its range holds them. The memory bank too: its rows have norms below 1.

    Raises:
        LoupeError: it cannot be written; one that was there stays.
    """
    metadata = {
        "format": FORMAT,
        "spec": json.dumps(segmenter.spec.json()),
        "provenance": json.dumps(provenance),
        "parameters": str(sum(p.numel() for p in segmenter.parameters())),
    }
    _write(Path(path), segmenter, metadata, half)


def load(path: str | Path, device: torch.device | str = "cpu", expected: str | None = None) -> Checkpoint:
    """Read a checkpoint and build its model.

    Args:
        expected: the content hash that the file has to have, of a model that was described before.

    Raises:
        LoupeError: missing, truncated, not safetensors (a pickle, say), of another program, or of another
            architecture than its spec; exchanged while it was read, or since it was described.
    """
    path = Path(path)
    found = unchanged(path, lambda: _load(path, device))
    if expected is not None and found.content_hash != expected:
        raise exchanged(path)
    return found


def exchanged(path: Path) -> LoupeError:
    """The sentence on a file that is another one than was described."""
    return LoupeError(f"{path.name} was exchanged on the disk for another file: try again to see the new one")


def unchanged(path: Path, read: Callable[[], T]) -> T:
    """What `read` gives, of one file: it opens the path several times, and somebody may exchange the file in between.

    Raises:
        LoupeError: it was exchanged each time.
    """
    for _ in range(TRIES):
        before = file_state(path)
        try:
            found = read()
        except LoupeError:
            if file_state(path) == before:
                raise
            continue
        if file_state(path) == before:
            return found
    raise exchanged(path)


def file_state(path: Path) -> tuple:
    """What changes when a file does: reading it again is only worth while then. A file that is not there has a state too."""
    try:
        stat = path.stat()
    except OSError:
        return (str(path.absolute()),)
    return (str(path.absolute()), stat.st_ino, stat.st_size, stat.st_mtime_ns)


def _load(path: Path, device: torch.device | str) -> Checkpoint:
    header = read_header(path)
    _compare(_promised(header.spec, path), _shapes(path), path)
    segmenter = build(header.spec)
    _fit(segmenter, path)
    return Checkpoint(
        segmenter.to(device).eval().requires_grad_(False), header.provenance, file_hash(path), path
    )


def is_ours(path: Path) -> bool:
    """Whether a safetensors file says that it is a model of this program. Raises LoupeError where it is no safetensors at all."""
    return _metadata(path).get("format") == FORMAT


def read_header(path: str | Path) -> Header:
    """Spec and provenance alone, in milliseconds. Raises as `load` does."""
    path = Path(path)
    metadata = _metadata(path)
    if metadata.get("format") != FORMAT:
        raise LoupeError(
            f"{path.name} is no checkpoint of this program (its format is {metadata.get('format', 'unknown')})"
        )
    try:
        spec = SegmenterSpec.from_json(json.loads(metadata["spec"]))
        provenance = json.loads(metadata.get("provenance", "{}"))
        if not isinstance(provenance, dict):
            raise LoupeError("its provenance is not a JSON object")
        return Header(spec, provenance, int(metadata.get("parameters", 0)), path)
    except (KeyError, ValueError) as error:
        raise LoupeError(f"{path.name} has an unreadable header: {error}") from error


def save_backbone(path: str | Path, backbone: Backbone, provenance: dict[str, Any]) -> None:
    """Write a backbone alone, in half precision. Raises as `save` does."""
    metadata = {"format": BACKBONE_FORMAT, "backbone": backbone.name, "provenance": json.dumps(provenance)}
    _write(Path(path), backbone, metadata, half=True)


def load_backbone(path: str | Path, backbone: Backbone) -> dict[str, Any]:
    """Load weights into a backbone of the same architecture; returns their provenance. Raises as `load` does."""
    path = Path(path)
    metadata = _metadata(path)
    if metadata.get("format") != BACKBONE_FORMAT:
        raise LoupeError(
            f"{path.name} holds no backbone (format {metadata.get('format', 'unknown')}, wanted {BACKBONE_FORMAT})"
        )
    if metadata.get("backbone") != backbone.name:
        raise LoupeError(f"{path.name} holds a {metadata.get('backbone')}, not a {backbone.name}")
    _fit(backbone, path)
    return json.loads(metadata.get("provenance", "{}"))


def state_hash(module: nn.Module) -> str:
    """SHA-256 of a module's names and weights: two models that share a backbone share its hash."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _metadata(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise LoupeError(f"there is no checkpoint {path}")
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        with path.open("rb") as stream:
            start = stream.read(4)
        kind = (
            "a pickle or zip archive, which may hold code and is not opened"
            if start[:2] == b"PK" or start[:1] == b"\x80"
            else "truncated or damaged"
        )
        raise LoupeError(f"{path.name} is no safetensors checkpoint: it is {kind}") from error


def _write(path: Path, module: nn.Module, metadata: dict[str, str], half: bool) -> None:
    def stored(tensor: Tensor) -> Tensor:
        tensor = tensor.detach().cpu().contiguous()
        if not (half and tensor.is_floating_point()):
            return tensor
        # A BatchNorm's running variance may pass fp16's range, where it would become infinite.
        return halved if (halved := tensor.half()).isfinite().all() else tensor

    try:
        with whole(path) as partial:
            save_file(
                {name: stored(t) for name, t in module.state_dict().items()}, partial, metadata=metadata
            )
    except OSError as error:
        raise refusal(path, error) from error


def _fit(module: nn.Module, path: Path) -> None:
    """Load the file's weights into the module, or say what does not fit."""
    try:
        weights = load_file(path, device="cpu")
    except SafetensorError as error:
        raise LoupeError(f"{path.name} cannot be read: it is truncated or damaged ({error})") from error
    _compare(_shapes_of(module), {name: tuple(tensor.shape) for name, tensor in weights.items()}, path)
    for name, tensor in weights.items():
        # A number that is none would become a picture that means nothing.
        if not torch.isfinite(tensor).all():
            raise LoupeError(f"{path.name}: weight {name} holds values that are not finite numbers")
    module.load_state_dict(weights)


def _shapes_of(module: nn.Module) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def _promised(spec: SegmenterSpec, path: Path) -> Shapes:
    """What the spec's model holds, found without memory for it: a small file may claim to be a model of any size."""
    try:
        with torch.device("meta"):
            return _shapes_of(build(spec))
    except LoupeError:
        raise
    except Exception as error:  # sizes that do not go together end in anything, deep inside torch
        raise LoupeError(
            f"{path.name}: no model can be built from its header ({str(error)[:120]})"
        ) from error


def _shapes(path: Path) -> Shapes:
    """What the file holds, by its header."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise LoupeError(f"{path.name} cannot be read: it is truncated or damaged ({error})") from error


def _compare(expected: Shapes, given: Shapes, path: Path) -> None:
    """Raises LoupeError, naming some, where weights are missing, unknown or of other shapes."""
    missing, extra = sorted(set(expected) - set(given)), sorted(set(given) - set(expected))
    if missing or extra:
        raise LoupeError(
            f"{path.name} is of another architecture than its header says: {len(missing)} weights are missing "
            f"({', '.join(missing[:2]) or '–'}), {len(extra)} are unknown ({', '.join(extra[:2]) or '–'})"
        )
    for name, shape in given.items():
        if shape != expected[name]:
            raise LoupeError(f"{path.name}: weight {name} has shape {shape}, wanted {expected[name]}")
