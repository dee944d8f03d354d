"""The models in a folder: read from their headers, without their weights."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.checkpoints import Header, file_hash, read_header, unchanged
from engine.errors import LoupeError

ASSETS = Path(__file__).resolve().parent.parent / "assets"
OWN = ASSETS.parent / "data" / "models"

MOMENTS = ".memory.safetensors"  # beside a model: its bank while it was trained

# The demo models in the order in which they are told apart: from four neighbours to a memory of the data set, then the
# baselines of HFGD and itself.
TITLES = {
    "bilinear": "bilinear: four neighbours",
    "qup": "Q-UP: source pixels",
    "cpt-image": "CPT: prototypes of the image",
    "cpt": "CPT: prototypes and memory",
    "dilated": "dilated: plain classifier at stride 8",
    "fpn": "SemanticFPN, trained jointly",
    "fpn-cut": "SemanticFPN behind the cuts, tokens of its own",
    "hfgd": "HFGD: class tokens guide the upsampler",
}


@dataclass(frozen=True)
class ModelCard:
    """What a page says of a model before running it."""

    id: str
    title: str
    method: str
    sources: str | None  # CPT's kind of sources; None for other methods
    backbone: str
    classes: tuple[str, ...]
    parameters: int
    mIoU: float | None  # percent, on the split named in provenance
    boundary_IoU: float | None  # percent
    memory_share: float | None  # μ; None without memory
    path: Path
    hash: str  # SHA-256 of the file, hex
    provenance: dict[str, Any]

    def json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "title": self.title,
            "method": self.method,
            "sources": self.sources,
            "backbone": self.backbone,
            "classes": list(self.classes),
            "parameters": self.parameters,
            "mIoU": self.mIoU,
            "boundary_IoU": self.boundary_IoU,
            "memory_share": self.memory_share,
            "hash": self.hash,
            "provenance": self.provenance,
        }


def models_dirs(given: str | Path | None = None) -> tuple[Path, ...]:
    """The folders of models: the argument, else LOUPE_MODELS, else the shipped ones and those that were added (data/models).

    The last one is where models are added.
    """
    named = given or os.environ.get("LOUPE_MODELS")
    return (Path(named),) if named else (ASSETS / "models", OWN)


def card(header: Header) -> ModelCard:
    """The card of one checkpoint; hashes its file. Where that may be exchanged meanwhile: `described`."""
    spec, provenance = header.spec, header.provenance
    name = header.path.stem
    return ModelCard(
        id=name,
        title=TITLES.get(name, name),
        method=spec.method,
        sources=spec.sources if spec.method == "cpt" else None,
        backbone=spec.backbone,
        classes=spec.classes,
        parameters=header.parameters,
        mIoU=_number(provenance.get("mIoU")),
        boundary_IoU=_number(provenance.get("boundary_IoU")),
        memory_share=spec.memory_share if spec.remembers else None,
        path=header.path,
        hash=file_hash(header.path),
        provenance=provenance,
    )


def described(path: Path) -> ModelCard:
    """The card of the checkpoint at a path: header and hash are of one file.

    Raises:
        LoupeError: as `engine.checkpoints.load`.
    """
    return unchanged(path, lambda: card(read_header(path)))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def files_in(folder: Path) -> list[Path]:
    """Files that should be models. Backbones and memory moments are passed over, and what begins with a point."""
    return [
        path
        for path in sorted(folder.glob("*.safetensors"))
        if path.name != "backbone.safetensors"
        and not path.name.endswith(MOMENTS)
        and not path.name.startswith(".")
    ]


def read_catalogue(folders: Sequence[Path]) -> tuple[dict[str, ModelCard], dict[str, str]]:
    """(id → card, file name → why it cannot be used). Of two files of one name the first folder's is the model."""
    cards: dict[str, ModelCard] = {}
    problems: dict[str, str] = {}
    for path in (path for folder in folders for path in files_in(folder)):
        if path.stem in cards:
            problems[path.name] = f"{path.name} in {path.parent} has the name of another model: rename it"
            continue
        try:
            cards[path.stem] = described(path)
        except LoupeError as error:
            problems[path.name] = str(error)
        except OSError as error:
            problems[path.name] = f"{path.name} cannot be read: {error.strerror}"
    known = [name for name in TITLES if name in cards]
    return {name: cards[name] for name in [*known, *sorted(set(cards) - set(known))]}, problems
